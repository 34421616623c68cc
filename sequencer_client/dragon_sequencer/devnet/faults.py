"""Faults that a development sequencer can inject, to test its clients."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

from dragon.errors import SettingsError
from dragon_sequencer import bn254

TAMPERINGS: Final = ("", "body", "signature", "timestamp", "nonsigners")


@dataclass(frozen=True, slots=True)
class Faults:
    """The active faults; none by default."""

    paused: bool = False  # submissions answer 503 IsPausedError
    unsynced: bool = False  # submissions answer 503 NotSyncedError
    stalled: bool = False  # submissions are accepted, but nothing is finalized
    reorder: bool = False  # batches of a segment are in reverse order
    drop: int = 0  # number of coming batches that are accepted and lost; −1: all
    repeat: int = 0  # number of coming batches that are finalized twice; −1: all
    tamper: str = ""  # what is damaged in every page: one of TAMPERINGS
    silent: tuple[int, ...] = ()  # indices in the node list of nodes that do not sign

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
        values["silent"] = tuple(values["silent"])
        return type(self)(**values)

    def check_signers(self, nodes: int) -> None:
        """Raises SettingsError: all nodes are silent."""
        if len(set(self.silent) & set(range(nodes))) >= nodes:
            raise SettingsError("at least one node must sign; use `stalled` to stop finality")


def _check(name: str, value: object) -> None:
    if name in {"paused", "unsynced", "stalled", "reorder"}:
        good = isinstance(value, bool)
    elif name in {"drop", "repeat"}:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= -1
    elif name == "tamper":
        good = value in TAMPERINGS
    else:
        good = isinstance(value, list | tuple) and all(type(at) is int and at >= 0 for at in value)
    if not good:
        raise SettingsError(f"the fault {name} cannot have this value", fault=name)


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
