"""Sound of every kind that may be given, made into what its route starts from."""

from pathlib import Path

from edgespark.runtime.arguments import Argument
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.sensory import Fbank
from edgespark.runtime.sound.files import OPTIONS, SoundFile, open_sound
from edgespark.runtime.sound.memory import Sound, recording_from_sound
from edgespark.runtime.sound.prepare import prepare_sound


def read_fbank(record: Fbank, value: object, _: Encode) -> Prepared:
    """Return `fbank`, float32 [1, 1, mels, frames], as `prepare_sound` does.

    Takes a Sound; an array [samples] or [channels, samples], which is taken to be at the record's
    rate; the path of a .wav, .flac, .ogg, .oga, .opus, .mp3, .aif, .aiff or .npy file; a SoundFile;
    or an Argument. Any rate but the record's is resampled. Raises InputError for what cannot be
    one, MissingExtra where soundfile is not installed, which all files need but .npy and WAV files
    of plain samples.
    """
    if isinstance(value, Argument):
        path, options = value.file("sound", OPTIONS)
        value = SoundFile(path, **options)
    if isinstance(value, str | Path):
        value = SoundFile(value)
    if isinstance(value, SoundFile):
        with open_sound(record, value) as recording:
            return prepare_sound(record, recording, value.start, value.stop)
    sound = value if isinstance(value, Sound) else Sound(value, rate=record.rate)
    return prepare_sound(record, recording_from_sound(sound))
