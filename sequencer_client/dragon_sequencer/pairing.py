"""Signature verification on BN254: e(M, key) · e(−signature, g2) = 1, computed as one product.

The functions in plain integers are also what the compiled code is recorded from
(`dragon_sequencer.machine`).

In both pairings the point of G2 is fixed (the generator, or the aggregate key of a set of signers),
so the lines of its Miller loop are prepared once. Each check then needs two scalings for each line,
squarings shared by both loops, and one final exponentiation.

Sources: Vercauteren, "Optimal Pairings", IEEE Trans. Inf. Theory 2010; Scott, Benger, Charlemagne,
Dominguez Perez and Kachisa, "On the Final Exponentiation for Calculating Pairings on Ordinary
Elliptic Curves", Pairing 2009; Costello and Stebila, "Fixed Argument Pairings", LATINCRYPT 2010.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

from dragon_sequencer import compiled, tower
from dragon_sequencer.bn254 import (
    G1,
    G2,
    G2_GENERATOR,
    U,
    chord,
    frobenius_g2,
    negate_g1,
    negate_g2,
    tangent,
)
from dragon_sequencer.tower import F2, F12, FROBENIUS, P

Line: TypeAlias = tuple[int, int, int, int]
Lines: TypeAlias = tuple[tuple[Line, ...], ...]


def _signed_digits(number: int) -> tuple[int, ...]:
    """The non-adjacent form, highest digit first. Few of its digits differ from 0."""
    digits = []
    while number:
        digit = 2 - number % 4 if number % 2 else 0
        digits.append(digit)
        number = (number - digit) // 2
    return tuple(reversed(digits))


_LOOP: Final = _signed_digits(6 * U + 2)[1:]
_POWER: Final = _signed_digits(U)[1:]
SQUARINGS: Final = len(_LOOP)  # of the Miller loop
F = TypeVar("F")  # an element of F_p¹²


def prepare(point: G2) -> Lines:
    """The lines of the optimal ate loop at `point`, grouped by the squaring that precedes them.

    The line at T with slope λ, mapped from the twist and divided by y of the point P = (x, y) of
    G1, is 1 + (λ·(−x/y) + (λ·x_T − y_T)·(1/y)·v)·w. The result holds λ and λ·x_T − y_T, which do
    not depend on P.

    `point` must have order r, so that no step of the loop meets a vertical line.
    """
    minus, at, groups = negate_g2(point), point, []
    for digit in _LOOP:
        slope, following = tangent(at)
        group = [_line(slope, at)]
        if digit:
            slope, following = _step(following, point if digit > 0 else minus, group)
        at = following
        groups.append(tuple(group))
    last: list[Line] = []
    _, at = _step(at, frobenius_g2(point), last)
    _step(at, _minus_frobenius_twice(point), last)
    return (*groups, tuple(last))


def _step(at: G2, other: G2, lines: list[Line]) -> tuple[F2, G2]:
    slope, following = chord(at, other)
    lines.append(_line(slope, at))
    return slope, following


def _line(slope: F2, at: G2) -> Line:
    return (*slope, *tower.subtract_2(tower.multiply_2(slope, at[0]), at[1]))


def _minus_frobenius_twice(point: G2) -> G2:
    """−π²(point). ξ^((p²−1)/2) is −1, so the two signs of y cancel."""
    return tower.multiply_2(point[0], FROBENIUS[1][2]), point[1]


GENERATOR_LINES: Final = prepare(G2_GENERATOR)


def is_signed(message_point: G1, signature: G1, key_lines: Lines) -> bool:
    """Whether the key signed the message that is mapped to `message_point`."""
    return is_one([(message_point, key_lines), (negate_g1(signature), GENERATOR_LINES)])


def is_one(pairs: list[tuple[G1, Lines]]) -> bool:
    """Whether the product of the pairings of points of G1 with prepared points of G2 is 1."""
    functions = compiled.for_product()
    return functions.is_one(pairs) if functions else is_one_plain(pairs)


def is_one_plain(pairs: Sequence[tuple[G1, Lines]]) -> bool:
    """`is_one` in plain integers."""
    return final_exponentiation(_miller(pairs), tower) == tower.ONE


def _miller(pairs: Sequence[tuple[G1, Lines]]) -> F12:
    f = tower.ONE
    for position, lines in enumerate(_evaluated(pairs)):
        if position != SQUARINGS:  # no squaring precedes the last two lines
            f = tower.square(f)
        for line in lines:
            f = tower.multiply_by_line(f, *line)
    return f


def _evaluated(pairs: Sequence[tuple[G1, Lines]]) -> Iterator[list[Line]]:
    """The lines of all pairs at their points of G1, group by group. y is not 0: r is odd."""
    factors = [line_factors(*point) for point, _ in pairs]
    for groups in zip(*(lines for _, lines in pairs), strict=True):
        yield [
            scaled_line(line, *both)
            for both, group in zip(factors, groups, strict=True)
            for line in group
        ]


def line_factors(x: int, y: int) -> tuple[int, int]:
    """−x/y and 1/y: the factors of each line at this point. Raises ValueError: y is 0."""
    inverse = pow(y, -1, P)
    return -x * inverse % P, inverse


def scaled_line(line: Line, a: int, b: int) -> Line:
    """A line at the point that has the factors a and b."""
    return line[0] * a % P, line[1] * a % P, line[2] * b % P, line[3] * b % P


class Field(Protocol[F]):
    """Arithmetic in F_p¹², as of the module `tower`."""

    def multiply(self, f: F, g: F, /) -> F: ...
    def square_cyclotomic(self, f: F, /) -> F: ...
    def conjugate(self, f: F, /) -> F: ...
    def invert(self, f: F, /) -> F: ...
    def frobenius(self, f: F, times: int, /) -> F: ...


def final_exponentiation(f: F, field: Field[F]) -> F:
    """f^((p¹² − 1)/r): first (p⁶ − 1)(p² + 1), then (p⁴ − p² + 1)/r as by Scott et al."""
    f = field.multiply(field.conjugate(f), field.invert(f))
    f = field.multiply(field.frobenius(f, 2), f)
    fu = _power_u(f, field)
    fu2 = _power_u(fu, field)
    fu3 = _power_u(fu2, field)

    y0 = field.multiply(
        field.multiply(field.frobenius(f, 1), field.frobenius(f, 2)), field.frobenius(f, 3)
    )
    y1 = field.conjugate(f)
    y2 = field.frobenius(fu2, 2)
    y3 = field.conjugate(field.frobenius(fu, 1))
    y4 = field.conjugate(field.multiply(fu, field.frobenius(fu2, 1)))
    y5 = field.conjugate(fu2)
    y6 = field.conjugate(field.multiply(fu3, field.frobenius(fu3, 1)))

    # y0 · y1² · y2⁶ · y3¹² · y4¹⁸ · y5³⁰ · y6³⁶ by the vectorial addition chain of Olivos
    low = field.multiply(field.multiply(field.square_cyclotomic(y6), y4), y5)
    high = field.multiply(field.multiply(y3, y5), low)
    low = field.multiply(low, y2)
    high = field.multiply(field.square_cyclotomic(high), low)
    high = field.square_cyclotomic(high)
    low = field.square_cyclotomic(field.multiply(high, y1))
    return field.multiply(low, field.multiply(high, y0))


def _power_u(f: F, field: Field[F]) -> F:
    """f^U in the cyclotomic subgroup, where the inverse is the conjugate."""
    inverse, result = field.conjugate(f), f
    for digit in _POWER:
        result = field.square_cyclotomic(result)
        if digit:
            result = field.multiply(result, f if digit > 0 else inverse)
    return result
