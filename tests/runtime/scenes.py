"""Small records, routes and raster files that the tests of the inputs share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.manifest import Route
from edgespark.runtime.preprocessing import Band, Imagery, Text
from edgespark.runtime.rasters import open_raster

SHARED = Path(__file__).parents[3] / "shared" / "data"
NAMES = ("red", "green", "blue")
SIZE = 8
PLACE: Mapping[str, Any] = {"crs": "EPSG:32633", "transform": (10.0, 0, 5e5, 0, -10.0, 5e6)}


def band(name: str, **changes: Any) -> Band:  # noqa: ANN401 any field
    return Band(**{"name": name, "low": -1e6, "high": 1e6, "mean": 0.0, "std": 1.0, **changes})


def imagery(count: int = 3, **changes: Any) -> Imagery:  # noqa: ANN401 any field
    """Return a record that changes nothing but the size, unless told otherwise."""
    plain: dict[str, Any] = {
        "bands": tuple(band(name) for name in (NAMES * count)[:count]),
        "rows": SIZE,
        "columns": SIZE,
        "dtypes": ("uint8", "uint16", "int16", "float32", "float64"),
        "unit": "counts",
        "min_valid": 0.5,
        "gsd_low": 1.0,
        "gsd_high": 100.0,
    }
    return Imagery(**(plain | changes))


def route(record: Imagery | Text) -> Route:
    return Route(modality="rgb", preprocessing=record, wires=(), output="bridge.tokens", prompt="")


def ramp(bands: int = 3, size: int = SIZE, dtype: str = "uint8") -> NDArray[Any]:
    """Return [bands, size, size] in which every sample says where it stands; none is 0."""
    return (1 + np.arange(bands * size * size) % 250).reshape(bands, size, size).astype(dtype)


def pixels_of(raster: Raster | Path, record: Imagery) -> tuple[NDArray[np.float32], float]:
    """Return the pixels of a raster file, and the valid share."""
    with open_raster(raster if isinstance(raster, Raster) else Raster(raster), record) as grid:
        return pixels(grid, record)


def write_tif(path: Path, array: NDArray[Any], **profile: Any) -> Path:  # noqa: ANN401 GDAL's options
    """Write [bands, rows, columns] as a GeoTIFF at PLACE, with further creation options."""
    import rasterio

    options = {**PLACE, **profile}
    options["transform"] = rasterio.Affine(*options["transform"])
    size = {"count": array.shape[0], "height": array.shape[1], "width": array.shape[2]}
    options = {"driver": "GTiff", "dtype": array.dtype.name, **size, **options}
    with rasterio.open(path, "w", **options) as file:
        file.write(array)
    return path
