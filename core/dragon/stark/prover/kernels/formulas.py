"""Arithmetic modulo p as LLVM instructions, for single numbers and for vectors of eight.

`lanes` states the ranges of operands and results. As p = 2^61 + 20·2^32 + 1 ≡ 1 (mod 2^32), a
Montgomery step by 2^32 needs no inverse: with t the low word, (T - t·p) / 2^32 is
(T >> 32) - t·(2^29 + 20). As t·(2^29 + 20) < p, it is positive after adding p.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from dragon.stark.field import P

LANES: Final = 8
WORD: Final = ir.IntType(64)
VECTOR: Final = ir.VectorType(WORD, LANES)
HALF: Final = 32
_LOW: Final = 0xFFFFFFFF
_STEP: Final = 0x20000014  # 2^29 + 20
_MINUS_P_INVERSE: Final = -pow(P, -1, 1 << 64) % (1 << 64)


class LanesType(types.Type):
    """The numba type of a vector of eight numbers."""

    def __init__(self) -> None:
        super().__init__("lanes")


lanes_type: Final = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_type: Any) -> None:
        super().__init__(manager, front_type, VECTOR)


class Arithmetic:
    """Emits arithmetic for one LLVM type: a word or a vector of words."""

    def __init__(self, builder: Any, number: Any) -> None:
        self.builder = builder
        self.number = number

    def constant(self, value: int) -> Any:
        """The constant `value`, in every lane of a vector."""
        lanes = isinstance(self.number, ir.VectorType)
        return ir.Constant(self.number, [value] * LANES if lanes else value)

    def low(self, x: Any) -> Any:
        """The low 32 bits."""
        return self.builder.and_(x, self.constant(_LOW))

    def high(self, x: Any) -> Any:
        """The high 32 bits."""
        return self.builder.lshr(x, self.constant(HALF))

    def sum(self, *terms: Any) -> Any:
        """The sum of the terms, without reduction."""
        total = terms[0]
        for term in terms[1:]:
            total = self.builder.add(total, term)
        return total

    def less(self, x: Any, multiple: int) -> Any:
        """x - multiple·p if that is not negative, else x. x < 2·multiple·p, multiple is 1 or 2."""
        reduced = self.builder.sub(x, self.constant(multiple * P))
        # Processors select by the sign; an unsigned comparison takes several instructions.
        negative = self.builder.icmp_signed("<", reduced, self.constant(0))
        return self.builder.select(negative, x, reduced)

    def less_four(self, x: Any) -> Any:
        """x - 4·p if that is not negative, else x, for any x: 4·p does not fit a signed word."""
        reduced = self.builder.sub(x, self.constant(4 * P))
        smaller = self.builder.icmp_unsigned("<", reduced, x)
        return self.builder.select(smaller, reduced, x)

    def step(self, above: Any, t: Any) -> Any:
        """A Montgomery step: above - t·(2^29 + 20) + p, for a low word t and the rest above it.

        It is computed as above + (2^32 - 1 - t)·(2^29 + 20) + 2^29 + 21: LLVM turns a subtracted
        product into one with a negative factor, which takes two multiplications.
        """
        complement = self.low(self.builder.not_(t))
        raised = self.builder.add(above, self.constant(_STEP + 1))
        return self.builder.add(raised, self.builder.mul(complement, self.constant(_STEP)))

    def reduced(self, low: Any, middle: Any, high: Any) -> Any:
        """(low + middle·2^32 + high·2^64) / R modulo p, below that quotient + p·(1 + 2^-32).

        `low` must be below 2^32, `middle` below 2^64 - p.
        """
        first = self.step(middle, low)
        return self.step(self.sum(self.high(first), high), self.low(first))

    def product(self, x: Any, y: Any) -> Any:
        """x·y / R modulo p."""
        if self.number == WORD:
            return self._word_product(x, y)
        mul = self.builder.mul
        x0, x1, y0, y1 = self.low(x), self.high(x), self.low(y), self.high(y)
        low = mul(x0, y0)
        middle = self.sum(mul(x0, y1), mul(x1, y0), self.high(low))
        return self.reduced(self.low(low), middle, mul(x1, y1))

    def square(self, x: Any) -> Any:
        """x² / R modulo p."""
        if self.number == WORD:
            return self._word_product(x, x)
        mul = self.builder.mul
        x0, x1 = self.low(x), self.high(x)
        low, cross = mul(x0, x0), mul(x0, x1)
        middle = self.sum(cross, cross, self.high(low))
        return self.reduced(self.low(low), middle, mul(x1, x1))

    def _word_product(self, x: Any, y: Any) -> Any:
        """x·y / R with 128-bit numbers: processors multiply two words in one instruction."""
        builder, wide = self.builder, ir.IntType(128)
        full = builder.mul(builder.zext(x, wide), builder.zext(y, wide))
        factor = builder.mul(builder.trunc(full, WORD), self.constant(_MINUS_P_INVERSE))
        multiple = builder.mul(builder.zext(factor, wide), ir.Constant(wide, P))
        total = builder.add(full, multiple)
        return builder.trunc(builder.lshr(total, ir.Constant(wide, 64)), WORD)


def splat_word(builder: Any, word: Any) -> Any:
    """A vector with `word` in every lane."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, word, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, pattern_of([0] * LANES))


def pattern_of(indices: list[int]) -> Any:
    """The constant that selects these lanes in a shuffle."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(indices)), indices)


def element(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any
) -> Any:
    """A pointer to the vector that starts at an element of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def loaded(builder: Any, pointer: Any) -> Any:
    """Load a vector or word with the alignment of a word."""
    value = builder.load(pointer)
    value.align = 8
    return value


def outlined(builder: Any, name: str, returns: Any, values: Any, write: Callable[..., Any]) -> Any:
    """Call a separate function in the same module. `write(builder, *arguments)` emits its body.

    Used for long formulas that occur often: they are compiled once per kernel, not once per use.
    """
    signature = ir.FunctionType(returns, [value.type for value in values])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    if function.is_declaration:
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        result = write(inner, *function.args)
        inner.ret_void() if result is None else inner.ret(result)
    return builder.call(function, values)
