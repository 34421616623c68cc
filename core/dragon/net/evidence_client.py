"""Fetch an operator's records about a node, and when the node's status changed.

The operator is not trusted: verify what comes back with `dragon.protocol.evidence.verification`.
"""

from __future__ import annotations

from typing import Final

from dragon import errors
from dragon.encoding import Json, Members
from dragon.net.http_client import HttpClient
from dragon.protocol.evidence.file import MAX_RECORDS_PER_OPERATOR, OperatorRecords
from dragon.protocol.evidence.seal import SealedRecord, SignedSeal
from dragon.protocol.log_entry import ProvenEntry

DEADLINE_SECONDS: Final = 5.0  # for one answer
PAGE_SIZE: Final = 200  # records of one page
MAX_PAGE_BYTES: Final = 1 << 20
MAX_TRANSITIONS: Final = 2  # of one answer: before the moment, and after


def fetch_records(
    http: HttpClient, url: str, operator: str, node_id: str, *, begin: int, end: int
) -> OperatorRecords:
    """Return an operator's records about a node that it sealed in an interval, not verified.

    Args:
        url: where the operator answers.
        begin: Unix seconds; the last record before is returned too.
        end: Unix seconds, inclusive.

    Raises:
        PeerError: no usable answer.
        TooLarge: the operator has more records than an evidence file may have.
    """
    seals: dict[tuple[bytes, int], SignedSeal] = {}
    records: list[SealedRecord] = []
    after: int | None = 0
    while after is not None and len(records) < MAX_RECORDS_PER_OPERATOR:
        query: dict[str, str | int] = {"from": begin, "to": end, "after": after, "limit": PAGE_SIZE}
        page = _get(http, f"{url}/evidence/{node_id}", query)
        try:
            members = Members(page, "the evidence")
            following = members.take("next")
            found = OperatorRecords.take(members)
            members.end()
        except errors.InvalidEncoding as error:
            raise errors.BadAnswer(f"the answer is no evidence: {error}") from None
        if found.operator != operator:
            raise errors.BadAnswer(f"the answer is from {found.operator}, expected {operator}")
        if following is not None and (
            type(following) is not int or following <= after or not found.records
        ):
            raise errors.BadAnswer("the pages of the evidence have no order, or no end")
        # A seal with records on two pages comes twice.
        seals |= {each.place: each for each in found.seals if each.place not in seals}
        records += found.records
        after = following
    if len(records) > MAX_RECORDS_PER_OPERATOR or after is not None:
        message = f"{operator} has more than {MAX_RECORDS_PER_OPERATOR} records of that time"
        raise errors.TooLarge(message)
    return OperatorRecords(operator, tuple(seals.values()), tuple(records))


def fetch_transitions(http: HttpClient, url: str, node_id: str, time: int) -> list[tuple[int, int]]:
    """Return the certified changes of a node's status nearest to a time, as an operator says.

    Args:
        time: Unix seconds.

    Returns up to two: timestamp (Unix seconds) and position in the log. Raises PeerError.
    """
    answer = _get(http, f"{url}/nodes/{node_id}/transitions", {"at": time})
    try:
        listed = Members(answer, "the answer").list("transitions", most=MAX_TRANSITIONS)
        rows = [Members(each, "a transition") for each in listed]
        return [(row.integer("timestamp"), row.integer("position")) for row in rows]
    except errors.InvalidEncoding as error:
        raise errors.BadAnswer(f"the answer has no transitions: {error}") from None


def fetch_event(http: HttpClient, url: str, position: int) -> ProvenEntry:
    """Return an event of an operator's log with a mark that covers it, not verified.

    Without such a mark yet, it comes with its path to a root that is not certified.

    Raises PeerError.
    """
    answer = _get(http, f"{url}/events/{position}", {"anchored": "true"})
    if isinstance(answer, dict) and answer.get("anchor") is None:
        answer = {name: value for name, value in answer.items() if name != "anchor"}
    try:
        return ProvenEntry.from_json(answer)
    except (errors.InvalidEncoding, errors.UnknownKind) as error:
        raise errors.BadAnswer(f"the answer is no event: {error}") from None


def _get(http: HttpClient, url: str, query: dict[str, str | int]) -> Json:
    return http.get(
        url, params=query, deadline=DEADLINE_SECONDS, max_bytes=MAX_PAGE_BYTES
    ).successful()
