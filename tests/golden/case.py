"""A golden case as it lies on disk: its spec, its inputs, its weights, its outputs."""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgespark.runtime.errors import InputError, MissingInput

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = dict[str, Array]
GENERATED = 3  # the length of a state-dict entry without remark


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One folder: the spec, and the generator (`weights.py`) that its rules call."""

    folder: Path
    spec: dict[str, Any]
    rules: ModuleType

    @property
    def name(self) -> str:
        """Return the case's name, as the spec has it."""
        return str(self.spec["case"])

    @property
    def config(self) -> dict[str, Any]:
        """Return the sizes of the model, under the reference code's own names."""
        return dict(self.spec["config"])

    def inputs(self) -> Arrays:
        """Read or make every input; InputError where one is not what its sha256 says."""
        return {entry["name"]: self._input(entry) for entry in self.spec["inputs"]}

    def outputs(self) -> Arrays:
        """Read what the reference gave."""
        return _arrays(self.folder / "outputs.npz")

    def tensor(self, name: str) -> Tensor:
        """Make one tensor of the state dict."""
        return torch.from_numpy(self.rules.tensor(name, self.shapes()[name]))

    def shapes(self) -> dict[str, list[int]]:
        """Return the shape of every tensor of the state dict."""
        return {entry[0]: entry[1] for entry in self.spec["state_dict"]}

    def fill(
        self, modules: Mapping[str, nn.Module], changed: Mapping[str, Tensor] | None = None
    ) -> None:
        """Load the weights strictly, each into the module whose prefix (the key) its name has.

        The longest prefix counts. `changed` stand in for tensors of that name; tensors with a
        remark keep what the module has. InputError names all that is missing, unexpected or
        misshapen.
        """
        shares: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in modules}
        kept = {entry[0] for entry in self.spec["state_dict"] if len(entry) != GENERATED}
        for name in self.shapes():
            prefix = max((each for each in modules if name.startswith(each)), key=len, default=None)
            if prefix is None:
                raise InputError(f"{self.name}: no part of the model has the tensor {name!r}")
            if name not in kept:
                stand_in = (changed or {}).get(name)
                made = self.tensor(name) if stand_in is None else stand_in
                shares[prefix][name[len(prefix) :]] = made
        for prefix, module in modules.items():
            own = {
                name: each for name, each in module.state_dict().items() if prefix + name in kept
            }
            try:
                module.load_state_dict(own | shares[prefix])
            except RuntimeError as error:
                raise InputError(f"{self.name}: {error}") from error
            module.eval()

    def _input(self, entry: Mapping[str, Any]) -> Array:
        name = entry["name"]
        made = self._stored(name) if entry["in_npz"] else self._ruled(entry["how"])
        made = np.ascontiguousarray(made)
        digest = hashlib.sha256(made.tobytes()).hexdigest()
        if list(made.shape) != entry["shape"] or digest != entry["sha256"]:
            raise InputError(
                f"{self.folder}: input {name!r} is {made.dtype} {list(made.shape)} with sha256 "
                f"{digest}; the spec says {entry['dtype']} {entry['shape']}, {entry['sha256']}"
            )
        return made

    def _stored(self, name: str) -> Array:
        stored = _arrays(self.folder / "inputs.npz")
        if name not in stored:
            raise InputError(f"{self.folder / 'inputs.npz'}: no array {name!r}")
        return stored[name]

    def _ruled(self, how: str) -> Array:
        """Carry out a rule such as "tensor('input/x', [1, 3])"; what follows a ";" is prose."""
        try:
            call = ast.parse(how.split(";")[0].strip(), mode="eval").body
            assert isinstance(call, ast.Call)
            assert isinstance(call.func, ast.Name)
            rule = {"tensor": self.rules.tensor, "ids": self.rules.ids}[call.func.id]
            return np.asarray(rule(*(ast.literal_eval(each) for each in call.args)))
        except (AssertionError, KeyError, SyntaxError, TypeError, ValueError) as error:
            raise InputError(f"{self.folder}: an input has the rule {how!r}: {error}") from error


def read(folder: Path) -> Case:
    """Read a case's spec, and find the generator in the nearest parent folder.

    MissingInput where either is absent, InputError where the spec is none.
    """
    path = folder / "spec.json"
    if not path.is_file():
        raise MissingInput(f"{folder}: no spec.json; give the folder of a golden case")
    try:
        spec = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: no JSON: {error}") from error
    wanted = {"case", "config", "inputs", "state_dict"}
    if not isinstance(spec, dict) or wanted - spec.keys():
        raise InputError(f"{path}: expected an object with {', '.join(sorted(wanted))}")
    return Case(folder=folder, spec=spec, rules=_generator(folder.resolve()))


def _generator(folder: Path) -> ModuleType:
    found = next((each for up in folder.parents if (each := up / "weights.py").is_file()), None)
    if found is None:
        raise MissingInput(f"{folder}: no weights.py in any folder above it")
    spec = importlib.util.spec_from_file_location("golden_weights", found)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        raise MissingInput(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: no arrays: {error}") from error
