"""The extension fields of BN254, with tuples of integers as elements.

    F_p²  = F_p[i]  / (i² + 1)          (re, im)
    F_p⁶  = F_p²[v] / (v³ − ξ), ξ = 9+i (re0, im0, re1, im1, re2, im2), coefficients of 1, v, v²
    F_p¹² = F_p⁶[w] / (w² − v)          (F_p⁶, F_p⁶), coefficients of 1, w

Objects for field elements would make pure-Python pairings slow, so there are none, and a sum of
products is reduced modulo p once. Functions take and return values in [0, p), except where their
documentation says "not reduced".

Sources: Devegili, Ó hÉigeartaigh, Scott and Dahab, "Multiplication and Squaring on Pairing-Friendly
Fields", 2006 (Karatsuba in the tower, complex squaring); Granger and Scott, "Faster Squaring in the
Cyclotomic Subgroup of Sixth Degree Extensions", PKC 2010.
"""

from __future__ import annotations

from typing import Final, TypeAlias

P: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
R: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617

F2: TypeAlias = tuple[int, int]
F6: TypeAlias = tuple[int, int, int, int, int, int]
F12: TypeAlias = tuple[F6, F6]

XI: Final[F2] = (9, 1)
ONE_6: Final[F6] = (1, 0, 0, 0, 0, 0)
ZERO_6: Final[F6] = (0, 0, 0, 0, 0, 0)
ONE: Final[F12] = (ONE_6, ZERO_6)


def _product(a0: int, a1: int, b0: int, b1: int) -> F2:
    """(a0 + a1·i)(b0 + b1·i), not reduced: three multiplications."""
    real, imaginary = a0 * b0, a1 * b1
    return real - imaginary, (a0 + a1) * (b0 + b1) - real - imaginary


def _square(a0: int, a1: int) -> F2:
    """(a0 + a1·i)², not reduced: two multiplications."""
    return (a0 + a1) * (a0 - a1), 2 * a0 * a1


def multiply_2(a: F2, b: F2) -> F2:
    real, imaginary = _product(*a, *b)
    return real % P, imaginary % P


def square_2(a: F2) -> F2:
    return multiply_2(a, a)


def subtract_2(a: F2, b: F2) -> F2:
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def add_2(a: F2, b: F2) -> F2:
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def scale_2(a: F2, factor: int) -> F2:
    return a[0] * factor % P, a[1] * factor % P


def conjugate_2(a: F2) -> F2:
    """The p-th power: i ↦ −i."""
    return a[0], -a[1] % P


def invert_2(a: F2) -> F2:
    """1/a. Raises ValueError for zero."""
    norm = pow(a[0] * a[0] + a[1] * a[1], -1, P)
    return a[0] * norm % P, -a[1] * norm % P


def power_2(a: F2, exponent: int) -> F2:
    result: F2 = (1, 0)
    for bit in bin(exponent)[2:]:
        result = square_2(result)
        if bit == "1":
            result = multiply_2(result, a)
    return result


def add_6(a: F6, b: F6) -> F6:
    """a + b, not reduced: for sums that are multiplied next."""
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    return a0 + b0, a1 + b1, a2 + b2, a3 + b3, a4 + b4, a5 + b5


def _reduce_6(a: F6) -> F6:
    a0, a1, a2, a3, a4, a5 = a
    return a0 % P, a1 % P, a2 % P, a3 % P, a4 % P, a5 % P


def subtract_6(a: F6, b: F6) -> F6:
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    return (
        (a0 - b0) % P,
        (a1 - b1) % P,
        (a2 - b2) % P,
        (a3 - b3) % P,
        (a4 - b4) % P,
        (a5 - b5) % P,
    )


def negate_6(a: F6) -> F6:
    return subtract_6(ZERO_6, a)


def times_v(a: F6) -> F6:
    """v·a, not reduced: the coefficients move up, and the last one is multiplied by ξ."""
    a0, a1, a2, a3, a4, a5 = a
    return 9 * a4 - a5, 9 * a5 + a4, a0, a1, a2, a3


