"""How much of a trace's randomness a verifier sees, as ranks over F (sections 18.7, 18.10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.airs import blocks
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths
from dragon.stark.rescue import mds_matrix, mds_matrix_inverse, round_constants
from plaintraces import Row, evaluate, interpolate, ntt, rounds

Vector = list[int]
M, M_INVERSE = mds_matrix(), mds_matrix_inverse()


class Span:
    """The span of a set of vectors, in echelon form."""

    def __init__(self) -> None:
        self._basis: list[tuple[int, Vector]] = []

    def add(self, vectors: Sequence[Vector]) -> int:
        """Add vectors. Returns the new dimension."""
        for vector in vectors:
            rest = self._reduced(vector)
            pivot = next((i for i, x in enumerate(rest) if x), -1)
            if pivot >= 0:
                scale = pow(rest[pivot], -1, P)
                self._basis.append((pivot, [x * scale % P for x in rest]))
        return len(self._basis)

    def _reduced(self, vector: Vector) -> Vector:
        for pivot, basis in self._basis:
            if factor := vector[pivot]:
                vector = [(a - factor * b) % P for a, b in zip(vector, basis, strict=True)]
        return vector


def rank(vectors: Sequence[Vector]) -> int:
    """The rank over F, by elimination."""
    return Span().add(vectors)


# -- (i) what the openings reveal about one column -----------------------------------------------


def residues(
    lengths: Lengths, points: Sequence[int], z: Element, unopened: Sequence[int] = ()
) -> list[Vector]:
    """The map from the n - L random coefficients of a column to its residues, transposed.

    See section 18.7. A column is f + (X^L - 1)·r. Row k is the contribution of r = X^k to: the
    value at each opened point, the residues modulo X^4 - x and X^4 - h^4·x, and the values at z·i^j
    and h·z·i^j.
    """
    n, original, h = lengths.trace_length, lengths.original_length, lengths.row_generator
    quarter = field.root_of_unity(4)
    sampled = [ext.scale(z, pow(quarter, j, P) * shift % P) for j in range(4) for shift in (1, h)]
    powers = [_powers(point, n) for point in sampled]
    moduli = [x * shift % P for x in (*points, *unopened) for shift in (1, pow(h, 4, P))]
    rows = []
    for k in range(n - original):
        row = [(pow(x, original, P) - 1) * pow(x, k, P) % P for x in points]
        for a in moduli:
            residue = [0, 0, 0, 0]
            for exponent, sign in ((k + original, 1), (k, -1)):
                residue[exponent % 4] += sign * pow(a, exponent // 4, P)
            row += [x % P for x in residue]
        for power in powers:
            row += ext.sub(power[k + original], power[k])
        rows.append(row)
    return rows


def _powers(z: Element, count: int) -> list[Element]:
    result = [ext.ONE]
    while len(result) < count:
        result.append(ext.mul(result[-1], z))
    return result


# -- (iii) the derivative of the whole view ------------------------------------------------------


class View:
    """The view of a verifier on the columns of a statement, and its derivative.

    The view consists of the opened cells f_j(x_r), the opened h_b(x_r), f_j at z and h·z, and
    h_b(z^4). The DEEP polynomial is omitted: three blinding columns hide it completely.

    `rows` has the original rows of all blocks, and `preimages` the preimage of each block.
    """

    def __init__(
        self,
        air: BlocksAir,
        rows: Sequence[Row],
        preimages: Sequence[Sequence[int]],
        lengths: Lengths,
        noise: Sequence[int],
        points: Sequence[int],
        z: Element,
        alphas: Sequence[Element],
    ) -> None:
        self.air, self.preimages = air, preimages
        self.lengths, self.points, self.z = lengths, points, z
        self.size, self.step = 4 * lengths.trace_length, 4 * lengths.slackness
        self.width = len(rows[0])
        s, n = lengths.slackness, lengths.trace_length
        self.columns = []
        for j in range(self.width):
            cells = [noise[(n * j + i) % len(noise)] for i in range(n)]
            cells[::s] = [row[j] for row in rows]
            self.columns.append(cells)
        self._sensitivities(alphas)
        self._functionals()

    def exponents(self) -> Sequence[int]:
        """The exponent of each constraint."""
        return self.air.exponents(self.lengths)

    def _sensitivities(self, alphas: Sequence[Element]) -> None:
        """∂C/∂cur_j and ∂C/∂nxt_j at every point of the coset."""
        xs, exponents = evaluate([0, 1], self.size), self.exponents()
        table = list(zip(*(evaluate(interpolate(c), self.size) for c in self.columns), strict=True))
        self.odd = [self._periodic(column) for column in blocks.periodic_columns()[12:]]
        self.by_current: list[list[Element]] = []
        self.by_next: list[list[Element]] = []
        for i, x in enumerate(xs):
            weights = [
                ext.add(alphas[2 * k], ext.scale(alphas[2 * k + 1], pow(x, e, P)))
                for k, e in enumerate(exponents)
            ]
            current, following = table[i], table[(i + self.step) % self.size]
            by_current, by_next = self._partials(i, x, weights, current, following)
            self.by_current.append(by_current)
            self.by_next.append(by_next)

    def _partials(
        self, i: int, x: int, weights: Sequence[Element], current: Row, following: Row
    ) -> tuple[list[Element], list[Element]]:
        """∂C/∂cur_j and ∂C/∂nxt_j for each column at one point; `weights` are those of the c_k."""
        y, root, chained = pow(x, len(self.preimages), P), field.root_of_unity(16), 1
        for r in range(1, 10):
            chained = chained * (y - pow(root, r, P)) % P
        first, middle, last = (pow(d, -1, P) for d in (y - 1, chained, y - pow(root, 10, P)))
        inverse = [first] * 4 + [middle] * 12 + [last] * 4
        weight = [ext.scale(w, d) for w, d in zip(weights, inverse, strict=False)]
        by_end = [
            ext.add(weight[4 + m], weight[16 + m]) if m < 4 else weight[4 + m] for m in range(12)
        ]
        by_start = [
            ext.add(weight[4 + m], weight[m - 8]) if m >= 8 else weight[4 + m] for m in range(12)
        ]
        by_current = _through(by_end, M, [3 * c * c % P for c in current[:12]])
        outer = [ext.scale(b, -d) for b, d in zip(by_start, self.slopes(i, following), strict=True)]
        return by_current, _through(outer, M_INVERSE, [1] * 12)

    def slopes(self, i: int, following: Row) -> Row:
        """3·u² for each u, the cube root of B_m, at point i."""
        shifted = [x - odd[i] for x, odd in zip(following[:12], self.odd, strict=True)]
        inner = [sum(a * x for a, x in zip(row, shifted, strict=True)) % P for row in M_INVERSE]
        return [3 * u * u % P for u in inner]

    def _periodic(self, column: Sequence[int]) -> list[int]:
        spaced = [0] * self.lengths.trace_length
        spaced[:: self.lengths.slackness] = [*column] * len(self.preimages)
        return evaluate(interpolate(spaced), self.size)

    def _functionals(self) -> None:
        """The weight of each value of C on the coset in the opened h_b(x_r) and h_b(z^4)."""
        shrink = pow(field.GENERATOR, -1, P)
        z4 = ext.power(self.z, 4)
        places = [ext.embed(x) for x in self.points] + [z4]
        self.functionals: list[list[int]] = []  # packed
        for place in places:
            powers = _powers(place, self.size // 4)
            for b in range(4):
                # h_b has the coefficients C_b, C_b+4, …, which an inverse transform gives.
                weights = [ext.ZERO] * self.size
                weights[b::4] = powers
                scaled = [ext.scale(w, pow(shrink, j, P)) for j, w in enumerate(weights)]
                root = pow(field.root_of_unity(self.size), -1, P)
                size = pow(self.size, -1, P)
                coordinates = [ntt(c, root) for c in zip(*scaled, strict=True)]
                values = [ext.scale(w, size) for w in zip(*coordinates, strict=True)]
                self.functionals.append(ext.pack(values))

    def random_directions(self) -> Iterator[Vector]:
        """The derivative of the view by each random cell, one row per cell."""
        for t in range(self.lengths.trace_length):
            if t % self.lengths.slackness:
                basis = self._basis(t)
                for j in range(self.width):
                    yield self.change({j: basis})

    def preimage_directions(self) -> list[Vector]:
        """The derivative of the view by preimages, in the directions that keep the output."""
        return [
            direction
            for b in range(len(self.preimages))
            for direction in self._directions_of(b, self.free_limbs(b))
        ]

    def free_limbs(self, block: int) -> range:
        """The elements of this block's preimage that the statement leaves open."""
        return range(8)

    def _directions_of(self, block: int, limbs: range) -> list[Vector]:
        middles, _ = rounds([*self.preimages[block], 0, 0, 0, 0])
        tangents = [_tangent(middles, i) for i in limbs]
        s, n = self.lengths.slackness, self.lengths.trace_length
        result = []
        for combination in kernel([output for _, output in tangents]):
            cells = [[0] * n for _ in range(12)]
            for factor, (rows, _) in zip(combination, tangents, strict=True):
                for r, row in enumerate(rows, start=16 * block + 1):
                    for j in range(12):
                        cells[j][r * s] = (cells[j][r * s] + factor * row[j]) % P
            result.append(self.change({j: self.extended(cells[j]) for j in range(12)}))
        return result

    def _basis(self, t: int) -> tuple[Vector, Vector]:
        return self.extended([int(i == t) for i in range(self.lengths.trace_length)])

    def extended(self, cells: Sequence[int]) -> tuple[Vector, Vector]:
        """The coefficients, and the values on the coset."""
        coefficients = interpolate(cells)
        return coefficients, evaluate(coefficients, self.size)

    def change(self, columns: dict[int, tuple[Vector, Vector]]) -> Vector:
        changes = []
        for i in range(self.size):
            total, after = ext.ZERO, (i + self.step) % self.size
            for j, (_, values) in columns.items():
                here = ext.scale(self.by_current[i][j], values[i])
                total = ext.add(total, ext.add(here, ext.scale(self.by_next[i][j], values[after])))
            changes.append(total)
        seen: Vector = []
        for j in range(self.width):
            coefficients = columns[j][0] if j in columns else []
            seen += [_at(coefficients, ext.embed(x))[0] for x in self.points]
            for shift in (1, self.lengths.row_generator):
                seen += _at(coefficients, ext.scale(self.z, shift))
        coordinates = list(zip(*changes, strict=True))
        for functional in self.functionals:
            total = ext.ZERO
            for k, phi in enumerate((ext.ONE, ext.PHI, ext.mul(ext.PHI, ext.PHI))):
                total = ext.add(total, ext.mul(phi, ext.dot(functional, coordinates[k])))
            seen += total
        return seen


