"""Motion and brain activity of every kind that may be given, made into what a route starts from."""

from pathlib import Path

from edgespark.runtime.arguments import Argument
from edgespark.runtime.arrays import array_from_value, unmasked
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.sensory import Motion, Voxels
from edgespark.runtime.signals.files import (
    OPTIONS,
    MotionFile,
    recording_from_file,
    voxels_from_file,
)
from edgespark.runtime.signals.motion import prepare_motion
from edgespark.runtime.signals.recording import MotionSignal, recording_from_array
from edgespark.runtime.signals.voxels import prepare_voxels

EXPECTED = "an array [channels, readings], a MotionSignal, a path or a MotionFile"
EXPECTED_VOXELS = "an array [voxels] or [repeats, voxels], or a path"


def read_motion(record: Motion, value: object, _: Encode) -> Prepared:
    """Return `signal`, float32 [1, channels, samples] (see `prepare_motion`).

    Takes an array [channels, readings] at the record's rate, a MotionSignal, the path of a .csv or
    .npy file, a MotionFile, or an Argument. Raises InputError for what cannot be one; warns
    (EdgesparkWarning) where it is not as long as a clip.
    """
    if isinstance(value, Argument):
        path, options = value.file("motion", OPTIONS)
        value = MotionFile(path, **options)
    if isinstance(value, str | Path):
        value = MotionFile(value)
    if isinstance(value, MotionFile):
        return prepare_motion(record, recording_from_file(record, value), str(value.path))
    signal = value if isinstance(value, MotionSignal) else MotionSignal(value)
    array = unmasked(array_from_value(signal.samples, EXPECTED))
    name = f"array {array.shape}"
    recording = recording_from_array(record, array, signal.rate, signal.start, name)
    return prepare_motion(record, recording, name)


def read_voxels(record: Voxels, value: object, _: Encode) -> Prepared:
    """Return `voxels`, float32 [1, 1, count] (see `prepare_voxels`).

    Takes an array [count] or [repeats, count], the path of a .npy file of one or of a .csv file
    with a row for each repeat, or an Argument. Raises InputError for what cannot be one.
    """
    if isinstance(value, Argument):
        value = value.file("brain activity", {})[0]
    if isinstance(value, str | Path):
        return prepare_voxels(record, voxels_from_file(record, value), str(value))
    array = unmasked(array_from_value(value, EXPECTED_VOXELS))
    return prepare_voxels(record, array, f"array {array.shape}")
