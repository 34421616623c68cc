"""Make Ziggy signatures under `ziggy-classic` (sections 4.1 and 11) in plain Python.

The trace has 64 rows, so this takes a tenth of a second. Loading the compiled prover
(`dragon.stark.prover.ziggy`), which makes the same bytes, takes ten times as long.

Deterministic blinding depends on key and message only. Two signatures of one message under two sets
of parameters then reveal the key together (section 14.1): here is one set only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dragon.stark import extension as ext
from dragon.stark import field, seeds
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.deep import DeepPolynomial, boundaries
from dragon.stark.extension import Element
from dragon.stark.field import GENERATOR
from dragon.stark.hashchain import NONCE_BYTES, HashChain, is_valid_nonce
from dragon.stark.outside_domain import check_outside_domain
from dragon.stark.parameter_sets import BLOCK_ROWS, CLASSIC
from dragon.stark.parameters import DEGREE_FACTOR, Lengths
from dragon.stark.randomness import check_rho
from dragon.stark.rescue import RATE, WIDTH, permutation_states
from dragon.stark.signing.commitments import CommittedTable, draw_salts
from dragon.stark.signing.composition import composition_values
from dragon.stark.signing.transforms import evaluate, interpolate
from dragon.stark.ziggy import public_key, secret_preimage

_PARAMETERS: Final = CLASSIC.parameters(1)

Columns = list[list[int]]


def sign(private_key: bytes, message: bytes, rho: bytes) -> bytes:
    """Sign `message` with a private key of 32 bytes.

    `rho` is 32 bytes from the system's random generator, fresh for every call. Verifiers cannot
    tell such a signature from a deterministic one.

    Raises ValueError: the key does not have 32 bytes. WrongWitness: `rho` does not have 32 bytes.
    UnluckyChallenge: call again with a fresh `rho`.
    """
    check_rho(rho)
    air = _air(private_key, message)
    seed = seeds.ziggy_zk_seed(private_key, message)
    fresh = seeds.fresh_zk_seed(_PARAMETERS.digest(), air.channel_seed(_PARAMETERS), rho, seed)
    return _Signing(air, fresh).proof(private_key)


def sign_deterministically(private_key: bytes, message: bytes) -> bytes:
    """Sign as the original programs do: the same key and message give the same bytes.

    Never sign one message with one key under two sets of parameters: the two signatures together
    reveal the key (section 14.1).

    Raises ValueError: the key does not have 32 bytes. UnluckyChallenge: this message cannot be
    signed in this way.
    """
    air = _air(private_key, message)
    return _Signing(air, seeds.ziggy_zk_seed(private_key, message)).proof(private_key)


def _air(private_key: bytes, message: bytes) -> BlocksAir:
    return BlocksAir((public_key(private_key),), message)


class _Signing:
    """The state of one signature."""

    def __init__(self, air: BlocksAir, zk_seed: bytes) -> None:
        self._air, self._zk_seed = air, zk_seed
        self._lengths: Lengths = _PARAMETERS.lengths(air.original_length, air.columns)
        self._size = self._lengths.domain_size
        self._chain = HashChain(air.channel_seed(_PARAMETERS))
        self._sent: list[bytes] = []

    def proof(self, private_key: bytes) -> bytes:
        # (1) Commit to the trace.
        trace = [interpolate(column) for column in self._trace(private_key)]
        extended = [evaluate(column, self._size) for column in trace]
        trace_table = self._commit(extended, draw_salts(self._zk_seed, self._size))
        # (2) Commit to the four parts of the composition polynomial, in three coordinates each.
        parts = self._parts(extended)
        extended_parts = [evaluate(column, self._size) for part in parts for column in part]
        parts_table = self._commit(extended_parts)
        # (3) Evaluate both at the out-of-domain point.
        z = self._chain.extension()
        check_outside_domain(z, self._lengths)
        values, part_values = self._send_values(trace, parts, z)
        # (4) Combine all claims into one polynomial of low degree, and send its coefficients.
        self._send_deep([*extended, *extended_parts], z, values, part_values)
        # (5) Do the proof of work, then draw the queries, and open the queried rows.
        self._grind()
        rows = sorted(set(self._chain.numbers(_PARAMETERS.n_queries, self._size)))
        openings = [table.opening(rows) for table in (trace_table, parts_table)]
        return b"".join([*self._sent, *openings])

    def _send(self, item: bytes) -> None:
        self._sent.append(item)
        self._chain.mix(item)

    def _trace(self, private_key: bytes) -> Columns:
        """The columns with random cells between the original ones, and the blinding column."""
        states = permutation_states([*secret_preimage(private_key), *[0] * (WIDTH - RATE)])
        middles = states[1::2]
        blank = [0] * WIDTH
        rows = [blank, *middles, *[blank] * (BLOCK_ROWS - 1 - len(middles))]
        lengths, source = self._lengths, HashChain(self._zk_seed)
        source.mix(b"Trace")
        cells = lengths.columns * lengths.trace_length - WIDTH * BLOCK_ROWS
        drawn = iter(source.bases(cells))
        spare = range(lengths.slackness - 1)
        columns = [
            [each for cell in column for each in (cell, *(next(drawn) for _ in spare))]
            for column in zip(*rows, strict=True)
        ]
        return [*columns, list(drawn)]

    def _commit(self, columns: Columns, salts: Sequence[bytes] = ()) -> CommittedTable:
        """Send the root of a table. Its rows are in bit-reversed order."""
        natural, bits = list(zip(*columns, strict=True)), field.log2(self._size)
        rows = [field.encode(natural[field.bit_reverse(r, bits)]) for r in range(self._size)]
        table = CommittedTable(rows, salts)
        self._send(table.root)
        return table

    def _parts(self, extended: Columns) -> list[Columns]:
        """h_0 … h_3, each as the coefficients of three coordinates."""
        alphas = self._chain.extensions(2 * self._air.n_constraints)
        stride = self._size // (DEGREE_FACTOR * self._lengths.trace_length)
        trace = [column[::stride] for column in extended[: self._air.columns]]
        values = composition_values(self._air, trace, self._lengths, alphas)
        coordinates = [interpolate(each, GENERATOR) for each in zip(*values, strict=True)]
        return [[each[b::DEGREE_FACTOR] for each in coordinates] for b in range(DEGREE_FACTOR)]

    def _send_values(
        self, trace: Columns, parts: Sequence[Columns], z: Element
    ) -> tuple[list[Element], list[Element]]:
        """Send the values of the mask, then h_0 … h_3 (section 8, steps 5 and 6)."""
        n, step = self._lengths.trace_length, self._lengths.row_generator
        powers = [_packed_powers(ext.scale(z, x), n) for x in (1, step)]
        values = [ext.dot(powers[row], trace[column]) for row, column in self._air.mask]
        at_parts = _packed_powers(ext.power(z, DEGREE_FACTOR), n)
        part_values = [_combined([ext.dot(at_parts, column) for column in part]) for part in parts]
        for value in (*values, *part_values):
            self._send(ext.encode([value]))
        return values, part_values

    def _send_deep(
        self, columns: Columns, z: Element, values: list[Element], part_values: list[Element]
    ) -> None:
        """Send the DEEP polynomial (section 8.1): its n values on 3·⟨g⟩ determine it."""
        lengths = self._lengths
        constraints = boundaries(z, self._air.mask, values, part_values, lengths)
        deltas = self._chain.extensions(len(constraints))
        stride = self._size // lengths.trace_length
        words = list(zip(*[column[::stride] for column in columns], strict=True))
        points = evaluate([0, 1], lengths.trace_length)
        found = DeepPolynomial(constraints, deltas, lengths).at(points, words)
        coordinates = [interpolate(each) for each in zip(*found, strict=True)]
        self._send(field.encode(x for each in zip(*coordinates, strict=True) for x in each))

    def _grind(self) -> None:
        """Send the smallest valid nonce.

        A second nonce with the same blinding would reveal secrets (section 14.1).
        """
        nonce, state = 0, self._chain.state
        bits = _PARAMETERS.proof_of_work_bits
        while not is_valid_nonce(state, bits, nonce.to_bytes(NONCE_BYTES, "big")):
            nonce += 1
        self._send(nonce.to_bytes(NONCE_BYTES, "big"))


def _packed_powers(z: Element, count: int) -> list[int]:
    """1, z, z², …, packed for `ext.dot`."""
    powers = [ext.ONE]
    while len(powers) < count:
        powers.append(ext.mul(powers[-1], z))
    return ext.pack(powers)


def _combined(coordinates: Sequence[Element]) -> Element:
    """c_0 + φ·c_1 + φ²·c_2 for coordinates in K."""
    total = ext.ZERO
    for coordinate in reversed(coordinates):
        total = ext.add(ext.mul(total, ext.PHI), coordinate)
    return total
