"""Seals: an operator's signature on all records that it has made since the last seal.

A seal has the Merkle root of its records, a number, and the hash of the seal before. Seals that
were made without a loss form a *chain*, which a random id names: an operator begins another one
when it starts, and when records were lost. So within a chain nothing can be removed, inserted or
changed later without two seals of one number.

The root that is signed has a kind of its own, so a seal is never valid as an attestation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Final, Self

from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.errors import InvalidProof
from dragon.protocol import bls, merkle
from dragon.protocol.evidence.record import Record, record_from_json
from dragon.protocol.shape import HASH, Hex, Id, Integer, SignedShape

CHAIN_BYTES: Final = 16
NO_SEAL: Final = bytes(32)  # the hash before an operator's first seal
MAX_RECORDS_PER_SEAL: Final = 1024
MAX_PATH: Final = 10  # hashes from a record to its seal's root


@dataclass(frozen=True, slots=True)
class Seal(SignedShape):
    """What an operator signs about its newest records."""

    KIND: ClassVar[str] = "evidence-seal"

    operator: Annotated[str, Id()]
    chain: Annotated[bytes, Hex(size=CHAIN_BYTES)]
    number: Annotated[int, Integer()]  # in the chain, from 0
    previous: Annotated[bytes, HASH]  # hash of the operator's seal before, of any chain
    time_ms: Annotated[int, Integer()]  # Unix milliseconds by the operator's clock
    records: Annotated[int, Integer(least=1, most=MAX_RECORDS_PER_SEAL)]
    record_root: Annotated[bytes, Hex(name="root")]  # RFC 6962, over the records


@dataclass(frozen=True)
class SignedSeal:
    """A seal with its signature. It proves nothing until `verify` has succeeded."""

    seal: Seal
    committee_id: bytes  # of the committee that held when it was signed
    signature: bytes  # 96 bytes, with the operator's key in that committee

    @classmethod
    def sign(cls, seal: Seal, secret: bls.SecretKey, committee_id: bytes) -> Self:
        """Sign a seal with the operator's key."""
        return cls(seal, committee_id, secret.sign(seal.root(committee_id)))

    @cached_property
    def hash(self) -> bytes:
        """The root that is signed, 32 bytes. The next seal names it."""
        return self.seal.root(self.committee_id)

    @property
    def place(self) -> tuple[bytes, int]:
        """Chain and number, which one operator uses once."""
        return self.seal.chain, self.seal.number

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            **self.seal.members(),
            "committee": to_hex(self.committee_id),
            "signature": to_hex(self.signature),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a seal strictly. Raises InvalidEncoding."""
        members = Members(value, "the seal")
        seal = Seal.take(members)
        committee_id = members.hex("committee", size=32)
        signature = members.hex("signature", size=bls.SIGNATURE_BYTES)
        members.end()
        return cls(seal, committee_id, signature)

    def verify(self, key: bls.PublicKey) -> None:
        """Verify the signature with a key. Raises InvalidSignature, BadSignature."""
        refusal = f"seal {self.seal.number} is not signed by {self.seal.operator}"
        bls.check_signature(key, self.hash, self.signature, refusal)


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A record with the path to the root of its seal."""

    record: Record
    chain: bytes  # of its seal
    number: int  # of its seal
    index: int  # of the record in its seal
    path: tuple[bytes, ...]  # RFC 6962; sibling hashes, nearest to the record first

    @property
    def place(self) -> tuple[bytes, int]:
        """Chain and number of its seal."""
        return self.chain, self.number

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "record": self.record.to_json(),
            "chain": to_hex(self.chain),
            "number": self.number,
            "index": self.index,
            "path": [to_hex(sibling) for sibling in self.path],
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a sealed record strictly. Raises InvalidEncoding."""
        members = Members(value, "the sealed record")
        record = record_from_json(members.take("record"))
        chain, number = members.hex("chain", size=CHAIN_BYTES), members.integer("number")
        index = members.integer("index", most=MAX_RECORDS_PER_SEAL - 1)
        path = members.list("path", most=MAX_PATH)
        members.end()
        hashes = tuple(from_hex(each, member="path", size=merkle.HASH_BYTES) for each in path)
        return cls(record, chain, number, index, hashes)

    def verify(self, seal: Seal) -> None:
        """Verify that the record is under a seal. Raises InvalidProof."""
        hashed, size, root = self.record.hash, seal.records, seal.record_root
        try:
            merkle.verify_inclusion(hashed, self.index, size, self.path, root)
        except InvalidProof:
            message = (
                f"seal {self.number} does not sign record {self.record.sequence} as it is here"
            )
            raise InvalidProof(message) from None
