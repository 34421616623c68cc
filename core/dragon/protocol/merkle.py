"""The Merkle tree of RFC 6962 and RFC 9162, for append-only logs with short proofs.

The hash of a leaf is SHA-256(0x00 ‖ leaf), that of a node SHA-256(0x01 ‖ left ‖ right), and that of
the empty tree SHA-256(""). Proofs are lists of 32-byte hashes, nearest to the leaf first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from dragon.errors import InvalidProof, NotFound

HASH_BYTES: Final = 32
BLOCK_HASHES: Final = 256  # neighbours on one level that are stored together
BLOCK_BYTES: Final = BLOCK_HASHES * HASH_BYTES
EMPTY_ROOT: Final = hashlib.sha256().digest()
MAX_PATH: Final = 64  # hashes in a proof: a tree has at most 2^64 leaves


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf, 32 bytes."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


# Returns a full block of hashes by its level (0: the leaves) and its number on that level.
ReadHashes: TypeAlias = Callable[[int, int], bytes]


def _nothing(level: int, number: int) -> bytes:
    raise IndexError(level, number)


class _Level:
    """The hashes of all complete subtrees of one height; the first blocks may be stored."""

    __slots__ = ("hashes", "stored")

    def __init__(self, stored: int = 0, hashes: bytes = b"") -> None:
        self.stored = stored  # full blocks that are stored elsewhere
        self.hashes = bytearray(hashes)  # the others

    def __len__(self) -> int:
        return self.stored * BLOCK_HASHES + len(self.hashes) // HASH_BYTES


class Tree:
    """A growing tree with roots and proofs for all its former sizes.

    It has the hash of every complete subtree, 64 bytes per leaf in total. Appending computes one
    hash on average; a root or a proof takes O(log² n).

    Full blocks of hashes may be stored elsewhere (`new_blocks`, `forget`). They are read when a
    hash in them is needed, so the memory that a long log's tree takes does not grow.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = (), *, read: ReadHashes = _nothing) -> None:
        """Args: read: returns a block that was stored, which never changes."""
        self._read = read
        self._levels = [_Level()]
        for hashed in leaf_hashes:
            self.append(hashed)

    @classmethod
    def of_stored(cls, size: int, tails: Sequence[bytes], read: ReadHashes) -> Tree:
        """Return the tree with `size` leaves of which all full blocks are stored.

        Args:
            tails: the hashes after the last full block, by level.

        Raises ValueError: a tail has another length.
        """
        tree = cls(read=read)
        counts = [size >> level for level in range(max(1, size.bit_length()))]
        lengths = [HASH_BYTES * (count % BLOCK_HASHES) for count in counts]
        if list(map(len, tails)) != lengths:
            raise ValueError("the tails of a tree do not have the lengths of its size")
        tree._levels = [
            _Level(count // BLOCK_HASHES, tail) for count, tail in zip(counts, tails, strict=True)
        ]
        return tree

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, hashed: bytes) -> None:
        """Append the hash of one leaf, and compute the subtrees that it completes."""
        level, index = 0, len(self)
        self._level(0).hashes.extend(hashed)
        while index % 2:
            hashed = _node_hash(self._node(level, index - 1), hashed)
            level, index = level + 1, index // 2
            self._level(level).hashes.extend(hashed)

    def truncate(self, size: int) -> None:
        """Remove all leaves after the first `size`; never those whose block is stored.

        Raises NotFound: the tree has fewer leaves; ValueError: some of them are stored.
        """
        self._checked(size)
        if any(size >> at < level.stored * BLOCK_HASHES for at, level in enumerate(self._levels)):
            raise ValueError(f"a tree cannot lose stored blocks after leaf {size}")
        for at, level in enumerate(self._levels):
            del level.hashes[HASH_BYTES * ((size >> at) - level.stored * BLOCK_HASHES) :]

    def leaf(self, index: int) -> bytes:
        """Return the hash of a leaf. Raises NotFound."""
        if not 0 <= index < len(self):
            raise NotFound(f"the tree has {len(self)} leaves", index=index)
        return self._node(0, index)

    def new_blocks(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield level, number and hashes of each full block that is not stored yet."""
        for at, level in enumerate(self._levels):
            for place in range(len(level.hashes) // BLOCK_BYTES):
                content = level.hashes[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES]
                yield at, level.stored + place, bytes(content)

    def tails(self) -> list[bytes]:
        """Return the hashes after the last full block of each level that has hashes."""
        held = [level for level in self._levels if len(level)] or self._levels[:1]
        return [
            bytes(level.hashes[len(level.hashes) // BLOCK_BYTES * BLOCK_BYTES :]) for level in held
        ]

    def forget(self) -> None:
        """Forget all full blocks, which are stored from now on."""
        for level in self._levels:
            full = len(level.hashes) // BLOCK_BYTES
            del level.hashes[: full * BLOCK_BYTES]
            level.stored += full

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves (default: all). Raises NotFound."""
        size = len(self) if size is None else self._checked(size)
        return self._range_root(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that leaf `index` is in the tree of `size` leaves (RFC 6962, 2.1.1).

        Raises NotFound: `index` is not below `size`, or the tree is smaller than `size`.
        """
        size = len(self) if size is None else self._checked(size)
        if not 0 <= index < size:
            raise NotFound(
                f"leaf {index} is not in a tree of {size} leaves", index=index, size=size
            )
        return self._path(index, 0, size)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of `new` leaves begins with the tree of `old` leaves.

        Source: RFC 6962, 2.1.2. Raises NotFound: `old` exceeds `new`, or `new` the tree's size.
        """
        new = len(self) if new is None else self._checked(new)
        if not 0 <= old <= new:
            raise NotFound(
                f"a tree of {new} leaves cannot begin with {old} leaves", old=old, new=new
            )
        return [] if old in (0, new) else self._subproof(old, 0, new, complete=True)

    def _checked(self, size: int) -> int:
        if not 0 <= size <= len(self):
            raise NotFound(f"the tree has {len(self)} leaves, not {size}", size=size)
        return size

    def _level(self, level: int) -> _Level:
        while len(self._levels) <= level:
            self._levels.append(_Level())
        return self._levels[level]

    def _node(self, level: int, index: int) -> bytes:
        block, place = divmod(index, BLOCK_HASHES)
        at = self._levels[level]
        if block < at.stored:
            hashes: bytes | bytearray = self._read(level, block)
        else:
            hashes, place = at.hashes, index - at.stored * BLOCK_HASHES
        return bytes(hashes[HASH_BYTES * place : HASH_BYTES * (place + 1)])

    def _range_root(self, start: int, size: int) -> bytes:
        """Return the root over `size` leaves from `start`.

        `start` is a multiple of the smallest power of two that is not below `size`.
        """
        if size & (size - 1) == 0:
            level = size.bit_length() - 1
            return self._node(level, start >> level)
        split = _split(size)
        left, right = self._range_root(start, split), self._range_root(start + split, size - split)
        return _node_hash(left, right)

    def _path(self, index: int, start: int, size: int) -> list[bytes]:
        if size == 1:
            return []
        split = _split(size)
        if index < split:
            path = self._path(index, start, split)
            return [*path, self._range_root(start + split, size - split)]
        path = self._path(index - split, start + split, size - split)
        return [*path, self._range_root(start, split)]

    def _subproof(self, old: int, start: int, size: int, *, complete: bool) -> list[bytes]:
        if old == size:
            return [] if complete else [self._range_root(start, size)]
        split = _split(size)
        if old <= split:
            proof = self._subproof(old, start, split, complete=complete)
            return [*proof, self._range_root(start + split, size - split)]
        proof = self._subproof(old - split, start + split, size - split, complete=False)
        return [*proof, self._range_root(start, split)]


def _split(size: int) -> int:
    """Return the largest power of two below `size`, which must be at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_lengths(*hashes: bytes) -> None:
    """Check that each hash has 32 bytes.

    Otherwise two neighbours with shifted boundaries would have the same concatenation.
    """
    if any(len(hashed) != HASH_BYTES for hashed in hashes):
        raise InvalidProof(f"every hash of a proof must have {HASH_BYTES} bytes")


def path_length(index: int, size: int) -> int:
    """Return the number of hashes in the proof that leaf `index` is in a tree of `size` leaves.

    Raises NotFound: `index` is not below `size`.
    """
    if not 0 <= index < size:
        raise NotFound(f"leaf {index} is not in a tree of {size} leaves", index=index, size=size)
    # Up to the level where the paths of this leaf and of the last one meet, every level has a
    # sibling; above, only those at which this leaf is in the right half.
    below = (index ^ (size - 1)).bit_length()
    return below + (index >> below).bit_count()


def verify_inclusion(
    hashed: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Verify that `path` leads from leaf `index` of `size` leaves to `root` (RFC 9162, 2.1.3.2).

    Raises InvalidProof.
    """
    _check_lengths(hashed, root, *path)
    if not 0 <= index < size:
        raise InvalidProof(
            f"leaf {index} is not in a tree of {size} leaves", index=index, size=size
        )
    position, last = index, size - 1
    for sibling in path:
        if last == 0:
            raise InvalidProof("the path is too long", index=index, size=size)
        if position % 2 or position == last:
            hashed = _node_hash(sibling, hashed)
            while position % 2 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            hashed = _node_hash(hashed, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise InvalidProof("the path is too short", index=index, size=size)
    if hashed != root:
        raise InvalidProof("the path does not lead to the root", index=index, size=size)


def verify_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Verify that the tree of `new` leaves begins with the tree of `old` leaves.

    Source: RFC 9162, 2.1.4.2. Raises InvalidProof.
    """
    _check_lengths(old_root, new_root, *proof)
    if not 0 <= old <= new:
        raise InvalidProof(
            f"a tree of {new} leaves cannot begin with {old} leaves", old=old, new=new
        )
    if old in (0, new):
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != expected:
            raise InvalidProof(
                "the root of the smaller tree is wrong, or the proof is not empty", old=old, new=new
            )
        return
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not hashes:
        raise InvalidProof("the proof is too short", old=old, new=new)
    position, last = old - 1, new - 1
    while position % 2:
        position, last = position >> 1, last >> 1
    from_old = from_new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise InvalidProof("the proof is too long", old=old, new=new)
        if position % 2 or position == last:
            from_old, from_new = _node_hash(sibling, from_old), _node_hash(sibling, from_new)
            while position % 2 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            from_new = _node_hash(from_new, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or from_old != old_root or from_new != new_root:
        raise InvalidProof("the proof does not lead to both roots", old=old, new=new)
