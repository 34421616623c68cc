"""The page `/verify`: a verdict, line by line, on what somebody has pasted or uploaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dragon.encoding import Json, parse, to_hex
from dragon.errors import DragonError, InvalidEncoding
from dragon.log.store import Log
from dragon.protocol import merkle
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.event import Event
from dragon.protocol.evidence.file import Evidence
from dragon.protocol.handover import Handover, decode_mark
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Receipt
from dragon.protocol.streams.receipt_verification import (
    Check,
    Outcome,
    is_complete,
    refused,
    verify,
)
from dragon.protocol.streams.stream_report import is_report
from dragon.protocol.trust import Trust
from dragon_explorer.epochs import Epochs
from dragon_explorer.sources import Sources
from dragon_explorer.views.incidents import trust_file
from dragon_explorer.views.verification import (
    Line,
    LineOutcome,
    Verdict,
    Verification,
    What,
    check_logged,
    check_signatures,
    is_superseded,
    line,
)
from dragon_explorer.views.verify_agreements import (
    NoReport,
    embedded,
    evidence,
    is_page,
    leaf,
    period,
    report,
)
from dragon_explorer.views.verify_streams import stream_report

MAX_VERIFY_BYTES: Final = MAX_RECEIPT_BYTES
LINE_OUTCOMES: Final[Mapping[Outcome, LineOutcome]] = {
    Outcome.HOLDS: "holds",
    Outcome.REFUSED: "refused",
    Outcome.ABSENT: "absent",
}
# Documents by their member `kind`, and by other members; the first entry that fits decides.
KINDS: Final[Mapping[str, What]] = {
    MaintenanceClaim.KIND: "announcement",
    Evidence.KIND: "evidence",
}
MEMBERS: Final[tuple[tuple[What, frozenset[str]], ...]] = (
    ("receipt", frozenset({"descriptor", "chunk"})),
    ("event", frozenset({"inclusion", "event"})),
    ("leaf", frozenset({"certificate", "leaf"})),
    ("report", frozenset({"certificate", "leaves", "payout"})),
    ("period", frozenset({"certificate", "leaves"})),
    ("certificate", frozenset({"aggregated_signature"})),
    ("endorsement", frozenset({"expert"})),
)
# The command that verifies a document offline. What one member signed: only as an event of the log.
COMMANDS: Final[Mapping[What, str]] = {
    "receipt": "dragon verify receipt receipt.json --committee {trusted}",
    "event": "dragon verify event event.json --committee {trusted}",
    "certificate": "dragon verify certificate certificate.json --committee {trusted}",
    "period": "dragon verify period period.json --committee {trusted}",
    "leaf": "dragon verify period leaf.json --committee {trusted}",
    "report": "dragon verify report report.html --committee {trusted}",
    "evidence": "dragon verify evidence evidence.json --committee {trusted}",
    "stream report": ("dragon verify stream-report report.jsonl --stream ID --committee {trusted}"),
}


@dataclass(frozen=True, eq=False)
class LogLineage(Lineage):
    """The lineage in the explorer's own log. Committee files are read when they are needed."""

    log: Log = field(kw_only=True)
    epochs: Epochs = field(kw_only=True)

    def named(self, committee_id: bytes) -> Committee:
        """Return the committee with this id. Raises WrongCommittee."""
        return self.epochs.committee(committee_id)

    def handover_to(self, epoch: int) -> Handover | None:
        """Return the handover to the committee of an epoch."""
        found = self.log.committees(epoch - 1, 1)
        return found[0].handover if found else None


def verification(raw: bytes, sources: Sources) -> Verification:
    """Verify a document. Never raises for a document, whatever it contains."""
    if is_report(raw):
        return _stream_report(raw, sources)
    try:
        value = embedded(raw) if is_page(raw) else parse(raw)
    except NoReport as error:
        return _unknown(str(error))
    except InvalidEncoding as error:
        why = f"it is not strict JSON: {error}" if raw.strip() else "it is empty"
        return _unknown(why)
    what: What = "report" if is_page(raw) else _what(value)
    log, trust = sources.log, _trust(sources)
    checks: dict[What, Callable[[], Verification]] = {
        "receipt": lambda: _receipt(raw, trust),
        "event": lambda: _event(value, trust, log),
        "endorsement": lambda: _signed(value, trust, log),
        "announcement": lambda: _signed(value, trust, log),
        "certificate": lambda: _signed(value, trust, log),
        "period": lambda: period(value, trust, log),
        "leaf": lambda: leaf(value, trust, log),
        "report": lambda: report(value, trust, log, is_page=is_page(raw)),
        "evidence": lambda: evidence(value, trust),
    }
    if what not in checks:
        return _unknown("its members are those of no document that can be verified")
    try:
        found = checks[what]()
    except DragonError as error:
        lines = (Line("form", "refused", str(error)),)
        found = Verification(what, "refused", f"The {what} is refused: {error}.", lines)
    return _with_command(found, what, sources)


