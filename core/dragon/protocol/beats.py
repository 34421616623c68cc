"""Beats: what a target sends that nobody can reach from outside, to show that it is up.

A machine behind NAT signs a beat with the key that the committee file lists for it, and posts it to
any operator. The beat names the machine and the time by its clock. It is bound to the network, so
that a handover changes nothing for the machine.

An old beat must not keep a dead machine up. So a beat counts only while its time is close to the
receiver's clock, and only if it is later than every beat that came before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

from dragon import errors
from dragon.encoding import Json, Members, to_hex
from dragon.protocol import bls
from dragon.protocol.committee import Committee, check_node_id
from dragon.protocol.shape import Id, Integer, SignedShape
from dragon.protocol.target_checks import HeartbeatCheck

MAX_CLOCK_OFFSET_MS: Final = 30_000  # of a machine's clock, either way, for its beats to count


@dataclass(frozen=True, slots=True)
class Beat(SignedShape):
    """A target's statement that it is up."""

    KIND: ClassVar[str] = "heartbeat"

    node_id: Annotated[str, Id()]
    time_ms: Annotated[int, Integer()]  # Unix milliseconds by the machine's clock; always rising


@dataclass(frozen=True, slots=True)
class SignedBeat:
    """A beat with its signature. It proves nothing until `verify` has succeeded."""

    beat: Beat
    signature: bytes  # 96 bytes: by the target's key, on the beat's root

    @classmethod
    def sign(cls, beat: Beat, secret: bls.SecretKey, network_id: bytes) -> Self:
        """Sign a beat with the target's secret key."""
        return cls(beat, secret.sign(beat.root(network_id)))

    @property
    def node_id(self) -> str:
        return self.beat.node_id

    @property
    def time_ms(self) -> int:
        return self.beat.time_ms

    def to_json(self) -> dict[str, Json]:
        """Return the form in which it is sent."""
        return {**self.beat.members(), "signature": to_hex(self.signature)}

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the members out of a larger object. Raises InvalidEncoding."""
        return cls(Beat.take(members), members.hex("signature", size=bls.SIGNATURE_BYTES))

    def check_time(self, now_ms: int) -> None:
        """Check that the machine's clock is close to that of the receiver.

        Args:
            now_ms: Unix milliseconds by the receiver's clock.

        Raises BeatTooOld, BeatTooEarly: `offset_ms` is the machine's clock minus the receiver's.
        """
        offset_ms, most = self.time_ms - now_ms, MAX_CLOCK_OFFSET_MS
        if offset_ms < -most:
            message = _wrong_clock(self.node_id, -offset_ms, "behind")
            raise errors.BeatTooOld(message, offset_ms=offset_ms, max_offset_ms=most)
        if offset_ms > most:
            message = _wrong_clock(self.node_id, offset_ms, "ahead of")
            raise errors.BeatTooEarly(message, offset_ms=offset_ms, max_offset_ms=most)

    def check_later(self, newest_ms: int | None) -> None:
        """Check that the beat is later than the newest one before it, if there was one.

        Raises BeatNotLater.
        """
        if newest_ms is not None and self.time_ms <= newest_ms:
            message = (
                f"a beat of {self.node_id} with a later time was received before, or one with the "
                "same; each beat needs a later time than all before it"
            )
            raise errors.BeatNotLater(message, newest_ms=newest_ms)

    def verify(self, check: HeartbeatCheck, network_id: bytes) -> None:
        """Verify that the target's key signed the beat for this network.

        Raises InvalidSignature, BadSignature.
        """
        refusal = (
            f"the beat is not signed with the key that the committee lists for {self.node_id}; "
            "check the keystore, and that the committee file is of this network"
        )
        bls.check_signature(check.public_key, self.beat.root(network_id), self.signature, refusal)


def heartbeat_checks(committee: Committee) -> Mapping[str, HeartbeatCheck]:
    """Return the targets that send beats, by id, with their keys and limits."""
    return {
        target.id: target.check
        for target in committee.targets
        if isinstance(target.check, HeartbeatCheck)
    }


def sends_beats(committee: Committee, node_id: str) -> bool:
    """Return whether a node is a target that sends beats."""
    target = committee.targets_by_id.get(node_id)
    return target is not None and isinstance(target.check, HeartbeatCheck)


def heartbeat_check(committee: Committee, node_id: str) -> HeartbeatCheck:
    """Return the key and the limit of a target that sends beats.

    Raises UnknownNode; NotHeartbeatTarget: the node is looked at in another way.
    """
    target = committee.targets_by_id.get(check_node_id(committee, node_id))
    if target is None or not isinstance(target.check, HeartbeatCheck):
        message = f"{node_id} is not a target that sends heartbeats"
        raise errors.NotHeartbeatTarget(message, node_id=node_id)
    return target.check


def _wrong_clock(node_id: str, milliseconds: int, side: str) -> str:
    return (
        f"the clock of {node_id} is {milliseconds / 1000:.0f} s {side} the receiver's clock; at "
        f"most {MAX_CLOCK_OFFSET_MS // 1000} s are allowed. Set the clock of the machine (NTP)"
    )
