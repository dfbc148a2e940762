"""The Llama in OpenVINO: optimum-intel's stateful model, its weights compressed by NNCF's defaults.

What is not weights is as OpenVINO chooses on this CPU (bf16 where the CPU has it, 8-bit keys and
values, activations of compressed products in int8). The logits of the last position alone are
computed, as OpenVINO GenAI has it.
"""

import gc
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.llm_timing import Form, Job, Logits, work

openvino: Any = import_module("openvino")  # not installed where types are checked

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
FILES: dict[str, tuple[str, dict[str, Any]]] = {  # the file's name, and options
    "openvino-fp32": ("fp32", EXACT),
    "openvino-bf16": ("fp32", {}),
    "openvino-int8": ("int8", {}),
    "openvino-int4": ("int4", {}),
}


class OpenVino(Form):
    """One request, which holds keys and values; to forget some is to feed the others again."""

    def __init__(self, job: Job, name: str) -> None:
        """Compile the model for the least latency."""
        file, given = FILES[name]
        options = {"INFERENCE_NUM_THREADS": job.threads, "PERFORMANCE_HINT": "LATENCY", **given}
        model = openvino.Core().compile_model(_path(job.folder, file), "CPU", options)
        self._request = model.create_infer_request()
        self._beam = np.zeros(1, np.int32)
        self._fed: list[int] = []

    def cut(self, length: int) -> None:
        """Begin anew."""
        kept, self._fed = self._fed[:length], []
        self._request.reset_state()
        if kept:
            self.feed(kept)

    def feed(self, tokens: list[int]) -> Logits:
        """Run the model on new ids."""
        begin = len(self._fed)
        self._fed += tokens
        given = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, len(self._fed)), np.int64),
            "position_ids": np.arange(begin, len(self._fed), dtype=np.int64)[None],
            "beam_idx": self._beam,
        }
        self._request.infer(given, share_inputs=True, share_outputs=True)
        return np.asarray(self._request.get_tensor("logits").data[0, -1], np.float32)


def make(form: str, folder: Path) -> None:
    """Convert and compress, unless what comes out is there."""
    file, _ = FILES[form]
    plain, path = _path(folder, "fp32"), _path(folder, file)
    if not plain.exists():
        _save(converted(folder / "hf"), plain)
    if path.exists():
        return
    nncf: Any = import_module("nncf")
    modes = {"int8": "INT8_ASYM", "int4": "INT4_SYM"}  # the default, and that of 4 bits
    mode = getattr(nncf.CompressWeightsMode, modes[file])
    _save(nncf.compress_weights(openvino.Core().read_model(plain), mode=mode), path)


def converted(weights: Path) -> Any:  # noqa: ANN401 OpenVINO's model
    """Export the model with its own state, and let it compute one position's logits."""
    intel: Any = import_module("optimum.intel")
    made = intel.OVModelForCausalLM.from_pretrained(
        weights, export=True, compile=False, load_in_8bit=False, stateful=True, use_cache=True
    ).model
    gc.collect()
    product = next(each for each in made.outputs if "logits" in each.get_names()).node
    while product.get_type_name() != "MatMul":
        product = product.input_value(0).get_node()
    opset: Any = import_module("openvino.opset13")
    hidden = product.input_value(0)
    last = opset.gather(hidden, opset.constant(np.array([-1])), opset.constant(np.int64(1)))
    product.input(0).replace_source_output(last.output(0))
    made.validate_nodes_and_infer_types()
    return made


def _save(model: Any, path: Path) -> None:  # noqa: ANN401 OpenVINO's model
    path.parent.mkdir(exist_ok=True)
    openvino.save_model(model, path, compress_to_fp16=False)


def _path(folder: Path, file: str) -> Path:
    return folder / "openvino" / f"{file}.xml"


def _opened(name: str) -> Any:  # noqa: ANN401 a function
    return lambda job: OpenVino(job, name)


FORMS = {name: _opened(name) for name in FILES}

if __name__ == "__main__":
    work(FORMS, make, ("openvino", "nncf", "optimum-intel", "numpy"))