def multiply_6(a: F6, b: F6) -> F6:
    """a·b by Karatsuba: six products in F_p² instead of nine."""
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    p0, q0 = _product(a0, a1, b0, b1)
    p1, q1 = _product(a2, a3, b2, b3)
    p2, q2 = _product(a4, a5, b4, b5)
    p12, q12 = _product(a2 + a4, a3 + a5, b2 + b4, b3 + b5)
    p01, q01 = _product(a0 + a2, a1 + a3, b0 + b2, b1 + b3)
    p02, q02 = _product(a0 + a4, a1 + a5, b0 + b4, b1 + b5)
    p12, q12 = p12 - p1 - p2, q12 - q1 - q2
    return (
        (p0 + 9 * p12 - q12) % P,
        (q0 + 9 * q12 + p12) % P,
        (p01 - p0 - p1 + 9 * p2 - q2) % P,
        (q01 - q0 - q1 + 9 * q2 + p2) % P,
        (p02 - p0 - p2 + p1) % P,
        (q02 - q0 - q2 + q1) % P,
    )


def invert_6(a: F6) -> F6:
    """1/a by the norm to F_p². Raises ValueError for zero."""
    x, y, z = (a[0], a[1]), (a[2], a[3]), (a[4], a[5])
    c0 = subtract_2(square_2(x), multiply_2(XI, multiply_2(y, z)))
    c1 = subtract_2(multiply_2(XI, square_2(z)), multiply_2(x, y))
    c2 = subtract_2(square_2(y), multiply_2(x, z))
    cross = add_2(multiply_2(z, c1), multiply_2(y, c2))
    norm = invert_2(add_2(multiply_2(x, c0), multiply_2(XI, cross)))
    return (*multiply_2(c0, norm), *multiply_2(c1, norm), *multiply_2(c2, norm))


def multiply(f: F12, g: F12) -> F12:
    f0, f1 = f
    g0, g1 = g
    low, high = multiply_6(f0, g0), multiply_6(f1, g1)
    cross = multiply_6(add_6(f0, f1), add_6(g0, g1))
    upper = subtract_6(cross, add_6(low, high))
    return _reduce_6(add_6(low, times_v(high))), upper


def square(f: F12) -> F12:
    """Complex squaring: (f0 + f1)(f0 + v·f1) − f0·f1 − v·f0·f1, and 2·f0·f1."""
    f0, f1 = f
    cross = multiply_6(f0, f1)
    whole = multiply_6(add_6(f0, f1), add_6(f0, times_v(f1)))
    lower = subtract_6(whole, add_6(cross, times_v(cross)))
    return lower, _reduce_6(add_6(cross, cross))


def conjugate(f: F12) -> F12:
    """The p⁶-th power: w ↦ −w. In the cyclotomic subgroup this is the inverse."""
    return f[0], negate_6(f[1])


def invert(f: F12) -> F12:
    f0, f1 = f
    norm = subtract_6(multiply_6(f0, f0), times_v(multiply_6(f1, f1)))
    inverse = invert_6(norm)
    return multiply_6(f0, inverse), negate_6(multiply_6(f1, inverse))


def multiply_by_line(f: F12, a0: int, a1: int, b0: int, b1: int) -> F12:
    """f·(1 + (a + b·v)·w), with ten products in F_p², five for each half of f.

    f0 + f1·w becomes (f0 + v·f1·l) + (f1 + f0·l)·w with l = a + b·v.
    """
    f0, f1 = f
    l0, l1, l2, l3, l4, l5 = f0
    h0, h1, h2, h3, h4, h5 = f1
    s0, s1, s2, s3, s4, s5 = _times_pair(f1, a0, a1, b0, b1)
    t0, t1, t2, t3, t4, t5 = _times_pair(f0, a0, a1, b0, b1)
    return (
        (
            (l0 + 9 * s4 - s5) % P,
            (l1 + 9 * s5 + s4) % P,
            (l2 + s0) % P,
            (l3 + s1) % P,
            (l4 + s2) % P,
            (l5 + s3) % P,
        ),
        (
            (h0 + t0) % P,
            (h1 + t1) % P,
            (h2 + t2) % P,
            (h3 + t3) % P,
            (h4 + t4) % P,
            (h5 + t5) % P,
        ),
    )


