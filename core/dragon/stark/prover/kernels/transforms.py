"""Number-theoretic transforms between coefficients and values in bit-reversed order (section 6).

The transform is a tree. The root is x^n - 1; a node x^{2m} - c² has the children x^m - c and
x^m + c; the leaves are x - point, in bit-reversed order of the points. Reducing a polynomial from
the root to the leaves evaluates it; the reverse direction interpolates. Node k of a level uses
c = roots[k] = ω_{2^(v+1)}^rev_v(k) for k < 2^v, which is the same in every transform. The
evaluation domain of size N = β·n is a larger tree: node t at depth log β leads to rows
[t·n, (t+1)·n), which are coset t. A polynomial of degree below n is its own remainder at that node,
so evaluation starts there.

To work on the coset 3·⟨ω⟩ instead of ⟨ω⟩, scale the coefficients: c_i·3^i at ω^j is c_i at 3·ω^j.
"""

from __future__ import annotations

from typing import Final

from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Number, Words, inline, kernel

UNIT: Final = 16  # numbers in the two vectors that the last four levels work on
BLOCK: Final = (
    2048  # numbers that fit the fastest cache; subtrees of this size are finished in turn
)


@kernel("void(uint64[::1], int64, uint64[::1])")
def extend_roots(roots: Words, known: int, generators: Words) -> None:
    """Fill `roots` from its first `known` entries (a power of two).

    generators[v] is ω of order 4·2^v.
    """
    level = 0
    while 1 << level < known:
        level += 1
    while known < roots.size:
        for k in range(known):
            roots[known + k] = lanes.canonical(lanes.product(roots[k], generators[level]))
        known *= 2
        level += 1


@inline
def _split(source: Words, i: int, values: Words, o: int, half: int, w: Number) -> None:
    """One level for two vectors `half` apart, from `source` to `values`."""
    low = lanes.fold(lanes.load(source, i))
    high = lanes.product(lanes.load(source, i + half), w)
    lanes.store(values, o, lanes.loose_sum(low, high))
    lanes.store(values, o + half, lanes.loose_difference(low, high))


@inline
def _split_two(values: Words, i: int, quarter: int, w: Number, u: Number, v: Number) -> None:
    """Two levels for four vectors: node w, and its children u and v."""
    a = lanes.fold(lanes.load(values, i))
    b = lanes.fold(lanes.load(values, i + quarter))
    c = lanes.product(lanes.load(values, i + 2 * quarter), w)
    d = lanes.product(lanes.load(values, i + 3 * quarter), w)
    a, c = lanes.fold(lanes.loose_sum(a, c)), lanes.fold(lanes.loose_difference(a, c))
    b, d = lanes.loose_sum(b, d), lanes.loose_difference(b, d)
    b, d = lanes.product(b, u), lanes.product(d, v)
    lanes.store(values, i, lanes.loose_sum(a, b))
    lanes.store(values, i + quarter, lanes.loose_difference(a, b))
    lanes.store(values, i + 2 * quarter, lanes.loose_sum(c, d))
    lanes.store(values, i + 3 * quarter, lanes.loose_difference(c, d))


@inline
def _split_unit(values: Words, i: int, node: int, roots: Words) -> None:
    """The last four levels for sixteen loose numbers; the results are canonical."""
    a = lanes.fold(lanes.load(values, i))
    b = lanes.product(lanes.load(values, i + 8), roots[node])
    a, b = lanes.loose_sum(a, b), lanes.loose_difference(a, b)
    a, b = lanes.halves0(a, b), lanes.halves1(a, b)
    a, b = lanes.fold(a), lanes.product(b, lanes.spread2(roots, 2 * node))
    a, b = lanes.loose_sum(a, b), lanes.loose_difference(a, b)
    a, b = lanes.quarters0(a, b), lanes.quarters1(a, b)
    a, b = lanes.fold(a), lanes.product(b, lanes.spread4(roots, 4 * node))
    a, b = lanes.loose_sum(a, b), lanes.loose_difference(a, b)
    a, b = lanes.singles0(a, b), lanes.singles1(a, b)
    a, b = lanes.fold(a), lanes.product(b, lanes.load(roots, 8 * node))
    a, b = lanes.canonical(lanes.loose_sum(a, b)), lanes.canonical(lanes.loose_difference(a, b))
    lanes.store(values, i, lanes.zipped0(a, b))
    lanes.store(values, i + 8, lanes.zipped1(a, b))


