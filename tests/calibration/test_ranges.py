"""A calibration in its files: read back as it was, and refused when it fits no longer."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.calibration import cached
from edgespark.calibration.arrays import npz
from edgespark.calibration.methods import METHODS, peak_of
from edgespark.calibration.ranges import PartCalibration, Provenance, document, load, save
from edgespark.calibration.statistics import Observer, Statistics
from edgespark.runtime import _seal
from edgespark.runtime.errors import InputError, MissingInput, OutputError

ORIGIN = Provenance(
    set="a1" * 32,
    graph="b2" * 32,
    preprocessing={"rgb": "c3" * 32, "sar": "d4" * 32},
    samples={"rgb": 8, "sar": 8},
)
NAMES = ("/blocks.0/norm_1", "pixels", "always zero")


def held(seed: int, *shape: int, axis: int = -1) -> Statistics:
    observer, rng = Observer(axis), np.random.default_rng(seed)
    for _ in range(3):
        observer.observe(rng.laplace(size=shape).astype(np.float32))
    return observer.finish()


def zeros() -> Statistics:
    observer = Observer(-1)
    observer.observe(np.zeros((2, 5), np.float32))
    return observer.finish()


def made(seed: int = 0) -> PartCalibration:
    tensors = {
        "pixels": held(seed, 1, 3, 8, 8, axis=1),
        "/blocks.0/norm_1": held(seed + 1, 1, 40, 16),
        "always zero": zeros(),
    }
    peaks = {name: each.peak for name, each in tensors.items()} | {"another": 4.5}
    return PartCalibration(part="rgb_encoder", provenance=ORIGIN, tensors=tensors, peaks=peaks)


def same(one: PartCalibration, other: PartCalibration) -> None:
    assert (one.part, one.provenance, one.peaks) == (other.part, other.provenance, other.peaks)
    assert one.tensors.keys() == other.tensors.keys()
    for name in one.tensors:
        for field in fields(Statistics):
            before, after = (getattr(each.tensors[name], field.name) for each in (one, other))
            assert type(before) is type(after)
            assert np.array_equal(before, after), (name, field.name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("saved")
    save(place, made())
    return place


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "calibration")


def test_what_is_saved_is_read_back_as_it_was(folder: Path) -> None:
    same(load(folder, "rgb_encoder", ORIGIN, NAMES), made())
    same(load(folder, "rgb_encoder", ORIGIN, ()), made())


def test_the_same_calibration_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    turned = made()
    turned = replace(turned, tensors=dict(reversed(list(turned.tensors.items()))))
    save(tmp_path / "again", turned)
    one, other = (
        {p.name: p.read_bytes() for p in f.iterdir()} for f in (folder, tmp_path / "again")
    )
    assert one == other
    assert len(one) == 2


def test_the_document_can_be_read_by_people(folder: Path) -> None:
    told = json.loads((folder / "rgb_encoder.json").read_text())
    assert told == document(made())
    assert (told["format"], told["version"]) == ("edgespark-calibration", 1)
    assert told["provenance"]["samples"] == {"rgb": 8, "sar": 8}
    assert list(told["tensors"]) == sorted(NAMES)
    tensor = told["tensors"]["pixels"]
    assert tensor["shape"] == [1, 3, 8, 8]
    assert tensor["ranges"] == {m: peak_of(made().tensors["pixels"], m) for m in METHODS}
    assert told["peaks"]["another"] == 4.5


def test_saving_again_takes_the_place_of_the_old_and_leaves_others_alone(folder: Path) -> None:
    other = replace(made(), part="rgb_encoder_b")
    save(folder, other)
    (folder / "rgb_encoder.notes.npz").write_bytes(b"mine")
    (folder / ".rgb_encoder.json.123").write_bytes(b"what a killed writer left")
    save(folder, made(seed=7))
    same(load(folder, "rgb_encoder", ORIGIN, NAMES), made(seed=7))
    same(load(folder, "rgb_encoder_b", ORIGIN, NAMES), other)
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("step", range(6))
def test_a_crash_leaves_the_old_one_whole_or_the_new_one(
    folder: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes at one of the six times that a file reaches the disk or moves to its place."""
    left = [step]

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*args)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying(os.fsync))
        patch.setattr(Path, "replace", dying(Path.replace))
        with pytest.raises(KeyboardInterrupt):
            save(folder, made(seed=7))
    found = load(folder, "rgb_encoder", ORIGIN, NAMES)
    same(found, made(seed=7 if step == 5 else 0))
    save(folder, made(seed=8))
    assert len(list(folder.iterdir())) == 2


