"""Finality proofs: a quorum's signature that the place of a batch in the order is final.

A proof covers the history of an app up to one batch, through Zellular's hash chain. The chain uses
XXH128, which is not a cryptographic hash: it defines the order, but must not be the only protection
of the content.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Final

import xxhash

from dragon.encoding import MAX_INTEGER, canonical
from dragon_sequencer.errors import (
    FinalityError,
    MalformedProof,
    NodeListMissing,
    UnknownTag,
    WrongState,
)
from dragon_sequencer.nodes import STATIC_TAG, NodeList, NodeLists
from dragon_sequencer.signatures import Signed

FINAL_STATE: Final = "locked"  # the state that is signed
GENESIS: Final = ""  # the chaining hash before the first batch
_DIGEST: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


def digest(text: str) -> str:
    """XXH128 with seed 0 of the UTF-8 bytes, as 32 hexadecimal digits.

    Raises UnicodeEncodeError.
    """
    return xxhash.xxh3_128_hexdigest(text.encode())


def extend(chaining_hash: str, body: str) -> str:
    """The chaining hash after one more batch. Raises UnicodeEncodeError."""
    return digest(chaining_hash + digest(body))


@dataclass(frozen=True, slots=True)
class Proof:
    """A finality proof: well formed, not verified."""

    index: int  # of the last batch that it covers
    parent_index: int  # index of the previous proof; 0 for the first
    chaining_hash: str
    timestamp: int  # Unix seconds by the leader's clock
    state: str
    signature: str
    nonsigners: tuple[str, ...]
    tag: int  # version of the node list

    def to_text(self) -> str:
        """Canonical JSON with the members of the network's answers."""
        return canonical({**asdict(self), "nonsigners": list(self.nonsigners)}).decode()

    def verify(self, *, app: str, chaining_hash: str, nodes: NodeList | NodeLists) -> None:
        """Check that enough of `nodes` signed `chaining_hash` as final at this index.

        Args:
            app: the app's name.
            chaining_hash: computed by the caller from the batches; the proof's own is a mere claim.
            nodes: the node list, with the required percentage of stake; or several, of which one
                must have signed.

        Raises:
            UnknownTag, WrongState, RepeatedNonsigner, UnknownNonsigner, StakeMissing,
            MalformedSignature, SignatureOffCurve, BadFinalitySignature: the reason.
            NodeListMissing: no list is given.
        """
        failure: FinalityError = no_list()
        for listed in nodes.alternatives:
            try:
                self._verify(app, chaining_hash, listed)
            except FinalityError as error:
                failure = error
            else:
                return
        raise failure

    def _verify(self, app: str, chaining_hash: str, nodes: NodeList) -> None:
        # The signature comes last, because pairings are slow.
        nodes.signatures.check(self.stated(app=app, chaining_hash=chaining_hash, nodes=nodes))

    def stated(self, *, app: str, chaining_hash: str, nodes: NodeList) -> Signed:
        """Check everything but the signature, and return what must have been signed.

        Raises:
            UnknownTag, WrongState, RepeatedNonsigner, UnknownNonsigner, StakeMissing: the reason.
        """
        # (1) The node list is known, and this is a finality proof.
        if self.tag != STATIC_TAG:
            raise UnknownTag(f"no node list is known for tag {self.tag}", tag=self.tag)
        if self.state != FINAL_STATE:
            raise WrongState("a finality proof must be signed in the state `locked`")

        # (2) The signers have enough stake. The signature alone does not show that.
        nodes.check_quorum(self.nonsigners)

        # (3) They must have signed this.
        signed = self._message(app, chaining_hash)
        return Signed(signed, self.signature, frozenset(self.nonsigners), self.tag, self.index)

    def _message(self, app: str, chaining_hash: str) -> bytes:
        return message(
            app=app,
            chaining_hash=chaining_hash,
            index=self.index,
            parent_index=self.parent_index,
            state=FINAL_STATE,
            timestamp=self.timestamp,
        )


def no_list() -> NodeListMissing:
    """The error of a proof of which no node list counts."""
    return NodeListMissing("none of the node lists that the committee names is at hand")


def signed_text(
    *, app: str, chaining_hash: str, index: int, parent_index: int, state: str, timestamp: int
) -> str:
    """The text that is hashed for signing: six members in Python's default JSON format."""
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
    """The message that is signed: the 32 ASCII digits of the text's hash."""
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

    Unknown members are ignored.
    """
    if not isinstance(value, dict):
        raise MalformedProof("a proof must be a JSON object")
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
        raise MalformedProof("parent_index must be below index", index=proof.index)
    return proof


def check_digest(value: object) -> str:
    """Return the value. Raises MalformedProof: it is not 32 lower-case hexadecimal digits."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise MalformedProof("a chaining hash must have 32 lower-case hexadecimal digits")
    return value


def _integer(proof: dict[str, object], member: str, *, least: int = 0) -> int:
    value = proof.get(member)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_INTEGER:
        raise MalformedProof(f"{member} must be an integer from {least}", member=member)
    return value


def _text(proof: dict[str, object], member: str) -> str:
    value = proof.get(member)
    if not isinstance(value, str) or len(value) > 256:
        raise MalformedProof(f"{member} must be a string of at most 256 characters", member=member)
    return value


def _nonsigners(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise MalformedProof("nonsigners must be a list of node ids", member="nonsigners")
    return tuple(value)


def decode_newest(value: object, *, app: str) -> Proof:
    """Read the proof in a record of the newest finalized batch.

    The proof covers the record's index and chaining hash. To check the record's body, one would
    need the previous chaining hash, so the body is not returned.

    Raises MalformedProof, WrongState.
    """
    if not isinstance(value, dict) or value.get("app_name") != app:
        raise MalformedProof(f"the newest batch must be a JSON object with app_name {app}")
    if value.get("state") != "finalized":
        raise WrongState("the newest batch must have the state `finalized`")
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
