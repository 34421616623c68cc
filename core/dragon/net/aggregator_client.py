"""Client of an aggregator: submits suspicions, endorsements and announcements of maintenance."""

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
        if response.status >= HTTPStatus.BAD_REQUEST and (refusal := _refusal(response)):
            raise refusal(response.detail())
        response.successful()


def _refusal(response: HttpResponse) -> type[errors.DragonError] | None:
    """The error that the title of the problem document names, if it is one of `REFUSALS`."""
    return REFUSALS.get(str(response.problem().get("title")))
