"""Video of every kind that may be given, made into what its route starts from."""

from pathlib import Path

from edgespark.runtime.arguments import Argument, Option
from edgespark.runtime.frames.files import VideoFile, prepare_file
from edgespark.runtime.frames.prepare import prepare_clip
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.preprocessing import Frames

OPTIONS = {"start": Option(float, "start=1.5"), "stop": Option(float, "stop=12")}


def read_frames(record: Frames, value: object, _: Encode) -> Prepared:
    """Return `frames`, float32 [1, count, bands, rows, columns].

    Takes an array [frames, bands, rows, columns] or a sequence of images, the path of a video or a
    .npy file, a VideoFile, or an Argument. Raises InputError and MissingExtra as `prepare_clip` and
    `prepare_file` do.
    """
    if isinstance(value, Argument):
        path, options = value.file("video", OPTIONS)
        value = VideoFile(path, **options)
    if isinstance(value, str | Path):
        value = VideoFile(value)
    if isinstance(value, VideoFile):
        return prepare_file(record, value)
    return prepare_clip(record, value)
