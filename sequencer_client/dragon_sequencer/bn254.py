"""BN254 (alt_bn128): points, keys, signatures and their text form, as Zellular uses them.

Signatures are points of G1 (y² = x³ + 3 over F_p), public keys points of G2 (y² = x³ + 3/ξ over
F_p²). A point is a pair of affine coordinates; None means infinity. Multiplication by a secret is
not constant-time: only a development sequencer has secrets here.
"""

from __future__ import annotations

import functools
import re
from typing import Final, TypeAlias

from dragon_sequencer import compiled, tower
from dragon_sequencer.errors import MalformedSignature, SignatureOffCurve
from dragon_sequencer.multiples import multiple_g1, multiple_g2
from dragon_sequencer.tower import F2, FROBENIUS, P, R

G1: TypeAlias = tuple[int, int]
G2: TypeAlias = tuple[F2, F2]

G1_GENERATOR: Final[G1] = (1, 2)
G2_GENERATOR: Final[G2] = (
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)
U: Final = 4965661367192848881  # the parameter of this Barreto-Naehrig curve
_TWIST_B: Final[F2] = tower.scale_2(tower.invert_2(tower.XI), 3)
_MAX_POINTS: Final = 256  # of messages that are kept
_SIGNATURE: Final = re.compile(r"1 (0|[1-9][0-9]{0,77}) (0|[1-9][0-9]{0,77})", re.ASCII)


@functools.lru_cache(_MAX_POINTS)
def hash_to_curve(message: bytes) -> G1:
    """Zellular's mapping: the first point with x from the message's integer upwards.

    Points are remembered: a message is often verified again, under another node list or alone
    after a batch.

    Of the two values of y, the result is the square root x^((p+1)/4). There is no domain
    separation, and neighbouring messages may map to one point, so a signature may be valid for
    several messages.
    """
    x = int.from_bytes(message, "big") % P
    functions = compiled.in_use()
    root = functions.curve_root if functions else curve_root_plain
    while True:
        square, y = root(x)
        if y * y % P == square:
            return x, y
        x = (x + 1) % P


def curve_root_plain(x: int) -> tuple[int, int]:
    """x³ + 3, and its square root if it has one, else another number."""
    square = (x * x * x + 3) % P
    return square, pow(square, (P + 1) // 4, P)


def is_on_g1(point: G1) -> bool:
    """Whether the curve equation holds. G1 has prime order, so no other check is needed."""
    x, y = point
    return (y * y - x * x * x - 3) % P == 0


def decode_signature(text: str) -> G1:
    """Read a signature `1 X Y`, with decimal coordinates without leading zeros.

    Raises:
        MalformedSignature: the form differs (infinity, compressed, padded), or X or Y is not
            below p.
        SignatureOffCurve: the numbers are not a point of the curve.
    """
    if not (match := _SIGNATURE.fullmatch(text)):
        raise MalformedSignature("a signature must be of the form `1 X Y`, in decimal")
    point = int(match[1]), int(match[2])
    if max(point) >= P:
        raise MalformedSignature("a coordinate of the signature is not below p")
    if not is_on_g1(point):
        raise SignatureOffCurve("the signature is not a point of the curve")
    return point


def encode_signature(point: G1) -> str:
    return f"1 {point[0]} {point[1]}"


def negate_g1(point: G1) -> G1:
    return point[0], -point[1] % P


def add_g1(a: G1 | None, b: G1 | None) -> G1 | None:
    if a is None or b is None:
        return a or b
    (ax, ay), (bx, by) = a, b
    if ax == bx:
        if (ay + by) % P == 0:
            return None
        slope = 3 * ax * ax * pow(2 * ay, -1, P) % P
    else:
        slope = (by - ay) * pow(bx - ax, -1, P) % P
    x = (slope * slope - ax - bx) % P
    return x, (slope * (ax - x) - ay) % P


def multiply_g1(point: G1, factor: int) -> G1 | None:
    return multiple_g1(point, factor % R)


def add_g2(a: G2 | None, b: G2 | None) -> G2 | None:
    if a is None or b is None:
        return a or b
    if a[0] != b[0]:
        return chord(a, b)[1]
    return tangent(a)[1] if a[1] == b[1] and a[1] != (0, 0) else None


def tangent(a: G2) -> tuple[F2, G2]:
    """The slope of the tangent at `a`, and 2·a. The y of `a` must not be 0."""
    x, y = a
    slope = tower.multiply_2(
        tower.scale_2(tower.square_2(x), 3), tower.invert_2(tower.scale_2(y, 2))
    )
    return slope, _third(slope, a, x)


def chord(a: G2, b: G2) -> tuple[F2, G2]:
    """The slope of the line through `a` and `b`, and a + b. Their x must differ."""
    rise, run = tower.subtract_2(b[1], a[1]), tower.subtract_2(b[0], a[0])
    slope = tower.multiply_2(rise, tower.invert_2(run))
    return slope, _third(slope, a, b[0])


def _third(slope: F2, a: G2, other_x: F2) -> G2:
    x = tower.subtract_2(tower.square_2(slope), tower.add_2(a[0], other_x))
    return x, tower.subtract_2(tower.multiply_2(slope, tower.subtract_2(a[0], x)), a[1])


def negate_g2(point: G2) -> G2:
    return point[0], tower.subtract_2((0, 0), point[1])


def multiply_g2(point: G2, factor: int) -> G2 | None:
    """Multiply without reducing `factor` modulo r: not every point of the twist has this order."""
    return multiple_g2(point, factor)


def is_on_twist(point: G2) -> bool:
    x, y = point
    right = tower.add_2(tower.multiply_2(tower.square_2(x), x), _TWIST_B)
    return tower.square_2(y) == right


def frobenius_g2(point: G2) -> G2:
    """ψ, the p-power Frobenius map on the twist."""
    x, y = tower.conjugate_2(point[0]), tower.conjugate_2(point[1])
    return tower.multiply_2(x, FROBENIUS[0][2]), tower.multiply_2(y, FROBENIUS[0][3])


def is_in_g2(point: G2) -> bool:
    """Whether the point is on the twist and has order r. A key must be such a point.

    Exactly these points fulfil (u + 1)·Q + ψ(u·Q) + ψ²(u·Q) = ψ³(2u·Q) (El Housni, Guillevic and
    Piellard, "Co-factor Clearing and Subgroup Membership Testing on Pairing-Friendly Curves",
    AFRICACRYPT 2022). u has 63 bits and r has 254, so this takes a quarter of the time of r·Q.
    """
    if not is_on_twist(point):
        return False
    multiple = multiply_g2(point, U)
    if multiple is None or (double := add_g2(multiple, multiple)) is None:
        return False  # r does not divide 2u
    once = frobenius_g2(multiple)
    left = add_g2(add_g2(add_g2(multiple, point), once), frobenius_g2(once))
    return left == frobenius_g2(frobenius_g2(frobenius_g2(double)))


def public_key(secret: int) -> G2:
    """The public key of a secret. Raises ValueError unless 0 < secret < r."""
    if not 0 < secret < R or (key := multiply_g2(G2_GENERATOR, secret)) is None:
        raise ValueError("a secret key must be between 1 and r − 1")
    return key


def sign(secrets: list[int], message: bytes) -> G1:
    """The aggregate of the signatures of all secrets: (Σ secrets)·M(message).

    Needs one multiplication, because one process holds all secrets.

    Raises:
        ValueError: the secrets add up to 0 modulo r.
    """
    point = multiply_g1(hash_to_curve(message), sum(secrets))
    if point is None:
        raise ValueError("the secrets cancel each other: their sum is 0 modulo r")
    return point
