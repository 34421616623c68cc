"""Arithmetic on eight field elements at once, as LLVM vectors, or on a single one.

Numbers are in Montgomery form with R = 2^64 and reduced lazily. *Canonical* numbers are below p,
*folded* ones below 2p, *loose* ones below 4p. Operands and results:

    product        of factors whose product is below 7p²      folded; below 1.6p if it is below 4p²
    dot            Σ of products that stays below 55·p², one factor of each canonical  folded
    sum_of, difference  of folded numbers                                              folded
    loose_sum, loose_difference  of folded numbers                                     loose
    fold, canonical  of a loose number                                     folded, canonical

Arrays are flat and contiguous; an index counts elements. On processors with narrower vectors, LLVM
splits them. The results are the same on all processors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils

from dragon.stark.field import P
from dragon.stark.prover.kernels.formulas import (
    LANES,
    VECTOR,
    WORD,
    Arithmetic,
    element,
    lanes_type,
    loaded,
    outlined,
    pattern_of,
    splat_word,
)
from dragon.stark.prover.kernels.jit import intrinsic


def _operation(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The type rule of an operation: a single number is repeated in all lanes if needed."""

    def typed(_typing: Any, *operands: Any) -> Any:
        wide = lanes_type in operands
        signature = (lanes_type if wide else types.uint64)(*operands)

        def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            if wide:
                values = [splat_word(builder, v) if v.type == WORD else v for v in values]
            return formula(Arithmetic(builder, VECTOR if wide else WORD), *values)

        return signature, generate

    return typed


@intrinsic
def product(typing: Any, x: Any, y: Any) -> Any:
    """x·y / R."""
    return _operation(Arithmetic.product)(typing, x, y)


@intrinsic
def square(typing: Any, x: Any) -> Any:
    """x² / R."""
    return _operation(Arithmetic.square)(typing, x)


@intrinsic
def loose_sum(typing: Any, x: Any, y: Any) -> Any:
    """x + y, loose."""
    return _operation(lambda a, x, y: a.builder.add(x, y))(typing, x, y)


@intrinsic
def loose_difference(typing: Any, x: Any, y: Any) -> Any:
    """x - y, loose."""
    return _operation(lambda a, x, y: a.builder.sub(a.sum(x, a.constant(2 * P)), y))(typing, x, y)


@intrinsic
def sum_of(typing: Any, x: Any, y: Any) -> Any:
    """x + y, folded."""
    return _operation(lambda a, x, y: a.less(a.builder.add(x, y), 2))(typing, x, y)


@intrinsic
def difference(typing: Any, x: Any, y: Any) -> Any:
    """x - y, folded."""

    def formula(a: Arithmetic, x: Any, y: Any) -> Any:
        return a.less(a.builder.sub(a.sum(x, a.constant(2 * P)), y), 2)

    return _operation(formula)(typing, x, y)


@intrinsic
def fold(typing: Any, x: Any) -> Any:
    """Reduce a loose number to below 2p."""
    return _operation(lambda a, x: a.less(x, 2))(typing, x)


@intrinsic
def canonical(typing: Any, x: Any) -> Any:
    """Reduce a loose number to below p."""
    return _operation(lambda a, x: a.less(a.less(x, 2), 1))(typing, x)


@intrinsic
def splat(_typing: Any, word: Any) -> Any:
    """The same number in all lanes."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return splat_word(builder, values[0])

    return lanes_type(types.uint64), generate


@intrinsic
def load(_typing: Any, array: Any, index: Any) -> Any:
    """Load the eight numbers that start at an index."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return loaded(
            builder, element(context, builder, signature.args[0], values[0], values[1], VECTOR)
        )

    return lanes_type(array, types.int64), generate


@intrinsic
def store(_typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Store eight numbers, starting at an index."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = element(context, builder, signature.args[0], values[0], values[1], VECTOR)
        builder.store(values[2], pointer).align = 8
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes_type), generate


