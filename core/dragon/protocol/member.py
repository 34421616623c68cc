"""Member files: what a member tells the others before a committee lists it.

The member makes its key on its own host. Only this file leaves it: the id, the URL and the public
key, signed with that key. The signature binds id and URL to the key, against slips and changes on
the way. A stolen member file gives the thief a member that cannot sign.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Self

from dragon import errors
from dragon.encoding import Json, Members, parse, to_hex
from dragon.protocol import bls, signing
from dragon.protocol.committee_file import (
    NO_COMMITTEE,
    Expert,
    HeartbeatKey,
    Operator,
    Owner,
    check_url,
    decode_key,
    decode_possession,
)
from dragon.protocol.committee_rules import check_possession

KIND: Final = "member"
MAX_FILE_BYTES: Final = 4096


class Role(enum.StrEnum):
    """What a member with a key is in the committee."""

    OPERATOR = "operator"
    EXPERT = "expert"
    OWNER = "owner"
    TARGET = "target"  # its key signs heartbeats


@dataclass(frozen=True, slots=True)
class Member:
    """A member as its own file states it. `load` checks the file."""

    role: Role
    id: str
    url: str | None  # of an operator; the other roles have none
    public_key: bls.PublicKey
    proof_of_possession: bytes  # 96 bytes
    signature: bytes  # 96 bytes, with this key, on the members above without the proof

    @classmethod
    def sign(cls, role: Role, member_id: str, url: str | None, secret: bls.SecretKey) -> Self:
        """Return the signed member.

        Raises InvalidEncoding: the id or the URL is not acceptable.
        """
        key, proof = secret.public_key(), secret.prove_possession()
        unsigned = cls(role, member_id, url, key, proof, b"")
        signature = secret.sign(unsigned.root())
        return cls.from_json({**unsigned.to_json(), "signature": to_hex(signature)})

    @staticmethod
    def check(role: Role, member_id: str, url: str | None) -> None:
        """Check id and URL before a key is made for them. Raises InvalidEncoding."""
        stated: dict[str, Json] = {"id": member_id}
        members = Members(stated if url is None else {**stated, "url": url}, "the member")
        members.id("id")
        if role is Role.OPERATOR:
            check_url(members)
        members.end()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Decode a member file, and check that its own key signed it.

        Raises:
            InvalidEncoding: the file is not the JSON of a member.
            InvalidKey, UnprovenKey: the key is not valid, or its possession is not proven.
            ForgedMember: the member's key did not sign this id and URL.
        """
        if len(raw) > MAX_FILE_BYTES:
            message = f"the member file has {len(raw)} bytes; at most {MAX_FILE_BYTES} are allowed"
            raise errors.TooLarge(message)
        member = cls.from_json(parse(raw))
        member.verify()
        return member

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a member without verifying its signature. Raises InvalidEncoding, InvalidKey."""
        members = Members(value, "the member")
        members.word("kind", [KIND])
        role = Role(members.word("role", list(Role)))
        member_id = members.id("id")
        member = cls(
            role,
            member_id,
            check_url(members) if role is Role.OPERATOR else None,
            decode_key(members, member_id),
            decode_possession(members, member_id),
            members.hex("signature", size=bls.SIGNATURE_BYTES),
        )
        members.end()
        return member

    def to_json(self) -> dict[str, Json]:
        """Return the content of the member file."""
        return {
            "kind": KIND,
            **self._signed(),
            "proof_of_possession": to_hex(self.proof_of_possession),
            "signature": to_hex(self.signature),
        }

    def root(self) -> bytes:
        """Return the 32 bytes that the member signs. There is no committee yet to bind them to."""
        return signing.root(KIND, NO_COMMITTEE, self._signed())

    def verify(self) -> None:
        """Check the key and the signature. Raises UnprovenKey, ForgedMember."""
        check_possession(self.listed())
        if not bls.is_signed(self.public_key, self.root(), self.signature):
            message = f"the member file of {self.id} is not signed with its own key"
            raise errors.ForgedMember(message, id=self.id)

    def listed(self) -> Operator | Expert | Owner | HeartbeatKey:
        """Return the member as a committee lists it; of a target, only its key."""
        if self.url is not None:
            return Operator(self.id, self.url, self.public_key, self.proof_of_possession)
        stated = self.id, self.public_key, self.proof_of_possession
        if self.role is Role.EXPERT:
            return Expert(*stated)
        return Owner(*stated) if self.role is Role.OWNER else HeartbeatKey(*stated)

    def _signed(self) -> dict[str, Json]:
        place: dict[str, Json] = {} if self.url is None else {"url": self.url}
        key = to_hex(self.public_key.raw)
        return {"role": str(self.role), "id": self.id, **place, "public_key": key}
