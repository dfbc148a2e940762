"""Compare a case's model, run both ways, with what the reference gave."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgespark.export.models.onellm.config import TOKENIZERS
from edgespark.runtime.errors import InputError
from edgespark.runtime.verify import distance
from tests.golden import decoder, encoders, lynx, onellm, onellm_llm
from tests.golden.case import Arrays, Case, read
from tests.golden.launch import Launch, in_onnx, in_torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A model: the reference's entry point, the output that counts, and how all are made."""

    entry: str
    main: str
    make: Callable[[Case, Launch], Arrays]


ONELLM = Kind(entry="Transformer.encode_image", main="tokens", make=onellm.encoder)
KINDS = {
    "lynx/vision": Kind(entry="VisionTransformer", main="tokens_rows", make=lynx.vision),
    "lynx/bridge": Kind(entry="PerceiverResampler", main="v2t_feats", make=lynx.bridge),
    "lynx/video": Kind(entry="LynxBase", main="video_v2t_feats", make=lynx.video),
    "lynx/llm_adapter": Kind(entry="LlamaForCausalLM", main="logits_row0", make=decoder.llm),
    "pointbert": Kind(entry="PointTransformer", main="logits", make=encoders.point_bert),
    "staeformer": Kind(entry="STAEformer", main="forecast", make=encoders.staeformer),
    "tutr": Kind(entry="TrajectoryModel", main="pred_trajs", make=encoders.tutr),
    "tabformer": Kind(entry="TabFormerEmbeddings", main="row_embeddings", make=encoders.tabformer),
    "onellm/llm": Kind(
        entry="Transformer.forward_inference", main="corrected_logits", make=onellm_llm.llm
    ),
    **{f"onellm/{modality}": ONELLM for modality in TOKENIZERS},
    **{f"onellm_small/{modality}": ONELLM for modality in TOKENIZERS if modality != "fmri"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How far each output is from the reference's, in its standard deviations, each way.

    `exact` says of each output of integers whether both ways give just the reference's; `left` are
    outputs of the reference that nothing was compared with.
    """

    case: str
    main: str
    torch: dict[str, float]
    onnx: dict[str, float]
    exact: dict[str, bool]
    left: tuple[str, ...]

    @property
    def told(self) -> dict[str, Any]:
        """Return the line that the command prints."""
        return {
            "case": self.case,
            "torch_error": self.torch[self.main],
            "onnx_error": self.onnx[self.main],
            "integers_exact": all(self.exact.values()),
        }


def kind(case: Case) -> Kind:
    """Find the model that the spec names, by its case or its entry point; InputError if none."""
    entry = str(case.spec.get("entry", ""))
    entered = (each for each in KINDS.values() if re.match(rf"{re.escape(each.entry)}\b", entry))
    found = KINDS.get(case.name) or next(entered, None)
    if found is None:
        raise InputError(
            f"case {case.name!r} (entry {entry!r}): no such kind; there are {', '.join(KINDS)}"
        )
    return found


def compare(folder: Path) -> Comparison:
    """Run the case in this folder both ways; InputError where it is none, or of no known kind."""
    case = read(folder)
    chosen, wanted = kind(case), case.outputs()
    if chosen.main not in wanted:
        raise InputError(f"{folder / 'outputs.npz'}: no output {chosen.main!r}")
    try:
        made = {
            launch: _fitted(chosen.make(case, launch), wanted) for launch in (in_torch, in_onnx)
        }
    except KeyError as error:
        raise InputError(f"{folder / 'spec.json'}: no {error} where it is needed") from error
    names = [name for name in wanted if name in made[in_torch]]
    whole = [name for name in names if wanted[name].dtype.kind in "iu"]
    return Comparison(
        case=case.name,
        main=chosen.main,
        torch=_distances(made[in_torch], wanted),
        onnx=_distances(made[in_onnx], wanted),
        exact={
            name: all(np.array_equal(each[name], wanted[name]) for each in made.values())
            for name in whole
        },
        left=tuple(name for name in wanted if name not in names),
    )


def _fitted(made: Arrays, wanted: Arrays) -> Arrays:
    """Give what has the axes of its reference, but for some of size 1, just those axes.

    TUTR's public code drops a batch of one from its scores.
    """
    return {
        name: each.reshape(wanted[name].shape)
        if name in wanted and each.squeeze().shape == wanted[name].squeeze().shape
        else each
        for name, each in made.items()
    }


def _distances(made: Arrays, wanted: Mapping[str, Any]) -> dict[str, float]:
    real = [name for name in wanted if name in made and wanted[name].dtype.kind == "f"]
    return {name: distance(made[name], wanted[name]) for name in real}