def _spread(width: int) -> Callable[..., Any]:
    """An intrinsic that loads `width` words and repeats each one to fill the lanes."""

    @intrinsic
    def spread(_typing: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            narrow = ir.VectorType(WORD, width)
            pointer = element(context, builder, signature.args[0], values[0], values[1], narrow)
            few = loaded(builder, pointer)
            pattern = [lane * width // LANES for lane in range(LANES)]
            return builder.shuffle_vector(
                few, ir.Constant(narrow, ir.Undefined), pattern_of(pattern)
            )

        return lanes_type(array, types.int64), generate

    return spread


def _shuffle(*pattern: int) -> Callable[..., Any]:
    """An intrinsic that selects lanes of two vectors: 0 … 7 of the first, 8 … 15 of the second."""

    @intrinsic
    def shuffle(_typing: Any, first: Any, second: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            return builder.shuffle_vector(values[0], values[1], pattern_of(list(pattern)))

        return lanes_type(lanes_type, lanes_type), generate

    return shuffle


spread2: Final = _spread(2)
spread4: Final = _spread(4)

# Rearrange the lanes of two vectors: by halves, quarters, single lanes; interleave; even and odd.
halves0: Final = _shuffle(0, 1, 2, 3, 8, 9, 10, 11)
halves1: Final = _shuffle(4, 5, 6, 7, 12, 13, 14, 15)
quarters0: Final = _shuffle(0, 1, 8, 9, 4, 5, 12, 13)
quarters1: Final = _shuffle(2, 3, 10, 11, 6, 7, 14, 15)
singles0: Final = _shuffle(0, 8, 2, 10, 4, 12, 6, 14)
singles1: Final = _shuffle(1, 9, 3, 11, 5, 13, 7, 15)
zipped0: Final = _shuffle(0, 8, 1, 9, 2, 10, 3, 11)
zipped1: Final = _shuffle(4, 12, 5, 13, 6, 14, 7, 15)
evens: Final = _shuffle(0, 2, 4, 6, 8, 10, 12, 14)
odds: Final = _shuffle(1, 3, 5, 7, 9, 11, 13, 15)
# Lane l holds number rev(l) of eight. Each lane gets the next number, the last one the first.
_NEXT: Final = [int(f"{(int(f'{lane:03b}'[::-1], 2) + 1) % 8:03b}"[::-1], 2) for lane in range(8)]
next_lane: Final = _shuffle(*_NEXT)


@intrinsic
def reversed_index(_typing: Any, index: Any, bits: Any) -> Any:
    """rev_bits(index). Requires 1 ≤ bits ≤ 63."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        unused = builder.sub(ir.Constant(WORD, 64), values[1])
        return builder.lshr(builder.bitreverse(values[0]), unused)

    return types.int64(types.int64, types.int64), generate


def _add_products(builder: Any, numbers: Any, stride: Any, factors: Any, terms: Any) -> Any:
    """The body of `dot`. `numbers` and `factors` point to the first elements."""
    a = Arithmetic(builder, VECTOR)
    sums = [cgutils.alloca_once_value(builder, a.constant(0)) for _ in range(3)]
    with cgutils.for_range(builder, terms) as loop:
        position = builder.gep(numbers, [builder.mul(loop.index, stride)])
        x = loaded(builder, builder.bitcast(position, VECTOR.as_pointer()))
        y = splat_word(builder, loaded(builder, builder.gep(factors, [loop.index])))
        x0, x1, y0, y1 = a.low(x), a.high(x), a.low(y), a.high(y)
        low = builder.mul(x0, y0)
        middle = a.sum(builder.mul(x0, y1), builder.mul(x1, y0))
        parts = (a.low(low),), (a.high(low), a.low(middle)), (a.high(middle), builder.mul(x1, y1))
        for total, part in zip(sums, parts, strict=True):
            builder.store(a.sum(builder.load(total), *part), total)
    low, middle, high = map(builder.load, sums)
    middle = a.sum(middle, a.high(low))
    result = a.reduced(a.low(low), middle, high)
    return a.less(a.less_four(result), 2)


@intrinsic
def dot(
    _typing: Any, array: Any, index: Any, stride: Any, table: Any, offset: Any, count: Any
) -> Any:
    """Σ_j array[index + j·stride …]·table[offset + j] / R for j < count: lanes times numbers.

    The words of the products are summed by their weights, 1, 2^32 and 2^64, and reduced once.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        numbers, first, step, factors, at, terms = values
        numbers = element(context, builder, signature.args[0], numbers, first, WORD)
        factors = element(context, builder, signature.args[3], factors, at, WORD)
        arguments = (numbers, step, factors, terms)
        return outlined(builder, "dragon_dot", VECTOR, arguments, _add_products)

    return lanes_type(array, types.int64, types.int64, table, types.int64, types.int64), generate


def _square_both(builder: Any, x: Any, y: Any, count: Any) -> Any:
    a = Arithmetic(builder, VECTOR)
    both = [cgutils.alloca_once_value(builder, each) for each in (x, y)]
    with cgutils.for_range(builder, count):
        for each in both:
            builder.store(a.square(builder.load(each)), each)
    return cgutils.pack_array(builder, [builder.load(each) for each in both])


@intrinsic
def squared(_typing: Any, x: Any, y: Any, count: Any) -> Any:
    """Square x and y `count` times. Interleaving them hides the latency of the products."""
    pair = types.UniTuple(lanes_type, 2)

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        returns = ir.ArrayType(VECTOR, 2)
        return outlined(builder, "dragon_squared", returns, values, _square_both)

    return pair(lanes_type, lanes_type, types.int64), generate
