"""Requests as for POST /verifications: a statement and its alleged proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.stark.blocks import MAX_CHUNKS, verify_blocks, verify_window, window_outputs
from dragon.stark.commitment import OUTPUT_BYTES
from dragon.stark.parameter_sets import MAX_BLOCKS, SETS
from dragon.stark.readings_file import KIND as READINGS
from dragon.stark.readings_file import MAX_MESSAGE_BYTES, StatedReadings, bounds_to_json
from dragon_cli.errors import OtherParameters

MAX_PROOF_BYTES: Final = 1 << 19
MAX_SHOWN_DIGITS: Final = 66  # of a message
BLOCKS: Final = "blocks"  # the kind of a statement that names none


@dataclass(frozen=True, slots=True)
class StatedBlocks:
    """Outputs with a message. With `window`, an identity and commitments without padding."""

    outputs: tuple[bytes, ...]
    window: bool
    message: bytes

    @classmethod
    def from_json(cls, value: Json) -> StatedBlocks:
        """Decode a statement of kind "blocks". Raises InvalidEncoding."""
        said = Members(value, "the statement")
        if "kind" in said:
            said.word("kind", [BLOCKS])
        window = "identity" in said
        if window:
            identity = said.hex("identity", size=OUTPUT_BYTES)
            commitments = said.list("commitments", most=MAX_CHUNKS)
            outputs = (identity, *(_output(each, "commitments") for each in commitments))
        else:
            listed = said.list("outputs", most=MAX_BLOCKS)
            outputs = tuple(_output(each, "outputs") for each in listed)
        message = said.hex("message", size=range(MAX_MESSAGE_BYTES + 1))
        said.end()
        return cls(outputs, window, message)

    def verify(self, set_name: str, proof: bytes) -> None:
        """Verify a proof of this statement under the named set. Raises ProofRefused."""
        if not self.window:
            verify_blocks(set_name, list(self.outputs), self.message, proof)
            return
        identity, *commitments = self.outputs
        verify_window(set_name, identity, commitments, self.message, proof)

    def n_blocks(self) -> int:
        """The number of blocks, with padding. Raises ProofRefused."""
        if not self.window:
            return len(self.outputs)
        identity, *commitments = self.outputs
        return len(window_outputs(identity, commitments))

    @property
    def n_chunks(self) -> int | None:
        return len(self.outputs) - 1 if self.window else None


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """A statement and its alleged proof, not verified yet."""

    statement: StatedBlocks | StatedReadings
    proof: bytes = field(repr=False)

    @classmethod
    def from_json(cls, value: Json, set_name: str, given: bytes | None) -> ProofRequest:
        """Decode a request; `given` is the proof if the request has none.

        Raises InvalidEncoding. Raises OtherParameters: it names another set than `set_name`.
        """
        members = Members(value, "the file")
        if "parameter_set" in members:
            named = members.word("parameter_set", SETS)
            if named != set_name:
                message = f"The file names the parameter set {named}; `--set` accepts {set_name}."
                raise OtherParameters(message)
        statement = _statement(members.take("statement"))
        shown = members.hex("proof", size=range(MAX_PROOF_BYTES + 1)) if given is None else given
        members.end()
        return cls(statement, shown)

    def verify(self, set_name: str) -> int:
        """Verify the proof; return the number of proven blocks. Raises ProofRefused."""
        self.statement.verify(set_name, self.proof)
        if isinstance(self.statement, StatedReadings):
            return self.statement.statement().n_blocks
        return self.statement.n_blocks()

    def report(self) -> dict[str, Json]:
        """Return the statement for programs."""
        stated = self.statement
        message = to_hex(stated.message)
        if isinstance(stated, StatedBlocks):
            return {"chunks": stated.n_chunks, "message": message}
        return {
            "kind": READINGS,
            "chunks": len(stated.commitments),
            "carried": stated.carried,
            "bounds": bounds_to_json(stated.bounds),
            "message": message,
        }

    def sentence(self) -> str:
        """Return the verdict on a verified proof for people."""
        stated = self.statement
        message = _shown(stated.message)
        if isinstance(stated, StatedReadings):
            count = len(stated.commitments)
            return f"the {count} committed readings keep the bounds, for message {message}."
        n_chunks = stated.n_chunks
        what = f"{len(stated.outputs)} outputs"
        if n_chunks is not None:
            what = f"the identity and {n_chunks} commitments"
        return f"the prover knew the preimages of {what}, for message {message}."

    def details(self) -> list[str]:
        """Return what a readings statement says: its bounds, and what it is about."""
        stated = self.statement
        if isinstance(stated, StatedBlocks):
            return []
        bounds, first = stated.bounds, 2 if stated.carried else 1
        count = len(stated.commitments)
        lines = [f"Each committed reading: {_interval(bounds.low, bounds.high)}."]
        if count > 1:
            step = _interval(bounds.step_low, bounds.step_high)
            lines.append(f"Each change from one reading to the next: {step}.")
        total = _interval(bounds.sum_low, bounds.sum_high)
        lines.append(f"Sum of the readings {first} to {count}: {total}.")
        if stated.carried:
            lines.append("Reading 1 is carried over from the previous window.")
        return [*lines, CHECKED_ON_DISCLOSURE]


CHECKED_ON_DISCLOSURE: Final = (
    "The proof is about committed readings: whether one is the number in its data is checked when "
    "the chunk is disclosed."
)


def _statement(value: Json) -> StatedBlocks | StatedReadings:
    if isinstance(value, dict) and value.get("kind", BLOCKS) != BLOCKS:
        Members(value, "the statement").word("kind", [BLOCKS, READINGS])
        return StatedReadings.from_json(value)
    return StatedBlocks.from_json(value)


def _output(value: Json, member: str) -> bytes:
    return from_hex(value, member=member, size=OUTPUT_BYTES)


def _interval(low: int, high: int) -> str:
    return f"exactly {low}" if low == high else f"{low} to {high}"


def _shown(message: bytes) -> str:
    digits = to_hex(message)
    if len(digits) <= MAX_SHOWN_DIGITS:
        return digits
    return f"{digits[:MAX_SHOWN_DIGITS]}… ({len(message)} bytes)"
