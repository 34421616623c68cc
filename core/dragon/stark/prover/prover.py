"""The prover (section 11): makes a proof from a statement, its secrets and parameters.

It is deterministic: the same blinding seed gives the same bytes. All arithmetic is exact, so
shortcuts do not change the proof. There are two shortcuts: the DEEP polynomial is evaluated on one
coset only, which determines it, and FRI folds coefficients instead of values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dragon.stark import field
from dragon.stark.extension import Element
from dragon.stark.hashchain import NONCE_BYTES, HashChain, grinding_prefix
from dragon.stark.outside_domain import check_outside_domain
from dragon.stark.parameters import DEGREE_FACTOR, Parameters
from dragon.stark.prover import domains, openings
from dragon.stark.prover.channel import ProverChannel, drawn_elements
from dragon.stark.prover.kernels import chains, polynomials
from dragon.stark.prover.kernels.blake2s import MESSAGES
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import digest_words, integers, wire
from dragon.stark.prover.tables import LayerTable, RowTable, spread
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.prover.witness import ProverAir

StageListener = Callable[[str], None]  # receives the name of each stage when it begins
_NONCES_PER_WAVE = 1 << 14  # nonces that a thread tries between two checks for a result


def ignore_stages(_stage: str) -> None:
    """A stage listener that does nothing."""


def prove(
    statement: ProverAir,
    parameters: Parameters,
    *,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Make a proof of `statement` under `parameters`, which its verifiers must require too.

    `threads` is the number of threads to use. `on_stage` receives the name of each stage when it
    begins, and finally "end".

    Raises ProofRefused (parameters): the parameters do not fit the statement. WrongWitness: the
    secrets do not make the statement true. UnluckyChallenge: prove again with fresh randomness.
    """
    statement.air.admit(parameters)
    with ThreadTeam(threads) as team:
        proving = _Proving(statement, parameters, team, on_stage)
        try:
            return proving.proof()
        finally:
            proving.wipe()


