"""Cross-field checks of a manifest: what no single record can see, told with its JSON path."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from edgespark.runtime import _check_chain, _check_heads
from edgespark.runtime._check_parts import has_role, known, twice
from edgespark.runtime.choices import Choice
from edgespark.runtime.manifest import File, Graph, Manifest, Measurement, Part, Route
from edgespark.runtime.preprocessing import Text

DEVICES = ("cpu", "cuda", "tensorrt")
PROMPT = "{prompt}"
# `generate` takes modalities as keywords beside these, and `precision="auto"` is no variant.
RESERVED_MODALITIES = (
    "prompt",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "stop",
    "decoding",
    "prompt_lookup",
    "stream",
)
RESERVED_VARIANTS = ("auto",)


def problems(manifest: Manifest) -> list[str]:
    """Return every contradiction between the manifest's records; none: it can be carried out."""
    return [
        *_names(manifest),
        *_paths(manifest),
        *_check_chain.problems(manifest),
        *_check_heads.problems(manifest),
        *_language(manifest),
        *_variants(manifest),
        *_samples(manifest),
        *_evidence(manifest),
    ]


def files(manifest: Manifest) -> Iterator[tuple[str, File]]:
    """Give each file record with its JSON path, in the manifest's order."""
    for i, part in enumerate(manifest.parts):
        for j, graph in enumerate(part.graphs):
            at = f"$.parts[{i}].graphs[{j}]"
            yield f"{at}.file", graph.file
            yield from ((f"{at}.data[{k}]", file) for k, file in enumerate(graph.data))
        yield f"$.parts[{i}].reference", part.reference
        if part.calibration is not None:
            yield f"$.parts[{i}].calibration", part.calibration
    yield "$.language.tokenizer", manifest.language.tokenizer
    yield from ((f"$.samples[{i}].file", each.file) for i, each in enumerate(manifest.samples))
    if manifest.card is not None:
        yield "$.card", manifest.card


def _names(manifest: Manifest) -> Iterator[str]:
    if not manifest.name.strip():
        yield "$.name: must not be blank"
    yield from twice("$.parts", (part.name for part in manifest.parts))
    yield from twice("$.routes", (route.modality for route in manifest.routes))
    yield from twice("$.variants", (variant.name for variant in manifest.variants))
    for i, part in enumerate(manifest.parts):
        yield from _part_names(f"$.parts[{i}]", part)
    for i, route in enumerate(manifest.routes):
        if not route.modality.isidentifier() or route.modality in RESERVED_MODALITIES:
            yield f"$.routes[{i}].modality: {route.modality!r} cannot be the name of a modality"
    for i, variant in enumerate(manifest.variants):
        if not variant.name.strip() or variant.name in RESERVED_VARIANTS:
            yield f"$.variants[{i}].name: {variant.name!r} cannot be the name of a variant"


def _part_names(at: str, part: Part) -> Iterator[str]:
    if not part.name.replace("-", "_").isidentifier():
        yield f"{at}.name: {part.name!r} has other than letters, digits, '_' and '-'"
    yield from twice(f"{at}.graphs", (graph.precision for graph in part.graphs))
    if not part.graphs:
        yield f"{at}.graphs: must not be empty"
    for i, graph in enumerate(part.graphs):
        if graph.limit <= 0:
            yield f"{at}.graphs[{i}].limit: {graph.limit} must be positive"
        yield from _beside(f"{at}.graphs[{i}].data", graph)


def _beside(at: str, graph: Graph) -> Iterator[str]:
    # a graph names its external weights relative to its own folder, and may not leave it
    folder = PurePosixPath(graph.file.path).parent
    for i, file in enumerate(graph.data):
        if PurePosixPath(file.path).parent != folder:
            yield f"{at}[{i}].path: {file.path!r} is not in the graph's own folder, {str(folder)!r}"


def _paths(manifest: Manifest) -> Iterator[str]:
    first: dict[str, tuple[str, File]] = {}
    for at, file in files(manifest):
        other, same = first.setdefault(file.path, (at, file))
        if same != file:
            yield f"{at}: {file.path!r} has another size or SHA-256 than at {other}"


def _language(manifest: Manifest) -> Iterator[str]:
    language, at = manifest.language, "$.language"
    yield from has_role(f"{at}.embedder", language.embedder, "embedder", manifest)
    yield from has_role(f"{at}.decoder", language.decoder, "decoder", manifest)
    if language.template.count(PROMPT) != 1:
        yield f"{at}.template: {language.template!r} must hold {PROMPT!r} exactly once"
    if not language.question.strip():
        yield f"{at}.question: must not be blank"
    if not all(language.stop):
        yield f"{at}.stop: an empty stop string would end every answer"
    if not language.end:
        yield f"{at}.end: must name at least one token, or no answer ends"
    for name, count in language.decodings.items():
        if not name.strip() or not 1 <= count < language.context:
            yield f"{at}.decodings: {name!r} cannot forget {count} of {language.context} positions"
    for i, route in enumerate(manifest.routes):
        yield from _too_long(f"$.routes[{i}].preprocessing", route, language.context)


