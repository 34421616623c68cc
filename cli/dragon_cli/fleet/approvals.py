"""Who has approved the next committee, as the operators say. Answers are not verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.errors import DragonError
from dragon.net.committee_client import fetch_unchecked
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee, byzantine_faults, short_id
from dragon_cli.fleet import queries

MAX_CONCURRENT: Final = 16


@dataclass(frozen=True, slots=True)
class Said:
    """What one operator says about committees. Escape its text before use."""

    operator: str
    error: str = ""  # why it could not be read
    epoch: int | None = None  # of the committee that holds in its log
    committee: str = ""  # id of that committee
    approved: str | None = None  # id of the next committee that its owner has approved
    seat: int | None = None  # when the committee that holds took its seat, Unix seconds


def ask(http: HttpClient, operators: Mapping[str, str]) -> list[Said]:
    """Ask operators (id → URL) concurrently. Never raises a PeerError."""

    def said(operator: str) -> Said:
        try:
            answer = queries.get(http, f"{operators[operator]}/committee")
            return _decode(operator, answer)
        except DragonError as error:
            return Said(operator, error=str(error))

    with ThreadPoolExecutor(MAX_CONCURRENT) as executor:
        return list(executor.map(said, operators))


def newcomers(http: HttpClient, said: Sequence[Said], holding: Committee) -> dict[str, str]:
    """Return the URLs of operators that an approved committee lists, and `holding` does not.

    The committee files come from the operators that have approved them. Their hash is checked. A
    file counts only if more operators name it than may be faulty: otherwise a single one could make
    this host send requests anywhere.
    """
    faulty = byzantine_faults(len(holding.operators))
    believable = {named for named, number in tally(said, holding) if number > faulty}
    found: dict[str, str] = {}
    for each in said:
        if each.approved not in believable or each.operator not in holding.keys:
            continue
        if following := _file(http, holding.urls[each.operator], each.approved):
            believable.discard(each.approved)
            found |= {one.id: one.url for one in following.operators}
    return {name: url for name, url in found.items() if name not in holding.keys}


def _file(http: HttpClient, url: str, named: str) -> Committee | None:
    digest = from_hex(named, member="approved", size=32)
    try:
        return fetch_unchecked(http, url, digest, deadline=queries.TIMEOUT_SECONDS)
    except DragonError:
        return None


def _decode(operator: str, answer: dict[str, Json]) -> Said:
    """Decode one answer. Raises InvalidEncoding."""
    members = Members(answer, "the answer")
    holds = _id(members.take("committee"))
    approved = members.object("approved").get(operator)
    named = None if approved is None else _id(approved)
    following = None if named == holds else named  # it has taken its seat
    return Said(
        operator,
        epoch=members.integer("epoch"),
        committee=holds,
        approved=following,
        seat=members.integer("seat"),
    )


def _id(value: Json) -> str:
    return to_hex(from_hex(value, member="committee", size=32))


def short(committee_id: str) -> str:
    """Return the short id that belongs to an id."""
    return short_id(from_hex(committee_id, member="committee", size=32))


def tally(said: Sequence[Said], holding: Committee) -> list[tuple[str, int]]:
    """Return each approved committee with the number of seated operators that have approved it."""
    seated = (each for each in said if each.operator in holding.keys)
    return Counter(each.approved for each in seated if each.approved).most_common()
