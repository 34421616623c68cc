"""What every kind of claim is made of, and the registry that finds a kind by name or by claim.

A claim is a statement that operators (or one expert) may sign. Its *kind* holds every rule about
it: when it may be signed, when the log accepts it, what it changes, and how it is shown. A new kind
is one file in this package that ends with `register(…)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from dragon.encoding import Json
from dragon.errors import NotApplicable, UnknownKind
from dragon.protocol.committee import Committee, QuorumRule
from dragon.protocol.shape import SignedShape

if TYPE_CHECKING:
    from dragon.protocol.state import State

# The root of the log at a former size, up to its present one.
RootAt: TypeAlias = Callable[[int], bytes]


class Claim(SignedShape):
    """A statement that may be signed, with exactly one canonical encoding."""

    __slots__ = ()

    def to_json(self) -> dict[str, Json]:
        """Return the claim as `POST /attestations` takes it: its kind beside its members."""
        return {"kind": self.KIND, **self.members()}


class EventClaim(Claim):
    """A claim that becomes an event on the ledger. The log judges its age by `timestamp`."""

    __slots__ = ()
    timestamp: int  # Unix seconds


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the log's file that is derived from events and decides nothing."""

    name: str
    columns: tuple[str, ...]
    order: str  # the column that rows are read in order of
    key: str | None = None  # a row replaces the earlier one with the same value in this column


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a derived table: column → value, in the order of the table's columns."""

    table: Table
    values: Mapping[str, Json]


C = TypeVar("C", bound=Claim)


class Kind(Generic[C]):
    """The rules of one kind of claim. Pure: nothing here reads a clock, a file or the network."""

    claim: type[C]
    default_quorum: QuorumRule | None  # None: one named key signs, see `endorsement`
    tables: tuple[Table, ...] = ()
    in_sequence: bool = True  # later events with the same ordering key wait for earlier ones

    @property
    def name(self) -> str:
        return self.claim.KIND

    @property
    def is_event(self) -> bool:
        return issubclass(self.claim, EventClaim)

    def check(self, claim: C, committee: Committee) -> None:
        """Check the rules that a claim meets by itself, whoever signs it.

        Raises UnknownNode, OffRound.
        """

    def may_sign(self, claim: C, operator: str) -> bool:
        """Return whether this operator's signature counts."""
        return True

    def check_applicable(self, claim: C, state: State) -> None:
        """Check what the log requires beyond age and `superseded`. Raises a leaf of NotApplicable."""

    def check_log(self, claim: C, state: State, root_at: RootAt) -> None:
        """Check a certified claim about the log itself. Raises Diverged.

        It runs after the certificate has been verified: a forged claim must not stop a log.
        """

    def advance(self, claim: C, state: State) -> State:
        """Return the state after a claim that was checked before; `transition` counts the event."""
        return state

    def superseded(self, claim: C, state: State, committee: Committee) -> NotApplicable | None:
        """Return why the claim is no longer news, or None while it is.

        Monitor, outbox, attester and log all ask this one function: an AppliedAlready if exactly
        this claim is in the log, another NotApplicable if a later event has overtaken it.
        """
        return None

    def ordering_key(self, claim: C) -> str:
        """Return the key that claims about one subject share: they go to the ledger in order.

        No node id starts with "@", so the keys of nodes and of other subjects never meet.
        """
        raise NotImplementedError

    def rows(self, claim: C, position: int, signature: bytes) -> Iterable[Row]:
        """Return the rows in derived tables of the event at this position of the log."""
        return ()

    def sentence(self, claim: C) -> str:
        """Return what the claim says, for people."""
        raise NotImplementedError


_KINDS: Final[dict[str, Kind[Any]]] = {}


def register(kind: Kind[Any]) -> None:
    """Make a kind known to certificates, events, log and audit.

    Raises ValueError: the name is taken.
    """
    if kind.name in _KINDS:
        raise ValueError(f"a kind {kind.name!a} is registered already")
    _KINDS[kind.name] = kind


@contextmanager
def registered(kind: Kind[Any]) -> Iterator[None]:
    """Know a further kind within a `with` block."""
    register(kind)
    try:
        yield
    finally:
        del _KINDS[kind.name]


def kinds() -> tuple[Kind[Any], ...]:
    """Return all kinds in the order of registration."""
    return tuple(_KINDS.values())


def kind_named(name: str) -> Kind[Any] | None:
    """Return the kind of that name, or None."""
    return _KINDS.get(name)


def kind_of(claim: Claim) -> Kind[Any]:
    """Return the kind of a claim. Raises UnknownKind: it is not registered."""
    if (kind := _KINDS.get(claim.KIND)) is None:
        raise UnknownKind(f"no kind of claim is called {claim.KIND!a}", kind=claim.KIND)
    return kind


def ordering_key(claim: Claim) -> str:
    """Return the key under which claims about one subject go to the ledger in order."""
    return kind_of(claim).ordering_key(claim)


def utc(timestamp: int) -> str:
    """Return Unix seconds as people read them, in UTC."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"second {timestamp}"
