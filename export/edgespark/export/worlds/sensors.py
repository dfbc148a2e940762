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
    (0.062, 0.035), (0.062, 0.035), (0.065, 0.036), (0.069, 0.038), (0.075, 0.039), (0.083, 0.040),
    (0.090, 0.042), (0.095, 0.044), (0.094, 0.047), (0.094, 0.051), (0.092, 0.054), (0.089, 0.058),
    (0.084, 0.063), (0.100, 0.064), (0.124, 0.065), (0.173, 0.072), (0.213, 0.088), (0.230, 0.096),
    (0.245, 0.103), (0.251, 0.106), (0.256, 0.109), (0.263, 0.112), (0.276, 0.119), (0.275, 0.119),
    (0.274, 0.119), (0.270, 0.118), (0.265, 0.116), (0.259, 0.113), (0.258, 0.113), (0.263, 0.115),
    (0.261, 0.115), (0.256, 0.114), (0.247, 0.111), (0.232, 0.107), (0.228, 0.108), (0.236, 0.110),
    (0.237, 0.111), (0.220, 0.114), (0.214, 0.116), (0.208, 0.117), (0.202, 0.116), (0.196, 0.114),
    (0.156, 0.104), (0.147, 0.102), (0.143, 0.100), (0.132, 0.087), (0.147, 0.107), (0.147, 0.107),
)  # fmt: skip
KELVIN = ((304.0, 8.0), (297.2, 5.0))
OBLIQUE = (("red", 0.49, 0.20), ("green", 0.55, 0.18), ("blue", 0.43, 0.14))
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
