"""Offline verification of spot checks: which chunks were drawn, and which are as committed.

An answer that does not show which chunks were drawn is refused. A drawn chunk that its owner has
not opened, or whose data is not what was committed to, is a failed chunk of a verified answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NoReturn

from dragon import errors
from dragon.encoding import Json, to_hex
from dragon.protocol import merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.certified_window import (
    CertifiedLog,
    CertifiedWindow,
    ReportReason,
    WindowChecks,
    check_stream,
)
from dragon.protocol.streams.chunks import digest, digest_of
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.disclosure import DisclosureReason, check_disclosure
from dragon.protocol.streams.spot_check import (
    DisclosedChunk,
    SpotCheckAnswer,
    SpotCheckReason,
    SpotCheckRequest,
    draw,
    found_probability,
)
from dragon.protocol.streams.window import WindowHeader
from dragon.protocol.trust import Trust
from dragon.stark.commitment import is_opening

NOT_ANSWERED: Final = "not_answered"  # the answer does not have the chunk
NOT_OPENED: Final = "not_opened"  # the owner gave no opening or no data
NOT_IN_WINDOW: Final = "not_in_window"  # the chunk header is not the one in the window


@dataclass(frozen=True, slots=True)
class CheckedChunk:
    """A drawn chunk, and whether its data is what its owner has committed to."""

    sequence: int
    fault: str = ""  # a short name; empty if everything fits
    detail: str = ""  # a sentence for people about the fault
    reading: int | None = None  # the committed reading, equal to the number in the data

    def to_json(self) -> dict[str, Json]:
        """Return the result for programs."""
        return {
            "sequence": self.sequence,
            "fault": self.fault or None,
            "detail": self.detail or None,
            "reading": None if self.reading is None else str(self.reading),
        }


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """A verified answer."""

    request: SpotCheckRequest
    descriptor: Descriptor
    checkpoint: CheckpointClaim  # that drew the chunks
    total: int  # chunks in the windows of the request
    chunks: tuple[CheckedChunk, ...]  # every drawn chunk, ascending

    @property
    def failed(self) -> tuple[CheckedChunk, ...]:
        """The drawn chunks that are not as committed, or were not opened."""
        return tuple(each for each in self.chunks if each.fault)

    def found_probability(self, wrong: int) -> Fraction:
        """Return the probability with which this check draws at least one of `wrong` chunks."""
        return found_probability(self.total, len(self.chunks), wrong)

    def to_json(self) -> dict[str, Json]:
        """Return the result for programs."""
        return {
            "stream": to_hex(self.descriptor.id),
            "name": self.descriptor.name,  # self-chosen, not unique
            "first_window": self.request.first,
            "last_window": self.request.last,
            "requested_at": self.request.timestamp,
            "checkpoint": {
                "timestamp": self.checkpoint.timestamp,
                "size": self.checkpoint.size,
                "root": to_hex(self.checkpoint.log_root),
            },
            "total": self.total,
            "drawn": len(self.chunks),
            "failed": len(self.failed),
            "chunks": [each.to_json() for each in self.chunks],
        }


def verify_spot_check(
    answer: SpotCheckAnswer, known: Trust | Lineage | Committee, *, request: SpotCheckRequest
) -> SpotCheck:
    """Verify an answer, and return which of the drawn chunks are as their owner committed to them.

    Args:
        known: a verified lineage, or one committee; see `dragon.protocol.trust`.
        request: the verifier's own request, which must not come with the answer: an owner that made
            it could have tried many.

    Raises SpotCheckRefused: the first check that failed; `reason` names it.
    """
    trust, refused = Trust.of(known), errors.SpotCheckRefused
    # (1) The answer is to this request, and about its stream.
    if answer.request != request:
        _refuse(SpotCheckReason.OTHER_REQUEST, "the answer is to another request")
    check_stream(answer.descriptor, request.stream, trust, refused)
    # (2) The checkpoint is the first one in the log after the request.
    claim, log = _check_checkpoint(answer, trust)
    # (3) Its log has the windows of the request: they are older than its root.
    windows = _check_windows(answer, WindowChecks(answer.descriptor, log, refused))
    # (4) Draw again, and (5) check every drawn chunk.
    first, following = _range(windows, request)
    drawn = [first + each for each in draw(request, claim.log_root, following - first)]
    chunks = _check_chunks(answer, windows, drawn)
    return SpotCheck(request, answer.descriptor, claim, following - first, chunks)


def _check_checkpoint(
    answer: SpotCheckAnswer, trust: Trust
) -> tuple[CheckpointClaim, CertifiedLog]:
    """Check that the drawing checkpoint is the first one that the log has after the request."""
    proven = answer.checkpoint
    claim = proven.entry.event.claim
    if not isinstance(claim, CheckpointClaim):
        _refuse(SpotCheckReason.CHECKPOINT, f"a {claim.KIND} certificate draws no chunks")
    if proven.anchor is None:
        message = "no later mark of the log shows that the checkpoint was applied"
        _refuse(SpotCheckReason.CHECKPOINT, message)
    try:
        committee = proven.verify(trust)
    except (errors.CertificateError, errors.InvalidProof) as error:
        message = f"the checkpoint is invalid: {error} ({error.name})"
        _refuse(SpotCheckReason.CHECKPOINT, message)
    _check_first(answer.request, claim, committee, trust.lineage)
    return claim, CertifiedLog(claim.size, claim.log_root, committee, trust.lineage)


def _check_first(
    request: SpotCheckRequest, claim: CheckpointClaim, committee: Committee, lineage: Lineage
) -> None:
    """Check that no other checkpoint in the log can be between the request and this one.

    Two checkpoints in a log are at least `checkpoint_every` seconds apart, except after a handover,
    which the lineage knows.
    """
    if claim.timestamp < request.timestamp:
        message = (
            f"the checkpoint is {request.timestamp - claim.timestamp} s older than the request"
        )
        _refuse(SpotCheckReason.TOO_EARLY, message)
    pause = committee.rounds.checkpoint_every
    if claim.timestamp >= request.timestamp + pause:
        message = (
            f"the checkpoint is {claim.timestamp - request.timestamp} s later than the request; "
            f"only one within {pause} s is certainly the first"
        )
        _refuse(SpotCheckReason.NOT_FIRST, message)
    if committee.epoch == 0:
        return
    seated = lineage.handover_to(committee.epoch)
    if seated is None or seated.claim.timestamp >= request.timestamp:
        message = (
            "the lineage does not show that the committee of the checkpoint took its seat before "
            "the request was made; another checkpoint may have come first"
        )
        _refuse(SpotCheckReason.NOT_FIRST, message)


def _check_windows(answer: SpotCheckAnswer, checks: WindowChecks) -> Mapping[int, CertifiedWindow]:
    """Return the verified windows by number."""
    for each in answer.windows:
        checks.check(each, each.inclusion)
    return {each.header.number: each for each in answer.windows}


def _range(windows: Mapping[int, CertifiedWindow], request: SpotCheckRequest) -> tuple[int, int]:
    """Return the first chunk of the windows, and the one behind the last."""
    for number in (request.first, request.last):
        if number not in windows:
            message = f"window {number} is missing, so the number of chunks is not shown"
            _refuse(SpotCheckReason.WINDOWS, message, window=number)
    first, last = windows[request.first].header, windows[request.last].header
    # Operators find windows valid only if their chunks follow those of the window before.
    return first.first, last.next_first


def _check_chunks(
    answer: SpotCheckAnswer, windows: Mapping[int, CertifiedWindow], drawn: Sequence[int]
) -> tuple[CheckedChunk, ...]:
    disclosed = {each.header.sequence: each for each in answer.chunks}
    if extra := sorted(disclosed.keys() - set(drawn)):
        message = f"chunk {extra[0]} was not drawn, and is disclosed"
        _refuse(SpotCheckReason.NOT_DRAWN, message, sequence=extra[0])
    headers = [each.header for each in windows.values()]
    return tuple(_checked(answer.descriptor, headers, each, disclosed.get(each)) for each in drawn)


def _checked(
    descriptor: Descriptor,
    windows: Sequence[WindowHeader],
    sequence: int,
    disclosed: DisclosedChunk | None,
) -> CheckedChunk:
    """Check one drawn chunk. A fault never raises: it counts against the owner."""
    if disclosed is None:
        return CheckedChunk(sequence, NOT_ANSWERED, "the answer does not have the chunk")
    if not any(_holds(window, disclosed) for window in windows):
        message = "no window of the answer has this chunk header"
        return CheckedChunk(sequence, NOT_IN_WINDOW, message)
    if disclosed.opening is None or disclosed.data is None:
        return CheckedChunk(sequence, NOT_OPENED, "the owner has not opened the chunk")
    try:
        reading = _opened(descriptor, disclosed.header.commitment, disclosed)
    except errors.DisclosureRefused as refusal:
        return CheckedChunk(sequence, refusal.reason, str(refusal))
    return CheckedChunk(sequence, reading=reading)


def _holds(window: WindowHeader, disclosed: DisclosedChunk) -> bool:
    """Return whether a chunk header is in a window, in its place."""
    index = disclosed.header.sequence - window.first
    hashed = merkle.leaf_hash(disclosed.header.leaf())
    try:
        merkle.verify_inclusion(hashed, index, window.count, disclosed.path, window.chunks_root)
    except errors.InvalidProof:
        return False
    return True


def _opened(descriptor: Descriptor, commitment: bytes, disclosed: DisclosedChunk) -> int | None:
    """Return the reading of an opened chunk; None without one. Raises DisclosureRefused."""
    opening, data = disclosed.opening or b"", disclosed.data or b""
    if descriptor.readings is not None:
        return check_disclosure(descriptor.readings, commitment, opening, data)
    if len(data) != disclosed.header.length:
        message = f"the data has {len(data)} bytes, and the chunk {disclosed.header.length}"
        raise errors.DisclosureRefused(DisclosureReason.LENGTH, message)
    if digest(data) != digest_of(opening):
        message = "the SHA-256 of the data is not the digest in the opening"
        raise errors.DisclosureRefused(DisclosureReason.DIGEST, message)
    if not is_opening(commitment, opening):
        message = "digest and salt do not open the chunk's commitment"
        raise errors.DisclosureRefused(DisclosureReason.COMMITMENT, message)
    return None


def _refuse(reason: SpotCheckReason | ReportReason, message: str, **facts: object) -> NoReturn:
    raise errors.SpotCheckRefused(reason, message, **facts)
