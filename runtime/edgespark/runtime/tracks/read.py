"""Trajectories of every kind that may be given, made into what a route starts from."""

from pathlib import Path

from edgespark.runtime.arguments import Argument
from edgespark.runtime.arrays import array_from_value, unmasked
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.preprocessing import Tracks
from edgespark.runtime.tracks.files import OPTIONS, TrackFile, tracks_from_file
from edgespark.runtime.tracks.prepare import prepare_tracks

EXPECTED = "an array [observed, 2] or [agents, observed, 2], a path or a TrackFile"


def read_tracks(record: Tracks, value: object, _: Encode) -> Prepared:
    """Return `track`, `neighbours` and `present`, and the anchor, of an agent and those around it.

    Takes an array as `prepare_tracks` does, the path of a .txt, .csv, .gpx or .npy file, a
    TrackFile, or an Argument. Raises InputError for what cannot be one.
    """
    if isinstance(value, Argument):
        path, options = value.file("trajectory", OPTIONS)
        value = TrackFile(path, **options)
    if isinstance(value, str | Path):
        value = TrackFile(value)
    if isinstance(value, TrackFile):
        return prepare_tracks(record, tracks_from_file(record, value), str(value.path))
    array = unmasked(array_from_value(value, EXPECTED))
    return prepare_tracks(record, array, f"array {array.shape}")
