"""What the prover needs to prove a window: the statement, and the secrets that fulfil it.

Everything is derived again for each attempt and dropped after it. The statement follows from the
descriptor and the signed headers, so new attempts repeat it; the prover's randomness is fresh.
Two statements about nearly the same readings would reveal their difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dragon.protocol.claims.window import Statement
from dragon.protocol.streams.chunks import decode_chunks
from dragon.protocol.streams.statements import ReadingsStatement, window_statement
from dragon_stream.keys import StreamKeys
from dragon_stream.store import Store, WindowRow
from dragon_stream.window_sealer import window_openings


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """One window to prove. With a carried chunk, its commitment and its opening come first."""

    statement: ReadingsStatement | None  # None: a blocks proof
    commitments: Sequence[bytes]
    openings: Sequence[bytes] = field(repr=False)

    @classmethod
    def of(cls, store: Store, keys: StreamKeys, row: WindowRow) -> ProofRequest:
        """The request for a closed window.

        Raises:
            ChunkDamaged: the row of the previous window is damaged or missing.
            ProofRefused: the header's claim is not one that can be proven.
        """
        previous = carried_window(store, keys, row)
        header = previous.header if previous else None
        statement = window_statement(keys.descriptor, row.header, header)
        chunks, openings = decode_chunks(row.chunks), window_openings(keys, row)
        if statement is None:
            return cls(None, [chunk.commitment for chunk in chunks], openings)
        if previous is not None:
            openings = [window_openings(keys, previous)[-1], *openings]
        return cls(statement, statement.commitments(chunks), openings)


def carried_window(store: Store, keys: StreamKeys, row: WindowRow) -> WindowRow | None:
    """The window with whose last chunk the proof of `row` begins; None if it begins with its own.

    Raises ChunkDamaged: its row is damaged or missing.
    """
    readings = keys.descriptor.readings
    if readings is None or row.statement is not Statement.READINGS:
        return None
    number = row.number
    return store.needed_window(row.stream, number - 1) if readings.is_carried(number) else None