def _too_long(at: str, route: Route, context: int) -> Iterator[str]:
    if isinstance(route.preprocessing, Text) and route.preprocessing.max_tokens > context:
        most = route.preprocessing.max_tokens
        yield f"{at}.max_tokens: {most} tokens do not fit a context of {context}"


def _variants(manifest: Manifest) -> Iterator[str]:
    has = {part.name: [graph.precision for graph in part.graphs] for part in manifest.parts}
    if not manifest.variants:
        yield "$.variants: must not be empty"
    for i, variant in enumerate(manifest.variants):
        yield from _choice(f"$.variants[{i}].precisions", variant.precisions, has)
    names = [variant.name for variant in manifest.variants]
    for device, name in manifest.preferred.items():
        if device not in DEVICES:
            yield f"$.preferred: {known(device, 'device', DEVICES)}"
        elif name not in names:
            yield f"$.preferred.{device}: {known(name, 'variant', names)}"


def _choice(
    at: str, chosen: Mapping[str, str], has: Mapping[str, Collection[str]]
) -> Iterator[str]:
    yield from (f"{at}: names no precision for part {name!r}" for name in has if name not in chosen)
    for name, precision in chosen.items():
        yield from _graph(at, name, precision, has)


def _graph(at: str, name: str, precision: str, has: Mapping[str, Collection[str]]) -> Iterator[str]:
    if name not in has:
        yield f"{at}: {known(name, 'part', has)}"
    elif precision not in has[name]:
        yield f"{at}: part {name!r} has no {precision} graph, only {_listed(has[name])}"


def _samples(manifest: Manifest) -> Iterator[str]:
    modalities = [route.modality for route in manifest.routes]
    yield from twice("$.samples", (each.modality for each in manifest.samples))
    for i, each in enumerate(manifest.samples):
        if each.modality not in modalities:
            yield f"$.samples[{i}].modality: {known(each.modality, 'modality', modalities)}"


def _evidence(manifest: Manifest) -> Iterator[str]:
    has = {part.name: [graph.precision for graph in part.graphs] for part in manifest.parts}
    for i, each in enumerate(manifest.evidence.parity):
        yield from _graph(f"$.evidence.parity[{i}]", each.part, each.precision, has)
        yield from _layers(f"$.evidence.parity[{i}]", each)
    modalities = [route.modality for route in manifest.routes]
    variants = [variant.name for variant in manifest.variants]
    for i, score in enumerate(manifest.evidence.scores):
        at = f"$.evidence.scores[{i}]"
        if score.modality not in modalities:
            yield f"{at}.modality: {known(score.modality, 'modality', modalities)}"
        for name in score.values:
            if name not in variants:
                yield f"{at}.values: {known(name, 'variant', variants)}"
    for i, choice in enumerate(manifest.evidence.choices):
        yield from _chosen(f"$.evidence.choices[{i}]", choice, manifest)


def _chosen(at: str, choice: Choice, manifest: Manifest) -> Iterator[str]:
    variants = [variant.name for variant in manifest.variants]
    if manifest.preferred.get(choice.device) != choice.variant:
        yield f"{at}: {choice.variant!r} is not what $.preferred names for {choice.device!r}"
    for where, figures in (("ms", choice.ms), ("lost", choice.lost)):
        for name in figures:
            if name not in variants:
                yield f"{at}.{where}: {known(name, 'variant', variants)}"
    yield from (
        f"{at}.ms: {name!r} took {ms} ms, and no step takes less than 0"
        for name, ms in choice.ms.items()
        if ms < 0
    )
    if not choice.why.strip():
        yield f"{at}.why: must not be blank"


def _layers(at: str, measured: Measurement) -> Iterator[str]:
    if measured.share is not None and not 0 <= measured.share <= 1:
        yield f"{at}.share: {measured.share} must be from 0 to 1"
    for name, layers in (("added", list(measured.added)), ("kept", list(measured.kept))):
        if not all(layers):
            yield f"{at}.{name}: a layer needs the name of the tensor that it gives"
    yield from (
        f"{at}.added: {layer!r} adds {error}, and no error is below 0"
        for layer, error in measured.added.items()
        if error < 0
    )
    yield from (
        f"{at}.kept: {layer!r} needs a reason"
        for layer, reason in measured.kept.items()
        if not reason.strip()
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
