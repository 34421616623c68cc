"""Lineages: all committees of a network, and the handovers between them.

A lineage is public, and anybody may pass it on. It is what a verifier needs besides the signed
object: with the newest lineage, all that earlier committees certified keeps its worth, and their
keys, which may leak later, can add nothing.

Two ways lead through it. From the newest file backwards no signature is needed: each file names
the one before by its hash, and seals how the log stood. From the oldest file forwards the handovers
are needed. Both end at the network's id, which a verifier pins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, parse, to_hex
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.committee import MAX_EPOCH, UNSEALED, Committee, Sealed
from dragon.protocol.committee_rules import check_all
from dragon.protocol.handover import Handover
from dragon.protocol.succession import Known, check_successor

MAX_LINEAGE_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Lineage:
    """The committees of a network, oldest first. It proves nothing until `verify` has succeeded."""

    committees: tuple[Committee, ...]
    handovers: tuple[Handover, ...] = ()  # the one to epoch k + 1 is at k
    checkpoint: Certificate | None = None  # the newest one of the last committee

    @classmethod
    def of(cls, committee: Committee) -> Self:
        """Return the lineage of one committee.

        Of a later epoch it is the end of a lineage: what earlier committees signed is unknown.
        """
        return cls((committee,))

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Decode a committee file or a lineage. All committees are checked by their own rules.

        Raises InvalidEncoding, InvalidCommittee, UnknownKind; TooLarge: it is too long.
        """
        if len(raw) > MAX_LINEAGE_BYTES:
            message = f"the lineage has {len(raw)} bytes; at most {MAX_LINEAGE_BYTES} are allowed"
            raise errors.TooLarge(message)
        value = parse(raw)
        if isinstance(value, dict) and "committees" not in value:
            return cls.of(Committee.load(raw))
        lineage = cls.from_json(value)
        check_all(lineage.committees)
        return lineage

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a lineage strictly, without checking its committees. Raises InvalidEncoding."""
        members = Members(value, "the lineage")
        committees = members.list("committees", most=MAX_EPOCH + 1)
        handovers = members.list("handovers", most=MAX_EPOCH)
        checkpoint = members.take("checkpoint")
        members.end()
        if not committees:
            raise errors.UnknownValue("a lineage has at least one committee", member="committees")
        return cls(
            tuple(Committee.from_json(each) for each in committees),
            tuple(Handover.from_json(each) for each in handovers),
            None if checkpoint is None else Certificate.from_json(checkpoint),
        )

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "committees": [committee.to_json() for committee in self.committees],
            "handovers": [handover.to_json() for handover in self.handovers],
            "checkpoint": self.checkpoint.to_json() if self.checkpoint else None,
        }

    def encode(self) -> bytes:
        """Return the published form in canonical JSON."""
        return canonical(self.to_json())

    @property
    def newest(self) -> Committee:
        """The last committee."""
        return self.committees[-1]

    @property
    def network_id(self) -> bytes:
        """The id of the network that the newest committee belongs to, 32 bytes."""
        return self.newest.network_id

    @property
    def seen(self) -> int | None:
        """The time of the newest checkpoint, Unix seconds: how fresh this knowledge is."""
        return self.checkpoint.claim.timestamp if self.checkpoint else None  # type: ignore[attr-defined]

    @cached_property
    def _by_id(self) -> dict[bytes, Committee]:
        return {committee.id: committee for committee in self.committees}

    def named(self, committee_id: bytes) -> Committee:
        """Return the committee with this id. Raises WrongCommittee: it is not in the lineage."""
        if (found := self._by_id.get(committee_id)) is None:
            message = (
                f"committee {to_hex(committee_id)} is not in the lineage, which ends with epoch "
                f"{self.newest.epoch}"
            )
            raise errors.WrongCommittee(message, committee=to_hex(committee_id))
        return found

    def handover_to(self, epoch: int) -> Handover | None:
        """Return the handover to the committee of an epoch; None if the lineage has none."""
        at = epoch - 1 - self.committees[0].epoch
        return self.handovers[at] if 0 <= at < len(self.handovers) else None

    def sealed(self, epoch: int) -> Sealed:
        """Return the log at the handover to the committee of an epoch; `UNSEALED` for epoch 0."""
        return sealed_by(self.handover_to(epoch))

    def check_chain(self) -> None:
        """Check everything except signatures: from the newest file backwards this is enough.

        Raises:
            BrokenSuccession, RecycledId, RecycledKey, OversizedEvent: a committee is not fit to
                follow the one before, or a handover is not the one that a later file seals.
            LineageError: the numbers of committees and handovers do not match.
        """
        if len(self.committees) == 1 and not self.handovers:
            return  # the end of a lineage, or a network that has not changed
        if self.committees[0].epoch != 0:
            raise errors.BrokenSuccession("a lineage begins with the committee of epoch 0")
        if len(self.handovers) != len(self.committees) - 1:
            message = (
                f"{len(self.committees)} committees need {len(self.committees) - 1} handovers, "
                f"not {len(self.handovers)}"
            )
            raise errors.LineageError(message)
        known = Known.of(self.committees[:1])
        for following, handover in zip(self.committees[1:], self.handovers, strict=True):
            check_successor(known, self.sealed(known.committee.epoch), following)
            if handover.claim.next != following.id:
                message = f"the handover to epoch {following.epoch} names another committee"
                raise errors.BrokenSuccession(message, member="next")
            known = known.then(following)
        for one, other in pairwise(self.handovers):
            if other.claim.size <= one.claim.size or other.claim.timestamp <= one.claim.timestamp:
                message = f"the handover to epoch {other.claim.epoch} is not later than the last"
                raise errors.BrokenSuccession(message, member="size")

    def verify(self) -> None:
        """Verify the whole lineage, from the committee of epoch 0 forwards.

        Takes two pairing checks for each handover.

        Raises:
            BrokenSuccession, RecycledId, RecycledKey, OversizedEvent, LineageError: as
                `check_chain`.
            CertificateError: a handover, its acceptance or the checkpoint does not verify.
            LineageUnproven: the last committee has certified no log since it took its seat.
        """
        self.check_chain()
        for (one, following), handover in zip(
            pairwise(self.committees), self.handovers, strict=True
        ):
            handover.verify(one)
            handover.verify_acceptance(one, following)
        self._verify_checkpoint()

    def _verify_checkpoint(self) -> None:
        """Check that the last handover was applied: no honest member signs for a committee that
        its log does not have.
        """
        if self.checkpoint is None:
            if self.handovers:
                message = f"no checkpoint proves that epoch {self.newest.epoch} took its seat"
                raise errors.LineageUnproven(message, epoch=self.newest.epoch)
            return
        claim = self.checkpoint.claim
        if not isinstance(claim, CheckpointClaim):
            raise errors.LineageUnproven(f"a {claim.KIND} certificate is not a checkpoint")
        self.checkpoint.verify(self.newest)
        last = self.handovers[-1].claim if self.handovers else None
        if last and (claim.size <= last.size or claim.timestamp <= last.timestamp):
            message = f"the checkpoint is not later than the handover to epoch {last.epoch}"
            raise errors.LineageUnproven(message, epoch=last.epoch)

    def check_network(self, network_id: bytes) -> None:
        """Check that a verified lineage is that of the network which the caller pins.

        Raises:
            WrongCommittee: it is of another network.
            LineageError: it does not begin with epoch 0. Anybody can make a file of a later epoch,
                which then names whatever network it likes.
        """
        self._check_names(network_id)
        if (first := self.committees[0].epoch) != 0:
            message = (
                f"the file begins with epoch {first}, and only a lineage from epoch 0 on shows of "
                "which network it is"
            )
            raise errors.LineageError(message, epoch=first)

    def _check_names(self, network_id: bytes) -> None:
        if self.network_id != network_id:
            message = f"this is the lineage of another network, {to_hex(self.network_id)}"
            raise errors.WrongCommittee(message, network=to_hex(self.network_id))

    def replaced_by(self, other: Lineage) -> Lineage:
        """Return the longer of two verified lineages of one network, if one continues the other.

        Raises:
            WrongCommittee: `other` is of another network.
            LineageForked: they name different committees of one epoch, or different logs at one
                handover. Keep both: they show who signed for both.
            LineageError: `other` ends with a later epoch, and no handovers lead to it from here.
        """
        other._check_names(self.network_id)
        mine, theirs = self._ids(), other._ids()
        for epoch in sorted(mine.keys() & theirs.keys()):
            if mine[epoch] != theirs[epoch]:
                what = f"name different committees of epoch {epoch}"
                raise _forked(what, epoch, self, other)
        for handover in other.handovers:
            epoch = handover.claim.epoch
            known = self.handover_to(epoch)
            if known is None or known.claim.size != handover.claim.size:
                continue
            if known.claim.log_root != handover.claim.log_root:
                raise _forked(f"name different logs at the handover to {epoch}", epoch, self, other)
        if _progress(other) <= _progress(self):
            return self
        if self.newest.id not in other._by_id:
            message = (
                f"no handovers lead from epoch {self.newest.epoch} to epoch {other.newest.epoch}; "
                "the whole lineage is needed, from epoch 0 on"
            )
            raise errors.LineageError(message, epoch=other.newest.epoch)
        return other

    def _ids(self) -> dict[int, bytes]:
        """Return the ids of committees by epoch, as far as the files state them."""
        before = {each.epoch - 1: each.previous for each in self.committees if each.epoch}
        return before | {each.epoch: each.id for each in self.committees}


def _forked(what: str, epoch: int, one: Lineage, other: Lineage) -> errors.LineageForked:
    """Return the error that names the operators that signed both handovers to an epoch."""
    handovers = [each for each in (one.handover_to(epoch), other.handover_to(epoch)) if each]
    both = set(handovers[0].signers) & set(handovers[1].signers) if len(handovers) == 2 else set()
    message = f"the two lineages {what}"
    if both:
        message += f"; {', '.join(sorted(both))} signed both handovers"
    return errors.LineageForked(message, epoch=epoch, signed_both=sorted(both))


def _progress(lineage: Lineage) -> tuple[int, int, int]:
    return lineage.newest.epoch, len(lineage.committees), lineage.seen or 0


def sealed_by(handover: Handover | None) -> Sealed:
    """Return the log that a handover states; `UNSEALED` without one."""
    if handover is None:
        return UNSEALED
    claim = handover.claim
    return Sealed(claim.size, claim.log_root, claim.timestamp)


def lineage_of(committees: Sequence[Committee], handovers: Sequence[Handover]) -> Lineage:
    """Return a lineage without a checkpoint, such as a log knows it at any moment."""
    return Lineage(tuple(committees), tuple(handovers))
