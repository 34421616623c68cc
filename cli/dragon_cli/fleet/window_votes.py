"""Who voted what on a window: the certificate proves the signers, services state the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from dragon.encoding import Json, to_hex
from dragon.errors import BadAnswer, DragonError, PeerError
from dragon.net.http_client import HttpClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.streams.votes import StatedVote, Vote, decided_votes, pending_votes
from dragon_cli.fleet import queries

T = TypeVar("T")

DECIDED: Final[Mapping[str, str]] = {"certified": "valid", "invalid": "invalid"}  # state → verdict
MAX_SHOWN: Final = 64  # operators, if no committee file tells their number


@dataclass(frozen=True, slots=True)
class WindowVotes:
    """The votes of every operator, and the certificate that they rest on."""

    votes: tuple[Vote, ...]
    certificate: str = ""  # "verified", or why it is not; empty if there is none yet


@dataclass(frozen=True, slots=True)
class Window:
    """A window as a stream service describes it. Nothing in it is verified."""

    stream: str
    number: int
    described: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """The verdict that the service states; empty while there is none."""
        return DECIDED.get(str(self.described.get("state")), "")


def window_votes(window: Window, committee: Committee | None, http: HttpClient) -> WindowVotes:
    """Return the votes on a window. Without a committee, no certificate can be verified."""
    rows = queries.rows(window.described, "votes")
    if not window.verdict:
        stated = list(_stated(rows))
        return WindowVotes(pending_votes(_operators(committee, stated, ()), stated))
    event = window.described.get("event")
    if committee is not None:
        rows = rows or _of_aggregators(window, committee, http)
        event = event or _of_operators(window, committee, http)
    stated = list(_stated(rows))
    signers, certificate = _verified(window, event, committee)
    verified = signers if certificate == "verified" else ()
    votes = decided_votes(_operators(committee, stated, signers), verified, stated)
    return WindowVotes(tuple(_as_stated(each, signers) for each in votes), certificate)


def _operators(
    committee: Committee | None, stated: Sequence[StatedVote], signers: Sequence[str]
) -> Sequence[str]:
    if committee is not None:
        return [operator.id for operator in committee.operators]
    return sorted({*signers, *(each.operator for each in stated)})[:MAX_SHOWN]


def _stated(rows: Sequence[Mapping[str, Json]]) -> Iterator[StatedVote]:
    for row in rows:
        values = (row.get(name) or "" for name in ("operator", "answer", "detail"))
        yield StatedVote(*map(str, values))


def _as_stated(vote: Vote, signers: Sequence[str]) -> Vote:
    """Show a signer of a certificate that was not verified as such."""
    if vote.is_certified or vote.operator not in signers:
        return vote
    return replace(vote, outcome="signed", reason="")


def _verified(
    window: Window, event: object, committee: Committee | None
) -> tuple[tuple[str, ...], str]:
    """The signers that a certificate names, and "verified" or why it is not."""
    if event is None:
        return (), "not found"
    try:
        certificate = Certificate.from_json(event)  # type: ignore[arg-type]
    except DragonError as error:
        return (), f"not verified: {error}"
    claim = certificate.claim
    if not isinstance(claim, WindowClaim) or (
        (to_hex(claim.stream), claim.number, str(claim.verdict))
        != (window.stream, window.number, window.verdict)
    ):
        return (), "not verified: it is about something else"
    if committee is None:
        return certificate.signers, "not verified: no committee file"
    try:
        certificate.verify(committee)
    except DragonError as error:
        return certificate.signers, f"not verified: {error}"
    return certificate.signers, "verified"


def _of_aggregators(
    window: Window, committee: Committee, http: HttpClient
) -> list[dict[str, Json]]:
    """The votes that an aggregator still has; the stream service forgets them at its restart."""
    state = {"valid": "applied"}.get(window.verdict, window.verdict)

    def ask(url: str) -> list[dict[str, Json]]:
        path = f"{url}/windows/decided"
        page = queries.get(http, path, stream=window.stream, number=window.number)
        for each in queries.rows(page, "windows"):
            if each.get("state") == state and (found := queries.rows(each, "votes")):
                return found
        raise BadAnswer("the aggregator has no votes on this window")

    return _or_none(queries.aggregators(committee), ask) or []


def _of_operators(window: Window, committee: Committee, http: HttpClient) -> Json:
    """The event with the verdict, from the log of an operator."""
    path = f"/streams/{window.stream}/windows/{window.number}"

    def ask(url: str) -> Json:
        for each in reversed(queries.rows(queries.get(http, url + path), "verdicts")):
            event = each.get("event")
            if isinstance(event, dict) and event.get("verdict") == window.verdict:
                return event
        raise BadAnswer("the operator's log has no such verdict")

    return _or_none(queries.operators(committee, None), ask)


def _or_none(peers: Mapping[str, str], ask: Callable[[str], T]) -> T | None:
    try:
        return queries.first(peers, ask)[1]
    except PeerError:
        return None
