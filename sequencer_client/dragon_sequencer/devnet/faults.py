"""Faults that a development sequencer can inject, to test its clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

from dragon.errors import SettingsError
from dragon_sequencer import bn254
from dragon_sequencer.finality import FINAL_STATE
from dragon_sequencer.nodes import STATIC_TAG

TAMPERINGS: Final = ("", "body", "signature", "timestamp", "nonsigners")
SHOWN: Final = ("first", "newest", "alternate", "all")
BOMBS: Final = (
    "",
    "lists",
    "empty_batches",
    "proofs",
    "nonsigners",
    "nesting",
    "digits",
    "names",
    "string",
)
MAX_BOMB_BYTES: Final = 256 << 20
_PIECE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Faults:
    """The active faults; none by default.

    Nodes that share a process can be told apart by the prefix `/gateway/0`, `/gateway/1`, … of
    their URLs. The faults of pages can be limited to some of them with `gateways`.
    """

    paused: bool = False  # submissions answer 503 IsPausedError
    unsynced: bool = False  # submissions answer 503 NotSyncedError
    stalled: bool = False  # submissions are accepted, but nothing is finalized
    reorder: bool = False  # batches of a segment are in reverse order
    drop: int = 0  # number of coming batches that are accepted and lost; −1: all
    repeat: int = 0  # number of coming batches that are finalized twice; −1: all
    # Indices in the node list of nodes that do not sign. If too few are left for a quorum, batches
    # are accepted and not finalized.
    silent: tuple[int, ...] = ()
    without_quorum: bool = False  # too few nodes finalize nevertheless
    tamper: str = ""  # what is damaged in every page: one of TAMPERINGS
    # Which genuine proofs a page shows after a leader change that finalized batches again: those
    # of the first leader, of the newest, the two in turns, or all.
    shown: str = "first"
    bomb: str = ""  # what pages consist of that cost memory or time to read: one of BOMBS
    bomb_bytes: int = 8 << 20  # length of such a page
    gateways: tuple[int, ...] = ()  # where `tamper`, `shown` and `bomb` apply; empty: everywhere

    def at(self, gateway: int) -> Self:
        """The faults as one gateway has them."""
        if not self.gateways or gateway in self.gateways:
            return self
        return replace(self, tamper="", shown="first", bomb="")

    def changed(self, changes: dict[str, Any]) -> Self:
        """A copy with some faults changed. Raises SettingsError: a name or value is not valid."""
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise SettingsError(
                f"there is no fault {unknown[0][:64]}; there are {', '.join(sorted(known))}"
            )
        values = {name: changes.get(name, getattr(self, name)) for name in known}
        for name, value in values.items():
            _check(name, value)
        for name in ("silent", "gateways"):
            values[name] = tuple(values[name])
        return type(self)(**values)

    def check_signers(self, nodes: int) -> None:
        """Raises SettingsError: no node is left to sign without a quorum."""
        if self.without_quorum and len(set(self.silent) & set(range(nodes))) >= nodes:
            raise SettingsError("at least one node must sign with `without_quorum`")


@dataclass(frozen=True, slots=True)
class LeaderChange:
    """A new leader that finalizes the newest batches again, as it happens in the real network.

    Every batch keeps its index and chaining hash. The new proofs have another time and other
    segments; `Faults.shown` decides which readers see them.
    """

    batches: int = 10  # number of newest batches that are finalized again
    segment: int = 1  # batches of each new proof
    seconds: int = 5  # added to the time of the newest proof; may be negative

    @classmethod
    def decode(cls, value: object) -> Self:
        """Read it from JSON. Raises SettingsError."""
        if not isinstance(value, dict) or set(value) - {field.name for field in fields(cls)}:
            raise SettingsError("leader_change must have batches, segment and seconds, or fewer")
        if not all(type(number) is int for number in value.values()):
            raise SettingsError("the members of leader_change must be integers")
        change = cls(**value)
        if change.batches < 1 or change.segment < 1:
            raise SettingsError("batches and segment of leader_change must be at least 1")
        return change


def _check(name: str, value: object) -> None:
    if name in {"paused", "unsynced", "stalled", "reorder", "without_quorum"}:
        good = isinstance(value, bool)
    elif name in {"drop", "repeat"}:
        good = type(value) is int and value >= -1
    elif name == "bomb_bytes":
        good = type(value) is int and 0 < value <= MAX_BOMB_BYTES
    elif name in _WORDS:
        good = value in _WORDS[name]
    else:
        good = isinstance(value, list | tuple) and all(type(at) is int and at >= 0 for at in value)
    if not good:
        raise SettingsError(f"the fault {name} cannot have this value", fault=name)


_WORDS: Final = {"tamper": TAMPERINGS, "shown": SHOWN, "bomb": BOMBS}


def bomb_pieces(kind: str, size: int) -> Iterator[bytes]:
    """The answer with a page of about `size` bytes that is expensive for a careless reader."""
    proof = json.dumps(
        {
            "index": 1,
            "parent_index": 0,
            "chaining_hash": "0" * 32,
            "timestamp": 1,
            "state": FINAL_STATE,
            "signature": "1 1 2",
            "nonsigners": [],
            "tag": STATIC_TAG,
        }
    )
    hashed = f'"batches":["x"],"first_chaining_hash":"{"0" * 32}"'
    begin, repeated, end = {
        "lists": ('{"batches":[[]', ",[]", "]}"),
        "empty_batches": ('{"batches":[""', ',""', "]}"),
        "proofs": (f'{{{hashed},"finalized_signatures":[{proof}', f",{proof}", "]}"),
        "nonsigners": (
            f'{{{hashed},"finalized_signatures":[{{"index":1,"nonsigners":["0x0"',
            ',"0x0"',
            "]}]}",
        ),
        "nesting": ("[", "[", ""),
        "digits": ("1", "0", ""),
        "names": ('{"":0', ',"":0', "}"),
        "string": ('{"batches":["', "x", '"]}'),
    }[kind]
    yield b'{"status":"success","message":"","data":' + begin.encode()
    count = -(-size // len(repeated))
    together = max(1, _PIECE_BYTES // len(repeated))
    for left in range(count, 0, -together):
        yield (repeated * min(left, together)).encode()
    yield end.encode() + b"}"


def tampered(page: dict[str, Any], how: str) -> dict[str, Any]:
    """A copy of the page with one part damaged."""
    proofs = [dict(proof) for proof in page["finalized_signatures"]]
    damaged = {**page, "finalized_signatures": proofs}
    if how == "body":
        damaged["batches"] = [*page["batches"][:-1], page["batches"][-1] + " "]
    elif how == "signature" and proofs:
        point = bn254.decode_signature(proofs[-1]["signature"])
        proofs[-1]["signature"] = bn254.encode_signature(bn254.negate_g1(point))
    elif how == "timestamp" and proofs:
        proofs[-1]["timestamp"] += 1
    elif how == "nonsigners" and proofs:
        proofs[-1]["nonsigners"] = [*proofs[-1]["nonsigners"], "0xnobody"]
    return damaged