def _trust(sources: Sources) -> Trust:
    log = sources.log
    return Trust(LogLineage((log.committee,), log=log, epochs=sources.epochs))


def _with_command(found: Verification, what: What, sources: Sources) -> Verification:
    command = COMMANDS.get(what, "").format(trusted=trust_file(sources))
    return replace(found, command=command)


def _stream_report(raw: bytes, sources: Sources) -> Verification:
    # A browser sends the line ends of a pasted text as CR LF.
    text = raw.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    try:
        found = stream_report(text, _trust(sources), sources.log)
    except DragonError as error:
        lines = (Line("form", "refused", str(error)),)
        said = f"The stream report is refused: {error}."
        found = Verification("stream report", "refused", said, lines)
    return _with_command(found, found.what, sources)


def _what(value: Json) -> What:
    """What a document is, by the members that only this kind of document has."""
    members = value if isinstance(value, dict) else {}
    if isinstance(kind := members.get("kind"), str) and kind in KINDS:
        return KINDS[kind]
    fitting = (what for what, names in MEMBERS if names <= members.keys())
    return next(fitting, "unknown")


def _unknown(why: str) -> Verification:
    lines = (Line("form", "refused", why),)
    sentence = (
        "This document cannot be verified. Expected a receipt, a certificate, an event, a period "
        "report, a stream report, or evidence."
    )
    return Verification("unknown", "refused", sentence, lines)


def _readings(checks: Sequence[Check]) -> str:
    """What was certified of the window's readings; empty for a stream without readings."""
    said = next((check.detail for check in checks if check.name == "readings"), "")
    return f" {said[:1].upper()}{said[1:]}." if said else ""


def _receipt(raw: bytes, trust: Trust) -> Verification:
    receipt = Receipt.decode(raw)
    checks = verify(trust, receipt)
    lines = tuple(Line(each.name, LINE_OUTCOMES[each.outcome], each.detail) for each in checks)
    if wrong := refused(checks):
        sentence = f"The receipt is refused: {wrong[0].name}: {wrong[0].detail}."
        return Verification("receipt", "refused", sentence, lines)
    chunk, stream = receipt.chunk, to_hex(receipt.descriptor.id)
    size = f"{'at most ' if receipt.descriptor.readings else ''}{chunk.length} bytes"
    sentence = (
        f"Chunk {chunk.sequence} ({size}) of stream {stream} is in window "
        f"{receipt.header.number}, which the operators found valid.{_readings(checks)} The data "
        "itself was not checked: compare it with `--data FILE`."
    )
    complete = is_complete(checks)
    if not complete:
        sentence += " No certified checkpoint covers the receipt yet."
    verdict: Verdict = "verified" if complete else "incomplete"
    return Verification("receipt", verdict, sentence, lines)


def _event(value: Json, trust: Trust, log: Log) -> Verification:
    proven = ProvenEntry.from_json(value)
    signed = proven.entry.event
    lines = [
        line("signatures", lambda: check_signatures(signed, trust)),
        line("inclusion", lambda: _check_inclusion(proven)),
        line("log", lambda: _check_root(proven, log)),
    ]
    if is_superseded(signed, trust):
        has_root = lines[-1].outcome == "holds" and lines[-2].outcome == "holds"
        lines.append(line("committee", lambda: _check_anchor(proven, trust, has_root=has_root)))
    return _judged("event", signed, lines)


def _signed(value: Json, trust: Trust, log: Log) -> Verification:
    found = _decoded(value)
    what = _name(found)
    lines = [line("signatures", lambda: check_signatures(found, trust))]
    if is_superseded(found, trust):
        lines.append(line("committee", lambda: check_logged(found, log)))
    return _judged(what, found, lines)


def _decoded(value: Json) -> Event:
    if isinstance(value, dict) and "aggregated_signature" in value:
        return decode_mark(value)
    is_announcement = isinstance(value, dict) and value.get("kind") == MaintenanceClaim.KIND
    return Maintenance.from_json(value) if is_announcement else Endorsement.from_json(value)


def _name(event: Event) -> What:
    if isinstance(event, Endorsement):
        return "endorsement"
    return "announcement" if isinstance(event, Maintenance) else "certificate"


def _judged(what: What, event: Event, lines: list[Line]) -> Verification:
    wrong = [each for each in lines if each.outcome == "refused"]
    claim = event.claim
    sentence = f"{kind_of(claim).sentence(claim)}."
    if wrong:
        sentence = f"The {what} is refused: {wrong[0].name}: {wrong[0].detail}."
    verdict: Verdict = "refused" if wrong else "verified"
    return Verification(what, verdict, sentence, tuple(lines))


def _check_anchor(proven: ProvenEntry, trust: Trust, *, has_root: bool) -> tuple[LineOutcome, str]:
    """Check that an event of an older committee is in the log that holds now."""
    if not has_root:
        proven.verify(trust)
        return "holds", "the committee has handed over, and a certified mark covers the event"
    return "holds", "the committee has handed over, and this explorer's log has the event"


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