def _times_pair(x: F6, a0: int, a1: int, b0: int, b1: int) -> F6:
    """x·(a + b·v), not reduced."""
    x0, x1, x2, x3, x4, x5 = x
    p0, q0 = _product(x0, x1, a0, a1)
    p1, q1 = _product(x2, x3, b0, b1)
    p01, q01 = _product(x0 + x2, x1 + x3, a0 + b0, a1 + b1)
    p2a, q2a = _product(x4, x5, a0, a1)
    p2b, q2b = _product(x4, x5, b0, b1)
    return p0 + 9 * p2b - q2b, q0 + 9 * q2b + p2b, p01 - p0 - p1, q01 - q0 - q1, p1 + p2a, q1 + q2a


def square_cyclotomic(f: F12) -> F12:
    """f² for f with f^(p⁴ − p² + 1) = 1: three squarings in F_p⁴ (Granger and Scott)."""
    (a0, a1, e0, e1, d0, d1), (c0, c1, b0, b1, g0, g1) = f
    s0, s1, t0, t1 = _square_4(a0, a1, b0, b1)
    x0, x1, y0, y1 = _square_4(c0, c1, d0, d1)
    m0, m1, n0, n1 = _square_4(e0, e1, g0, g1)
    return (
        (
            (3 * s0 - 2 * a0) % P,
            (3 * s1 - 2 * a1) % P,
            (3 * x0 - 2 * e0) % P,
            (3 * x1 - 2 * e1) % P,
            (3 * m0 - 2 * d0) % P,
            (3 * m1 - 2 * d1) % P,
        ),
        (
            (3 * (9 * n0 - n1) + 2 * c0) % P,
            (3 * (9 * n1 + n0) + 2 * c1) % P,
            (3 * t0 + 2 * b0) % P,
            (3 * t1 + 2 * b1) % P,
            (3 * y0 + 2 * g0) % P,
            (3 * y1 + 2 * g1) % P,
        ),
    )


def _square_4(a0: int, a1: int, b0: int, b1: int) -> tuple[int, int, int, int]:
    """(a + b·s)² with s² = ξ: a² + ξ·b² and 2ab, not reduced."""
    p0, p1 = _square(a0, a1)
    q0, q1 = _square(b0, b1)
    m0, m1 = _square(a0 + b0, a1 + b1)
    return p0 + 9 * q0 - q1, p1 + 9 * q1 + q0, m0 - p0 - q0, m1 - p1 - q1


# FROBENIUS[n−1][k] = ξ^(k(pⁿ−1)/6): the factor of the coefficient of w^k under the pⁿ-power map.


def _frobenius_factors(times: int) -> tuple[F2, ...]:
    gamma = power_2(XI, (P**times - 1) // 6)
    factors: list[F2] = [(1, 0)]
    for _ in range(5):
        factors.append(multiply_2(factors[-1], gamma))
    return tuple(factors)


FROBENIUS: Final = tuple(_frobenius_factors(times) for times in (1, 2, 3))


def frobenius(f: F12, times: int) -> F12:
    """f^(p^times) for 1, 2 or 3 times."""
    (a0, a1, c0, c1, e0, e1), (b0, b1, d0, d1, g0, g1) = f
    powers = [(a0, a1), (b0, b1), (c0, c1), (d0, d1), (e0, e1), (g0, g1)]
    if times % 2:
        powers = [conjugate_2(value) for value in powers]
    factors = FROBENIUS[times - 1]
    a, b, c, d, e, g = (multiply_2(x, y) for x, y in zip(powers, factors, strict=True))
    return (*a, *c, *e), (*b, *d, *g)
