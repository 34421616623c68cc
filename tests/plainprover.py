"""A prover in plain Python (section 11): the byte-for-byte oracle for the compiled prover.

It accepts any rows, correct or not. Use it with small sizes only: a classic signature takes about
half a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from dragon.stark import extension as ext
from dragon.stark import field, seeds
from dragon.stark.air import Air
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.deep import DeepPolynomial, boundaries
from dragon.stark.extension import Element
from dragon.stark.field import P, bit_reverse, log2
from dragon.stark.fri import fold_row, row_point
from dragon.stark.hashchain import HashChain, blake2s_256, is_valid_nonce
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.tables import SALT_BYTES, package_rows
from plaintraces import Constraints, Row, blocks_rows, evaluate, interpolate

Column = list[int]


def prove_blocks(
    air: BlocksAir, parameters: Parameters, preimages: Sequence[Sequence[int]], rho: bytes
) -> bytes:
    """A blocks proof. `preimages` covers all blocks; `parameters` must have a `slack`."""
    encoded = field.encode(chain.from_iterable(preimages))
    zk_seed = seeds.blocks_zk_seed(air.channel_seed(parameters), rho, encoded)
    return Prover(air, parameters, zk_seed).prove(blocks_rows(preimages))


def known_system(air: Air, lengths: Lengths) -> System:
    """The constraints of the two built-in statements."""
    if not isinstance(air, (BlocksAir, RescueChainAir)):
        raise TypeError("pass `system` for this statement")
    return Constraints(air, lengths)


class Channel:
    """The proof so far, and the hash chain that gives the challenges."""

    def __init__(self, seed: bytes) -> None:
        self.chain = HashChain(seed)
        self.proof = bytearray()

    def send(self, data: bytes) -> None:
        self.proof += data
        self.chain.mix(data)


@dataclass
class Table:
    """A committed table: rows of bytes, optionally salted, under a Merkle tree."""

    rows: list[bytes]
    salts: list[bytes] | None = None

    def __post_init__(self) -> None:
        size = 1 if self.salts else package_rows(len(self.rows[0]), len(self.rows))
        self.per_leaf = size
        if self.salts:
            leaves = [blake2s_256(a + b) for a, b in zip(self.rows, self.salts, strict=True)]
        else:
            packages = range(0, len(self.rows), size)
            leaves = [blake2s_256(b"".join(self.rows[i : i + size])) for i in packages]
        self.nodes = [b""] * len(leaves) + leaves
        for v in range(len(leaves) - 1, 0, -1):
            self.nodes[v] = blake2s_256(self.nodes[2 * v] + self.nodes[2 * v + 1])

    @property
    def root(self) -> bytes:
        return self.nodes[1]

    def open(self, known: Mapping[int, set[int]]) -> bytes:
        """The opening of rows (section 7.4).

        `known` maps each row to the columns of K that the verifier computes itself.
        """
        rows, shown = sorted(known), bytearray()
        for row in rows:
            cells = self.rows[row]
            if known[row]:
                width = range(len(cells) // 24)
                cells = b"".join(cells[24 * c : 24 * c + 24] for c in width if c not in known[row])
            shown += cells
        if self.salts:
            shown += b"".join(self.salts[row] for row in rows)
        leaves = sorted({row // self.per_leaf for row in rows})
        for leaf in leaves:
            package = range(leaf * self.per_leaf, (leaf + 1) * self.per_leaf)
            shown += b"".join(self.rows[row] for row in package if row not in known)
        return bytes(shown) + self._siblings(leaves)

    def _siblings(self, leaves: Sequence[int]) -> bytes:
        """The queue algorithm of section 7.3, taken literally."""
        queue, shown = [len(self.nodes) // 2 + leaf for leaf in leaves], bytearray()
        while queue[0] != 1:
            v = queue.pop(0)
            queue.append(v // 2)
            if queue[0] == v ^ 1:
                queue.pop(0)
            else:
                shown += self.nodes[v ^ 1]
        return bytes(shown)


class System(Protocol):
    """The constraints of a statement on the coset 3·⟨ω_4n⟩."""

    points: list[int]

    def quotients(self, columns: Sequence[Column]) -> list[list[int]]: ...


class Prover:
    """The prover of section 11 for one statement. `zk_seed` is used with zero knowledge only."""

    def __init__(
        self,
        air: Air,
        parameters: Parameters,
        zk_seed: bytes = b"",
        system: System | None = None,
    ) -> None:
        self.air, self.parameters, self.zk_seed = air, parameters, zk_seed
        self.lengths: Lengths = parameters.lengths(air.original_length, air.columns)
        self.system = system or known_system(air, self.lengths)
        self.n, self.size = self.lengths.trace_length, self.lengths.domain_size
        bits = log2(self.size)
        self.order = [bit_reverse(r, bits) for r in range(self.size)]  # row to natural index

    def prove(self, rows: Sequence[Row]) -> bytes:
        channel = Channel(self.air.channel_seed(self.parameters))
        chain = channel.chain

        # (1) Commit to the trace.
        coefficients = [interpolate(column) for column in self.columns(rows)]
        extended = [evaluate(column, self.size) for column in coefficients]
        trace = Table(self._encoded(extended), self._salts())
        channel.send(trace.root)

        # (2) Commit to the composition polynomial, in four parts.
        parts = self.parts(extended, chain.extensions(2 * self.air.n_constraints))
        extended_parts = [evaluate(c, self.size) for part in parts for c in part]
        composition = Table(self._encoded(extended_parts))
        channel.send(composition.root)

        # (3) Send the out-of-domain values.
        z = chain.extension()
        mask_values = [
            at(coefficients[column], ext.scale(z, pow(self.lengths.row_generator, row, P)))
            for row, column in self.air.mask
        ]
        z4 = ext.power(z, 4)
        part_values = [combined([at(c, z4) for c in part]) for part in parts]
        for value in [*mask_values, *part_values]:
            channel.send(ext.encode([value]))

        # (4) Fold the DEEP polynomial down to the last layer.
        constraints = boundaries(z, self.air.mask, mask_values, part_values, self.lengths)
        deep = DeepPolynomial(constraints, chain.extensions(len(constraints)), self.lengths)
        words = list(zip(*extended, *extended_parts, strict=True))
        points = evaluate([0, 1], self.size)
        natural = deep.at(points, words)
        layers = self._fri(channel, [natural[i] for i in self.order])

        # (5) Do the proof of work, and open the queried rows.
        self._grind(channel)
        self._open(channel, trace, composition, layers)
        return bytes(channel.proof)

    def columns(self, rows: Sequence[Row]) -> list[Column]:
        """The trace columns with slack and blinding, drawn column by column."""
        if not self.parameters.zero_knowledge:
            return [list(column) for column in zip(*rows, strict=True)]
        random = HashChain(self.zk_seed)
        random.mix(b"Trace")
        spare = self.lengths.slackness - 1
        result = []
        for column in zip(*rows, strict=True):
            cells: Column = []
            for cell in column:
                cells += [cell, *[random.base() for _ in range(spare)]]
            result.append(cells)
        for _ in range(self.lengths.blinding_columns):
            result.append([random.base() for _ in range(self.n)])
        return result

    def _salts(self) -> list[bytes] | None:
        if not self.parameters.zero_knowledge:
            return None
        source, salts = HashChain(self.zk_seed), []
        source.mix(b"Salts")
        for r in range(self.size):
            copy = source.copy()
            copy.mix(r.to_bytes(8, "big"))
            salts.append(copy.draw(SALT_BYTES))
        return salts

    def _encoded(self, columns: Sequence[Column]) -> list[bytes]:
        natural = list(zip(*columns, strict=True))
        return [field.encode(natural[i]) for i in self.order]

    def parts(self, extended: Sequence[Column], alphas: Sequence[Element]) -> list[list[Column]]:
        """h_0 … h_3, each as the coefficients of three coordinates."""
        points = self.system.points
        stride = self.size // len(points)
        traced = extended[: self.air.columns]
        quotients = self.system.quotients([column[::stride] for column in traced])
        exponents = self.air.exponents(self.lengths)
        plain, adjusted = ext.pack(alphas[::2]), {}
        for e in set(exponents):
            chosen = [
                a if d == e else ext.ZERO for a, d in zip(alphas[1::2], exponents, strict=True)
            ]
            adjusted[e] = ext.pack(chosen)
        values = []
        for x, quotient in zip(points, quotients, strict=True):
            value = ext.dot(plain, quotient)
            for e, packed in adjusted.items():
                value = ext.add(value, ext.scale(ext.dot(packed, quotient), pow(x, e, P)))
            values.append(value)
        polynomial = [interpolate(c, field.GENERATOR) for c in zip(*values, strict=True)]
        return [[coordinate[b::4] for coordinate in polynomial] for b in range(4)]

    def _fri(self, channel: Channel, layer: list[Element]) -> list[Table]:
        steps, tables = self.parameters.fri_step_list, []
        for i, step in enumerate(steps):
            if step:
                layer = folded(layer, step, channel.chain.extension())
            if i < len(steps) - 1:
                width = 1 << steps[i + 1]
                rows = [ext.encode(layer[j : j + width]) for j in range(0, len(layer), width)]
                tables.append(Table(rows))
                channel.send(tables[-1].root)
        bits = log2(len(layer))
        natural = [layer[bit_reverse(i, bits)] for i in range(len(layer))]
        coefficients = list(zip(*[interpolate(c) for c in zip(*natural, strict=True)], strict=True))
        channel.send(ext.encode(coefficients[: self.parameters.last_layer_degree_bound]))
        return tables

    def _grind(self, channel: Channel) -> None:
        bits, state, nonce = self.parameters.proof_of_work_bits, channel.chain.state, 0
        if not bits:
            return
        while not is_valid_nonce(state, bits, nonce.to_bytes(8, "big")):
            nonce += 1
        channel.send(nonce.to_bytes(8, "big"))

    def _open(
        self, channel: Channel, trace: Table, composition: Table, layers: Sequence[Table]
    ) -> None:
        first, *steps = self.parameters.fri_step_list
        bound = self.size >> first
        queries = [channel.chain.number(bound) for _ in range(self.parameters.n_queries)]
        rows = {(q << first) + k for q in queries for k in range(1 << first)}
        for table in (trace, composition):
            channel.proof += table.open({row: set() for row in rows})
        for table, step in zip(layers, steps, strict=True):
            known: dict[int, set[int]] = {}
            for q in queries:
                known.setdefault(q >> step, set()).add(q & (1 << step) - 1)
            channel.proof += table.open(known)
            queries = [q >> step for q in queries]


def folded(layer: Sequence[Element], step: int, challenge: Element) -> list[Element]:
    """The whole layer after one step."""
    width = 1 << step
    n_rows = len(layer) // width
    return [
        fold_row(
            layer[row * width : (row + 1) * width],
            field.inverse(row_point(row, n_rows, width)),
            challenge,
        )
        for row in range(n_rows)
    ]


def at(coefficients: Sequence[int], z: Element) -> Element:
    """The value of a polynomial over F at a point of K."""
    total = ext.ZERO
    for coefficient in reversed(coefficients):
        c0, c1, c2 = ext.mul(total, z)
        total = ((c0 + coefficient) % P, c1, c2)
    return total


def combined(coordinates: Sequence[Element]) -> Element:
    """c_0 + φ·c_1 + φ²·c_2 for coordinates in K."""
    total = ext.ZERO
    for coordinate in reversed(coordinates):
        total = ext.add(ext.mul(total, ext.PHI), coordinate)
    return total
