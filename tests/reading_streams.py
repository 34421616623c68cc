"""Streams with readings for tests: honest windows, and those of an owner who lies.

    owner = make_readings_owner(members, sum={"kind": "stated", "width": "9"})
    window = owner.window([b"4.5", b"4.7"])
    submission = owner.submission(window, owner.prove(window))

Headers are put together here, because the service's own functions refuse what a liar would sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from committees import Members
from dragon.encoding import Json
from dragon.protocol.streams.chunks import chunk_headers, digest, opening_with_reading, tree_of
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.window import WindowHeader
from dragon.stark.prover.blocks import hash_many
from dragon.stark.prover.readings import prove_readings
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.ziggy import secret_preimage
from streams import START_MS, Owner, Window, make_owner

# A cold chain: 2.0 to 8.0 °C, at most 1.5 °C from one reading to the next.
COLD_CHAIN: Final[dict[str, Json]] = {
    "form": "plain",
    "scale": 1,
    "rounding": "exact",
    "unit": "°C",
    "length": 16,
    "low": "20",
    "high": "80",
    "fall": "15",
    "rise": "15",
    "sum": {"kind": "none"},
    "carry": True,
    "most": 8,
}


def make_readings(**changes: Json) -> Readings:
    """The cold chain's readings, with other members."""
    return Readings.from_json({**COLD_CHAIN, **changes})


@dataclass(frozen=True)
class ReadingsOwner(Owner):
    """The owner of a stream with readings, who may commit to any number and sign any header."""

    @property
    def readings(self) -> Readings:
        assert self.descriptor.readings is not None
        return self.descriptor.readings

    def window(
        self,
        data: Sequence[bytes],
        previous: Window | None = None,
        *,
        began_ms: int = START_MS,
        values: Sequence[int] | None = None,
    ) -> Window:
        """The next window, with a chunk every 10 ms, even if it has too many chunks.

        Args: `values`, the values to commit to, instead of those of the data.
        """
        before = previous.header if previous else None
        first = before.next_first if before else 0
        began_ms = before.last_received_ms + 10 if before else began_ms
        openings = self.openings(first, data, values)
        times = [(began_ms + 10 * i, self.length(each)) for i, each in enumerate(data)]
        chunks = chunk_headers(first, times, openings, hash_many)
        closing = self.closing(openings, previous)
        assert closing is not None
        header = WindowHeader(
            self.descriptor.id,
            before.number + 1 if before else 0,
            before.hash if before else self.descriptor.id,
            first,
            len(data),
            times[0][0],
            times[-1][0],
            tree_of(chunks).root(),
            claim=closing.claim,
            last=chunks[-1].commitment if self.readings.carry else None,
            stated=closing.stated,
        )
        return Window(header, self.sign(header), chunks, tuple(data), openings, previous)

    def openings(
        self, first: int, data: Sequence[bytes], values: Sequence[int] | None = None
    ) -> tuple[bytes, ...]:
        """Openings of consecutive chunks from `first`, with any values."""
        committed = values or [self.readings.committed_value(each) for each in data]
        return tuple(
            opening_with_reading(self.salt_key, self.descriptor.id, sequence, digest(each), value)
            for sequence, (each, value) in enumerate(zip(data, committed, strict=True), start=first)
        )

    def carried(self, window: Window) -> bytes | None:
        """The opening that the window's proof begins with."""
        previous = window.previous if self.readings.carry else None
        return previous.openings[-1] if previous else None

    def bounds(self, window: Window) -> ReadingBounds:
        """The bounds that everybody computes for this window."""
        is_carried, header = self.carried(window) is not None, window.header
        found = self.readings.bounds(header.count, is_carried, header.stated)
        assert found is not None, "the window cannot make a statement"
        return found

    def prove(self, window: Window, rho: bytes = bytes(range(32)), **lies: int) -> bytes:
        """The proof that belongs to the window's claim. `lies`: other bounds than these."""
        if window.header.claim is not HeaderClaim.READINGS:
            return self.prove_blocks(window, rho)
        return self.prove_readings(window, replace(self.bounds(window), **lies), rho)

    def prove_readings(
        self, window: Window, bounds: ReadingBounds, rho: bytes = bytes(range(32))
    ) -> bytes:
        """A readings proof under any bounds, whatever the header claims."""
        carried = self.carried(window)
        return prove_readings(
            self.descriptor.parameters,
            secret_preimage(self.private_key),
            [*([carried] if carried else []), *window.openings],
            carried is not None,
            bounds,
            window.header.hash,
            rho,
        )


def make_readings_owner(
    members: Members, name: str = "cold-chain", parameters: str = "standard", **changes: Json
) -> ReadingsOwner:
    """The owner of a cold chain, whose descriptor's readings have these changes."""
    plain = make_owner(members, name, parameters, make_readings(**changes))
    return ReadingsOwner(plain.descriptor, plain.private_key, plain.header_secret, plain.salt_key)
