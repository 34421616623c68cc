"""The secret preimages of a window's outputs, as numbers that kernels take, and their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Self

import numpy as np

from dragon.errors import WrongWitness
from dragon.stark.commitment import LIMB_BITS, OPENING_BYTES
from dragon.stark.field import P
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.prover.kernels import rescue
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import integers, montgomery, rescue_constants, wire
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import DIGEST_LENGTH, N_ROUNDS, RATE, WIDTH

Secret = bytes | Sequence[int]  # an opening of 60 bytes, or eight elements of F

_MIN_PER_THREAD: Final = 64  # hashes: less work is not split
_PAIR_BYTES: Final = 2 * LIMB_BITS // 8  # two limbs fill 15 bytes
_LIMB_MASK: Final = np.uint64((1 << LIMB_BITS) - 1)


class Preimages:
    """Preimages of Rescue hashes, eight elements of F each. Everything in it is secret.

    A window may be padded with copies of its first preimage, which are not hashed again.
    """

    def __init__(self, numbers: Words, copies: int = 0) -> None:
        """Own `numbers`, eight per preimage in Montgomery form; `copies` of the first follow."""
        self._numbers, self._copies = numbers, copies
        self._hashed: tuple[Words, Words] | None = None  # rows, and outputs of all blocks

    @classmethod
    def of(cls, secrets: Sequence[Secret]) -> Self:
        """The preimages in openings of 60 bytes, or given as eight elements each.

        Raises WrongWitness, which names the place but not the value.
        """
        numbers = np.empty((len(secrets), RATE), dtype=np.uint64)
        openings = [at for at, secret in enumerate(secrets) if isinstance(secret, bytes)]
        numbers[openings] = _limbs([_opening(at, secrets[at]) for at in openings])
        for at, secret in enumerate(secrets):
            if not isinstance(secret, bytes):
                numbers[at] = _elements(at, secret)
        return cls(montgomery(numbers.reshape(-1)))

    def __len__(self) -> int:
        return self._numbers.size // RATE + self._copies

    def __iter__(self) -> Iterator[list[int]]:
        """All preimages as elements of F, including padding."""
        elements = integers(self._numbers)
        yield from (elements[at : at + RATE] for at in range(0, len(elements), RATE))
        yield from (elements[:RATE] for _ in range(self._copies))

    def padded(self, count: int) -> Self:
        """The same preimages, filled up to `count` with the first one. Nothing is hashed again."""
        copies = count - self._numbers.size // RATE
        result = type(self)(self._numbers, copies)
        if self._hashed is not None:
            result._hashed = result._filled(*self._hashed)
            self._hashed = None
        return result

    def encode(self) -> bytes:
        """Each element in 8 bytes (section 1.2), including padding."""
        encoded = wire(self._numbers)
        return encoded + self._copies * encoded[: 8 * RATE]

    def elements(self, place: int, first: int, last: int) -> list[int]:
        """Element `place` of each of the preimages first … last - 1, which are no padding."""
        return integers(self._numbers.reshape(-1, RATE)[first:last, place])

    def outputs(self, team: ThreadTeam) -> Words:
        """The hashes, four numbers each, including padding."""
        return self._hash(team)[1]

    def rows(self, team: ThreadTeam) -> Words:
        """The original trace of a blocks proof (section 18.3), as a new array.

        The caller owns it and overwrites it after use.
        """
        rows, _ = self._hash(team)
        self._hashed = None
        return rows

    def wipe(self) -> None:
        """Overwrite all numbers. The object is of no use afterwards."""
        self._numbers.fill(0)
        if self._hashed is not None:
            self._hashed[0].fill(0)
            self._hashed = None

    def _hash(self, team: ThreadTeam) -> tuple[Words, Words]:
        if self._hashed is None:
            count = self._numbers.size // RATE
            rows = np.zeros(BLOCK_ROWS * WIDTH * count, dtype=np.uint64)
            outputs = hashes(self._numbers, team, rows)
            self._hashed = self._filled(rows, outputs)
        return self._hashed

    def _filled(self, rows: Words, outputs: Words) -> tuple[Words, Words]:
        """Rows and outputs with those of the copies. The given rows are overwritten if copied."""
        if not self._copies:
            return rows, outputs
        padding = np.tile(rows[: BLOCK_ROWS * WIDTH], self._copies)
        filled = np.concatenate([rows, padding])
        for secret in (rows, padding):
            secret.fill(0)
        return filled, np.concatenate([outputs, np.tile(outputs[:DIGEST_LENGTH], self._copies)])


def hashes(numbers: Words, team: ThreadTeam, rows: Words | None = None) -> Words:
    """The Rescue hashes, four numbers each, of preimages of eight numbers each.

    `rows` receives the original trace of a blocks proof if it is given, 16 rows per hash. It must
    hold zeros.
    """
    count = numbers.size // RATE
    outputs = np.empty(DIGEST_LENGTH * count, dtype=np.uint64)
    traced = outputs[:0] if rows is None else rows
    block = N_ROUNDS if rows is None else BLOCK_ROWS

    def work(first: int, last: int) -> None:
        rescue.hash_many(numbers, rescue_constants(), outputs, traced, block, first, last)

    team.share(work, count, _MIN_PER_THREAD)
    return outputs


def _opening(at: int, secret: Secret) -> bytes:
    if not isinstance(secret, bytes) or len(secret) != OPENING_BYTES:
        raise WrongWitness(f"opening {at} does not have {OPENING_BYTES} bytes", number=at)
    return secret


def _elements(at: int, secret: Sequence[int]) -> Sequence[int]:
    if len(secret) != RATE or not all(0 <= x < P for x in secret):
        raise WrongWitness(f"preimage {at} is not eight elements of the field", number=at)
    return secret


def _limbs(openings: Sequence[bytes]) -> Words:
    """The 60-bit limbs of openings, as `dragon.stark.commitment.opening_limbs` has them."""
    pairs = np.frombuffer(b"".join(openings), dtype=np.uint8).reshape(-1, _PAIR_BYTES)
    limbs = np.empty((pairs.shape[0], 2), dtype=np.uint64)
    limbs[:, 0] = np.ascontiguousarray(pairs[:, :8]).view(">u8")[:, 0] >> np.uint64(4)
    limbs[:, 1] = np.ascontiguousarray(pairs[:, 7:]).view(">u8")[:, 0] & _LIMB_MASK
    return limbs.reshape(-1, RATE)
