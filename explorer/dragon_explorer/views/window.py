"""The page `/streams/<id>/windows/<n>`: one window with every verdict and every vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.log.index_tables import Applied
from dragon.protocol.claims.window import Statement, WindowClaim
from dragon.protocol.streams.votes import Vote, decided_votes
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.security import window_level_bits, window_security
from dragon_explorer.history.window_votes import VotedWindow
from dragon_explorer.sources import Sources
from dragon_explorer.views.incidents import verify_command
from dragon_explorer.views.stream import EndorsementRow, endorsement_rows
from dragon_explorer.views.streams import StreamRowView, find_stream
from dragon_explorer.views.window_rows import WindowRow, stated_votes, window_rows

MAX_VERDICTS: Final = 50


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A certified verdict on a window."""

    position: int
    verdict: str
    statement: Statement | None  # what was proven; None in a stream without readings
    reason: str
    timestamp: int
    parameters: str
    proof: str  # SHA-256 of the proof
    proof_bytes: int | None  # uncertified
    header: str
    signers: tuple[str, ...]
    votes: tuple[Vote, ...]  # of every operator
    needed: int  # signatures
    least_bits: int | None  # security level of any valid window with these parameters, in bits
    chunks: int | None  # uncertified
    security: Mapping[str, int] | None  # whole bits, for that number of chunks
    command: str
    certificate: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a stream, with every verdict."""

    now: int
    stream: StreamRowView
    window: WindowRow
    verdicts: tuple[VerdictRow, ...]
    endorsements: tuple[EndorsementRow, ...]


def window(sources: Sources, now: int, stream_id: bytes, number: int) -> Window:
    """Return one window. Raises NotFound."""
    row = find_stream(sources, stream_id)
    found = window_rows(sources, stream_id, [number])
    if not found:
        raise errors.NotFound("neither the log nor a live service knows this window", number=number)
    verdicts = sources.records.verdicts(stream_id, number, limit=MAX_VERDICTS)
    voted = sources.window_votes.of(row.stream, number)
    return Window(
        now,
        row,
        found[0],
        tuple(_verdict(sources, each, found[0], voted) for each in verdicts),
        endorsement_rows(sources, stream_id, number),
    )


def _verdict(
    sources: Sources,
    found: Applied[WindowClaim],
    row: WindowRow,
    voted: Sequence[VotedWindow],
) -> VerdictRow:
    event, claim = sources.log.entry(found.position).event, found.claim
    committee = sources.epochs.committee(event.committee_id)
    own = [each for each in voted if each.proof == to_hex(claim.proof)]
    stated = stated_votes(vote for each in own for vote in each.decoded())
    sizes = [each.proof_bytes for each in own]
    if row.position == found.position:
        sizes.append(row.proof_bytes)
    is_valid = str(claim.verdict) == "valid"
    return VerdictRow(
        position=found.position,
        verdict=str(claim.verdict),
        statement=claim.statement,
        reason=str(claim.reason),
        timestamp=claim.timestamp,
        parameters=claim.parameters,
        proof=to_hex(claim.proof),
        proof_bytes=next((each for each in sizes if each is not None), None),
        header=to_hex(claim.header),
        signers=tuple(event.signers),
        votes=decided_votes(committee.keys, event.signers, stated),
        needed=committee.quorum(claim.KIND),
        least_bits=window_level_bits(claim.parameters, MAX_CHUNKS) if is_valid else None,
        chunks=row.chunks,
        security=_security(claim, row.chunks) if is_valid else None,
        command=verify_command(sources, found.position),
        certificate=event.to_json(),
    )


def _security(claim: WindowClaim, chunks: int | None) -> Mapping[str, int] | None:
    if chunks is None:
        return None
    # A proof about readings may begin with a chunk of the previous window.
    most = min(MAX_CHUNKS, chunks + (claim.statement is Statement.READINGS))
    found = window_security(claim.parameters, most)
    if found is None:
        return None
    return {name: floor(bits) for name, bits in found.rounded().items()}
