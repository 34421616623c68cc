"""Client of an aggregator: suspicions, endorsements, maintenance, and certified periods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from dragon import errors
from dragon.encoding import Json, to_hex
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.messages import Suspicion
from dragon.protocol.period import MAX_PERIOD_FILE_BYTES, PeriodReport

# Errors by which an aggregator refuses an event of one signer, by the problem document's title.
REFUSALS: Final[Mapping[str, type[errors.DragonError]]] = {
    "superseded": errors.Superseded,
    "wrong_committee": errors.WrongCommittee,
    "unknown_signer": errors.UnknownSigner,
    "bad_signature": errors.BadSignature,
    "invalid_signature": errors.InvalidSignature,
    "applied_already": errors.AppliedAlready,
    "no_such_window": errors.NoSuchWindow,
    "not_later": errors.NotLater,
    "unknown_node": errors.UnknownNode,
    "no_owner": errors.NoOwner,
    "too_late": errors.TooLate,
    "too_far": errors.TooFar,
    "enough_announced": errors.EnoughAnnounced,
    "stale": errors.Stale,
    "before_seat": errors.BeforeSeat,
    "early": errors.Early,
    "log_stopped": errors.LogStopped,
    "busy": errors.Busy,
    "rate_limited": errors.RateLimited,
}
# Errors that every aggregator would answer a request for a period certificate with.
PERIOD_REFUSALS: Final[Mapping[str, type[errors.DragonError]]] = {
    "not_settled": errors.NotSettled,
    "not_certified": errors.NotCertified,
    "unsuitable_period": errors.UnsuitablePeriod,
}
PROBLEM_MEMBERS: Final = frozenset({"type", "title", "status", "detail"})  # of RFC 9457


@dataclass(frozen=True, slots=True)
class AggregatorClient:
    """Client of one aggregator. `deadline` is in seconds and covers the whole exchange."""

    url: str
    http: HttpClient

    def suspect(self, suspicion: Suspicion, signature: bytes, *, deadline: float) -> None:
        """Submit an operator's signed suspicion. Raises Unreachable, BadAnswer: not accepted."""
        body = {**suspicion.members(), "signature": to_hex(signature)}
        self.http.post(f"{self.url}/suspicions", body, deadline=deadline).successful()

    def endorse(self, endorsement: Endorsement, *, deadline: float) -> None:
        """Submit an expert's endorsement, which the aggregator sends to the ledger.

        Raises:
            DragonError: the aggregator refuses it, by one of `REFUSALS`, with its explanation.
            Unreachable, BadAnswer: no usable answer.
        """
        self._submit("/endorsements", endorsement.to_json(), deadline)

    def announce(self, maintenance: Maintenance, *, deadline: float) -> None:
        """Submit an announcement of maintenance, which the aggregator sends to the ledger.

        Raises as `endorse`.
        """
        self._submit("/maintenance", maintenance.to_json(), deadline)

    def _submit(self, path: str, body: dict[str, Json], deadline: float) -> None:
        response = self.http.post(f"{self.url}{path}", body, deadline=deadline)
        _raise_refusal(response, REFUSALS)
        response.successful()

    def certify_period(self, begin: int, end: int, *, deadline: float) -> PeriodReport:
        """Request a period certificate with its leaves, for [begin, end) in Unix seconds.

        It proves nothing until it is verified (`PeriodReport.verify`).

        Raises:
            NotSettled, NotCertified, UnsuitablePeriod: as the aggregator explains.
            Unreachable: no answer.
            BadAnswer: no usable answer, or a report on another period.
        """
        body: Json = {"from": begin, "to": end}
        response = self.http.post(
            f"{self.url}/period-certificates",
            body,
            deadline=deadline,
            max_bytes=MAX_PERIOD_FILE_BYTES,
        )
        _raise_refusal(response, PERIOD_REFUSALS)
        try:
            report = PeriodReport.from_json(response.successful())
        except (errors.InvalidEncoding, errors.UnknownKind) as error:
            raise errors.BadAnswer(f"the answer is no period report: {error}") from None
        if (report.claim.begin, report.claim.end) != (begin, end):
            raise errors.BadAnswer("the answer is about another period than requested")
        return report


def _raise_refusal(
    response: HttpResponse, refusals: Mapping[str, type[errors.DragonError]]
) -> None:
    """Raise the error that the title of a problem document names, if it is one of these.

    What the aggregator adds is in its facts as `answered`.
    """
    if response.status < HTTPStatus.BAD_REQUEST:
        return
    problem = response.problem()
    if (refusal := refusals.get(str(problem.get("title")))) is not None:
        facts = {name: fact for name, fact in problem.items() if name not in PROBLEM_MEMBERS}
        raise refusal(response.detail(), answered=facts)
