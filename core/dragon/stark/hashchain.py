"""The hash chain: the source of all challenges and all blinding (section 2)."""

from __future__ import annotations

import struct
from hashlib import blake2s
from typing import Final, Self

from dragon.stark.extension import Element
from dragon.stark.field import R_INVERSE, P

DIGEST_BYTES: Final = 32
NONCE_BYTES: Final = 8
MAX_GRINDING_BITS: Final = 40
_GRINDING_MAGIC: Final = bytes.fromhex("0123456789abcded")
_BLOCK_PADDING: Final = bytes(24)
_WORD_BYTES: Final = 8
_WORD_MASK: Final = 2**62 - 1  # p has 62 bits


def blake2s_256(data: bytes) -> bytes:
    """H, the hash function of the protocol: BLAKE2s, unkeyed, 32-byte digest."""
    return blake2s(data).digest()


class HashChain:
    """A 32-byte state that absorbs messages (`mix`) and produces challenges (`draw`).

    Draws between two mixes form one stream of bytes. A mix discards the unread part of the stream.
    Mixing an empty string also changes the state.
    """

    def __init__(self, seed: bytes) -> None:
        self.state = blake2s_256(seed)
        self._counter = 0
        self._spare = b""

    def copy(self) -> Self:
        """An independent copy with the same state and stream position."""
        twin = type(self)(b"")
        twin.state, twin._counter, twin._spare = self.state, self._counter, self._spare
        return twin

    def mix(self, data: bytes) -> None:
        """Absorb a message."""
        self.state = blake2s_256(self.state + data)
        self._counter = 0
        self._spare = b""

    def _block(self) -> bytes:
        counter = self._counter.to_bytes(8, "big")
        self._counter += 1
        return blake2s_256(self.state + _BLOCK_PADDING + counter)

    def draw(self, size: int) -> bytes:
        """`size` bytes: fresh whole blocks first, then bytes that earlier draws left over."""
        blocks = b"".join(self._block() for _ in range(size // DIGEST_BYTES))
        rest = size % DIGEST_BYTES
        if rest <= len(self._spare):
            taken, self._spare = self._spare[:rest], self._spare[rest:]
        else:
            fresh = self._block()
            taken, self._spare = fresh[:rest], self._spare + fresh[rest:]
        return blocks + taken

    def words(self, count: int) -> list[int]:
        """`count` uniform 64-bit numbers: the same as so many draws of eight bytes each."""
        drawn: list[int] = []
        while len(drawn) < count and len(self._spare) % _WORD_BYTES:
            drawn.append(int.from_bytes(self.draw(_WORD_BYTES), "big"))
        size = _WORD_BYTES * (count - len(drawn))
        blocks = -(-max(0, size - len(self._spare)) // DIGEST_BYTES)
        stream = self._spare + b"".join([self._block() for _ in range(blocks)])
        drawn += struct.unpack(f">{size // _WORD_BYTES}Q", stream[:size])
        self._spare = stream[size:]
        return drawn

    def base(self) -> int:
        """A uniform element of F."""
        return self.bases(1)[0]

    def bases(self, count: int) -> list[int]:
        """`count` uniform elements of F: each the next 62-bit word below p, as Montgomery form."""
        drawn: list[int] = []
        while missing := count - len(drawn):
            masked = [word & _WORD_MASK for word in self.words(missing)]
            drawn += [word * R_INVERSE % P for word in masked if word < P]
        return drawn

    def extension(self) -> Element:
        """A uniform element of K. Its coordinates are drawn in the order c0, c1, c2."""
        c0, c1, c2 = self.bases(3)
        return c0, c1, c2

    def extensions(self, count: int) -> list[Element]:
        """`count` uniform elements of K."""
        drawn = iter(self.bases(3 * count))
        return list(zip(drawn, drawn, drawn, strict=True))

    def number(self, bound: int) -> int:
        """A uniform number below `bound`, which is a power of two."""
        return self.numbers(1, bound)[0]

    def numbers(self, count: int, bound: int) -> list[int]:
        """`count` uniform numbers below `bound`, which is a power of two."""
        return [word % bound for word in self.words(count)]


def grinding_prefix(state: bytes, bits: int) -> bytes:
    """The prefix that is hashed with a nonce. `bits` is 1 to 40."""
    return blake2s_256(_GRINDING_MAGIC + state + bytes([bits]))


def is_valid_nonce(state: bytes, bits: int, nonce: bytes) -> bool:
    """Whether `nonce` (8 bytes) is a proof of work of `bits` bits (1 to 40) on `state`."""
    digest = blake2s_256(grinding_prefix(state, bits) + nonce)
    return int.from_bytes(digest[:8], "big") < 1 << (64 - bits)
