"""Evidence as Markdown and as a picture: what is in the files, and where they may be written."""

import json
import resource
from math import inf
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from edgespark.runtime.cli import main
from edgespark.runtime.device import How
from edgespark.runtime.errors import OutputError
from edgespark.runtime.evidence.destination import Destination
from edgespark.runtime.evidence.markdown import markdown
from edgespark.runtime.evidence.picture import STYLES, picture
from edgespark.runtime.evidence.verified import Verified, slower
from edgespark.runtime.layers import Layers
from edgespark.runtime.manifest import Precision, Score
from edgespark.runtime.scores import Agreement, Judged
from edgespark.runtime.verify import Row
from tests.runtime.narrow import graphs_of, narrowed
from tests.runtime.on_disk import write
from tests.runtime.stand_in import StandIn

SVG = "{http://www.w3.org/2000/svg}"


def row(name: str, precision: Precision, ms: float = 1.0, error: float = 0.01) -> Row:
    how: How = "emulated" if precision == "fp16" else "native"
    return Row(name=name, precision=precision, error=error, limit=0.1, bytes=2048, ms=ms, how=how)


def found(layer: str = "mix") -> Verified:
    values = {"fp32": 0.5, "int8": 0.495}
    score = Score(
        modality="rgb", task="head", metric="accuracy", higher_is_better=True, n=200, values=values
    )
    agreement = Agreement(modality="rgb", task="head", values={"fp32": 1.0, "int8": 0.985})
    return Verified(
        name="a | b",
        device="cpu",
        rows=(row("bridge", "fp32"), row("bridge", "int8", 3.0), row("bridge", "fp16", error=inf)),
        layers=(Layers(name="bridge", precision="int8", errors={"first": 0.1, layer: 0.2}),),
        judged=Judged(
            reference="fp32",
            scores=(score,),
            agreement=(agreement,),
        ),
        before={},
    )


@pytest.fixture
def bundle(stand_in: StandIn, folder: Path) -> Path:
    """Return a bundle whose evidence names layers of its bridge, which its graph lacks."""
    narrowed(stand_in, "bridge", "int8", ["tokens"])
    return write(stand_in, folder, graphs_of("bridge", {"fp32": ["tokens"], "int8": ["tokens"]}))


def test_markdown_has_the_scores_beside_the_references() -> None:
    lines = markdown(found()).splitlines()
    at = lines.index("| modality | task | metric | n | fp32 | int8 | change | agrees |")
    assert lines[at + 2] == "| rgb | head | accuracy | 200 | 0.5 | 0.495 | -0.50 points | 98.5% |"


def test_markdown_has_the_error_and_the_worst_layer_of_each_graph() -> None:
    text = markdown(found())
    assert (
        "| bridge | int8 | portable | 1.0e-02 | 1.0e-01 | yes | 2 | 3.00 | 2 | mix | 2.0e-01 |"
        in text
    )
    assert (
        "| bridge | fp16 (emulated) | portable | inf | 1.0e-01 | **no** | 2 | 1.00 |  |  |  |"
        in text
    )
    assert "- slower than fp32 on this device: int8 in bridge (3.00 times)" in text


def test_no_name_can_break_out_of_its_cell() -> None:
    lines = markdown(found("x | y\n| <b>`z`")).splitlines()
    assert lines[0] == "# a \\| b, measured on cpu"
    (line,) = (each for each in lines if each.startswith("| bridge | int8"))
    assert "| x \\| y\\\\n\\| &lt;b>\\`z\\` |" in line


def test_what_is_slower_is_told_by_part_and_over_all() -> None:
    rows = [row("a", "fp32"), row("b", "fp32", 9.0), row("a", "int8", 2.0), row("b", "int8", 3.0)]
    (each,) = slower(rows).values()
    assert (each.parts, each.together) == ({"a": 2.0}, 0.5)


@pytest.mark.parametrize("ms", [0.5, 1.0, 1.05])
def test_what_scatters_no_further_than_times_do_is_not_slower(ms: float) -> None:
    assert slower([row("a", "fp32"), row("a", "int8", ms)]) == {}
    assert slower([row("a", "fp32", 0.01), row("a", "int8", 0.03)]) == {}


def test_a_part_without_an_fp32_graph_is_slower_than_nothing() -> None:
    assert slower([row("a", "int8", 100.0), row("b", "fp32")]) == {}


def layers_of(*errors: float, precision: Precision = "int8", name: str = "bridge") -> Layers:
    named = {f"layer {i}": error for i, error in enumerate(errors)}
    return Layers(name=name, precision=precision, errors=named)


