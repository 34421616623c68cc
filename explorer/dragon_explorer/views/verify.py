"""The page `/verify`: a verdict, line by line, on what somebody has pasted or uploaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dragon.encoding import Json, parse, to_hex
from dragon.errors import DragonError, InvalidEncoding
from dragon.log.store import Log
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import kind_of
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.event import Event
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Receipt
from dragon.protocol.streams.receipt_verification import (
    Outcome,
    is_complete,
    refused,
    verify,
)

MAX_VERIFY_BYTES: Final = MAX_RECEIPT_BYTES
LineOutcome = Literal["holds", "refused", "absent"]
Verdict = Literal["verified", "incomplete", "refused"]
What = Literal["receipt", "event", "certificate", "endorsement", "unknown"]
LINE_OUTCOMES: Final[Mapping[Outcome, LineOutcome]] = {
    Outcome.HOLDS: "holds",
    Outcome.REFUSED: "refused",
    Outcome.ABSENT: "absent",
}
COMMANDS: Final[Mapping[What, str]] = {
    "receipt": "dragon verify receipt receipt.json --committee committee.json",
    "event": "dragon verify event event.json --committee committee.json",
    "certificate": "dragon verify certificate certificate.json --committee committee.json",
    "endorsement": "",  # only as an event of the log
    "unknown": "",
}


@dataclass(frozen=True, slots=True)
class Line:
    """The outcome of one check."""

    name: str
    outcome: LineOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on a document."""

    what: What
    verdict: Verdict
    sentence: str  # what is proven, or why it is refused
    lines: tuple[Line, ...]
    command: str  # checks the same document offline; empty if there is none


def verification(raw: bytes, committee: Committee, log: Log) -> Verification:
    """Verify a document. Never raises for a document, whatever it contains."""
    try:
        value = parse(raw)
    except InvalidEncoding as error:
        why = f"it is not strict JSON: {error}" if raw.strip() else "it is empty"
        return _unknown(why)
    what = _what(value)
    checks: dict[What, Callable[[], Verification]] = {
        "receipt": lambda: _receipt(raw, committee),
        "event": lambda: _event(value, committee, log),
        "endorsement": lambda: _signed(value, committee),
        "certificate": lambda: _signed(value, committee),
    }
    if what not in checks:
        return _unknown("it is neither a receipt, nor a certificate, nor an event of the log")
    try:
        return checks[what]()
    except DragonError as error:
        lines = (Line("form", "refused", str(error)),)
        sentence = f"The {what} is refused: {error}."
        return Verification(what, "refused", sentence, lines, COMMANDS[what])


def _what(value: Json) -> What:
    """What a document is, by the members that only this kind of document has."""
    members = value if isinstance(value, dict) else {}
    if "descriptor" in members and "chunk" in members:
        return "receipt"
    if "inclusion" in members and "event" in members:
        return "event"
    if "aggregated_signature" in members:
        return "certificate"
    return "endorsement" if "expert" in members else "unknown"


def _unknown(why: str) -> Verification:
    lines = (Line("form", "refused", why),)
    sentence = "This document cannot be verified. Expected a receipt, a certificate or an event."
    return Verification("unknown", "refused", sentence, lines, "")


def _receipt(raw: bytes, committee: Committee) -> Verification:
    receipt = Receipt.decode(raw)
    checks = verify(committee, receipt)
    lines = tuple(Line(each.name, LINE_OUTCOMES[each.outcome], each.detail) for each in checks)
    if wrong := refused(checks):
        sentence = f"The receipt is refused: {wrong[0].name}: {wrong[0].detail}."
        return Verification("receipt", "refused", sentence, lines, COMMANDS["receipt"])
    chunk, stream = receipt.chunk, to_hex(receipt.descriptor.id)
    sentence = (
        f"Chunk {chunk.sequence} ({chunk.length} bytes) of stream {stream} is in window "
        f"{receipt.header.number}, which the operators found valid. The data itself was not "
        "checked: compare it with `--data FILE`."
    )
    complete = is_complete(checks)
    if not complete:
        sentence += " No certified checkpoint covers the receipt yet."
    verdict: Verdict = "verified" if complete else "incomplete"
    return Verification("receipt", verdict, sentence, lines, COMMANDS["receipt"])


def _event(value: Json, committee: Committee, log: Log) -> Verification:
    proven = ProvenEntry.from_json(value)
    lines = [
        _line("signatures", lambda: _check_signatures(proven.entry.event, committee)),
        _line("inclusion", lambda: _check_inclusion(proven)),
        _line("log", lambda: _check_root(proven, log)),
    ]
    return _judged("event", proven.entry.event, lines)


def _signed(value: Json, committee: Committee) -> Verification:
    found = _decoded(value)
    what: What = "endorsement" if isinstance(found, Endorsement) else "certificate"
    return _judged(what, found, [_line("signatures", lambda: _check_signatures(found, committee))])


def _decoded(value: Json) -> Event:
    is_certificate = isinstance(value, dict) and "aggregated_signature" in value
    return Certificate.from_json(value) if is_certificate else Endorsement.from_json(value)


def _judged(what: What, event: Event, lines: list[Line]) -> Verification:
    wrong = [each for each in lines if each.outcome == "refused"]
    claim = event.claim
    sentence = f"{kind_of(claim).sentence(claim)}."
    if wrong:
        sentence = f"The {what} is refused: {wrong[0].name}: {wrong[0].detail}."
    verdict: Verdict = "refused" if wrong else "verified"
    return Verification(what, verdict, sentence, tuple(lines), COMMANDS[what])


def _line(name: str, check: Callable[[], tuple[LineOutcome, str]]) -> Line:
    try:
        outcome, detail = check()
    except DragonError as error:
        return Line(name, "refused", str(error))
    return Line(name, outcome, detail)


def _check_signatures(event: Event, committee: Committee) -> tuple[LineOutcome, str]:
    event.verify(committee)
    if isinstance(event, Endorsement):
        return "holds", f"signed by the expert {event.claim.expert}"
    signers = ", ".join(event.signers)
    return "holds", f"signed by {len(event.signers)} of {len(committee.operators)}: {signers}"


def _check_inclusion(proven: ProvenEntry) -> tuple[LineOutcome, str]:
    merkle.verify_inclusion(
        proven.entry.leaf_hash, proven.entry.position, proven.size, proven.inclusion, proven.root
    )
    return "holds", f"entry {proven.entry.position} of a log with root {to_hex(proven.root)}"


def _check_root(proven: ProvenEntry, log: Log) -> tuple[LineOutcome, str]:
    """Compare the stated root with the explorer's own log."""
    if proven.size > log.state.size:
        return "absent", f"this explorer has read {log.state.size} of the {proven.size} entries"
    if log.head(proven.size).root != proven.root:
        return "refused", f"this explorer's log has another root at {proven.size} entries"
    return "holds", f"this explorer's log has the same root at {proven.size} entries"
