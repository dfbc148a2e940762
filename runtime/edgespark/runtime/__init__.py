"""edgespark.runtime: run a bundle, with numpy, tokenizers and one inference backend.

Names are imported when they are first used: a program that only asks for an error class, or a
command that only prints its help, does not pay for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from edgespark.runtime.frames.files import VideoFile
    from edgespark.runtime.inputs import Raster
    from edgespark.runtime.points.files import PointFile
    from edgespark.runtime.prepared import Prepared
    from edgespark.runtime.series.files import SeriesFile
    from edgespark.runtime.signals.files import MotionFile
    from edgespark.runtime.signals.recording import MotionSignal
    from edgespark.runtime.sound.files import SoundFile
    from edgespark.runtime.sound.memory import Sound
    from edgespark.runtime.spark import Spark, load
    from edgespark.runtime.stats import Stats
    from edgespark.runtime.tables.files import TableFile
    from edgespark.runtime.tracks.files import TrackFile
    from edgespark.runtime.turns import Stream
    from edgespark.runtime.views.files import PictureFile

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
    "MotionFile",
    "MotionSignal",
    "OutputError",
    "PictureFile",
    "PointFile",
    "Prepared",
    "Raster",
    "SeriesFile",
    "Sound",
    "SoundFile",
    "Spark",
    "Stats",
    "Stream",
    "TableFile",
    "TrackFile",
    "UnknownModality",
    "UsageError",
    "VideoFile",
    "load",
]

MODULES = {
    "Bundle": "bundle",
    "Prepared": "prepared",
    "Raster": "inputs",
    "MotionFile": "signals.files",
    "MotionSignal": "signals.recording",
    "PictureFile": "views.files",
    "PointFile": "points.files",
    "SeriesFile": "series.files",
    "Sound": "sound.memory",
    "SoundFile": "sound.files",
    "TableFile": "tables.files",
    "TrackFile": "tracks.files",
    "VideoFile": "frames.files",
    "Spark": "spark",
    "load": "spark",
    "Stats": "stats",
    "Stream": "turns",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module (PEP 562); what is no other's is an error class."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{MODULES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
