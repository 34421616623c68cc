"""Cold chains for tests, with chosen times of arrival, and owners that commit to other values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from committees import Members
from dragon.protocol.streams.chunks import chunk_headers, digest, opening_with_reading
from dragon.protocol.streams.closing import Closing, decide
from dragon.protocol.streams.reading_rule import Form, ReadingRule, Rounding
from dragon.protocol.streams.reading_sums import NoSum
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.statements import window_statement
from dragon.protocol.streams.window import WindowHeader, close
from dragon.stark.commitment import committed_reading
from dragon.stark.prover.blocks import hash_many, prove_blocks
from dragon.stark.prover.readings import prove_readings
from dragon.stark.ziggy import secret_preimage
from streams import START_MS, Owner, Window, make_owner

# A cold chain: thousandths of a degree, from 2 to 8 °C, at most half a degree from one to the next.
RULE: Final = ReadingRule(Form.PLAIN, None, 3, Rounding.EXACT)
COLD_CHAIN: Final = Readings(RULE, "°C", 16, 2000, 8000, 500, 500, NoSum(), carry=True, most=63)


def readings(**changes: Any) -> Readings:
    """The cold chain's readings with other members."""
    return replace(COLD_CHAIN, **changes)


@dataclass(frozen=True)
class ReadingOwner(Owner):
    """The owner of a stream with readings."""

    @property
    def readings(self) -> Readings:
        assert self.descriptor.readings
        return self.descriptor.readings

    def window(
        self,
        data: Sequence[bytes],
        previous: Window | None = None,
        *,
        began_ms: int = START_MS,
        every_ms: int = 10,
        values: Sequence[int] | None = None,
        closing: Closing | None = None,
    ) -> Window:
        """The next window.

        Args:
            values: what is committed to, if it is not what the data says.
            closing: what the header claims, if it is not what the values allow.
        """
        before = previous.header if previous else None
        first = before.next_first if before else 0
        began_ms = max(began_ms, before.last_received_ms + every_ms if before else 0)
        committed = values or [self.readings.committed_value(each) for each in data]
        openings = tuple(
            opening_with_reading(self.salt_key, self.descriptor.id, sequence, digest(each), value)
            for sequence, (each, value) in enumerate(zip(data, committed, strict=True), start=first)
        )
        length = self.readings.length
        received = [(began_ms + every_ms * index, length) for index in range(len(data))]
        chunks = chunk_headers(first, received, openings, hash_many)
        closing = closing or decide(self.readings, committed, self._carried(previous))
        header = close(self.descriptor, before, chunks, closing)
        return Window(header, self.sign(header), chunks, tuple(data), openings)

    def _carried(self, previous: Window | None) -> int | None:
        if previous is None or not self.readings.carry:
            return None
        return committed_reading(previous.openings[-1])

    def prove_claim(
        self, window: Window, previous: Window | None = None, rho: bytes = bytes(range(32))
    ) -> bytes:
        """The proof of what the window's header claims."""
        before: WindowHeader | None = previous.header if previous else None
        statement = window_statement(self.descriptor, window.header, before)
        identity, name = secret_preimage(self.private_key), self.descriptor.parameters
        if statement is None:
            return prove_blocks(name, [identity, *window.openings], window.header.hash, rho)
        carried = [previous.openings[-1]] if statement.carried and previous else []
        openings, message = [*carried, *window.openings], window.header.hash
        return prove_readings(
            name, identity, openings, bool(carried), statement.bounds, message, rho
        )


def make_reading_owner(
    members: Members, name: str = "cold-chain", stated: Readings = COLD_CHAIN
) -> ReadingOwner:
    plain = make_owner(members, name)
    descriptor = replace(plain.descriptor, readings=stated)
    return ReadingOwner(descriptor, plain.private_key, plain.header_secret, plain.salt_key)
