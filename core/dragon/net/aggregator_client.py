"""Telling an aggregator what an operator suspects, and what an expert says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.messages import Suspicion

# Why an endorsement is not taken, by the problem's title.
REFUSALS: Final[Mapping[str, type[errors.DragonError]]] = {
    "wrong_committee": errors.WrongCommittee,
    "unknown_signer": errors.UnknownSigner,
    "bad_signature": errors.BadSignature,
    "invalid_signature": errors.InvalidSignature,
    "applied_already": errors.AppliedAlready,
    "no_such_window": errors.NoSuchWindow,
    "not_later": errors.NotLater,
    "stale": errors.Stale,
    "early": errors.Early,
    "log_stopped": errors.LogStopped,
    "busy": errors.Busy,
}


@dataclass(frozen=True, slots=True)
class AggregatorClient:
    url: str
    http: HttpClient

    def suspect(self, suspicion: Suspicion, signature: bytes, *, deadline: float) -> None:
        """Raises Unreachable, BadAnswer: it was not taken."""
        body = {**suspicion.members(), "signature": to_hex(signature)}
        self.http.post(f"{self.url}/suspicions", body, deadline=deadline).successful()

    def endorse(self, endorsement: Endorsement, *, deadline: float) -> None:
        """Have an expert's endorsement put onto the ledger.

        Raises:
            one of REFUSALS: it was not taken, in the aggregator's own words.
            Unreachable, BadAnswer: no usable answer.
        """
        body = endorsement.to_json()
        answer = self.http.post(f"{self.url}/endorsements", body, deadline=deadline)
        if answer.status >= HTTPStatus.BAD_REQUEST and (refusal := _refusal(answer)):
            raise refusal(answer.detail())
        answer.successful()


def _refusal(answer: HttpResponse) -> type[errors.DragonError] | None:
    """The kind that the problem's title names, if it is one of ours."""
    try:
        problem = answer.json()
    except errors.BadAnswer:
        return None
    return REFUSALS.get(str(problem.get("title"))) if isinstance(problem, dict) else None
