"""The Merkle tree: published vectors, the definitions of RFC 6962, and invalid proofs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon.errors import InvalidProof, NotFound
from dragon.protocol import merkle
from dragon.protocol.merkle import EMPTY_ROOT, Tree, leaf_hash, verify_consistency, verify_inclusion
from examples import examples

VECTORS = Path(__file__).parents[2] / "vectors" / "rfc6962"
REFERENCE: dict[str, Any] = json.loads((VECTORS / "reference_tree.json").read_text())
LARGEST = 40
LEAVES = [b"leaf %d" % index for index in range(300)]
HASHES = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in LEAVES]


# -- the definitions of RFC 6962, 2.1 --------------------------------------------------------------


@cache
def tree_hash(start: int, end: int) -> bytes:
    """MTH(D[start:end])."""
    if start == end:
        return hashlib.sha256().digest()
    if end - start == 1:
        return HASHES[start]
    k = split(end - start)
    left, right = tree_hash(start, start + k), tree_hash(start + k, end)
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(n: int) -> int:
    """Return k, the largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def audit_path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end])."""
    n = end - start
    if n == 1:
        return []
    k = split(n)
    if m < k:
        return [*audit_path(m, start, start + k), tree_hash(start + k, end)]
    return [*audit_path(m - k, start + k, end), tree_hash(start, start + k)]


def turns(m: int, n: int) -> str:
    """Return the sides of the siblings of leaf m of n, from the leaf upwards."""
    if n == 1:
        return ""
    k = split(n)
    return turns(m, k) + "R" if m < k else turns(m - k, n - k) + "L"


def consistency_proof(m: int, n: int) -> list[bytes]:
    """PROOF(m, D[n]), for 0 < m < n."""
    return subproof(m, 0, n, known=True)


def subproof(m: int, start: int, end: int, *, known: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b)."""
    n = end - start
    if m == n:
        return [] if known else [tree_hash(start, end)]
    k = split(n)
    if m <= k:
        return [*subproof(m, start, start + k, known=known), tree_hash(start + k, end)]
    return [*subproof(m - k, start + k, end, known=False), tree_hash(start, start + k)]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(HASHES[:LARGEST])


def bit_flips(raw: bytes) -> Iterator[bytes]:
    for position in range(8 * len(raw)):
        spoiled = bytearray(raw)
        spoiled[position // 8] ^= 1 << position % 8
        yield bytes(spoiled)


# -- the published tree ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> Tree:
    return Tree(leaf_hash(bytes.fromhex(leaf)) for leaf in REFERENCE["leaves"])


@pytest.mark.parametrize("size", range(9))
def test_the_published_tree_has_the_published_roots(published: Tree, size: int) -> None:
    grown = Tree(leaf_hash(bytes.fromhex(leaf)) for leaf in REFERENCE["leaves"][:size])

    assert grown.root().hex() == REFERENCE["roots"][size]
    assert published.root(size).hex() == REFERENCE["roots"][size]


@pytest.mark.parametrize("case", REFERENCE["inclusion"], ids=lambda c: f"{c['index']}of{c['size']}")
def test_the_published_tree_has_the_published_paths(published: Tree, case: dict[str, Any]) -> None:
    path = [bytes.fromhex(hashed) for hashed in case["path"]]
    index, size = case["index"], case["size"]

    assert published.inclusion(index, size) == path
    leaf = leaf_hash(bytes.fromhex(REFERENCE["leaves"][index]))
    verify_inclusion(leaf, index, size, path, bytes.fromhex(REFERENCE["roots"][size]))


@pytest.mark.parametrize("case", REFERENCE["consistency"], ids=lambda c: f"{c['old']}to{c['new']}")
def test_the_published_tree_has_the_published_consistency_proofs(
    published: Tree, case: dict[str, Any]
) -> None:
    proof = [bytes.fromhex(hashed) for hashed in case["proof"]]
    old, new = case["old"], case["new"]
    roots = [bytes.fromhex(root) for root in REFERENCE["roots"]]

    assert published.consistency(old, new) == proof
    verify_consistency(old, roots[old], new, roots[new], proof)


def test_leaves_and_nodes_are_hashed_differently() -> None:
    left, right = leaf_hash(b"left"), leaf_hash(b"right")

    assert leaf_hash(b"leaf") == hashlib.sha256(b"\x00leaf").digest()
    assert Tree([left, right]).root() == hashlib.sha256(b"\x01" + left + right).digest()
    assert leaf_hash(left + right) != Tree([left, right]).root()


def test_the_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert Tree().root() == Tree(HASHES).root(0) == EMPTY_ROOT == hashlib.sha256(b"").digest()
    assert len(Tree()) == 0


# -- every size up to forty ------------------------------------------------------------------------


def test_a_growing_tree_has_the_root_of_the_definition_at_each_size() -> None:
    tree = Tree()

    for size in range(LARGEST + 1):
        assert len(tree) == size
        assert tree.root() == tree_hash(0, size)
        tree.append(HASHES[size])


def test_a_tree_has_the_roots_of_its_former_sizes(tree: Tree) -> None:
    assert [tree.root(n) for n in range(LARGEST + 1)] == [
        tree_hash(0, n) for n in range(LARGEST + 1)
    ]


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_every_leaf_has_its_path_at_every_size(tree: Tree, size: int) -> None:
    for index in range(size):
        path = tree.inclusion(index, size)

        assert path == audit_path(index, 0, size)
        verify_inclusion(HASHES[index], index, size, path, tree_hash(0, size))


@pytest.mark.parametrize("new", range(LARGEST + 1))
def test_every_former_size_is_consistent_with_every_later_one(tree: Tree, new: int) -> None:
    for old in range(new + 1):
        proof = tree.consistency(old, new)

        assert proof == (consistency_proof(old, new) if 0 < old < new else [])
        verify_consistency(old, tree_hash(0, old), new, tree_hash(0, new), proof)


def test_the_default_size_is_the_current_one(tree: Tree) -> None:
    assert tree.inclusion(3) == tree.inclusion(3, LARGEST)
    assert tree.consistency(3) == tree.consistency(3, LARGEST)


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (-1, 5), (5, 5), (6, 5), (0, LARGEST + 1), (0, -1)]
)
def test_a_missing_leaf_has_no_path(tree: Tree, index: int, size: int) -> None:
    with pytest.raises(NotFound):
        tree.inclusion(index, size)


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5), (0, LARGEST + 1), (1, -1)])
def test_a_size_beyond_the_tree_has_no_consistency_proof(tree: Tree, old: int, new: int) -> None:
    with pytest.raises(NotFound):
        tree.consistency(old, new)


