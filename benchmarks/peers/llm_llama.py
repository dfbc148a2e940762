"""The Llama in llama.cpp: GGUF of the same weights, and what its own quantiser makes of that.

The library's default recipes are kept (they leave the output of Q4_0 at Q6_K), flash attention is
on, and so are its kernels that lay weights out anew for the CPU that it was built on.
"""

import ctypes
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.llm_sizes import CONTEXT, SIZES, VOCABULARY
from benchmarks.peers.llm_timing import Form, Job, Logits, work

# neither is installed where types are checked
cpp: Any = import_module("llama_cpp")
gguf: Any = import_module("gguf")

FILES = {"llama-f16": None, "llama-q4_0": "Q4_0", "llama-q8_0": "Q8_0", "llama-q4_0-kv8": "Q4_0"}
KINDS = {"Q4_0": cpp.LLAMA_FTYPE_MOSTLY_Q4_0, "Q8_0": cpp.LLAMA_FTYPE_MOSTLY_Q8_0}
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
ENDS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
KV8 = 8.5 / 8  # bytes of a number in Q8_0


class Llama(Form):
    """One context of the C library."""

    def __init__(self, job: Job, name: str, *, is_cache_8: bool = False) -> None:
        """Map the weights and make the context."""
        path = _path(job.folder, FILES[name])
        cpp.llama_backend_init()
        cpp.llama_log_set(_SILENT, None)
        model = cpp.llama_model_load_from_file(str(path).encode(), cpp.llama_model_default_params())
        options = cpp.llama_context_default_params()
        options.n_ctx = options.n_batch = CONTEXT
        options.n_threads = options.n_threads_batch = job.threads
        options.flash_attn_type = cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        options.no_perf = True
        if is_cache_8:
            options.type_k = options.type_v = cpp.GGML_TYPE_Q8_0
        self._context = cpp.llama_init_from_model(model, options)
        self._memory = cpp.llama_get_memory(self._context)
        self._room = (cpp.llama_token * CONTEXT)()
        self.step_bytes = read(path)
        self.cache_bytes = int(job.size.cache * (KV8 if is_cache_8 else 2))

    def cut(self, length: int) -> None:
        """Remove cells."""
        if not cpp.llama_memory_seq_rm(self._memory, 0, length, -1):
            raise RuntimeError("llama.cpp cannot remove cells of its memory")

    def feed(self, tokens: list[int]) -> Logits:
        """Decode one batch, which gives the logits of its last position."""
        self._room[: len(tokens)] = tokens
        batch = cpp.llama_batch_get_one(self._room, len(tokens))
        if failed := cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode gave {failed}")
        found = cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(found, (VOCABULARY,))


_SILENT = cpp.llama_log_callback(lambda _level, _text, _data: None)


def make(form: str, folder: Path) -> None:
    """Write the GGUF that a form reads, unless it is there; and tell its tensors beside it."""
    plain, path = _path(folder, None), _path(folder, FILES[form])
    plain.parent.mkdir(exist_ok=True)
    if not plain.exists():
        write(folder, plain.with_suffix(".new"))
        plain.with_suffix(".new").rename(plain)
    if not path.exists():
        options = cpp.llama_model_quantize_default_params()
        options.ftype = KINDS[str(FILES[form])]
        made = path.with_suffix(".new")
        if cpp.llama_model_quantize(str(plain).encode(), str(made).encode(), ctypes.byref(options)):
            raise RuntimeError("llama_model_quantize failed")
        made.rename(path)
    told = {each.name: each.tensor_type.name for each in gguf.GGUFReader(path).tensors}
    path.with_suffix(".json").write_text(json.dumps(told, indent=1))


def write(folder: Path, path: Path) -> None:
    """Write the weights as float16, norms as float32, in the order that llama.cpp rotates."""
    size = SIZES[folder.name]
    told = json.loads((folder / "hf" / "config.json").read_text())
    file = gguf.GGUFWriter(path, "llama")
    file.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    file.add_context_length(CONTEXT)
    file.add_embedding_length(size.width)
    file.add_block_count(size.depth)
    file.add_feed_forward_length(size.hidden)
    file.add_head_count(size.heads)
    file.add_head_count_kv(size.heads)
    file.add_rope_dimension_count(size.width // size.heads)
    file.add_rope_freq_base(told["rope_theta"])
    file.add_layer_norm_rms_eps(told["rms_norm_eps"])
    file.add_vocab_size(VOCABULARY)
    file.add_tokenizer_model("no_vocab")
    for name, array in _tensors(folder / "hf" / "model.safetensors"):
        file.add_tensor(*_renamed(name, array, size.heads))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def _tensors(path: Path) -> list[tuple[str, NDArray[np.float16]]]:
    """Map the arrays of a safetensors file, all float16."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        told = json.loads(stream.read(length))
    told.pop("__metadata__", None)
    data = np.memmap(path, np.uint8, "r", 8 + length)
    return [
        (name, data[slice(*each["data_offsets"])].view(np.float16).reshape(each["shape"]))
        for name, each in told.items()
    ]


def _renamed(name: str, array: NDArray[np.float16], heads: int) -> tuple[str, NDArray[Any]]:
    stem = name.removesuffix(".weight")
    if stem in ENDS:
        made = ENDS[stem]
    else:
        layer, _, rest = stem.removeprefix("model.layers.").partition(".")
        made = f"blk.{layer}.{NAMES[rest]}"
        if rest.endswith(("q_proj", "k_proj")):  # it rotates neighbours, not halves
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
    wide = array.astype(np.float32) if array.ndim == 1 else np.ascontiguousarray(array)
    return f"{made}.weight", wide


def read(path: Path) -> int:
    """Count the bytes of weights that one token reads: all but the embedding's."""
    tensors = gguf.GGUFReader(path).tensors
    return int(sum(each.n_bytes for each in tensors if each.name != "token_embd.weight"))


def _path(folder: Path, kind: str | None) -> Path:
    return folder / "llama" / f"{kind or 'F16'}.gguf"


FORMS = {
    "llama-f16": lambda job: Llama(job, "llama-f16"),
    "llama-q4_0": lambda job: Llama(job, "llama-q4_0"),
    "llama-q8_0": lambda job: Llama(job, "llama-q8_0"),
    "llama-q4_0-kv8": lambda job: Llama(job, "llama-q4_0-kv8", is_cache_8=True),
}

if __name__ == "__main__":
    work(FORMS, make, ("llama-cpp-python", "gguf", "numpy"))
