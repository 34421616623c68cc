"""Who voted what on a window: the certificate proves the signers, services state the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from dragon.encoding import Json, to_hex
from dragon.errors import (
    BadAnswer,
    CertificateError,
    DragonError,
    InvalidEncoding,
    InvalidProof,
    PeerError,
    Superseded,
)
from dragon.net.http_client import HttpClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.votes import StatedVote, Vote, decided_votes, pending_votes
from dragon.protocol.trust import Trust
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


def window_votes(window: Window, trust: Trust | None, http: HttpClient) -> WindowVotes:
    """Return the votes on a window. Without a committee, no certificate can be verified."""
    rows = queries.rows(window.described, "votes")
    newest = trust.newest if trust else None
    if not window.verdict:
        stated = list(_stated(rows))
        return WindowVotes(pending_votes(_operators(newest, stated, ()), stated))
    event = window.described.get("event")
    if newest is not None:
        rows = rows or _of_aggregators(window, newest, http)
        event = event or _of_operators(window, newest, http)
    stated = list(_stated(rows))
    found = _verified(window, event, trust, http)
    verified = found.signers if found.said == "verified" else ()
    operators = _operators(found.committee or newest, stated, found.signers)
    votes = decided_votes(operators, verified, stated)
    return WindowVotes(tuple(_as_stated(each, found.signers) for each in votes), found.said)


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


@dataclass(frozen=True, slots=True)
class _Certified:
    """What is known of the certificate of a verdict."""

    said: str  # "verified", or why it is not
    signers: tuple[str, ...] = ()
    committee: Committee | None = None  # that signed it, once it is verified


def _verified(window: Window, event: object, trust: Trust | None, http: HttpClient) -> _Certified:
    """Verify the certificate of the verdict."""
    if event is None:
        return _Certified("not found")
    try:
        certificate = Certificate.from_json(event)  # type: ignore[arg-type]
    except DragonError as error:
        return _Certified(f"not verified: {error}")
    claim, signers = certificate.claim, certificate.signers
    if not isinstance(claim, WindowClaim) or (
        (to_hex(claim.stream), claim.number, str(claim.verdict))
        != (window.stream, window.number, window.verdict)
    ):
        return _Certified("not verified: it is about something else")
    if trust is None:
        return _Certified("not verified: no committee file", signers)
    try:
        return _Certified("verified", signers, _committee_of(certificate, window, trust, http))
    except DragonError as error:
        return _Certified(f"not verified: {error}", signers)


def _committee_of(
    certificate: Certificate, window: Window, trust: Trust, http: HttpClient
) -> Committee:
    """Verify a certificate; that of an older committee in the log of any operator.

    Raises DragonError.
    """
    try:
        return trust.verify(certificate)
    except Superseded:
        position = window.described.get("position")
        if not isinstance(position, int):
            raise

    def ask(url: str) -> Committee:
        path = f"{url}/events/{position}"
        try:
            proven = ProvenEntry.from_json(queries.get(http, path, anchored="true"))
            if proven.entry.event != certificate:
                raise BadAnswer(f"entry {position} is another event")
            return proven.verify(trust)
        except (InvalidEncoding, CertificateError, InvalidProof) as error:
            raise BadAnswer(str(error)) from None

    return queries.first(queries.operators(trust.newest, None), ask)[1]


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