def drawn(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 what we wrote ourselves


def heights(text: str, colour: str) -> list[float]:
    """Return how low each mark of that colour is, but the legend's."""
    marks = [each for each in drawn(text).iter(f"{SVG}path") if each.get("fill") == colour]
    places = [mark.get("transform", "").partition(",")[2].rstrip(")") for mark in marks]
    return [float(place) for place in places][1:]


def test_a_greater_error_is_drawn_higher_and_a_decade_is_as_high_as_any_other() -> None:
    text = picture("x", [layers_of(0.001, 0.01, 0.1, inf)])
    low, mid, high, top = heights(text, STYLES["int8"].colour)
    assert low - mid == pytest.approx(mid - high, abs=0.2)
    assert top <= high < mid < low


def test_each_precision_has_its_own_colour_and_its_own_mark() -> None:
    assert len({each.colour for each in STYLES.values()}) == len(STYLES)
    assert len({each.mark for each in STYLES.values()}) == len(STYLES)
    text = picture("x", [layers_of(0.1, 0.2), layers_of(0.01, 0.02, precision="fp16")])
    drawn_in = {name: len(heights(text, each.colour)) for name, each in STYLES.items()}
    assert drawn_in == {"fp32": 0, "fp16": 2, "int8": 2, "int4": 0}


def test_every_part_has_a_panel_and_single_layers_share_one() -> None:
    single = [layers_of(0.1, name=f"head_{i}") for i in range(20)]
    root = drawn(picture("x", [layers_of(0.1, 0.2), *single]))
    titles = [panel[0].text for panel in root.iter(f"{SVG}g")]
    assert titles == ["bridge", "parts of one layer"]
    assert "head_7: layer 0: int8 1.0e-01" in [each.text for each in root.iter(f"{SVG}title")]


@pytest.mark.parametrize("errors", [(0.0,), (inf,), (0.0, 0.0), (1e-300, 1e300)])
def test_odd_errors_are_drawn_within_the_panel(errors: tuple[float, ...]) -> None:
    made = heights(picture("x", [layers_of(*errors)]), STYLES["int8"].colour)
    assert len(made) == len(errors)
    assert all(0 <= height <= 190 for height in made)


def test_names_are_text_and_no_markup() -> None:
    text = picture("<b>&\x00", [layers_of(0.1, 0.2, name="a<script>\x1b")])
    root = drawn(text)
    assert f"{SVG}script" not in {each.tag for each in root.iter()}
    assert "a<script>\\x1b" in [each.text for each in root.iter(f"{SVG}text")]


def test_both_files_are_written_beside_the_result(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"--markdown": tmp_path / "e.md", "--picture": tmp_path / "e.SVG"}
    options = [str(each) for pair in files.items() for each in pair]
    assert main(["verify", str(bundle), "--json", *options]) == 0
    assert "scores" not in json.loads(capsys.readouterr().out)
    assert files["--markdown"].read_text(encoding="utf-8").startswith("# stand-in, measured on cpu")
    assert drawn(files["--picture"].read_text(encoding="utf-8")).tag == f"{SVG}svg"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bundle", "e.SVG", "e.md"]


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(
    bundle: Path, tmp_path: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "e.md"
    kept.write_text("mine")
    stand_in.programs.clear()
    assert main(["verify", str(bundle), "--markdown", str(kept)]) == 2
    assert "is there already: add --replace" in capsys.readouterr().err
    assert (kept.read_text(), stand_in.programs) == ("mine", [])
    assert main(["verify", str(bundle), "--markdown", str(kept), "--replace"]) == 0
    assert kept.read_text().startswith("# stand-in")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bundle", "e.md"]


def test_a_graph_that_falls_short_is_written_down_too(
    bundle: Path, tmp_path: Path, stand_in: StandIn
) -> None:
    honest = stand_in.functions["bridge"]
    stand_in.functions["bridge.int8"] = lambda given: {"tokens": honest(given)["tokens"] + 0.01}
    assert main(["verify", str(bundle), "--markdown", str(tmp_path / "e.md")]) == 5
    assert "**no**" in (tmp_path / "e.md").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--markdown", "{tmp}/none/e.md"], "there is no folder"),
        (["--markdown", "{tmp}"], "is a folder"),
        (["--markdown", ""], "is a folder"),
        (["--markdown", "{tmp}/bundle/e.md"], "inside the bundle"),
        (["--markdown", "{tmp}/bundle/derived/../e.md"], "there is no folder|inside the bundle"),
        (["--markdown", "{tmp}/link"], "is no regular file"),
        (["--markdown", "/dev/null", "--replace"], "is no regular file"),
        (["--picture", "{tmp}/e.png"], "drawn as SVG"),
        (["--picture", "{tmp}/e.svg", "--markdown", "{tmp}/e.svg"], "name one file"),
        (["--replace"], "--replace means nothing"),
    ],
)
def test_a_file_that_cannot_be_written_is_wrong_use_before_anything_runs(
    bundle: Path,
    stand_in: StandIn,
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tmp = bundle.parent
    (tmp / "link").symlink_to(tmp / "nowhere")
    stand_in.programs.clear()
    assert main(["verify", str(bundle), *(each.format(tmp=tmp) for each in options)]) == 2
    error = capsys.readouterr().err
    assert any(each in error for each in said.split("|"))
    assert stand_in.programs == []


def test_a_bundle_whose_evidence_names_no_layers_has_nothing_to_draw(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(folder), "--picture", str(tmp_path / "e.svg")]) == 2
    assert "nothing to draw" in capsys.readouterr().err
    assert not (tmp_path / "e.svg").exists()


@pytest.mark.parametrize("replace", [False, True])
def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, *, replace: bool) -> None:
    path = tmp_path / "e.md"
    if replace:
        path.write_text("mine")
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OutputError, match=r"e\.md' cannot be written"):
            Destination(path=path, replace=replace).write("x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert [each.name for each in tmp_path.iterdir()] == ["e.md"] * replace
    assert not replace or path.read_text() == "mine"


def test_a_folder_that_went_away_meanwhile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        Destination(path=tmp_path / "none" / "e.md", replace=False).write("x")


@pytest.mark.parametrize("name", ["e" * 300, "loop"])
def test_a_name_that_no_file_can_have_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match=r"cannot be written|no regular file"):
        Destination(path=tmp_path / name / "e.md", replace=True).check(tmp_path / "bundle")
    with pytest.raises(OutputError, match=r"cannot be written|no regular file"):
        Destination(path=tmp_path / name, replace=True).check(tmp_path / "bundle")
