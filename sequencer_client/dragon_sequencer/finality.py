"""Finality proofs: what a quorum of nodes signs once a batch can no longer move.

A proof covers an app's history up to one batch, through Zellular's hash chain. That chain is
XXH128, which is fast and not cryptographic: it carries the network's order, and nothing whose
integrity matters may rest on it alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Final

import xxhash

from dragon.encoding import MAX_INTEGER, canonical
from dragon_sequencer import bn254, pairing
from dragon_sequencer.errors import BadFinalitySignature, MalformedProof, UnknownTag, WrongState
from dragon_sequencer.nodes import STATIC_TAG, NodeList

FINAL_STATE: Final = "locked"  # the state that the signers were in
GENESIS: Final = ""  # the chaining hash before the first batch
_DIGEST: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


def digest(text: str) -> str:
    """XXH128, seed 0, of the UTF-8 bytes, as 32 digits. Raises UnicodeEncodeError."""
    return xxhash.xxh3_128_hexdigest(text.encode())


def extend(chaining_hash: str, body: str) -> str:
    """The chaining hash after one more batch. Raises UnicodeEncodeError."""
    return digest(chaining_hash + digest(body))


@dataclass(frozen=True, slots=True)
class Proof:
    """One finality proof, well formed and not yet verified."""

    index: int  # of the last batch it covers
    parent_index: int  # of the proof before it, 0 for the first
    chaining_hash: str
    timestamp: int  # Unix seconds, by the leader's clock
    state: str
    signature: str
    nonsigners: tuple[str, ...]
    tag: int  # which version of the node list

    def to_text(self) -> str:
        """As canonical JSON, members as in the network's answers."""
        return canonical({**asdict(self), "nonsigners": list(self.nonsigners)}).decode()

    def verify(self, *, app: str, chaining_hash: str, nodes: NodeList) -> None:
        """Return quietly if enough of `nodes` signed `chaining_hash` as final at this index.

        `chaining_hash` is the one that the caller has computed over the batches; the proof's own
        is only a statement.

        Raises:
            UnknownTag, WrongState, RepeatedNonsigner, UnknownNonsigner, StakeMissing,
            MalformedSignature, SignatureOffCurve, BadFinalitySignature: as named.
        """
        # (1) We have the list of nodes that was in force, and this is a finality proof.
        if self.tag != STATIC_TAG:
            raise UnknownTag("no node list is known for this tag", tag=self.tag)
        if self.state != FINAL_STATE:
            raise WrongState("a finality proof is signed in the state `locked`")

        # (2) The signers hold enough stake. A proof by too few may verify perfectly.
        nodes.check_quorum(self.nonsigners)

        # (3) They signed this and nothing else. Last, because pairings are slow.
        signature = bn254.decode_signature(self.signature)
        point = bn254.hash_to_curve(self._message(app, chaining_hash))
        if not pairing.is_signed(point, signature, nodes.key_lines(self.tag, self.nonsigners)):
            raise BadFinalitySignature("these nodes did not sign this", index=self.index)

    def _message(self, app: str, chaining_hash: str) -> bytes:
        return message(
            app=app,
            chaining_hash=chaining_hash,
            index=self.index,
            parent_index=self.parent_index,
            state=FINAL_STATE,
            timestamp=self.timestamp,
        )


def signed_text(
    *, app: str, chaining_hash: str, index: int, parent_index: int, state: str, timestamp: int
) -> str:
    """What is hashed for signing: Python's default JSON of six members in alphabetical order."""
    return json.dumps(
        {
            "app_name": app,
            "chaining_hash": chaining_hash,
            "index": index,
            "parent_index": parent_index,
            "state": state,
            "timestamp": timestamp,
        }
    )


def message(
    *, app: str, chaining_hash: str, index: int, parent_index: int, state: str, timestamp: int
) -> bytes:
    """What is signed: the 32 ASCII digits of the text's hash."""
    text = signed_text(
        app=app,
        chaining_hash=chaining_hash,
        index=index,
        parent_index=parent_index,
        state=state,
        timestamp=timestamp,
    )
    return digest(text).encode()


def decode_proof(value: object) -> Proof:
    """Read one entry of `finalized_signatures`. Raises MalformedProof, and nothing else.

    Members that we do not know are ignored.
    """
    if not isinstance(value, dict):
        raise MalformedProof("a proof is a JSON object")
    proof = Proof(
        index=_integer(value, "index", least=1),
        parent_index=_integer(value, "parent_index"),
        chaining_hash=check_digest(value.get("chaining_hash")),
        timestamp=_integer(value, "timestamp"),
        state=_text(value, "state"),
        signature=_text(value, "signature"),
        nonsigners=_nonsigners(value.get("nonsigners")),
        tag=_integer(value, "tag"),
    )
    if proof.parent_index >= proof.index:
        raise MalformedProof("a proof's parent comes before it", index=proof.index)
    return proof


def check_digest(value: object) -> str:
    """Raises MalformedProof: not 32 lower-case hexadecimal digits."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise MalformedProof("a chaining hash has 32 lower-case hexadecimal digits")
    return value


def _integer(proof: dict[str, object], member: str, *, least: int = 0) -> int:
    value = proof.get(member)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_INTEGER:
        raise MalformedProof(f"{member} is an integer from {least}", member=member)
    return value


def _text(proof: dict[str, object], member: str) -> str:
    value = proof.get(member)
    if not isinstance(value, str) or len(value) > 256:
        raise MalformedProof(f"{member} is a text of at most 256 characters", member=member)
    return value


def _nonsigners(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise MalformedProof("nonsigners is a list of node ids", member="nonsigners")
    return tuple(value)


def decode_newest(value: object, *, app: str) -> Proof:
    """The proof in a record of the newest finalized batch. Raises MalformedProof or WrongState.

    It covers the record's index and chaining hash, and not its body: that could only be checked by
    who knows the chaining hash before. Hence no body comes out of here.
    """
    if not isinstance(value, dict) or value.get("app_name") != app:
        raise MalformedProof("the newest batch is an object that names the app")
    if value.get("state") != "finalized":
        raise WrongState("the newest batch is not a finalized one")
    members = {name: value.get(name) for name in ("index", "parent_index", "timestamp")}
    return decode_proof(
        {
            **members,
            "chaining_hash": value.get("chaining_hash"),
            "state": FINAL_STATE,
            "signature": value.get("finalized_signature"),
            "nonsigners": value.get("finalized_nonsigners"),
            "tag": value.get("finalized_tag"),
        }
    )