@inline
def _split_levels(values: Words, at: int, size: int, end: int, node: int, roots: Words) -> None:
    """Two levels at a time, from nodes of `size` numbers down to nodes of `end`."""
    total, blocks = size, 1
    while size > end:
        quarter = size // 4
        for block in range(blocks):
            k = node * blocks + block
            w, u, v = roots[k], roots[2 * k], roots[2 * k + 1]
            start = at + block * size
            for i in range(start, start + quarter, LANES):
                _split_two(values, i, quarter, w, u, v)
        size //= 4
        blocks = total // size


@inline
def _split_few(values: Words, at: int, size: int, node: int, roots: Words) -> None:
    """A whole transform of fewer than sixteen numbers, one number at a time."""
    half, blocks = size // 2, 1
    while half:
        for block in range(blocks):
            w = roots[node * blocks + block]
            for i in range(at + 2 * block * half, at + (2 * block + 1) * half):
                low, high = values[i], lanes.product(values[i + half], w)
                values[i] = lanes.canonical(lanes.loose_sum(low, high))
                values[i + half] = lanes.canonical(lanes.loose_difference(low, high))
        half //= 2
        blocks *= 2


@inline
def _descend(
    source: Words, i: int, values: Words, at: int, size: int, node: int, roots: Words
) -> None:
    """Evaluate one polynomial at the leaves below one node."""
    if size < UNIT:
        for k in range(size):
            values[at + k] = source[i + k]
        _split_few(values, at, size, node, roots)
        return
    # (1) The first level alone, if an odd number of levels precedes the last four.
    rest, first, nodes = size, node, 1
    odd = False
    while rest > UNIT:
        rest //= 2
        odd = not odd
    if odd:
        half = size // 2
        for k in range(0, half, LANES):
            _split(source, i + k, values, at + k, half, roots[node])
        first, nodes = 2 * node, 2
    else:
        for k in range(0, size, LANES):
            lanes.store(values, at + k, lanes.load(source, i + k))
    part = size // nodes
    # (2) The upper levels of large transforms, over the whole array; (3) then each subtree.
    small = part
    while small > BLOCK:
        small //= 4
    for k in range(nodes):
        _split_levels(values, at + k * part, part, small, first + k, roots)
    subtrees = size // small
    for k in range(subtrees):
        _split_levels(values, at + k * small, small, UNIT, node * subtrees + k, roots)
        units = small // UNIT
        for unit in range(units):
            _split_unit(
                values, at + k * small + unit * UNIT, (node * subtrees + k) * units + unit, roots
            )


@kernel("void(uint64[::1], int64, uint64[::1], int64, uint64[::1], int64, int64)")
def evaluate(
    coefficients: Words, length: int, values: Words, rows: int, roots: Words, first: int, last: int
) -> None:
    """Evaluate columns of `length` canonical coefficients in `rows` points, canonical.

    A job is one coset of one column; there are columns · rows/length jobs. This call runs jobs
    first … last - 1.
    `roots` has at least max(rows/2, 8) numbers.
    """
    cosets = rows // length
    for job in range(first, last):
        column, coset = job // cosets, job % cosets
        at = column * rows + coset * length
        _descend(coefficients, column * length, values, at, length, coset, roots)


@inline
def _join_unit(values: Words, i: int, node: int, inverse_roots: Words) -> None:
    """Four levels upwards for sixteen numbers."""
    a, b = lanes.load(values, i), lanes.load(values, i + 8)
    a, b = lanes.evens(a, b), lanes.odds(a, b)
    w = lanes.load(inverse_roots, 8 * node)
    a, b = lanes.sum_of(a, b), lanes.product(lanes.loose_difference(a, b), w)
    a, b = lanes.singles0(a, b), lanes.singles1(a, b)
    w = lanes.spread4(inverse_roots, 4 * node)
    a, b = lanes.sum_of(a, b), lanes.product(lanes.loose_difference(a, b), w)
    a, b = lanes.quarters0(a, b), lanes.quarters1(a, b)
    w = lanes.spread2(inverse_roots, 2 * node)
    a, b = lanes.sum_of(a, b), lanes.product(lanes.loose_difference(a, b), w)
    a, b = lanes.halves0(a, b), lanes.halves1(a, b)
    lanes.store(values, i, lanes.sum_of(a, b))
    lanes.store(values, i + 8, lanes.product(lanes.loose_difference(a, b), inverse_roots[node]))


