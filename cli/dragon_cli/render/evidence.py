"""What evidence shows, as a table and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table

from dragon.encoding import Json
from dragon.protocol.evidence.contradictions import Found
from dragon.protocol.evidence.file import Outcome
from dragon.protocol.evidence.verification import (
    VerifiedEvidence,
    VerifiedOperator,
    VerifiedRecords,
)
from dragon_cli.render import certificates
from dragon_cli.render.output import console, plain, styled
from dragon_cli.render.text import moment

DAY_SECONDS: Final = 86_400
SILENT: Final = {
    Outcome.NO_RECORDS: "has no record of that time",
    Outcome.NO_ANSWER: "gave the collector no usable answer",
    Outcome.INVALID: "gave records that cannot be used",
}
LIMITS: Final = (
    "It proves what each operator signed that it saw and answered, and in which order. It does "
    "not prove that an operator really saw it.\n"
    "Who was silent is what the collector says; nobody has signed it."
)


def statement(verified: VerifiedEvidence) -> str:
    """Return what the file is about: the change of status, with its signers."""
    evidence = verified.evidence
    count = sum(len(each.said.records) for each in verified.operators)
    span = f"{moment(evidence.begin)} to {moment(evidence.end)}"
    sentence = f"{count} signed records about {plain(evidence.node_id)}, {span}."
    if verified.event is None or verified.committee is None:
        return f"{sentence} No change of its status is certified near that time."
    certified = certificates.statement(verified.event.entry.event, verified.committee)
    return f"{sentence} Certified: {certified}."


def table(verified: VerifiedEvidence) -> Table:
    """Return one line for each operator: what it saw, and what it answered."""
    shown = Table(box=None, pad_edge=False)
    for column in ("operator", "certificate", "answered", "saw", "remarks"):
        shown.add_column(column, overflow="fold")
    for each in verified.operators:
        operator = each.said.operator
        signed = "signed" if operator in verified.signers else "–"
        if not each.said.records:
            detail = f" ({plain(each.detail)})" if each.detail else ""
            shown.add_row(
                plain(operator), signed, "–", "–", f"[yellow]{SILENT[each.outcome]}[/]{detail}"
            )
            continue
        answered, seen = _answered(each.said, verified), _seen(each.said, verified)
        shown.add_row(
            plain(operator), signed, answered, seen, plain("; ".join(_remarks(each.said)))
        )
    for operator in verified.missing:
        signed = "signed" if operator in verified.signers else "–"
        shown.add_row(plain(operator), signed, "–", "–", "[yellow]the file does not name it[/]")
    return shown


def _answered(said: VerifiedRecords, verified: VerifiedEvidence) -> str:
    claim = verified.claim
    answer = said.answer_to(claim) if claim else next(iter(said.answers()[-1:]), None)
    if answer is None:
        return "no recorded answer"
    at = _time(answer.first_ms, verified)
    if answer.is_attested:
        return f"signed {styled(answer.status)}, {at}"
    times = f" in {answer.count} rounds" if answer.count > 1 else ""
    return f"refused {styled(answer.status)}: {answer.answer}{times}, {at}"


def _seen(said: VerifiedRecords, verified: VerifiedEvidence) -> str:
    claim = verified.claim
    looks = said.looks()
    look = said.seen_for(claim) if claim else None
    look = look or (looks[-1] if looks else None)
    if look is None:
        return "no recorded look"
    span = _time(look.first_ms, verified)
    if look.count > 1:
        span = f"{span} to {_time(look.last_ms, verified)}, {look.count} looks"
    return f"{styled(look.status)} ({plain(look.reason)}), {span}"


def _time(time_ms: int, verified: VerifiedEvidence) -> str:
    """Return the time of day in UTC, with the date if the file is about a longer time."""
    evidence, told = verified.evidence, moment(time_ms // 1000)
    is_near = evidence.begin - DAY_SECONDS // 2 <= time_ms // 1000 <= evidence.end
    return told[11:19] if is_near and evidence.end - evidence.begin < DAY_SECONDS // 2 else told


def _remarks(said: VerifiedRecords) -> list[str]:
    remarks = []
    if not said.counts:
        remarks.append("does not count: signed with a key that was replaced")
    if said.gaps:
        remarks.append("records are missing between two chains")
    return remarks


def contradiction_lines(found: Sequence[Found]) -> None:
    """Print each contradiction."""
    for each in found:
        console.print(f"[red]contradiction[/] ({each.kind}): {plain(each.detail)}.")


def facts(verified: VerifiedEvidence) -> dict[str, Json]:
    """Return the same as the table for programs."""
    evidence = verified.evidence
    event = verified.event
    return {
        "node_id": evidence.node_id,
        "from": evidence.begin,
        "to": evidence.end,
        "event": certificates.facts(event.entry.event) if event else None,
        "operators": [_operator(each, verified) for each in verified.operators],
        "missing": list(verified.missing),
    }


def _operator(each: VerifiedOperator, verified: VerifiedEvidence) -> Json:
    said, claim = each.said, verified.claim
    answer = said.answer_to(claim) if claim else None
    look = said.seen_for(claim) if claim else None
    return {
        "operator": said.operator,
        "outcome": str(each.outcome),
        "detail": each.detail,
        "signed_certificate": said.operator in verified.signers,
        "records": len(said.records),
        "counts": said.counts,
        "gaps": len(said.gaps),
        "answer": answer.to_json() if answer else None,
        "look": look.to_json() if look else None,
    }


def contradiction_facts(found: Sequence[Found]) -> list[Json]:
    """Return the contradictions for programs."""
    return [
        {"kind": str(each.kind), "operator": each.operator, "detail": each.detail} for each in found
    ]
