"""The base classes of claims and kinds, and the registry of kinds.

A claim is a statement that operators may sign, or the holder of one key alone. Its *kind* has all
rules about it: when it may be signed, when the log accepts it, how it changes the state, and how it
is shown. A new kind is one module in this package that ends with `register(…)`, and has the name of
the kind. `KINDS` lists it: its module is imported when the kind is first asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from dragon.encoding import Json
from dragon.errors import NotApplicable, UnknownKind
from dragon.protocol.committee import Committee, QuorumRule
from dragon.protocol.shape import SignedShape

if TYPE_CHECKING:
    from dragon.protocol.state import State

# The kinds of this package.
KINDS: Final = (
    *("checkpoint", "downtime", "window", "endorsement"),
    *("handover", "maintenance", "period", "status"),
)

# Returns the root of the log at a size between 0 and its current size.
RootAt: TypeAlias = Callable[[int], bytes]


class Claim(SignedShape):
    """A statement that may be signed, with exactly one canonical encoding."""

    __slots__ = ()

    def to_json(self) -> dict[str, Json]:
        """Return the claim in the form of `POST /attestations`: its members and `kind`."""
        return {"kind": self.KIND, **self.members()}


class EventClaim(Claim):
    """A claim that becomes an event on the ledger. Log time measures its age from `timestamp`."""

    __slots__ = ()
    timestamp: int  # Unix seconds


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the log's file that is derived from events and serves queries only."""

    name: str
    columns: tuple[str, ...]
    order: str  # the column by which rows are sorted
    key: str | None = None  # column; a new row replaces the row with the same value in it


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a derived table: column → value, in the order of the table's columns."""

    table: Table
    values: Mapping[str, Json]


C = TypeVar("C", bound=Claim)


class Kind(ABC, Generic[C]):
    """The rules of one kind of claim. Pure: no clock, file or network."""

    claim: type[C]
    default_quorum: QuorumRule | None  # None: one key signs alone, see `single_signer`
    tables: tuple[Table, ...] = ()

    @property
    def name(self) -> str:
        """The name of the kind, as in the member `kind`."""
        return self.claim.KIND

    @property
    def quorum_rule(self) -> str:
        """The kind whose quorum in the committee file counts for this one: itself by default."""
        return self.name

    @property
    def is_event(self) -> bool:
        """Whether claims of this kind become events on the ledger."""
        return issubclass(self.claim, EventClaim)

    def check(self, claim: C, committee: Committee) -> None:
        """Check the rules that do not depend on the signers or the log.

        Raises UnknownNode, OffRound.
        """

    def may_sign(self, claim: C, operator: str) -> bool:
        """Return whether this operator may sign the claim."""
        return True

    def check_applicable(self, claim: C, state: State) -> None:
        """Check the log's conditions other than age and `superseded`.

        Raises a subclass of NotApplicable.
        """

    def check_log(self, claim: C, state: State, root_at: RootAt) -> None:
        """Check a certified claim about the log itself. Raises Diverged.

        It runs after the certificate was verified, so that a forged claim cannot stop a log.
        """

    def advance(self, claim: C, state: State) -> State:
        """Return the state after a claim that was already checked.

        `dragon.protocol.transition.advance` increases the size.
        """
        return state

    def superseded(self, claim: C, state: State) -> NotApplicable | None:
        """Return why the claim is superseded, or None if it is not.

        Monitor, outbox, attester and log use this function. It returns AppliedAlready if this claim
        is in the log, and another NotApplicable if the log has a later event instead.
        """
        return None

    @abstractmethod
    def ordering_key(self, claim: C) -> str:
        """Return the key of the claim's subject. Claims with the same key are sent in order.

        The key of a node is its id. Other keys start with "@", which no id contains.
        """

    def rows(self, claim: C, position: int, signature: bytes) -> Iterable[Row]:
        """Return the rows for derived tables of the event at this position of the log."""
        return ()

    @abstractmethod
    def sentence(self, claim: C) -> str:
        """Return a sentence that tells people what the claim says."""


_KINDS: Final[dict[str, Kind[Any]]] = {}


def register(kind: Kind[Any]) -> None:
    """Add a kind to the registry that certificates, events, log and audit use.

    Raises ValueError: a kind with this name is registered already.
    """
    if kind.name in _KINDS:
        raise ValueError(f"a kind named {kind.name!a} is registered already")
    _KINDS[kind.name] = kind


@contextmanager
def registered(kind: Kind[Any]) -> Iterator[None]:
    """Register a kind for the duration of a `with` block."""
    register(kind)
    try:
        yield
    finally:
        del _KINDS[kind.name]


def kinds() -> tuple[Kind[Any], ...]:
    """Return all kinds: those of this package in the order of `KINDS`, then others."""
    own = tuple(_imported(name) for name in KINDS)
    return (*own, *(kind for name, kind in _KINDS.items() if name not in KINDS))


def kind_named(name: str) -> Kind[Any] | None:
    """Return the kind with this name, or None."""
    return _imported(name) if name in KINDS else _KINDS.get(name)


def _imported(name: str) -> Kind[Any]:
    """Return a kind of this package."""
    if name not in _KINDS:
        import_module(f"dragon.protocol.claims.{name}")
    return _KINDS[name]


def kind_of(claim: Claim) -> Kind[Any]:
    """Return the kind of a claim. Raises UnknownKind: the kind is not registered."""
    if (kind := _KINDS.get(claim.KIND)) is None:
        raise UnknownKind(f"unknown kind of claim: {claim.KIND!a}", kind=claim.KIND)
    return kind


def ordering_key(claim: Claim) -> str:
    """Return the key of the claim's subject. Claims with the same key are sent in order."""
    return kind_of(claim).ordering_key(claim)


def utc(timestamp: int) -> str:
    """Return Unix seconds as a date and time in UTC, for people."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"second {timestamp}"