@inline
def _join_two(values: Words, i: int, quarter: int, w: Number, u: Number, v: Number) -> None:
    a, b = lanes.load(values, i), lanes.load(values, i + quarter)
    c, d = lanes.load(values, i + 2 * quarter), lanes.load(values, i + 3 * quarter)
    a, b = lanes.sum_of(a, b), lanes.product(lanes.loose_difference(a, b), u)
    c, d = lanes.sum_of(c, d), lanes.product(lanes.loose_difference(c, d), v)
    lanes.store(values, i, lanes.sum_of(a, c))
    lanes.store(values, i + quarter, lanes.sum_of(b, d))
    lanes.store(values, i + 2 * quarter, lanes.product(lanes.loose_difference(a, c), w))
    lanes.store(values, i + 3 * quarter, lanes.product(lanes.loose_difference(b, d), w))


@inline
def _join_levels(values: Words, at: int, size: int, end: int, node: int, roots: Words) -> int:
    """Two levels at a time, from nodes of `size` upwards while they stay within `end`."""
    while 4 * size <= end:
        quarter = size
        size *= 4
        blocks = end // size
        for block in range(blocks):
            k = node * blocks + block
            w, u, v = roots[k], roots[2 * k], roots[2 * k + 1]
            start = at + block * size
            for i in range(start, start + quarter, LANES):
                _join_two(values, i, quarter, w, u, v)
    return size


@inline
def _join_few(values: Words, at: int, size: int, inverse_roots: Words) -> None:
    half = 1
    while half < size:
        for block in range(size // (2 * half)):
            w = inverse_roots[block]
            for i in range(at + 2 * block * half, at + (2 * block + 1) * half):
                low, high = values[i], values[i + half]
                values[i] = lanes.canonical(lanes.loose_sum(low, high))
                high = lanes.product(lanes.loose_difference(low, high), w)
                values[i + half] = lanes.canonical(high)
        half *= 2


@inline
def _ascend(values: Words, at: int, size: int, inverse_roots: Words) -> None:
    if size < UNIT:
        _join_few(values, at, size, inverse_roots)
        return
    block = BLOCK if size > BLOCK else size
    reached = UNIT
    for k in range(size // block):
        start, units = at + k * block, block // UNIT
        for unit in range(units):
            _join_unit(values, start + unit * UNIT, k * units + unit, inverse_roots)
        reached = _join_levels(values, start, UNIT, block, k, inverse_roots)
    reached = _join_levels(values, at, reached, size, 0, inverse_roots)
    if reached < size:
        half = size // 2
        for i in range(at, at + half, LANES):
            a, b = lanes.load(values, i), lanes.load(values, i + half)
            lanes.store(values, i, lanes.sum_of(a, b))
            lanes.store(
                values, i + half, lanes.product(lanes.loose_difference(a, b), inverse_roots[0])
            )


@kernel("void(uint64[::1], int64, uint64[::1], uint64[::1], int64, int64)")
def interpolate(
    values: Words, length: int, inverse_roots: Words, scale: Words, first: int, last: int
) -> None:
    """Turn columns first … last - 1 of values in bit-reversed order into coefficients, in place.

    Coefficient i is multiplied by `scale[i]`, which includes the factor 1/length.
    """
    for column in range(first, last):
        at = column * length
        _ascend(values, at, length, inverse_roots)
        for i in range(length):
            if length < LANES:
                values[at + i] = lanes.canonical(lanes.product(values[at + i], scale[i]))
            elif i % LANES == 0:
                scaled = lanes.product(lanes.load(values, at + i), lanes.load(scale, i))
                lanes.store(values, at + i, lanes.canonical(scaled))
