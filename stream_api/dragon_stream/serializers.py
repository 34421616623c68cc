"""Streams and windows as they are shown."""

from __future__ import annotations

from dragon.encoding import to_hex
from dragon.node.routes.streams import MAX_ENDORSEMENTS_SHOWN, endorsements
from dragon_stream.components import Components
from dragon_stream.store import State, WindowRow, WindowSummary
from dragon_stream.streams import Stream


def show_stream(own: Components, stream: Stream) -> dict[str, object]:
    row, last = stream.row, stream.windows.last
    closed = last.number + 1 if last else 0
    return {
        "stream": to_hex(row.stream),
        "name": row.name,
        "descriptor": stream.keys.descriptor.to_json(),
        "chunk_bytes": row.chunk_bytes,
        "window_chunks": row.window_chunks,
        "window_ms": row.window_ms,
        "mode": row.mode,
        "retention_seconds": row.retention_seconds,
        "created_ms": row.created_ms,
        "chunks": stream.intake.sequence,
        "bytes": stream.intake.total,
        "windows": closed,
        "certified": closed - own.pipeline.waiting(row.stream),
        "stopped": stream.intake.trouble or None,
    }


def show_head(head: WindowSummary) -> dict[str, object]:
    return {
        "number": head.number,
        "state": str(head.state),
        "first": head.first,
        "count": head.count,
        "closed_ms": head.closed_ms,
        "position": head.position,
    }


def show_window(own: Components, row: WindowRow) -> dict[str, object]:
    certified = own.receipts.event(row).to_json() if row.position is not None else None
    verdicts = {State.CERTIFIED: "valid", State.INVALID: "invalid"}
    said = own.records.endorsements(row.stream, row.number, limit=MAX_ENDORSEMENTS_SHOWN)
    return {
        "stream": to_hex(row.stream),
        "number": row.number,
        "state": str(row.state),
        "header": row.header.members(),
        "header_signature": to_hex(row.signature),
        "closed_ms": row.closed_ms,
        "verdict": verdicts.get(row.state),
        "position": row.position,
        "event": certified,
        "votes": list(own.pipeline.votes.get(row.stream, row.number)),
        "endorsements": endorsements(said),
    }
