"""Streams with readings for tests: honest windows, and those of an owner who lies.

    owner = make_readings_owner(members, sum={"kind": "stated", "width": "9"})
    window = owner.window([b"4.5", b"4.7"])
    submission = owner.submission(window, owner.prove(window))

Headers are put together here, because the service's own functions refuse what a liar would sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from committees import Members
from dragon.encoding import Json
from dragon.protocol.streams.chunks import chunk_headers, digest, opening_with_reading, tree_of
from dragon.protocol.streams.closing import decide
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
class ReadingsWindow(Window):
    """A window with its committed values, which an owner may have made up."""

    values: tuple[int, ...] = ()
    carried: bytes | None = None  # opening of the previous window's last commitment


@dataclass(frozen=True)
class ReadingsOwner(Owner):
    """The owner of a stream with readings, with its secrets."""

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
        **lies: Any,
    ) -> ReadingsWindow:
        """The next window, with a chunk every 10 ms.

        Args:
            values: the values to commit to, instead of those of the data.
            lies: members of the header, instead of the right ones.
        """
        before = previous.header if previous else None
        first = before.next_first if before else 0
        began_ms = before.last_received_ms + 10 if before else began_ms
        committed = tuple(values or (self.readings.committed_value(each) for each in data))
        openings = self.openings(first, data, committed)
        times = [(began_ms + 10 * i, self.readings.length) for i in range(len(data))]
        chunks = chunk_headers(first, times, openings, hash_many)
        carried = previous if isinstance(previous, ReadingsWindow) and self.readings.carry else None
        closing = decide(self.readings, committed, carried.values[-1] if carried else None)
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
        header = replace(header, **lies)
        return ReadingsWindow(
            *(header, self.sign(header), chunks, tuple(data), openings),
            values=committed,
            carried=carried.openings[-1] if carried else None,
        )

    def openings(
        self, first: int, data: Sequence[bytes], values: Sequence[int]
    ) -> tuple[bytes, ...]:
        """Openings of consecutive chunks from `first`, with any values."""
        return tuple(
            opening_with_reading(self.salt_key, self.descriptor.id, sequence, digest(each), value)
            for sequence, (each, value) in enumerate(zip(data, values, strict=True), start=first)
        )

    def bounds(self, window: ReadingsWindow) -> ReadingBounds:
        """The bounds that everybody computes for this window."""
        is_carried = window.carried is not None
        header = window.header
        found = self.readings.bounds(header.count, is_carried, header.stated)
        assert found is not None, "the window cannot make a statement"
        return found

    def prove(self, window: Window, rho: bytes = bytes(range(32)), **lies: int) -> bytes:
        """The proof that belongs to the window's claim. `lies`: other bounds than these."""
        assert isinstance(window, ReadingsWindow)
        if window.header.claim != "readings":
            return self.prove_blocks(window, rho)
        return self.prove_readings(window, replace(self.bounds(window), **lies), rho)

    def prove_readings(
        self, window: ReadingsWindow, bounds: ReadingBounds, rho: bytes = bytes(range(32))
    ) -> bytes:
        """A readings proof under any bounds, whatever the header claims."""
        before = [window.carried] if window.carried is not None else []
        return prove_readings(
            self.descriptor.parameters,
            secret_preimage(self.private_key),
            [*before, *window.openings],
            bool(before),
            bounds,
            window.header.hash,
            rho,
        )


def make_readings_owner(
    members: Members, name: str = "cold-chain", parameters: str = "standard", **changes: Json
) -> ReadingsOwner:
    """The owner of a cold chain, whose descriptor's readings have these changes."""
    plain = make_owner(members, name, parameters)
    descriptor = replace(plain.descriptor, readings=make_readings(**changes))
    return ReadingsOwner(descriptor, plain.private_key, plain.header_secret, plain.salt_key)
