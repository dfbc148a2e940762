"""How the runtime prepares each sensor's rasters for the small model's encoders."""

from edgespark.export.worlds.covers import SENTINEL_1, SENTINEL_2
from edgespark.export.worlds.scenes import METRES, SIZE
from edgespark.runtime.preprocessing import Band, Imagery, RasterDType

# Means and standard deviations of the synthetic world's training scenes, rounded.
RGB = (("red", 0.47, 0.21), ("green", 0.52, 0.18), ("blue", 0.40, 0.14))
REFLECTANCE = (
    (0.074, 0.036), (0.078, 0.039), (0.102, 0.046), (0.097, 0.061), (0.136, 0.066), (0.220, 0.084),
    (0.255, 0.100), (0.271, 0.108), (0.286, 0.116), (0.284, 0.119), (0.213, 0.117), (0.146, 0.107),
)  # fmt: skip
DECIBEL = ((-11.8, 4.4), (-18.6, 4.6))
NEAREST, FURTHEST = METRES / 2, 4 * METRES


def imagery(
    bands: tuple[Band, ...], dtypes: tuple[RasterDType, ...], unit: str, *, decibel: bool = False
) -> Imagery:
    """Give the record of one sensor; size, ground resolution and validity are the world's."""
    return Imagery(
        bands=bands,
        rows=SIZE,
        columns=SIZE,
        dtypes=dtypes,
        unit=unit,
        min_valid=0.25,
        gsd_low=NEAREST,
        gsd_high=FURTHEST,
        decibel=decibel,
    )


SENSORS = {
    "rgb": imagery(
        tuple(
            Band(name=name, scale=1 / 255, low=0.0, high=1.0, mean=mean, std=std)
            for name, mean, std in RGB
        ),
        ("uint8",),
        "display value 0…1",
    ),
    "msi": imagery(
        tuple(
            Band(name=name, scale=1e-4, low=0.0, high=1.6, mean=mean, std=std)
            for name, (mean, std) in zip(SENTINEL_2, REFLECTANCE, strict=True)
        ),
        ("int16", "uint16"),
        "reflectance (stored x 10000)",
    ),
    "sar": imagery(
        tuple(
            Band(name=name, low=-40.0, high=10.0, mean=mean, std=std)
            for name, (mean, std) in zip(SENTINEL_1, DECIBEL, strict=True)
        ),
        ("float32", "float64"),
        "backscatter in dB",
        decibel=True,
    ),
}