def _tangent(middles: Sequence[Row], i: int) -> tuple[list[Row], Row]:
    """The derivatives of the ten middles and of the output by input i."""
    change, rows = [int(k == i) for k in range(12)], []
    for r, middle in enumerate(middles):
        constants = round_constants()[2 * r + 1]
        shifted = [x - k for x, k in zip(middle, constants, strict=True)]
        roots = [sum(a * x for a, x in zip(row, shifted, strict=True)) % P for row in M_INVERSE]
        halfway = [c * pow(3 * y * y, -1, P) % P for c, y in zip(change, roots, strict=True)]
        rows.append([sum(a * x for a, x in zip(row, halfway, strict=True)) % P for row in M])
        cubed = [3 * m * m * c % P for m, c in zip(middle, rows[-1], strict=True)]
        change = [sum(a * x for a, x in zip(row, cubed, strict=True)) % P for row in M]
    return rows, change[:4]


def _through(
    outer: Sequence[Element], matrix: Sequence[Sequence[int]], inner: Sequence[int]
) -> list[Element]:
    """The chain rule: Σ_m outer_m·matrix[m][j]·inner_j for each j."""
    packed = ext.pack(outer)
    return [
        ext.scale(ext.dot(packed, column), x)
        for column, x in zip(zip(*matrix, strict=True), inner, strict=True)
    ]


def _at(coefficients: Sequence[int], point: Element) -> Element:
    total = ext.ZERO
    for coefficient in reversed(coefficients):
        c0, c1, c2 = ext.mul(total, point)
        total = ((c0 + coefficient) % P, c1, c2)
    return total


def kernel(images: Sequence[Sequence[int]]) -> list[Vector]:
    """A basis of the linear combinations of these vectors that are zero."""
    size = len(images)
    rows = [[*image, *[int(i == k) for k in range(size)]] for i, image in enumerate(images)]
    width, done = len(images[0]), 0
    for column in range(width):
        pivot = next((k for k in range(done, size) if rows[k][column]), None)
        if pivot is None:
            continue
        rows[done], rows[pivot] = rows[pivot], rows[done]
        scale = pow(rows[done][column], -1, P)
        for k in range(done + 1, size):
            factor = rows[k][column] * scale % P
            rows[k] = [(a - factor * b) % P for a, b in zip(rows[k], rows[done], strict=True)]
        done += 1
    return [row[width:] for row in rows[done:]]
