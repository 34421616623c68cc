"""The JSON forms of streams and windows."""

from __future__ import annotations

from dragon.encoding import to_hex
from dragon.node.routes.streams import MAX_ENDORSEMENTS_SHOWN, endorsements
from dragon.protocol.claims.window import Statement
from dragon.stark.security import window_level_bits
from dragon_stream.components import Components
from dragon_stream.receipts import ChunkDigest
from dragon_stream.store import WindowRow
from dragon_stream.streams import Stream
from dragon_stream.unfinished_windows import WindowSummary
from dragon_stream.window_state import WindowState


def stream_to_json(components: Components, stream: Stream, *, for_owner: bool) -> dict[str, object]:
    """Args: `for_owner`, whether the owner asks, who may know the bytes of any stream."""
    row, certified = stream.row, components.store.certified(stream.id)
    last = stream.sealer.last  # after that: no more windows are certified than closed
    return {
        "stream": to_hex(row.stream),
        "name": row.name,
        "descriptor": stream.keys.descriptor.to_json(),
        "chunk_bytes": row.chunk_bytes,
        "window_chunks": None if row.adaptive else row.window_chunks,
        "max_window_chunks": stream.chunker.sizes.largest,
        "window_ms": row.window_ms,
        "mode": row.mode,
        "retention_seconds": row.retention_seconds,
        "created_ms": row.created_ms,
        "chunks": stream.chunker.sequence,
        "bytes": stream.chunker.total if for_owner or not row.hides_sizes else None,
        "windows": last.number + 1 if last else 0,
        "certified": certified,
        "stopped": stream.chunker.last_error or None,
    }


def summary_to_json(
    stream: Stream, summary: WindowSummary, proof_bytes: int | None, statement: str | None
) -> dict[str, object]:
    """The JSON form of a window in a list.

    Args:
        stream: the window's stream.
        summary: the window.
        proof_bytes: the size of its proof; None if it is unknown.
        statement: what its proof states; None in a stream without readings.
    """
    return {
        "number": summary.number,
        "state": str(summary.state),
        "statement": statement,
        "first": summary.first,
        "count": summary.count,
        "closed_ms": summary.closed_ms,
        "position": summary.position,
        "proof_bytes": proof_bytes,
        "security_bits": _level(stream, summary.number, summary.state, summary.count, statement),
    }


def _level(
    stream: Stream, number: int, state: WindowState, count: int, statement: str | None
) -> int | None:
    """The security level of a window's proof in bits; None if it has none, or an invalid one."""
    if state not in {WindowState.PROVEN, WindowState.CERTIFIED}:
        return None
    readings = stream.readings
    carried = (
        readings is not None and statement == Statement.READINGS and readings.is_carried(number)
    )
    return window_level_bits(stream.row.parameters, count + carried)


def digest_to_json(chunk: ChunkDigest) -> dict[str, object]:
    return {"sequence": chunk.sequence, "length": chunk.length, "digest": to_hex(chunk.digest)}


def window_to_json(components: Components, row: WindowRow) -> dict[str, object]:
    certified = components.receipts.event(row).to_json() if row.position is not None else None
    verdicts = {WindowState.CERTIFIED: "valid", WindowState.INVALID: "invalid"}
    said = components.records.endorsements(row.stream, row.number, limit=MAX_ENDORSEMENTS_SHOWN)
    sizes = components.store.proof_sizes(row.stream, row.number, row.number)
    stream, statement = components.streams.get(row.stream), row.statement
    return {
        "stream": to_hex(row.stream),
        "number": row.number,
        "state": str(row.state),
        "statement": statement,
        "header": row.header.members(),
        "header_signature": to_hex(row.signature),
        "closed_ms": row.closed_ms,
        "verdict": verdicts.get(row.state),
        "position": row.position,
        "event": certified,
        "proof_bytes": sizes.get(row.number),
        "security_bits": _level(stream, row.number, row.state, row.header.count, statement),
        "votes": list(components.pipeline.submitter.votes.get(row.stream, row.number)),
        "endorsements": endorsements(said),
    }
