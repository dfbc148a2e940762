"""The arrays that a route starts from, as ports: what each kind of preprocessing gives."""

from collections.abc import Callable

from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Axis, DType, Port
from edgespark.runtime.ports import takes, written
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import (
    Frames,
    Imagery,
    Points,
    Preprocessing,
    Series,
    Table,
    Text,
    Tracks,
)
from edgespark.runtime.sensory import (
    Clips,
    ColouredPoints,
    Fbank,
    Motion,
    Picture,
    PicturePair,
    Voxels,
)


def starts(record: Preprocessing) -> tuple[Port, ...]:
    """Return the ports of the arrays that preparing an input gives, in the record's order."""
    return GIVES[type(record)](record)


def check_prepared(record: Preprocessing, made: Prepared) -> None:
    """Refuse what was prepared for another kind of input, or another size: InputError."""
    ports = {port.name: port for port in starts(record)}
    if set(made.arrays) != set(ports):
        has, needs = (", ".join(each) or "none" for each in (made.arrays, ports))
        raise InputError(
            f"the prepared input has the arrays {has}; the modality starts from {needs}: "
            "give what `prepare` gave for this modality"
        )
    for name, port in ports.items():
        array = made.arrays[name]
        if array.dtype != port.dtype or not takes(port, array.shape):
            raise InputError(
                f"the prepared array {name!r} is {array.dtype} {list(array.shape)}; the modality "
                f"starts from {written(port)}: give what `prepare` gave for this modality"
            )


def _port(name: str, dtype: DType = "float32", /, **sizes: int) -> Port:
    """Make the port of one prepared array; a batch is always one input."""
    axes = {"batch": 1, **sizes}
    made = tuple(Axis(name=axis, low=size, high=size) for axis, size in axes.items())
    return Port(name=name, dtype=dtype, axes=made)


def _pixels(imagery: Imagery) -> tuple[Port, ...]:
    sizes = {"bands": len(imagery.bands), "rows": imagery.rows, "columns": imagery.columns}
    return (_port("pixels", "float32", **sizes),)


def _frames(record: Frames) -> tuple[Port, ...]:
    frame = record.frame
    sizes = {"bands": len(frame.bands), "rows": frame.rows, "columns": frame.columns}
    return (_port("frames", "float32", frames=record.count, **sizes),)


def _points(record: Points) -> tuple[Port, ...]:
    groups = record.groups
    return (
        _port("neighbourhoods", groups=groups, neighbours=record.neighbours, coordinates=3),
        _port("centres", groups=groups, coordinates=3),
    )


def _cells(record: Table) -> tuple[Port, ...]:
    return (_port("cells", "int64", rows=record.rows, columns=len(record.columns)),)


def _tracks(record: Tracks) -> tuple[Port, ...]:
    return (
        _port("track", steps=record.observed, coordinates=2),
        _port("neighbours", agents=record.agents, steps=record.observed, coordinates=2),
        _port("present", "bool", agents=record.agents),
    )


def _series(record: Series) -> tuple[Port, ...]:
    return (_port("series", steps=record.steps, nodes=len(record.nodes), channels=3),)


def _picture(record: Picture) -> tuple[Port, ...]:
    return (_port("pixels", **_sides(record)),)


def _pair(record: PicturePair) -> tuple[Port, ...]:
    return (_port("frames", frames=2, **_sides(record.picture)),)


def _clips(record: Clips) -> tuple[Port, ...]:
    return (_port("frames", frames=record.clips * record.crops, **_sides(record.picture)),)


def _sides(picture: Picture) -> dict[str, int]:
    return {"colours": 3, "rows": picture.size, "columns": picture.size}


def _fbank(record: Fbank) -> tuple[Port, ...]:
    return (_port("fbank", channels=1, mels=record.mels, frames=record.frames),)


def _motion(record: Motion) -> tuple[Port, ...]:
    return (_port("signal", channels=len(record.channels), samples=record.samples),)


def _voxels(record: Voxels) -> tuple[Port, ...]:
    return (_port("voxels", scans=1, voxels=record.count),)


def _coloured_points(record: ColouredPoints) -> tuple[Port, ...]:
    sizes = {"groups": record.groups, "neighbours": record.neighbours}
    return (_port("neighbourhoods", **sizes, values=6),)


def _ids(text: Text) -> tuple[Port, ...]:
    axes = (Axis(name="batch", low=1, high=1), Axis(name="tokens", low=1, high=text.max_tokens))
    return (Port(name="ids", dtype="int64", axes=axes),)


GIVES: dict[type[Preprocessing], Callable[..., tuple[Port, ...]]] = {
    Imagery: _pixels,
    Frames: _frames,
    Points: _points,
    Table: _cells,
    Tracks: _tracks,
    Series: _series,
    Text: _ids,
    Picture: _picture,
    PicturePair: _pair,
    Clips: _clips,
    Fbank: _fbank,
    Motion: _motion,
    Voxels: _voxels,
    ColouredPoints: _coloured_points,
}
