"""How the runtime prepares each sensor's rasters for the small model's encoders."""

from edgespark.export.worlds.covers import SENTINEL_1, SENTINEL_2
from edgespark.export.worlds.scenes import METRES, SIZE
from edgespark.runtime.preprocessing import Band, Imagery

# Means and standard deviations of the synthetic world's training scenes, rounded.
RGB = (("red", 0.47, 0.21), ("green", 0.52, 0.18), ("blue", 0.40, 0.14))
REFLECTANCE = (
    (0.074, 0.036), (0.078, 0.039), (0.102, 0.046), (0.097, 0.061), (0.136, 0.066), (0.220, 0.084),
    (0.255, 0.100), (0.271, 0.108), (0.286, 0.116), (0.284, 0.119), (0.213, 0.117), (0.146, 0.107),
)  # fmt: skip
DECIBEL = ((-11.8, 4.4), (-18.6, 4.6))
NEAREST, FURTHEST = METRES / 2, 4 * METRES

SENSORS = {
    "rgb": Imagery(
        bands=tuple(
            Band(name=name, scale=1 / 255, low=0.0, high=1.0, mean=mean, std=std)
            for name, mean, std in RGB
        ),
        rows=SIZE,
        columns=SIZE,
        dtypes=("uint8",),
        unit="display value 0…1",
        min_valid=0.25,
        gsd_low=NEAREST,
        gsd_high=FURTHEST,
    ),
    "msi": Imagery(
        bands=tuple(
            Band(name=name, scale=1e-4, low=0.0, high=1.6, mean=mean, std=std)
            for name, (mean, std) in zip(SENTINEL_2, REFLECTANCE, strict=True)
        ),
        rows=SIZE,
        columns=SIZE,
        dtypes=("int16", "uint16"),
        unit="reflectance (stored x 10000)",
        min_valid=0.25,
        gsd_low=NEAREST,
        gsd_high=FURTHEST,
    ),
    "sar": Imagery(
        bands=tuple(
            Band(name=name, low=-40.0, high=10.0, mean=mean, std=std)
            for name, (mean, std) in zip(SENTINEL_1, DECIBEL, strict=True)
        ),
        rows=SIZE,
        columns=SIZE,
        dtypes=("float32", "float64"),
        unit="backscatter in dB",
        min_valid=0.25,
        decibel=True,
        gsd_low=NEAREST,
        gsd_high=FURTHEST,
    ),
}
