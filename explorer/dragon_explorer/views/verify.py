"""The page `/verify`: a verdict, line by line, on what somebody has pasted or uploaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from dragon.encoding import Json, parse, to_hex
from dragon.errors import DragonError, InvalidEncoding
from dragon.log.store import Log
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import kind_of
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Receipt
from dragon.protocol.streams.receipt_verification import (
    Outcome,
    is_complete,
    refused,
    verify,
)
from dragon.protocol.trust import Anchor, Trust

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


@dataclass(frozen=True, slots=True)
class Known:
    """What documents are verified with: this explorer's log, and all committees in it."""

    log: Log
    trust: Trust

    @classmethod
    def of(cls, log: Log) -> Self:
        """Return what a log knows now. Its handovers were verified when it applied them."""
        committees = log.committees()
        handovers = tuple(each.handover for each in committees if each.handover)
        return cls(log, Trust(Lineage(tuple(each.committee for each in committees), handovers)))

    def check(self, event: Event) -> Committee:
        """Check an event's signatures. Returns the committee that signed it.

        What a committee signed that has handed over counts only if it is in the log.
        Raises CertificateError.
        """
        position = self.log.find(event)
        found = None if position is None else self.log.anchored(position)
        if found is None or found.anchor is None or found.entry.event != event:
            return self.trust.verify(event)
        anchor = Anchor(found.anchor, found.entry.position, found.inclusion)
        return self.trust.verify(event, leaf_hash=found.entry.leaf_hash, anchor=anchor)


def verification(raw: bytes, log: Log) -> Verification:
    """Verify a document. Never raises for a document, whatever it contains."""
    try:
        value = parse(raw)
    except InvalidEncoding as error:
        why = f"it is not strict JSON: {error}" if raw.strip() else "it is empty"
        return _unknown(why)
    what, known = _what(value), Known.of(log)
    checks: dict[What, Callable[[], Verification]] = {
        "receipt": lambda: _receipt(raw, known),
        "event": lambda: _event(value, known),
        "endorsement": lambda: _signed(value, known),
        "certificate": lambda: _signed(value, known),
    }
    if what not in checks:
        return _unknown("it is neither a receipt, nor a certificate, nor an event of the log")
    try:
        found = checks[what]()
    except DragonError as error:
        lines = (Line("form", "refused", str(error)),)
        sentence = f"The {what} is refused: {error}."
        found = Verification(what, "refused", sentence, lines, COMMANDS[what])
    if not log.committee.epoch:
        return found
    command = found.command.replace("--committee committee.json", "--committee lineage.json")
    return replace(found, command=command)


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


def _receipt(raw: bytes, known: Known) -> Verification:
    receipt = Receipt.decode(raw)
    checks = verify(known.trust, receipt)
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


def _event(value: Json, known: Known) -> Verification:
    proven = ProvenEntry.from_json(value)
    lines = [
        _line("signatures", lambda: _check_signatures(proven.entry.event, known)),
        _line("inclusion", lambda: _check_inclusion(proven)),
        _line("log", lambda: _check_root(proven, known.log)),
    ]
    return _judged("event", proven.entry.event, lines)


def _signed(value: Json, known: Known) -> Verification:
    found = _decoded(value)
    what: What = "endorsement" if isinstance(found, Endorsement) else "certificate"
    return _judged(what, found, [_line("signatures", lambda: _check_signatures(found, known))])


def _decoded(value: Json) -> Event:
    members = value if isinstance(value, dict) else {}
    if "acceptance" in members:
        return Handover.from_json(value)
    is_certificate = "aggregated_signature" in members
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


def _check_signatures(event: Event, known: Known) -> tuple[LineOutcome, str]:
    committee = known.check(event)
    if isinstance(event, Endorsement):
        return "holds", f"signed by the expert {event.claim.expert}"
    signers = ", ".join(event.signers)
    of = str(len(committee.operators))
    if known.trust.newest.epoch:
        of += f" operators of epoch {committee.epoch}"
    return "holds", f"signed by {len(event.signers)} of {of}: {signers}"


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
