"""edgespark.runtime: run a bundle, with numpy, tokenizers and one inference backend."""

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import (
    BundleError,
    CheckError,
    DeviceError,
    EdgesparkError,
    EdgesparkWarning,
    InputError,
    MissingExtra,
    MissingInput,
    OutputError,
    UnknownModality,
    UsageError,
)
from edgespark.runtime.inputs import Prepared, Raster
from edgespark.runtime.spark import Spark, load
from edgespark.runtime.stats import Stats
from edgespark.runtime.turns import Stream

__all__ = [
    "Bundle",
    "BundleError",
    "CheckError",
    "DeviceError",
    "EdgesparkError",
    "EdgesparkWarning",
    "InputError",
    "MissingExtra",
    "MissingInput",
    "OutputError",
    "Prepared",
    "Raster",
    "Spark",
    "Stats",
    "Stream",
    "UnknownModality",
    "UsageError",
    "load",
]
