"""Every way that the page on OneLLM gives an input is read, as its route takes it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgespark.export.recipes.onellm_routes import RECORDS
from edgespark.runtime import PictureFile, Sound
from edgespark.runtime.arguments import parse_argument
from edgespark.runtime.inputs import READERS
from edgespark.runtime.starts import check_prepared

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "onellm.md").read_text(encoding="utf-8")
INPUTS = sorted({a or b for a, b in re.findall(r'--input (?:"([^"]+)"|(\S+))', PAGE)})
HERTZ, SECONDS = 16000, 25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file of each name that the page has."""
    image, soundfile = pytest.importorskip("PIL.Image"), pytest.importorskip("soundfile")
    made, draw = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    colours = draw.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    for name in ("photo.jpg", "room.png", "normals.png"):
        image.fromarray(colours).save(made / name)
    depth = draw.integers(400, 8000, (240, 320)).astype(np.uint16)
    image.fromarray(depth).save(made / "depth.png")
    sound = draw.uniform(-0.5, 0.5, HERTZ * SECONDS)
    soundfile.write(made / "talk.flac", sound, HERTZ)
    soundfile.write(made / "bird.wav", sound, HERTZ)
    shutil.copy(ROOT / "examples" / "scene-video.mp4", made / "clip.mp4")
    np.save(made / "scans.npy", draw.normal(size=(3, 15724)))
    (made / "walk.csv").write_text(walk(draw))
    (made / "chair.ply").write_text(chair(draw))
    return made


def walk(draw: np.random.Generator) -> str:
    names = [f"{sensor}_{axis}" for sensor in ("accl", "gyro") for axis in "xyz"]
    rows = np.column_stack([np.arange(2000) / 200, draw.normal(size=(2000, 6))])
    lines = [",".join(["time_s", *names]), *(",".join(map(str, row)) for row in rows)]
    return "\n".join(lines)


def chair(draw: np.random.Generator) -> str:
    fields = "".join(f"property float {name}\n" for name in ("x", "y", "z", "red", "green", "blue"))
    head = f"ply\nformat ascii 1.0\nelement vertex 9000\n{fields}end_header\n"
    rows = np.column_stack([draw.normal(size=(9000, 3)), draw.uniform(0, 255, (9000, 3))])
    return head + "\n".join(" ".join(f"{each:.3f}" for each in row) for row in rows)


def test_every_modality_is_shown() -> None:
    assert {each.partition("=")[0] for each in INPUTS} == RECORDS.keys()


@pytest.mark.filterwarnings("ignore::edgespark.runtime.errors.EdgesparkWarning")
@pytest.mark.parametrize("text", INPUTS)
def test_an_input_of_the_page_is_read(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    modality, value = parse_argument(text)
    record = RECORDS[modality]
    check_prepared(record, READERS[type(record)](record, value, lambda _: []))


@pytest.mark.filterwarnings("ignore::edgespark.runtime.errors.EdgesparkWarning")
def test_what_python_may_give_instead_is_read(folder: Path) -> None:
    depth = PictureFile(folder / "depth.png", range=(8000, 400))
    values = {
        "rgbd": (folder / "room.png", depth),
        "audio": Sound(np.zeros(48000, np.float32) + 0.1, rate=48000),
    }
    for modality, value in values.items():
        record = RECORDS[modality]
        check_prepared(record, READERS[type(record)](record, value, lambda _: []))
