"""How the runtime prepares each sensor's rasters for the small model's encoders."""

from edgespark.export.worlds.cameras import FRAMES, THERMAL
from edgespark.export.worlds.covers import SENTINEL_1, SENTINEL_2
from edgespark.export.worlds.ground import METRES, SIZE
from edgespark.export.worlds.spectra import CELL, SIDE, WAVELENGTHS
from edgespark.runtime.preprocessing import Band, Frames, Imagery, RasterDType

# Means and standard deviations of the synthetic world's training scenes, rounded.
RGB = (("red", 0.47, 0.21), ("green", 0.52, 0.18), ("blue", 0.40, 0.14))
REFLECTANCE = (
    (0.074, 0.036), (0.078, 0.039), (0.102, 0.046), (0.097, 0.061), (0.136, 0.066), (0.220, 0.084),
    (0.255, 0.100), (0.271, 0.108), (0.286, 0.116), (0.284, 0.119), (0.213, 0.117), (0.146, 0.107),
)  # fmt: skip
DECIBEL = ((-11.8, 4.4), (-18.6, 4.6))
SPECTRUM = (
    (0.064, 0.043), (0.065, 0.043), (0.068, 0.044), (0.072, 0.046), (0.078, 0.047), (0.086, 0.048),
    (0.093, 0.050), (0.099, 0.053), (0.098, 0.056), (0.097, 0.059), (0.096, 0.063), (0.093, 0.066),
    (0.088, 0.071), (0.105, 0.073), (0.128, 0.074), (0.178, 0.080), (0.219, 0.097), (0.236, 0.104),
    (0.250, 0.112), (0.259, 0.117), (0.262, 0.118), (0.269, 0.123), (0.284, 0.130), (0.285, 0.133),
    (0.282, 0.132), (0.278, 0.130), (0.272, 0.128), (0.264, 0.124), (0.265, 0.125), (0.268, 0.124),
    (0.267, 0.125), (0.262, 0.122), (0.250, 0.117), (0.234, 0.114), (0.230, 0.113), (0.238, 0.115),
    (0.240, 0.117), (0.221, 0.119), (0.214, 0.120), (0.209, 0.122), (0.202, 0.120), (0.197, 0.120),
    (0.158, 0.111), (0.149, 0.108), (0.147, 0.110), (0.134, 0.094), (0.151, 0.115), (0.151, 0.116),
)  # fmt: skip
KELVIN = ((304.0, 8.0), (297.2, 5.0))
OBLIQUE = (("red", 0.49, 0.20), ("green", 0.55, 0.18), ("blue", 0.44, 0.15))
NEAREST, FURTHEST = METRES / 2, 4 * METRES
ANY = (0.01, 100.0)  # metres; a pixel of a view from the side has no one size
Colours = tuple[tuple[str, float, float], ...]


def imagery(  # noqa: PLR0913 what tells the sensors apart
    bands: tuple[Band, ...],
    dtypes: tuple[RasterDType, ...],
    unit: str,
    *,
    size: int = SIZE,
    gsd: tuple[float, float] = (NEAREST, FURTHEST),
    decibel: bool = False,
) -> Imagery:
    """Give the record of one sensor; validity is the world's, and so is what is not given."""
    return Imagery(
        bands=bands,
        rows=size,
        columns=size,
        dtypes=dtypes,
        unit=unit,
        min_valid=0.25,
        gsd_low=gsd[0],
        gsd_high=gsd[1],
        decibel=decibel,
    )


def photograph(colours: Colours, gsd: tuple[float, float] = (NEAREST, FURTHEST)) -> Imagery:
    """Give the record of 8-bit colours."""
    bands = tuple(
        Band(name=name, scale=1 / 255, low=0.0, high=1.0, mean=mean, std=std)
        for name, mean, std in colours
    )
    return imagery(bands, ("uint8",), "display value 0…1", gsd=gsd)


SENSORS: dict[str, Imagery | Frames] = {
    "rgb": photograph(RGB),
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
    "hsi": imagery(
        tuple(
            Band(
                name=f"{centre} nm",
                wavelength=float(centre),
                scale=1e-4,
                low=0.0,
                high=1.6,
                mean=mean,
                std=std,
            )
            for centre, (mean, std) in zip(WAVELENGTHS, SPECTRUM, strict=True)
        ),
        ("int16", "uint16"),
        "reflectance (stored x 10000)",
        size=SIDE,
        gsd=(CELL * NEAREST, CELL * FURTHEST),
    ),
    "infrared": imagery(
        tuple(
            Band(name=name, wavelength=1000 * centre, low=200.0, high=400.0, mean=mean, std=std)
            for (name, centre), (mean, std) in zip(THERMAL.items(), KELVIN, strict=True)
        ),
        ("float32", "float64"),
        "brightness temperature in K",
    ),
    "oblique": photograph(OBLIQUE, ANY),
    "video": Frames(count=FRAMES, frame=photograph(RGB)),
}
