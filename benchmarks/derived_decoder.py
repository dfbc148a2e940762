"""A portable decoder's place taken by the graph that is derived of it for a CPU.

A portable graph reads the rows of its own run as floats, even where it keeps them as codes: a
prompt, which is one run, tells nothing of int8 keys and values. The derived graph reads codes.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from edgespark.calibration.chain import OpenPart, open_part
from edgespark.engines.cpu_decoder import lower_decoder
from edgespark.runtime.backends import Array, Program, Rebound, Session, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import State
from edgespark.runtime.states import InPlace

OWN = ("inputs_embeds", "select")  # what both forms are fed alike


def opens_derived(bundle: Bundle, states: tuple[State, ...]) -> OpenPart:
    """Return what opens the bundle's parts, and in the decoder's place the graph derived of it.

    `states` are those of the portable graph. CheckError where nothing is derived of it.
    """
    decoder = bundle.manifest.language.decoder

    def opens(name: str, program: Program) -> Session:
        return _derived(bundle, states, program) if name == decoder else open_part(name, program)

    return opens


def _derived(bundle: Bundle, states: tuple[State, ...], program: Program) -> Session:
    part = bundle.manifest.part(bundle.manifest.language.decoder)
    context = bundle.manifest.language.context
    with TemporaryDirectory() as folder:
        given, into = Path(folder) / "portable.onnx", Path(folder) / "derived.onnx"
        given.write_bytes(program.graph)
        for each in program.data if program.folder else ():
            shutil.copy(Path(program.folder or "") / each, Path(folder) / each)
        made = lower_decoder(given, states, part.inputs, part.outputs, context, into)
        ready = Program(
            where=f"{program.where}, derived",
            graph=into.read_bytes(),
            inputs=(*made.inputs, *(each.past for each in made.states)),
            outputs=(*made.outputs, *(each.new for each in made.states)),
            folder=into.parent if made.data else None,
            data=made.data,
            threads=program.threads,
        )
        session = backend("onnxruntime").open_session(ready)
    names = [port.name for port in made.outputs]
    return Portable(session, InPlace(part.name, made.states, context), states[0].past.name, names)


class Portable(Rebound):
    """A session that is fed as a portable decoder is, and keeps the rows itself.

    The portable states that it is given tell how many positions there are, and nothing else; those
    to be written stay as they are.
    """

    def __init__(self, session: Session, states: InPlace, past: str, outputs: list[str]) -> None:
        """Take the derived session and its memory; `past` names one of the portable states."""
        self._session = session
        self._states = states
        self._past = past
        self._outputs = outputs

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Append the rows of `inputs_embeds`; return the outputs, states apart."""
        begin = len(inputs[self._past])
        end = begin + inputs["inputs_embeds"].shape[1]
        read, written = self._states.bound(begin, end)
        wanted = {name: each for name, each in (outputs or {}).items() if name in self._outputs}
        fed = {name: inputs[name] for name in OWN}
        made = self._session.run(fed | read, wanted | written)
        return {name: made[name] for name in self._outputs}

    def close(self) -> None:
        """Let go of the graph."""
        self._session.close()