class _Proving:
    """The state of one proof. `wipe` overwrites all arrays in `_secrets`."""

    def __init__(
        self,
        statement: ProverAir,
        parameters: Parameters,
        team: ThreadTeam,
        on_stage: StageListener,
    ) -> None:
        self._statement, self._parameters = statement, parameters
        self._air = statement.air
        self._lengths = parameters.lengths(self._air.original_length, self._air.columns)
        self._team, self._on_stage = team, on_stage
        self._channel_seed = self._air.channel_seed(parameters)
        self._channel = ProverChannel(self._channel_seed)
        self._secrets: list[Words] = []

    def wipe(self) -> None:
        for array in self._secrets:
            array.fill(0)

    def proof(self) -> bytes:
        # (1) Commit to the trace.
        trace_coefficients, trace = self._commit_trace()
        # (2) Commit to the parts of the composition polynomial.
        composition_coefficients, composition = self._commit_composition(trace)
        # (3) Evaluate both at the out-of-domain point.
        z = self._draw_point()
        values = self._send_values(trace_coefficients, composition_coefficients, z)
        # (4) Combine all claims into one low-degree polynomial; commit to its FRI layers.
        layers = self._commit_layers(trace, composition, z, values)
        # (5) Do the proof of work, then draw the queries.
        self._grind()
        self._on_stage("openings")
        steps = self._parameters.fri_step_list
        bound = self._lengths.domain_size >> steps[0]
        queries = self._channel.draw_queries(self._parameters.n_queries, bound)
        # (6) Open the queried rows.
        self._open(trace, composition, layers, queries)
        self._on_stage("end")
        return self._channel.proof()

    def _commit_trace(self) -> tuple[Words, RowTable]:
        self._on_stage("trace")
        lengths, team = self._lengths, self._team
        seed = None
        if self._parameters.zero_knowledge:
            seed = self._statement.zk_seed(self._parameters, self._channel_seed)
        coefficients = self._trace(seed)
        self._on_stage("trace transforms")
        n = lengths.trace_length
        domains.interpolate(coefficients, n, domains.onto_coset(n), team)
        columns = domains.evaluate(coefficients, n, lengths.domain_size, team)
        self._secrets.append(columns)
        self._on_stage("trace commitment")
        salt_state = None if seed is None else _mixed(seed, b"Salts")
        table = RowTable(columns, lengths.domain_size, salt_state, team)
        self._channel.send(table.root)
        return coefficients, table

    def _trace(self, seed: bytes | None) -> Words:
        """The trace in bit-reversed order, including its random cells."""
        lengths = self._lengths
        n, original = lengths.trace_length, lengths.original_length
        rows = self._statement.rows(self._team)
        trace = np.empty(lengths.columns * n, dtype=np.uint64)
        self._secrets += [rows, trace]
        count = trace.size - lengths.air_columns * original if seed is not None else 0
        drawn = drawn_elements(_mixed(seed, b"Trace"), count) if seed is not None else trace[:0]
        self._secrets.append(drawn)
        polynomials.place(rows, original, lengths.air_columns, field.log2(n), drawn, trace)
        rows.fill(0)
        drawn.fill(0)
        return trace

    def _commit_composition(self, trace: RowTable) -> tuple[Words, RowTable]:
        self._on_stage("composition")
        lengths, team = self._lengths, self._team
        alphas = self._channel.draw_extensions(2 * self._air.n_constraints)
        n = lengths.trace_length
        values = np.empty(3 * DEGREE_FACTOR * n, dtype=np.uint64)
        self._statement.compose(trace.columns, lengths, alphas, values, team)
        self._on_stage("composition transforms")
        domains.interpolate(values, DEGREE_FACTOR * n, domains.composition_scale(n), team)
        coefficients = domains.split_composition(values, n)
        columns = domains.evaluate(coefficients, n, lengths.domain_size, team)
        self._on_stage("composition commitment")
        table = RowTable(columns, lengths.domain_size, None, team)
        self._channel.send(table.root)
        return coefficients, table

    def _draw_point(self) -> Element:
        """Draw z. Raises UnluckyChallenge: z or h·z lies in a domain (section 18.12)."""
        c0, c1, c2 = integers(self._channel.draw_extensions(1))
        check_outside_domain((c0, c1, c2), self._lengths)
        return c0, c1, c2

    def _send_values(self, trace: Words, composition: Words, z: Element) -> Words:
        """Send the values of the mask, then h_0 … h_3 (section 8, steps 5 and 6)."""
        self._on_stage("out of domain")
        lengths, team, mask = self._lengths, self._team, self._air.mask
        n, width = lengths.trace_length, lengths.air_columns
        by_row = {}
        for row in dict.fromkeys(row for row, _ in mask):
            point = openings.mask_point(z, row, lengths)
            by_row[row] = openings.values_at(trace, n, width, point, team).reshape(width, 3)
        values = [by_row[row][column] for row, column in mask]
        parts = openings.composition_values(composition, n, z, team)
        result = np.concatenate([*values, parts])
        self._channel.send_elements(result)
        return result

    def _commit_layers(
        self, trace: RowTable, composition: RowTable, z: Element, values: Words
    ) -> list[LayerTable]:
        """Compute the DEEP polynomial, fold it, and send the last layer (section 9.1)."""
        self._on_stage("DEEP")
        lengths, steps = self._lengths, self._parameters.fri_step_list
        n_terms = len(self._air.mask) + self._air.columns + DEGREE_FACTOR
        drawn = self._channel.draw_extensions(n_terms + 1)
        deltas, challenge = drawn[: 3 * n_terms], drawn[3 * n_terms :]
        length = lengths.trace_length
        coefficients = openings.deep_values(
            trace.columns,
            composition.columns,
            z,
            self._air.mask,
            lengths,
            deltas,
            values,
            self._team,
        )
        domains.interpolate(coefficients, length, domains.unscaled(length), self._team)
        self._on_stage("FRI")
        layers: list[LayerTable] = []
        for i, step in enumerate(steps):
            if step:
                # The first challenge follows the δ in one draw; later ones follow a commitment.
                challenge = challenge if i == 0 else self._channel.draw_extensions(1)
                folded = np.empty(3 * (length >> step), dtype=np.uint64)
                polynomials.fold(coefficients, length, challenge, step, folded)
                coefficients, length = folded, length >> step
            if i + 1 < len(steps):
                size = length << lengths.log_n_cosets
                layer = domains.evaluate(coefficients, length, size, self._team)
                layers.append(LayerTable(layer, 1 << steps[i + 1], self._team))
                self._channel.send(layers[-1].root)
        self._channel.send(wire(coefficients.reshape(3, length).T))
        return layers

    def _grind(self) -> None:
        """Send the smallest valid nonce.

        A second nonce with the same blinding would reveal secrets (section 14.1).
        """
        bits = self._parameters.proof_of_work_bits
        if bits == 0:
            return
        self._on_stage("grinding")
        nonce = smallest_nonce(grinding_prefix(self._channel.state, bits), bits, self._team)
        self._channel.send(nonce.to_bytes(NONCE_BYTES, "big"))

    def _open(
        self, trace: RowTable, composition: RowTable, layers: Sequence[LayerTable],
        queries: Sequence[int],
    ) -> None:  # fmt: skip
        steps = self._parameters.fri_step_list
        indices = np.unique(np.array(queries, dtype=np.int64))
        rows = spread(indices, 1 << steps[0])
        self._channel.append(trace.opening(rows))
        self._channel.append(composition.opening(rows))
        for layer, step in zip(layers, steps[1:], strict=True):
            self._channel.append(layer.opening(indices))
            indices = np.unique(indices >> step)


def smallest_nonce(prefix: bytes, bits: int, team: ThreadTeam) -> int:
    """The smallest nonce that proves `bits` bits of work, for any number of threads."""
    words = digest_words(prefix)
    start, wave = 0, MESSAGES * max(1, min(_NONCES_PER_WAVE, 1 << bits) // MESSAGES)

    while True:

        def work(first: int, last: int, start: int = start) -> int:
            return chains.find_nonce(words, bits, start + first * wave, start + last * wave)

        found = [nonce for nonce in team.share(work, team.threads) if nonce >= 0]
        if found:
            return found[0]
        start += wave * team.threads


def _mixed(seed: bytes, label: bytes) -> bytes:
    """The state of a hash chain after mixing `label`: chain `tr` or `sa` of section 11."""
    chain = HashChain(seed)
    chain.mix(label)
    return chain.state
