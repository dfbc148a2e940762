"""A small valid bundle made by hand: its graphs are dummy bytes, so no test here needs ONNX."""

import hashlib
import json
from pathlib import Path
from typing import Any

from edgespark.runtime.manifest import VERSION

WIDTH, CONTEXT, VOCABULARY, TOKENS, BANDS, SIZE = 8, 32, 50, 4, 3, 16
LABELS = ("water", "forest")
BATCH = ("batch", 1, 4)
ROWS = ("sequence", 1, CONTEXT)
NAMES = (
    "encoder_rgb",
    "bridge_rgb",
    "embedder",
    "decoder",
    "head_rgb",
    "encoder_trajectory",
    "head_trajectory",
)
OBSERVED, AGENTS, FORECAST = 4, 2, [3, 2]
Json = dict[str, Any]


def write(root: Path) -> Path:
    """Write the bundle, and return its folder."""
    for path, content in contents().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    write_manifest(root, manifest())
    return root


def write_manifest(root: Path, value: Json) -> None:
    """Write the manifest with a true digest of itself, so that its other fields are judged."""
    (root / "manifest.json").write_bytes(sealed(value))


def sealed(value: Json) -> bytes:
    plain = {name: each for name, each in value.items() if name != "sha256"}
    canonical = json.dumps(only_paths(plain), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps(plain | {"sha256": digest}, indent=1).encode()


def only_paths(value: Any) -> Any:  # noqa: ANN401 JSON of any shape
    """Replace every file record by its path."""
    if isinstance(value, dict):
        record = set(value) == {"path", "bytes", "sha256"}
        return value["path"] if record else {k: only_paths(v) for k, v in value.items()}
    return [only_paths(each) for each in value] if isinstance(value, list | tuple) else value


def reseal(root: Path) -> None:
    """Make the manifest say what lies there: each file's size and SHA-256."""
    value = json.loads((root / "manifest.json").read_bytes())
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict) and {"path", "bytes", "sha256"} == set(each):
            content = (root / each["path"]).read_bytes()
            each.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        waiting += (
            each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        )
    write_manifest(root, value)


def contents() -> dict[str, bytes]:
    """Return the bytes of every file but the manifest."""
    files = {f"graphs/{name}.fp32.onnx": f"graph of {name}\n".encode() for name in NAMES}
    files |= {f"reference/{name}.npz": f"arrays of {name}\n".encode() for name in NAMES}
    return files | {
        "graphs/decoder.fp32.onnx.data": bytes(range(256)) * 16,
        "tokenizer.json": b"{}",
        "samples/rgb.npz": b"samples",
        "calibration/encoder_rgb.json": b'{"tensors": {}}',
        "card.md": b"# A model of nothing\n",
    }


def file(path: str) -> Json:
    content = contents()[path]
    digest = hashlib.sha256(content).hexdigest()
    return {"path": path, "bytes": len(content), "sha256": digest}


def axis(name: str, low: int, high: int | None = None) -> Json:
    return {"name": name, "low": low, "high": low if high is None else high}


def port(name: str, dtype: str, *axes: tuple[Any, ...]) -> Json:
    return {"name": name, "dtype": dtype, "axes": [axis(*each) for each in axes]}


def part(name: str, role: str, inputs: list[Json], outputs: list[Json]) -> Json:
    graph = {"precision": "fp32", "file": file(f"graphs/{name}.fp32.onnx"), "limit": 1e-4}
    return {
        "name": name,
        "role": role,
        "inputs": inputs,
        "outputs": outputs,
        "graphs": [graph],
        "reference": file(f"reference/{name}.npz"),
    }


def parts() -> list[Json]:
    rows = [BATCH, ROWS, ("width", WIDTH)]
    chosen = [BATCH, ("selected", 1, CONTEXT)]
    pixels = [BATCH, ("bands", BANDS), ("rows", SIZE), ("columns", SIZE)]
    media = [BATCH, ("tokens", 9), ("channels", 16)]
    decoder = part(
        "decoder",
        "decoder",
        [
            port("inputs_embeds", "float32", *rows),
            port("position_ids", "int64", BATCH, ROWS),
            port("select", "int64", ("selected", 1, CONTEXT)),
        ],
        [
            port("hidden", "float32", *chosen, ("width", WIDTH)),
            port("logits", "float32", *chosen, ("vocabulary", VOCABULARY)),
        ],
    )
    decoder["graphs"][0]["data"] = [file("graphs/decoder.fp32.onnx.data")]
    decoder["graphs"][0]["states"] = [state(f"{kind}.0") for kind in ("key", "value")]
    encoder = part(
        "encoder_rgb",
        "encoder",
        [port("pixels", "float32", *pixels)],
        [port("tokens", "float32", *media)],
    )
    encoder["calibration"] = file("calibration/encoder_rgb.json")
    return [
        encoder,
        part(
            "bridge_rgb",
            "bridge",
            [port("media", "float32", *media)],
            [port("tokens", "float32", BATCH, ("latents", TOKENS), ("width", WIDTH))],
        ),
        part(
            "embedder",
            "embedder",
            [port("input_ids", "int64", BATCH, ROWS)],
            [port("embeds", "float32", *rows)],
        ),
        decoder,
        part(
            "head_rgb",
            "head",
            [port("hidden", "float32", *chosen, ("width", WIDTH))],
            [port("scores", "float32", *chosen, ("classes", len(LABELS)))],
        ),
        part(
            "encoder_trajectory",
            "encoder",
            [
                port("track", "float32", BATCH, ("steps", OBSERVED), ("coordinates", 2)),
                port(
                    "neighbours",
                    "float32",
                    BATCH,
                    ("agents", AGENTS),
                    ("steps", OBSERVED),
                    ("coordinates", 2),
                ),
                port("present", "bool", BATCH, ("agents", AGENTS)),
            ],
            [port("tokens", "float32", *media)],
        ),
        part(
            "head_trajectory",
            "head",
            [port("hidden", "float32", *chosen, ("width", WIDTH))],
            [port("scores", "float32", *chosen, ("values", 6))],
        ),
    ]


