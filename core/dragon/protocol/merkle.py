"""The Merkle tree of RFC 6962 and RFC 9162, for append-only logs with short proofs.

The hash of a leaf is SHA-256(0x00 ‖ leaf), that of a node SHA-256(0x01 ‖ left ‖ right), and that of
the empty tree SHA-256(""). Proofs are lists of 32-byte hashes, nearest to the leaf first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from dragon.errors import InvalidProof, NotFound

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256().digest()
MAX_PATH: Final = 64  # hashes in a proof: a tree has at most 2^64 leaves


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf, 32 bytes."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree with roots and proofs for all its former sizes.

    It stores the hash of every complete subtree, 64 bytes per leaf in total. Appending computes one
    hash on average; a root or a proof takes O(log² n).
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for hashed in leaf_hashes:
            self.append(hashed)

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_BYTES

    def append(self, hashed: bytes) -> None:
        """Append the hash of one leaf, and compute the subtrees that it completes."""
        level, index = 0, len(self)
        self._level(0).extend(hashed)
        while index % 2:
            hashed = _node_hash(self._node(level, index - 1), hashed)
            level, index = level + 1, index // 2
            self._level(level).extend(hashed)

    def truncate(self, size: int) -> None:
        """Remove all leaves after the first `size`. Raises NotFound: the tree has fewer leaves."""
        self._checked(size)
        for level, hashes in enumerate(self._levels):
            del hashes[HASH_BYTES * (size >> level) :]

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

    def _level(self, level: int) -> bytearray:
        while len(self._levels) <= level:
            self._levels.append(bytearray())
        return self._levels[level]

    def _node(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][HASH_BYTES * index : HASH_BYTES * (index + 1)])

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
