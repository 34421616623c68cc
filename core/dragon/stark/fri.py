"""FRI: commitments to folded layers, and their consistency at the queries (section 9).

The value at index i of a layer of size S belongs to the point ω_S^rev(i) of the plain subgroup,
although layer 0 holds evaluations on a coset. Folds are not normalised: each adds a factor 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from dragon.stark import extension as ext
from dragon.stark import field, tables
from dragon.stark.channel import ProofReader, VerifierChannel
from dragon.stark.deep import Boundary
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.hashchain import NONCE_BYTES, is_valid_nonce
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.transcript import FriCommitments

# `check_last_layer` evaluates a polynomial in two stages, with at most this many inner points.
# Fewer points make each query more expensive; with more points, fewer queries share one.
INNER_POINTS: Final = 32


def commit(
    parameters: Parameters,
    lengths: Lengths,
    channel: VerifierChannel,
    constraints: Sequence[Boundary],
) -> FriCommitments:
    """Steps 7 to 11 of the transcript (section 8): from the DEEP coefficients to the queries.

    Raises ProofRefused (proof_of_work, proof_too_short, non_canonical).
    """
    chain, steps = channel.chain, parameters.fri_step_list
    deep_coefficients = chain.extensions(len(constraints))
    challenges: list[Element] = []
    roots: list[bytes] = []
    for i, step in enumerate(steps):
        if step:
            challenges.append(chain.extension())
        if i < len(steps) - 1:
            roots.append(channel.receive_digest())
    last_layer = channel.receive_elements(parameters.last_layer_degree_bound)

    state_before_nonce = chain.state
    nonce = _proof_of_work(parameters.proof_of_work_bits, channel)
    state_after_nonce = chain.state
    bound = lengths.domain_size >> steps[0]
    queries = chain.numbers(parameters.n_queries, bound)
    return FriCommitments(
        deep_coefficients,
        constraints,
        challenges,
        roots,
        last_layer,
        state_before_nonce,
        nonce,
        state_after_nonce,
        queries,
    )


def _proof_of_work(bits: int, channel: VerifierChannel) -> bytes:
    """Read the nonce, and check it against the state before the nonce is mixed."""
    if not bits:
        return b""
    state = channel.chain.state
    nonce = channel.receive(NONCE_BYTES)
    if not is_valid_nonce(state, bits, nonce):
        raise ProofRefused(Reason.PROOF_OF_WORK, f"the nonce does not prove {bits} bits of work")
    return nonce


def first_fold(
    cells: Mapping[int, Element], step: int, size: int, challenges: Sequence[Element]
) -> dict[int, Element]:
    """Apply the first step to complete rows of 2^step cells of a layer of `size` cells.

    `cells` maps indices to values, in ascending order. A step of 0 changes nothing and has no
    challenge.
    """
    if not step:
        return dict(cells)
    rows: dict[int, list[Element]] = {}
    for index, value in cells.items():
        rows.setdefault(index >> step, []).append(value)
    return _fold_rows(rows, size, challenges[0])


def check_layers(
    parameters: Parameters,
    lengths: Lengths,
    reader: ProofReader,
    committed: FriCommitments,
    values: dict[int, Element],
) -> list[dict[int, Element]]:
    """Open each committed layer at the queries and fold it into the next, down to the last.

    `values` maps the indices of the first layer to their values. Returns such a map for every
    layer.

    Raises ProofRefused (fri_layer_decommitment, last_layer, proof_too_short, non_canonical).
    """
    layers = [values]
    size = lengths.domain_size >> parameters.fri_step_list[0]
    steps = parameters.fri_step_list[1:]
    challenges = committed.challenges[len(committed.challenges) - len(steps) :]
    stages = zip(steps, challenges, committed.roots, strict=True)
    for i, (step, challenge, root) in enumerate(stages, start=1):
        known = {divmod(index, 1 << step): value for index, value in layers[-1].items()}
        opening = tables.LayerOpening(reader, known, 1 << step)
        if opening.root(size >> step) != root:
            message = f"the opening of FRI layer {i} does not match its commitment"
            raise ProofRefused(Reason.FRI_LAYER_DECOMMITMENT, message)
        layers.append(_fold_rows(opening.rows, size, challenge))
        size >>= step
    check_last_layer(committed.last_layer, size, layers[-1])
    return layers


def check_last_layer(
    coefficients: Sequence[Element], size: int, values: Mapping[int, Element]
) -> None:
    """Check that every value lies on the polynomial L with these coefficients.

    `values` maps indices in a layer of `size` cells to values. L(x) = Σ xʳ·Lᵣ(xʷ) for r < w, where
    Lᵣ has every w-th coefficient of L. A layer has at most INNER_POINTS different xʷ, so most
    queries share the values of all Lᵣ.

    Raises ProofRefused (last_layer).
    """
    width = max(1, size // INNER_POINTS)
    packed = ext.pack(coefficients)
    parts = [packed[r::width] for r in range(width)]
    inner: dict[int, list[int]] = {}
    for index, value in values.items():
        x = row_point(index, size, width=1)
        y = pow(x, width, P)
        if y not in inner:
            powers = field.powers(y, len(parts[0]))
            inner[y] = ext.pack(ext.dot(part, powers) for part in parts)
        if ext.dot(inner[y], field.powers(x, width)) != value:
            message = f"the value at index {index} does not lie on the polynomial of the last layer"
            raise ProofRefused(Reason.LAST_LAYER, message)


def _fold_rows(
    rows: Mapping[int, Sequence[Element]], size: int, challenge: Element
) -> dict[int, Element]:
    """Apply one step to some rows of a layer of `size` cells."""
    width = len(next(iter(rows.values())))
    inverses = field.batch_inverse([row_point(row, size // width, width) for row in rows])
    return {
        row: fold_row(values, inverse, challenge)
        for (row, values), inverse in zip(rows.items(), inverses, strict=True)
    }


def row_point(row: int, n_rows: int, width: int) -> int:
    """The FRI point of the first cell of a row. `n_rows` and `width` are powers of two."""
    exponent = field.bit_reverse(row, field.log2(n_rows))
    return pow(field.root_of_unity(n_rows * width), exponent, P)


def fold_row(values: Sequence[Element], inverse_point: int, challenge: Element) -> Element:
    """Apply one step to a row of 2^t values: t folds with ζ, ζ², ζ⁴, … give one value.

    `inverse_point` is 1/x for the FRI point x of the first value.
    """
    while len(values) > 1:
        values = [
            _fold(values[2 * j], values[2 * j + 1], inverse_point * twiddle % P, challenge)
            for j, twiddle in enumerate(_inverse_twiddles(len(values)))
        ]
        inverse_point = inverse_point * inverse_point % P
        challenge = ext.mul(challenge, challenge)
    return values[0]


def _fold(at_x: Element, at_minus_x: Element, inverse_x: int, challenge: Element) -> Element:
    """F(x) + F(-x) + ζ·(F(x) - F(-x))/x."""
    odd = ext.mul(challenge, ext.scale(ext.sub(at_x, at_minus_x), inverse_x))
    return ext.add(ext.add(at_x, at_minus_x), odd)


@cache
def _inverse_twiddles(width: int) -> tuple[int, ...]:
    """1/ω_width^rev(2j) for j < width/2: inverse points of a row, relative to its first."""
    root, bits = field.inverse(field.root_of_unity(width)), field.log2(width)
    return tuple(pow(root, field.bit_reverse(2 * j, bits), P) for j in range(width // 2))
