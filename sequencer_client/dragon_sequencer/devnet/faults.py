"""What a development sequencer can be told to do wrong, so that its clients learn to cope."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

from dragon.errors import SettingsError
from dragon_sequencer import bn254

TAMPERINGS: Final = ("", "body", "signature", "timestamp", "nonsigners")


@dataclass(frozen=True, slots=True)
class Faults:
    """All off by default."""

    paused: bool = False  # submissions answer 503 IsPausedError
    unsynced: bool = False  # submissions answer 503 NotSyncedError
    stalled: bool = False  # submissions are accepted and nothing is finalized
    reorder: bool = False  # a segment takes its batches in the reverse order
    drop: int = 0  # so many coming batches are accepted and forgotten; −1: all
    repeat: int = 0  # so many coming batches are finalized twice; −1: all
    tamper: str = ""  # pages are spoiled on their way out: one of TAMPERINGS
    silent: tuple[int, ...] = ()  # places, in the node list, of nodes that do not sign

    def changed(self, changes: dict[str, Any]) -> Self:
        """These faults with some of them set anew. Raises SettingsError for what is none."""
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise SettingsError(f"no such fault: {unknown[0][:64]}")
        values = {name: changes.get(name, getattr(self, name)) for name in known}
        for name, value in values.items():
            _check(name, value)
        values["silent"] = tuple(values["silent"])
        return type(self)(**values)

    def check_signers(self, nodes: int) -> None:
        """Raises SettingsError: nobody would be left to sign."""
        if len(set(self.silent) & set(range(nodes))) >= nodes:
            raise SettingsError("at least one node signs; to stop them all there is `stalled`")


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
        raise SettingsError(f"{name} cannot be that", fault=name)


def tampered(page: dict[str, Any], how: str) -> dict[str, Any]:
    """The page with one thing in it spoiled; the caller's own is left alone."""
    proofs = [dict(proof) for proof in page["finalized_signatures"]]
    spoiled = {**page, "finalized_signatures": proofs}
    if how == "body":
        spoiled["batches"] = [*page["batches"][:-1], page["batches"][-1] + " "]
    elif how == "signature" and proofs:
        point = bn254.decode_signature(proofs[-1]["signature"])
        proofs[-1]["signature"] = bn254.encode_signature(bn254.negate_g1(point))
    elif how == "timestamp" and proofs:
        proofs[-1]["timestamp"] += 1
    elif how == "nonsigners" and proofs:
        proofs[-1]["nonsigners"] = [*proofs[-1]["nonsigners"], "0xnobody"]
    return spoiled