def state(name: str) -> Json:
    rest = [BATCH, ("heads", 2), ("head_dim", 4)]
    return {
        "past": port(f"past.{name}", "float32", ("past", 0, CONTEXT), *rest),
        "new": port(f"new.{name}", "float32", ROWS, *rest),
    }


def routes() -> list[Json]:
    band = {"low": 0.0, "high": 255.0, "mean": 90.0, "std": 40.0}
    imagery = {
        "kind": "imagery",
        "bands": [{"name": name, **band} for name in ("red", "green", "blue")],
        "rows": SIZE,
        "columns": SIZE,
        "dtypes": ["uint8"],
        "unit": "digital number",
        "min_valid": 0.5,
        "gsd_low": 1.0,
        "gsd_high": 20.0,
    }
    rgb = {
        "modality": "rgb",
        "preprocessing": imagery,
        "wires": [
            {"source": "pixels", "target": "encoder_rgb.pixels"},
            {"source": "encoder_rgb.tokens", "target": "bridge_rgb.media"},
        ],
        "output": "bridge_rgb.tokens",
        "prompt": "An image:",
        "head": {
            "part": "head_rgb",
            "task": "classification",
            "prompt": "Class:",
            "labels": list(LABELS),
        },
    }
    language = {
        "modality": "language",
        "preprocessing": {"kind": "text", "max_tokens": 16},
        "wires": [{"source": "ids", "target": "embedder.input_ids"}],
        "output": "embedder.embeds",
        "prompt": "A text:",
    }
    return [rgb, language, trajectory()]


def trajectory() -> Json:
    """Return the route of a forecast, which shares the bridge of rgb."""
    tracks = {
        "kind": "tracks",
        "observed": OBSERVED,
        "predicted": FORECAST[0],
        "step": 0.4,
        "agents": AGENTS,
        "radius": 10,
    }
    names = ("track", "neighbours", "present")
    return {
        "modality": "trajectory",
        "preprocessing": tracks,
        "wires": [
            *({"source": name, "target": f"encoder_trajectory.{name}"} for name in names),
            {"source": "encoder_trajectory.tokens", "target": "bridge_rgb.media"},
        ],
        "output": "bridge_rgb.tokens",
        "prompt": "A track:",
        "question": "Where does it go?",
        "head": {
            "part": "head_trajectory",
            "task": "regression",
            "prompt": "Ahead:",
            "shape": FORECAST,
            "scale": 0.5,
            "unit": "m",
            "anchored": True,
            "metrics": ["ADE", "FDE"],
        },
    }


def manifest() -> Json:
    """Return the manifest as its JSON."""
    made = parts()
    names = [each["name"] for each in made]
    return {
        "format": "edgespark-bundle",
        "version": VERSION,
        "name": "hand-made",
        "licence": "Apache-2.0",
        "parts": made,
        "routes": routes(),
        "language": {
            "tokenizer": file("tokenizer.json"),
            "embedder": "embedder",
            "decoder": "decoder",
            "context": CONTEXT,
            "begin": [1],
            "end": [2],
            "template": "{prompt} Answer:",
            "question": "What is here?",
        },
        "variants": [{"name": "fp32", "precisions": dict.fromkeys(names, "fp32")}],
        "preferred": {"cpu": "fp32"},
        "samples": [{"modality": "rgb", "file": file("samples/rgb.npz")}],
        "card": file("card.md"),
        "evidence": {
            "versions": {"torch": "2.13.0"},
            "parity": [
                {"part": name, "precision": "fp32", "error": 1e-6, "ms": 1.0, "backend": "cpu"}
                for name in names
            ],
        },
    }