@pytest.mark.parametrize("size", [-1, LARGEST + 1])
def test_a_size_beyond_the_tree_has_no_root(tree: Tree, size: int) -> None:
    with pytest.raises(NotFound):
        tree.root(size)


# -- spoiled inclusion proofs ----------------------------------------------------------------------

SIZES = [1, 2, 3, 5, 8, 13]
PLACES = [(index, size) for size in SIZES for index in range(size)]


def refuses_inclusion(hashed: bytes, index: int, size: int, path: list[bytes], root: bytes) -> None:
    with pytest.raises(InvalidProof):
        verify_inclusion(hashed, index, size, path, root)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (4, 5), (2, 7), (12, 13)])
def test_an_inclusion_proof_with_any_bit_flipped_is_refused(index: int, size: int) -> None:
    path, root = audit_path(index, 0, size), tree_hash(0, size)

    for place, sibling in enumerate(path):
        for spoiled in bit_flips(sibling):
            refuses_inclusion(
                HASHES[index], index, size, [*path[:place], spoiled, *path[place + 1 :]], root
            )
    for spoiled in bit_flips(HASHES[index]):
        refuses_inclusion(spoiled, index, size, path, root)
    for spoiled in bit_flips(root):
        refuses_inclusion(HASHES[index], index, size, path, spoiled)


@pytest.mark.parametrize(("index", "size"), PLACES)
def test_a_shortened_or_extended_path_is_refused(index: int, size: int) -> None:
    path, root = audit_path(index, 0, size), tree_hash(0, size)

    for place in range(len(path)):
        refuses_inclusion(
            HASHES[index], index, size, path[:place] + path[place + 1 :], root
        )  # without one sibling
    for place in range(len(path) + 1):
        for extra in (bytes(32), b"", root, HASHES[index]):
            lengthened = [*path[:place], extra, *path[place:]]
            refuses_inclusion(HASHES[index], index, size, lengthened, root)


@pytest.mark.parametrize(("index", "size"), PLACES)
def test_a_path_with_two_siblings_swapped_is_refused(index: int, size: int) -> None:
    path, root = audit_path(index, 0, size), tree_hash(0, size)

    for first in range(len(path)):
        for second in range(first + 1, len(path)):
            exchanged = list(path)
            exchanged[first], exchanged[second] = path[second], path[first]
            refuses_inclusion(HASHES[index], index, size, exchanged, root)


@pytest.mark.parametrize(("index", "size"), PLACES)
def test_a_path_proves_only_one_leaf_at_one_index(index: int, size: int) -> None:
    path, root = audit_path(index, 0, size), tree_hash(0, size)

    for other in range(-1, size + 2):
        if other != index:
            refuses_inclusion(HASHES[index], other, size, path, root)
            refuses_inclusion(HASHES[other], index, size, path, root)


