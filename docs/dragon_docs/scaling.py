"""Tables of docs/scaling.md: a model of what a network needs, from constants of bench/results.json.

Every function of `Model` is one formula of the page, in milliseconds of processor time per second
(1000 are one core) or in bytes per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from dragon.protocol.committee import MAX_BATCH_BYTES
from dragon.protocol.quorums import quorum_of
from dragon.protocol.rounds import Rounds
from dragon_docs import performance, tables

ROUND_SECONDS: Final = 5
CORE_MS: Final = 1000  # per second
FETCHES: Final = 2  # objects that an operator fetches of each window: chunk headers and proof
DAY_SECONDS: Final = 86_400
CHECKPOINT_SECONDS: Final = Rounds(0, ROUND_SECONDS).checkpoint_every

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Network:
    """What the model is asked about."""

    operators: int
    targets: int
    chunks: float  # per second
    window: int  # chunks of a window

    @property
    def windows(self) -> float:
        """Windows per second."""
        return self.chunks / self.window


NETWORKS: Final = (
    Network(4, 10, 300, 63),
    Network(16, 100, 3_000, 1023),
    Network(31, 300, 10_000, 1023),
    Network(100, 1_000, 40_000, 1023),
)


@dataclass(frozen=True, slots=True)
class Model:
    """The measured constants, and what follows from them. Times are in milliseconds."""

    of_window: Mapping[int, Row]
    of_committee: Mapping[int, Row]
    sign: float
    check: float
    client: float
    server: float
    apply: float

    @classmethod
    def measured(cls, benchmark: Mapping[str, Any]) -> Self:
        """Take the constants from the kept tables of bench/scaling.py."""
        windows, committees, single = benchmark["tables"]
        ones = [float(ms) for _, ms in single["rows"]]
        return cls(_rows(windows), _rows(committees), *ones)

    def committee(self, operators: int, column: str) -> float:
        """A figure of a committee; between and beyond the measured ones on a straight line."""
        sizes = sorted(self.of_committee)
        above = next((size for size in sizes[1:] if size >= operators), sizes[-1])
        below = sizes[sizes.index(above) - 1]
        low, high = (self.of_committee[size][column] for size in (below, above))
        return low + (high - low) * (operators - below) / (above - below)

    def window(self, network: Network, column: str) -> float:
        """A figure of a window. Its size has to be a measured one."""
        return self.of_window[network.window][column]

    # -- processor time, in ms per second ------------------------------------------------------

    def probes(self, network: Network) -> float:
        """The probes that an operator sends and answers."""
        others, asked = network.operators - 1, network.operators
        sends = others * (self.client + self.check) + network.targets * self.client
        return (sends + asked * (self.server + self.sign)) / ROUND_SECONDS

    def votes(self, network: Network) -> float:
        """What an operator does for windows: take, fetch, verify, sign, apply."""
        each = self.server + FETCHES * self.client + self.window(network, "verify ms")
        return network.windows * (each + self.sign + self.apply)

    def operator(self, network: Network) -> float:
        return self.probes(network) + self.votes(network)

    def collecting(self, network: Network) -> float:
        """What an aggregator does for one window: ask, verify each signature, serve the objects."""
        each = self.client + self.check + FETCHES * self.server
        return network.operators * each + self.committee(network.operators, "make ms") + self.apply

    def aggregator(self, network: Network) -> float:
        looks = network.operators * (self.client + self.check) + network.targets * self.client
        asked = network.operators * (self.client + self.check)
        checkpoint = (asked + self.apply) / CHECKPOINT_SECONDS
        return looks / ROUND_SECONDS + checkpoint + network.windows * self.collecting(network)

    def prover(self, network: Network) -> float:
        return network.windows * (self.window(network, "prove ms") + self.server)

    def stream(self, network: Network) -> float:
        each = self.window(network, "close ms") + 2 * self.client + self.server
        return network.windows * each

    # -- bytes per second ----------------------------------------------------------------------

    def ledger(self, network: Network) -> float:
        checkpoint = self.committee(network.operators, "checkpoint B") / CHECKPOINT_SECONDS
        return network.windows * self.committee(network.operators, "window B") + checkpoint

    def objects(self, network: Network) -> float:
        """What each operator, the aggregator and the stream service store."""
        return network.windows * self.window(network, "objects B")

    # -- where it ends -------------------------------------------------------------------------

    def most_operators_by_event(self, column: str) -> int:
        """The largest committee whose largest event fits into one batch."""
        fits = (n for n in range(4, 4096) if self.committee(n + 1, column) > MAX_BATCH_BYTES)
        return next(fits)

    def most_operators_by_probes(self) -> int:
        """The largest committee whose probes take one core of each operator, without targets."""
        return next(n for n in range(4, 4096) if self.probes(Network(n + 1, 0, 0, 63)) > CORE_MS)

    def most_windows(self, operators: int) -> float:
        """The windows per second that take one core of the aggregator."""
        return CORE_MS / self.collecting(Network(operators, 0, 0, 63))

    def most_chunks(self, window: int) -> float:
        """The chunks per second that take one core of each operator."""
        return CORE_MS / (self.votes(Network(4, 0, window, window)) / window)


def section(part: str) -> str:
    """One part of the page: `constants`, `needs` or `limits`. Raises LookupError."""
    writers = {"constants": constants, "needs": needs, "limits": limits}
    write = writers[part]
    benchmark = performance.kept().get("scaling")
    return write(benchmark) if benchmark else "No results of `bench/scaling.py` are kept."


def constants(benchmark: Mapping[str, Any]) -> str:
    """The measured tables, and what they depend on."""
    parts = [performance.measured_at(benchmark)]
    for table in benchmark["tables"]:
        parts += [f"**{table['title']}**", tables.table(table["columns"], table["rows"])]
        parts.append(tables.prose(table["note"]))
    return "\n\n".join(parts)


def needs(benchmark: Mapping[str, Any]) -> str:
    """What each network needs, one column each."""
    model = Model.measured(benchmark)
    head = ("", *(f"{n.operators} operators" for n in NETWORKS))
    cores = {
        "cores of each operator": model.operator,
        "– for probes": model.probes,
        "– for windows": model.votes,
        "cores of the aggregator": model.aggregator,
        "cores of all provers": model.prover,
        "cores of all stream services": model.stream,
    }
    daily = {"ledger, GB a day": model.ledger, "objects of each service, GB a day": model.objects}
    asked = {
        "targets": lambda n: f"{n.targets:,}",
        "chunks/s": lambda n: f"{n.chunks:,.0f}",
        "chunks of a window": lambda n: f"{n.window:,}",
        "windows/s": lambda n: f"{n.windows:.1f}",
        "quorum": lambda n: str(quorum_of("byzantine", n.operators)),
        "probes of operators in a round": lambda n: f"{n.operators * (n.operators - 1):,}",
    }
    rows = [(name, *map(shown, NETWORKS)) for name, shown in asked.items()]
    rows += [
        (name, *(f"{function(n) / CORE_MS:.2f}" for n in NETWORKS))
        for name, function in cores.items()
    ]
    rows += [
        (name, *(f"{function(n) * DAY_SECONDS / 1e9:,.2f}" for n in NETWORKS))
        for name, function in daily.items()
    ]
    sent = (f"{n.operators * model.objects(n) * 8 / 1e6:,.0f}" for n in NETWORKS)
    rows.append(("objects sent to operators, Mbit/s", *sent))
    return tables.table(head, rows)


def limits(benchmark: Mapping[str, Any]) -> str:
    """Where one part of the design has no more room."""
    model = Model.measured(benchmark)
    by_event = [model.most_operators_by_event(f"largest{ids} B") for ids in ("", ", long ids")]
    chunks = [f"{model.most_chunks(w):,.0f} at {w}" for w in sorted(model.of_window)]
    windows = [f"{model.most_windows(n):.1f} with {n}" for n in (4, 16, 31, 100)]
    largest = max(model.of_window)
    per_chunk = [f"{model.committee(n, 'window B') / largest:.1f} with {n}" for n in (4, 31, 100)]
    rows = [
        ("operators of a committee, ids like `operator_1`", f"{by_event[0]:,}"),
        ("operators of a committee, ids of 32 characters", f"{by_event[1]:,}"),
        ("operators whose probes take one core of each", f"{model.most_operators_by_probes():,}"),
        ("chunks/s that take one core of each operator", "; ".join(chunks)),
        ("windows/s that take one core of the aggregator", "; ".join(windows)),
        (f"bytes of a chunk on the ledger, windows of {largest}", "; ".join(per_chunk)),
    ]
    return tables.table(("limit", "value"), rows)


def _rows(table: Mapping[str, Any]) -> dict[int, Row]:
    names = table["columns"][1:]
    return {
        int(size): dict(zip(names, map(float, figures), strict=True))
        for size, *figures in table["rows"]
    }