CHANGED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "another set": ({"set": "ff" * 32}, ["the calibration set changed .it was a1a1"]),
    "another graph": ({"graph": "ff" * 32}, ["the graph changed .it was b2b2"]),
    "other preprocessing": (
        {"preprocessing": {"rgb": "c3" * 32, "sar": "ff" * 32}},
        ["the preprocessing of sar changed"],
    ),
    "a new modality": (
        {
            "preprocessing": {**ORIGIN.preprocessing, "msi": "ff" * 32},
            "samples": {**ORIGIN.samples, "msi": 4},
        },
        ["preprocessing of msi changed .it was none", "the samples of msi were 0, are 4"],
    ),
    "a modality less": (
        {"preprocessing": {"rgb": "c3" * 32}, "samples": {"rgb": 8}},
        ["preprocessing of sar changed .*is none", "the samples of sar were 8, are 0"],
    ),
    "more samples": ({"samples": {"rgb": 9, "sar": 8}}, ["the samples of rgb were 8, are 9"]),
    "all of it": ({"set": "ff" * 32, "graph": "ff" * 32}, ["set changed", "graph changed"]),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_calibration_of_other_origin_is_refused_and_what_changed_is_told(
    case: str, folder: Path
) -> None:
    changes, texts = CHANGED[case]
    with pytest.raises(InputError, match="run `edgespark calibrate` again") as caught:
        load(folder, "rgb_encoder", replace(ORIGIN, **changes), NAMES)
    for text in texts:
        assert caught.match(text)
    assert (str(caught.value).count("\n") or 1) == len(texts)


def test_a_graph_with_tensors_that_are_not_in_it_is_refused_by_their_names(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no range of 'x', 'y', which.* calibrate` again"):
        load(folder, "rgb_encoder", ORIGIN, [*NAMES, "y", "x"])
    with pytest.raises(InputError, match="'x3' and 5 more"):
        load(folder, "rgb_encoder", ORIGIN, [f"x{k}" for k in range(9)])


def test_no_calibration_at_all_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"rgb_encoder.json: there is no.* calibrate` again"):
        load(tmp_path, "rgb_encoder", ORIGIN, NAMES)
    (tmp_path / "rgb_encoder.json").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path, "rgb_encoder", ORIGIN, NAMES)


def test_the_calibration_of_another_part_is_refused(folder: Path) -> None:
    (folder / "rgb_encoder.json").rename(folder / "sar_encoder.json")
    with pytest.raises(InputError, match="it is of part 'rgb_encoder'"):
        load(folder, "sar_encoder", ORIGIN, NAMES)