@pytest.mark.parametrize(("index", "size"), PLACES)
def test_a_path_with_another_root_is_refused(index: int, size: int) -> None:
    path = audit_path(index, 0, size)

    for other in range(LARGEST):
        if other != size:
            refuses_inclusion(HASHES[index], index, size, path, tree_hash(0, other))


@pytest.mark.parametrize(("index", "size"), PLACES)
def test_a_path_verifies_for_every_size_with_the_same_turns(index: int, size: int) -> None:
    """A path does not prove the size: leaf 0 has the same path shape in 3 and 4 leaves.

    This is why a checkpoint signs both size and root.
    """
    path, root = audit_path(index, 0, size), tree_hash(0, size)

    for other in range(-1, 3 * size):
        if index < other and turns(index, other) == turns(index, size):
            verify_inclusion(HASHES[index], index, other, path, root)
        else:
            refuses_inclusion(HASHES[index], index, other, path, root)


@pytest.mark.parametrize(("index", "size"), PLACES)
def test_a_path_is_refused_for_an_index_with_other_turns(index: int, size: int) -> None:
    """For example, the path of leaf 1 of 2 does not verify for leaf 0 of 1."""
    path, root = audit_path(index, 0, size), tree_hash(0, size)
    places = [(i, n) for n in range(1, 2 * size + 2) for i in range(n)]

    for other_index, other_size in places:
        if turns(other_index, other_size) == turns(index, size):
            verify_inclusion(HASHES[index], other_index, other_size, path, root)
        else:
            refuses_inclusion(HASHES[index], other_index, other_size, path, root)


def test_a_node_is_not_accepted_as_a_leaf() -> None:
    """Trees that hash leaves and nodes alike are open to this attack."""
    node, sibling = tree_hash(0, 2), tree_hash(2, 4)

    verify_inclusion(
        node, 0, 2, [sibling], tree_hash(0, 4)
    )  # the hash itself verifies, at another size
    refuses_inclusion(leaf_hash(HASHES[0] + HASHES[1]), 0, 2, [sibling], tree_hash(0, 4))
    refuses_inclusion(node, 0, 4, [sibling], tree_hash(0, 4))


# -- spoiled consistency proofs --------------------------------------------------------------------

STEPS = [(old, new) for new in (2, 3, 5, 8, 13) for old in range(1, new)]


def refuses_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]
) -> None:
    with pytest.raises(InvalidProof):
        verify_consistency(old, old_root, new, new_root, proof)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 4), (3, 7), (4, 7), (6, 8), (11, 13)])
def test_a_consistency_proof_with_any_bit_flipped_is_refused(old: int, new: int) -> None:
    proof, before, after = consistency_proof(old, new), tree_hash(0, old), tree_hash(0, new)

    for place, hashed in enumerate(proof):
        for spoiled in bit_flips(hashed):
            refuses_consistency(
                old, before, new, after, [*proof[:place], spoiled, *proof[place + 1 :]]
            )
    for spoiled in bit_flips(before):
        refuses_consistency(old, spoiled, new, after, proof)
    for spoiled in bit_flips(after):
        refuses_consistency(old, before, new, spoiled, proof)


@pytest.mark.parametrize(("old", "new"), STEPS)
def test_a_shortened_or_extended_consistency_proof_is_refused(old: int, new: int) -> None:
    proof, before, after = consistency_proof(old, new), tree_hash(0, old), tree_hash(0, new)

    refuses_consistency(old, before, new, after, [])
    for place in range(len(proof)):
        refuses_consistency(old, before, new, after, proof[:place] + proof[place + 1 :])
    for place in range(len(proof) + 1):
        for extra in (bytes(32), b"", before, after):
            refuses_consistency(old, before, new, after, [*proof[:place], extra, *proof[place:]])


@pytest.mark.parametrize(("old", "new"), STEPS)
def test_a_consistency_proof_between_other_roots_is_refused(old: int, new: int) -> None:
    proof, before, after = consistency_proof(old, new), tree_hash(0, old), tree_hash(0, new)

    refuses_consistency(old, after, new, before, proof)
    for other in range(LARGEST):
        if other != old:
            refuses_consistency(old, tree_hash(0, other), new, after, proof)
        if other != new:
            refuses_consistency(old, before, new, tree_hash(0, other), proof)


@pytest.mark.parametrize(("old", "new"), STEPS)
def test_a_consistency_proof_from_another_old_size_is_refused(old: int, new: int) -> None:
    proof, before, after = consistency_proof(old, new), tree_hash(0, old), tree_hash(0, new)

    for other in range(-1, new + 2):
        if other != old:
            refuses_consistency(other, before, new, after, proof)


