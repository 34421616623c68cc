"""The Merkle tree of RFC 6962 (and RFC 9162): append-only logs with short proofs.

A leaf's hash is SHA-256(0x00 ‖ leaf), a node's SHA-256(0x01 ‖ left ‖ right), the empty tree's
SHA-256(). Proofs are lists of 32-byte hashes, nearest to the leaf first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from dragon.errors import InvalidProof, NotFound

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256().digest()
MAX_PATH: Final = 64  # no tree of ours has more than 2^64 leaves


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree that answers for each of its former sizes.

    Keeps the hash of every complete subtree, 64 bytes a leaf in all; appending is one hash on
    average, a root or a proof O(log² n).
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for hashed in leaf_hashes:
            self.append(hashed)

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_BYTES

    def append(self, hashed: bytes) -> None:
        """Add the hash of one leaf, and of every subtree that it completes."""
        level, index = 0, len(self)
        self._level(0).extend(hashed)
        while index % 2:
            hashed = _node_hash(self._node(level, index - 1), hashed)
            level, index = level + 1, index // 2
            self._level(level).extend(hashed)

    def truncate(self, size: int) -> None:
        """Take the leaves behind the first `size` off again. Raises NotFound: it has fewer."""
        self._checked(size)
        for level, hashes in enumerate(self._levels):
            del hashes[HASH_BYTES * (size >> level) :]

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves (all of them by default)."""
        size = len(self) if size is None else self._checked(size)
        return self._range_root(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The path that proves leaf `index` in the tree of `size` leaves (RFC 6962, 2.1.1).

        Raises NotFound: no such leaf in a tree of that size, or the tree is smaller.
        """
        size = len(self) if size is None else self._checked(size)
        if not 0 <= index < size:
            raise NotFound(f"no leaf {index} in a tree of {size}", index=index, size=size)
        return self._path(index, 0, size)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Proves that the tree of `new` leaves begins with that of `old` (RFC 6962, 2.1.2).

        Raises NotFound: `old` is larger than `new`, or the tree is smaller.
        """
        new = len(self) if new is None else self._checked(new)
        if not 0 <= old <= new:
            raise NotFound(f"a tree of {new} has no beginning of {old}", old=old, new=new)
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
        """The root over `size` leaves from `start`, a multiple of the power of two ≥ size."""
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
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_lengths(*hashes: bytes) -> None:
    """A hash cut short could lend its bytes to its neighbour and still give the right sum."""
    if any(len(hashed) != HASH_BYTES for hashed in hashes):
        raise InvalidProof("a hash of another length than 32 bytes")


def verify_inclusion(
    hashed: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Return quietly if `path` leads from leaf `index` of `size` to `root` (RFC 9162, 2.1.3.2).

    Raises InvalidProof.
    """
    _check_lengths(hashed, root, *path)
    if not 0 <= index < size:
        raise InvalidProof(f"leaf {index} lies outside a tree of {size}", index=index, size=size)
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
    """Return quietly if the tree of `new` leaves begins with that of `old` (RFC 9162, 2.1.4.2).

    Raises InvalidProof.
    """
    _check_lengths(old_root, new_root, *proof)
    if not 0 <= old <= new:
        raise InvalidProof(f"{old} leaves are no beginning of {new}", old=old, new=new)
    if old in (0, new):
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != expected:
            raise InvalidProof("the smaller root is not the one that must be", old=old, new=new)
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
        raise InvalidProof("the proof does not join the two roots", old=old, new=new)