def _put(*keys: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(told: dict[str, Any]) -> None:
        for key in keys[:-1]:
            told = told[key]
        told[keys[-1]] = value

    return change


def _ranges(method: str, value: object) -> Callable[[dict[str, Any]], None]:
    return _put("tensors", "pixels", "ranges", method, value=value)


DOCUMENTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a range of zero": (_ranges("mse", 0.0), "pixels: its range by mse is 0.0"),
    "a range below zero": (_ranges("mse", -1.0), "its range by mse is -1.0"),
    "an infinite range": (_ranges("mse", float("inf")), "Infinity is no JSON number"),
    "a range of 1e999": (_ranges("mse", "BIG"), "inf is not a finite number"),
    "a range of NaN": (_ranges("mse", float("nan")), "NaN is no JSON number"),
    "a range beyond the peak": (_ranges("mse", 1e9), "its range by mse is 1000000000.0"),
    "a range of text": (_ranges("mse", "1"), "expected float, got str"),
    "a range of what is zero": (
        _put("tensors", "always zero", "ranges", "mse", value=1.0),
        "though it was always zero",
    ),
    "a range within bounds": (_ranges("mse", 1.0), "was changed or damaged"),
    "a method less": (lambda told: told["tensors"]["pixels"]["ranges"].pop("mse"), "has ranges by"),
    "an unknown method": (_ranges("mean", 1.0), "has ranges by"),
    "a peak of zero": (_put("peaks", "pixels", value=0.0), "its peak is 0.0 in one place"),
    "a peak below zero": (_put("peaks", "another", value=-1.0), "another: its peak is -1.0"),
    "an unknown field": (_put("more", value=1), "more: unknown field"),
    "a field less": (lambda told: told.pop("peaks"), "peaks: missing"),
    "a later version": (_put("version", value=2), "is edgespark-calibration 2; expected"),
    "another format": (_put("format", value="x"), "is x 1; expected"),
    "arrays elsewhere": (_put("arrays", "path", value="../x.npz"), "leaves the bundle"),
    "arrays of another name": (_put("arrays", "path", value="x.npz"), "names its arrays 'x.npz'"),
    "a set of another": (_put("provenance", "set", value="00"), "was changed or damaged"),
    "a broken seal": (_put("sha256", value="00"), "was changed or damaged"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_document_that_was_changed_is_refused(case: str, folder: Path) -> None:
    change, text = DOCUMENTS[case]
    path = folder / "rgb_encoder.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told).replace('"BIG"', "1e999"))
    with pytest.raises(InputError, match="run `edgespark calibrate` again") as caught:
        load(folder, "rgb_encoder", ORIGIN, NAMES)
    assert caught.match(text)


def test_of_very_many_problems_of_a_document_the_first_are_told(folder: Path) -> None:
    path = folder / "rgb_encoder.json"
    told = json.loads(path.read_text())
    told["peaks"] |= {f"tensor {i}": -1.0 for i in range(1000)}
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match="and 951 more") as caught:
        load(folder, "rgb_encoder", ORIGIN, NAMES)
    assert len(str(caught.value).splitlines()) == 52


def test_arrays_of_another_size_than_the_document_says_are_not_read(folder: Path) -> None:
    path = folder / "rgb_encoder.json"
    told = json.loads(path.read_text())
    told["arrays"]["bytes"] = 1 << 62
    told["sha256"] = _seal.digest(told)
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"was changed or damaged: it has .* bytes, its JSON says"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


def test_a_tensor_without_a_peak_is_told(folder: Path) -> None:
    path = folder / "rgb_encoder.json"
    told = json.loads(path.read_text())
    del told["peaks"]["pixels"]
    told["sha256"] = _seal.digest(told)
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match="it has no peak of 'pixels', which the graph has"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\ud800", "[" * 100_000, '{"a":1,"a":2}'])
def test_what_is_no_document_is_refused(text: str, folder: Path) -> None:
    (folder / "rgb_encoder.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(InputError, match="edgespark calibrate"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


def test_a_document_of_too_many_bytes_is_not_read(folder: Path) -> None:
    with (folder / "rgb_encoder.json").open("r+b") as stream:
        stream.truncate(cached.LARGEST + 1)
    with pytest.raises(InputError, match="bytes; expected"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


def _arrays(folder: Path) -> Path:
    (path,) = folder.glob("*.npz")
    return path


@pytest.mark.parametrize("size", [0, 100, -1])
def test_arrays_that_were_cut_off_are_refused(size: int, folder: Path) -> None:
    path = _arrays(folder)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"was changed or damaged.* calibrate` again"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


def test_arrays_that_are_longer_are_not_read(folder: Path) -> None:
    path = _arrays(folder)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match="bytes; expected"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


def test_arrays_that_are_gone_are_told(folder: Path) -> None:
    _arrays(folder).unlink()
    with pytest.raises(MissingInput, match=r"npz: there is no such file.* calibrate` again"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


def _forge(folder: Path, content: bytes) -> None:
    """Put other arrays in, and seal the document again as if it had been made so."""
    _arrays(folder).unlink()
    file = cached.named("rgb_encoder", content)
    (folder / file.path).write_bytes(content)
    path = folder / "rgb_encoder.json"
    told = json.loads(path.read_text())
    told["arrays"] = {"path": file.path, "bytes": file.bytes, "sha256": file.sha256}
    told["sha256"] = _seal.digest(told)
    path.write_text(json.dumps(told))


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "a short histogram": ({"2.histogram": np.zeros(9, np.int64)}, "pixels: .*9 bins"),
    "an empty histogram": ({"2.histogram": np.zeros(2048, np.int64)}, "pixels: .*or none"),
    "counts below zero": ({"2.histogram": np.full(2048, -1)}, "pixels: .*below zero"),
    "other channels": ({"2.channels": np.zeros(4, np.float32)}, "pixels: .*3, 4. channels"),
    "a histogram that is flat": ({"2.histogram": np.ones(2048, np.int64)}, "pixels: .*ends in"),
    "NaN means": ({"2.means": np.full(3, np.nan)}, "pixels: .*NaN"),
    "other dtypes": ({"2.rows": np.zeros((1, 3))}, "pixels: rows is float64"),
    "an array more": ({"9.rows": np.zeros((1, 3))}, "13 arrays that are not those"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_no_tensor_can_have_are_refused(case: str, folder: Path) -> None:
    changes, text = ARRAYS[case]
    arrays = dict(np.load(_arrays(folder)))
    _forge(folder, npz(arrays | changes))
    with pytest.raises(InputError, match="run `edgespark calibrate` again") as caught:
        load(folder, "rgb_encoder", ORIGIN, NAMES)
    assert caught.match(text)


@pytest.mark.parametrize("content", [b"", b"PK", npz({"x": np.zeros(1)})])
def test_what_holds_no_arrays_of_tensors_is_refused(content: bytes, folder: Path) -> None:
    _forge(folder, content)
    with pytest.raises(InputError, match="edgespark calibrate"):
        load(folder, "rgb_encoder", ORIGIN, NAMES)


def test_what_no_tensor_can_have_held_is_not_saved(folder: Path) -> None:
    wrong = {**made().tensors, "pixels": replace(made().tensors["pixels"], peak=float("inf"))}
    with pytest.raises(InputError, match="tensor 'pixels': peak is inf"):
        save(folder, replace(made(), tensors=wrong))
    for peaks, text in (({"pixels": 1.0}, "in one place"), ({"x": float("nan")}, "x: its peak")):
        with pytest.raises(InputError, match=text):
            save(folder, replace(made(), peaks=peaks))
    same(load(folder, "rgb_encoder", ORIGIN, NAMES), made())


def test_a_place_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        save(tmp_path / "file" / "calibration", made())


def test_a_part_without_products_has_a_calibration_too(tmp_path: Path) -> None:
    empty = replace(made(), tensors={}, peaks={})
    save(tmp_path, empty)
    same(load(tmp_path, "rgb_encoder", ORIGIN, ()), empty)