@pytest.mark.parametrize(("old", "new"), STEPS)
def test_a_rewritten_history_is_not_consistent(old: int, new: int) -> None:
    for rewritten in range(old):
        hashes = HASHES[:new]
        hashes[rewritten] = leaf_hash(b"rewritten")
        forged = Tree(hashes)

        for proof in (forged.consistency(old), consistency_proof(old, new)):
            refuses_consistency(old, tree_hash(0, old), new, forged.root(), proof)


def test_equal_and_empty_trees_are_consistent_with_an_empty_proof(tree: Tree) -> None:
    for size in range(LARGEST + 1):
        root = tree.root(size)

        verify_consistency(size, root, size, root, [])
        verify_consistency(0, EMPTY_ROOT, size, root, [])
        refuses_consistency(size, root, size, root, [root])
        refuses_consistency(0, EMPTY_ROOT, size, root, [root])
        refuses_consistency(size, bytes(32), size, root, [])
        refuses_consistency(0, bytes(32), size, root, [])


@pytest.mark.parametrize(("old", "new"), [(3, 2), (1, 0), (-1, 4), (-2, -1)])
def test_a_larger_old_size_is_refused(old: int, new: int) -> None:
    refuses_consistency(old, HASHES[0], new, HASHES[1], [])


# -- larger trees ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_proofs_of_larger_trees_verify_and_changed_proofs_do_not(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, len(HASHES)))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    bit = data.draw(st.integers(0, 255))
    tree = Tree(HASHES[:size])
    path, proof = tree.inclusion(index), tree.consistency(old)

    assert path == audit_path(index, 0, size)
    assert proof == consistency_proof(old, size)
    verify_inclusion(HASHES[index], index, size, path, tree.root())
    verify_consistency(old, tree.root(old), size, tree.root(), proof)

    place = data.draw(st.integers(0, len(path) - 1))
    path[place] = flip(path[place], bit)
    refuses_inclusion(HASHES[index], index, size, path, tree.root())
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] = flip(proof[place], bit)
    refuses_consistency(old, tree.root(old), size, tree.root(), proof)


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_a_larger_tree_has_the_roots_of_its_former_sizes(data: st.DataObject) -> None:
    tree = Tree(HASHES)
    size = data.draw(st.integers(1, len(HASHES)))
    index = data.draw(st.integers(0, size - 1))
    smaller = Tree(HASHES[:size])

    assert tree.root(size) == smaller.root()
    assert tree.inclusion(index, size) == smaller.inclusion(index)
    assert tree.consistency(index, size) == smaller.consistency(index)


def flip(raw: bytes, bit: int) -> bytes:
    spoiled = bytearray(raw)
    spoiled[bit // 8] ^= 1 << bit % 8
    return bytes(spoiled)


# -- blocks that are stored elsewhere --------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(0, 15), max_size=5))
def test_a_tree_whose_blocks_are_stored_has_the_same_roots_and_proofs(parts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merkle, "BLOCK_HASHES", 4)
        patch.setattr(merkle, "BLOCK_BYTES", 4 * merkle.HASH_BYTES)
        blocks: dict[tuple[int, int], bytes] = {}

        def read(level: int, number: int) -> bytes:
            return blocks[level, number]

        tree, whole = Tree(read=read), Tree()
        for part in parts:
            for hashed in HASHES[len(whole) : len(whole) + part]:
                tree.append(hashed)
                whole.append(hashed)
            for level, number, content in tree.new_blocks():
                assert (level, number) not in blocks, "a block is stored once"
                blocks[level, number] = content
            tree.forget()
            tree = Tree.of_stored(len(tree), tree.tails(), read)
            tree.append(bytes(32))
            tree.truncate(len(whole))

            assert len(tree) == len(whole)
            for size in range(len(whole) + 1):
                assert tree.root(size) == whole.root(size)
            for index in range(len(whole)):
                assert tree.leaf(index) == HASHES[index]
                assert tree.inclusion(index) == whole.inclusion(index)
            for old in range(len(whole) + 1):
                assert tree.consistency(old) == whole.consistency(old)


def test_a_tree_never_loses_stored_leaves() -> None:
    tree = Tree(HASHES[:256])
    tree.forget()

    with pytest.raises(ValueError, match="cannot lose stored blocks after leaf 255"):
        tree.truncate(255)
    with pytest.raises(NotFound):
        tree.leaf(256)


def test_the_tails_of_a_tree_have_the_lengths_of_its_size() -> None:
    tree = Tree(HASHES[:5])

    for tails in (tree.tails()[:-1], [*tree.tails(), b""], [bytes(32), *tree.tails()[1:]]):
        with pytest.raises(ValueError, match="tails"):
            Tree.of_stored(5, tails, lambda *_: b"")
