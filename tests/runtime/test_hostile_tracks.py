"""Recordings that are made to take time or memory, or to be read as what they are not."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime import markup, names
from edgespark.runtime.errors import InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.tracks import window
from edgespark.runtime.tracks.files import TrackFile
from tests.runtime.test_track_files import csv, gpx, north, rows, same, txt
from tests.runtime.test_tracks import WALK, beside, made


def points(first: int, count: int) -> str:
    return "".join(
        f'<trkpt lat="{47 + i * 1e-5:.6f}" lon="8.5"><time>2024-05-01T08:00:{i * 0.4:06.3f}Z</time>'
        "</trkpt>"
        for i in range(first, first + count)
    )


def tracks(path: Path, *some: tuple[str, str]) -> Path:
    """Write tracks of a name, or none, and points."""
    told = [f"<name>{name}</name>" if name else "" for name, _ in some]
    body = "".join(f"<trk>{name}{each}</trk>" for name, (_, each) in zip(told, some, strict=True))
    path.write_text(f"<gpx>{body}</gpx>")
    return path


def test_a_name_that_is_another_tracks_number_joins_no_tracks(tmp_path: Path) -> None:
    path = tracks(tmp_path / "a.gpx", ("2", points(0, 6)), ("", points(6, 6)))
    with pytest.raises(InputError, match=r"holds 2 agents; .* there are: 2, #2$"):
        made(path)


def test_tracks_of_one_name_are_told_apart(tmp_path: Path) -> None:
    path = tracks(
        tmp_path / "a.gpx",
        *[("tom", points(0, 8)), ("tom", points(8, 8)), ("2", points(0, 8)), ("", points(0, 8))],
        *[("tom", points(0, 8)), ("7.0", points(0, 8))],
    )
    with pytest.raises(InputError, match=r"holds 6 agents; .* there are: tom, 2, 3, 4, 5, 7$"):
        made(path)
    assert made(TrackFile(path, agent="7.0")).arrays["track"].shape == (1, 8, 2)


def test_a_name_behind_the_points_splits_no_track(tmp_path: Path) -> None:
    path = tmp_path / "a.gpx"
    path.write_text(f"<gpx><trk>{points(0, 4)}<name>tom</name>{points(4, 4)}</trk></gpx>")
    assert made(TrackFile(path, agent=1)).arrays["present"].sum() == 1


JUNK: dict[str, Callable[[], str]] = {
    "comment": lambda: "<!--" + "x" * 200_000 + "--><gpx/>",
    "comments": lambda: "<!-- x -->" * 20_000 + "<gpx/>",
    "blanks": lambda: " " * 200_000 + "<gpx/>",
    "tag": lambda: "<gpx><a b='" + "x" * 200_000 + "'/></gpx>",
    "levels": lambda: "<gpx>" + "<a>" * 100_000,
    "names": lambda: "<gpx>" + "".join(f"<a{i}/>" for i in range(10_000)),
    "attributes": lambda: "<gpx>" + "".join(f"<a a{i}=''/>" for i in range(10_000)),
}
SAID = dict.fromkeys(JUNK, "has no element in 65536 bytes; expected a GPX file") | dict.fromkeys(
    ("levels", "names", "attributes"), "has elements of more than 256 levels or 4096 names"
)


@pytest.mark.parametrize("name", JUNK)
def test_markup_without_end_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.gpx"
    path.write_text(JUNK[name]())
    with pytest.raises(InputError, match=SAID[name]):
        made(path)


@pytest.mark.parametrize(
    "junk", ["<a/>", "<!-- no -->", "<wpt lat='1' lon='2'/>", "text ", "<?a?>"]
)
def test_what_is_no_point_is_not_held(tmp_path: Path, junk: str) -> None:
    path = tmp_path / "a.gpx"
    path.write_text(f"<gpx><trk>{junk * 20_000}{points(0, 8)}{junk * 20_000}</trk></gpx>")
    tracemalloc.start()
    made(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2**20  # a piece of the file, and what stands in it


def test_prefixes_comments_and_references_are_understood(tmp_path: Path) -> None:
    plain = gpx(tmp_path / "a.gpx", north(9, 0.5), name="tom & co")
    text = plain.read_text().replace("tom & co", "tom<!-- no --> &amp; c&#111;")
    for name in ("gpx", "trk", "name", "trkpt", "time"):
        text = text.replace(f"<{name}>", f"<g:{name}>").replace(f"<{name} ", f"<g:{name} ")
        text = text.replace(f"</{name}>", f"</g:{name}>")
    (tmp_path / "b.gpx").write_text(text.replace("xmlns=", "xmlns:g="))
    plain.write_text(plain.read_text().replace("&", "&amp;"))
    prefixed = made(TrackFile(tmp_path / "b.gpx", agent="tom & co"))
    same(prefixed, made(TrackFile(plain, agent="tom & co")))


def test_pieces_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gpx(tmp_path / "a.gpx", north(9, 0.5))
    whole: Prepared = made(path)
    monkeypatch.setattr(markup, "PIECE", 7)
    same(made(path), whole)


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".gpx"])
def test_too_many_agents_are_refused(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST_NAMES", 3)
    walks = beside((1, 0), (0, 2), (2, 0), (3, 0))
    some = [(str(i), points(0, 8)) for i in range(5)]
    path = {
        ".txt": lambda: txt(tmp_path / "a.txt", rows(walks, "12345")),
        ".csv": lambda: csv(tmp_path / "a.csv", rows(walks, "12345")),
        ".gpx": lambda: tracks(tmp_path / "a.gpx", *some),
    }[suffix]()
    with pytest.raises(InputError, match=r": has more agents than the 3 that are told apart"):
        made(path)


def test_too_many_positions_near_the_window_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "MOST_FIXES", 20)
    walks = beside((1, 0), (0, 2))
    same(
        made(TrackFile(txt(tmp_path / "a.txt", rows(walks[:2])), agent=1, fps=25)), made(walks[:2])
    )
    with pytest.raises(InputError, match=r"has more than 20 positions from -20.1 to 90.1: thin"):
        made(TrackFile(txt(tmp_path / "a.txt", rows(walks)), agent=1, fps=25))


def test_long_names_are_refused_and_never_flood_a_message(tmp_path: Path) -> None:
    path = txt(tmp_path / "a.txt", rows(WALK[None], ["n" * 100_000]))
    with pytest.raises(InputError, match=r"line 1: the name of agent .* has 100000 letters") as one:
        made(path)
    some = [name * 1000 for name in "abcdefghijklmn"]
    many = txt(tmp_path / "b.txt", rows(np.stack([WALK] * 14), some))
    with pytest.raises(InputError, match=r"holds 14 agents; .* and 2 more$") as other:
        made(many)
    with pytest.raises(InputError, match="there is no agent") as third:
        made(TrackFile(many, agent="x" * 100_000))
    assert max(len(str(each.value)) for each in (one, other, third)) < 1500


@pytest.mark.parametrize(
    ("option", "value"),
    [("agent", 10**5000), ("at", 10**5000), ("fps", 10**5000), ("at", "1" * 10_000)],
    ids=["agent", "at", "fps", "text"],
)
def test_numbers_of_endless_digits_are_refused(option: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(InputError, match=option) as raised:
        TrackFile("a.txt", **{option: value})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("text", ["8_0", "\uff18", "", "0x8", "8 0"])
def test_degrees_are_numbers_in_ascii(tmp_path: Path, text: str) -> None:
    path = gpx(tmp_path / "a.gpx", north(9, 0.5))
    path.write_text(path.read_text().replace('lon="8.500000000"', f'lon="{text}"'))
    with pytest.raises(InputError, match=r"point 1: lon is '.*'; expected degrees"):
        made(path)
