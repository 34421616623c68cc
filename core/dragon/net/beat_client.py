"""Client that sends beats of targets to operators, and passes them on to aggregators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, Members
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.protocol.beats import SignedBeat

# Errors by which a service refuses a beat, by the title of the problem document.
REFUSALS: Final[Mapping[str, type[errors.DragonError]]] = {
    "unknown_node": errors.UnknownNode,
    "not_heartbeat_target": errors.NotHeartbeatTarget,
    "beat_too_old": errors.BeatTooOld,
    "beat_too_early": errors.BeatTooEarly,
    "beat_not_later": errors.BeatNotLater,
    "invalid_signature": errors.InvalidSignature,
    "bad_signature": errors.BadSignature,
    "unknown_signer": errors.UnknownSigner,
    "rate_limited": errors.RateLimited,
}


@dataclass(frozen=True, slots=True)
class BeatTaken:
    """What a service answers to a beat that it accepts. It is not signed."""

    is_new: bool  # False: it had the same beat already
    offset_ms: int  # the machine's clock minus that of the service
    every_seconds: int  # that its committee allows without a beat


@dataclass(frozen=True, slots=True)
class BeatClient:
    """Client of one service that takes beats. `deadline` is in seconds for the whole exchange."""

    url: str
    http: HttpClient

    def send(self, signed: SignedBeat, *, deadline: float, passed_on_by: str = "") -> BeatTaken:
        """Send a beat.

        Args:
            passed_on_by: the operator that passes it on; empty: it comes from the target.

        Raises:
            DragonError: the service refuses it, by one of `REFUSALS`, with its explanation.
            Unreachable, BadAnswer: no usable answer.
        """
        body: dict[str, Json] = signed.to_json()
        if passed_on_by:
            body["passed_on_by"] = passed_on_by
        response = self.http.post(f"{self.url}/beats", body, deadline=deadline)
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(response)
        return _decode(response.successful())


def _decode(value: Json) -> BeatTaken:
    """Raises BadAnswer."""
    try:
        members = Members(value, "the answer")
        is_new = members.take("new")
        offset_ms = members.integer("offset_ms", least=-MAX_INTEGER)
        taken = BeatTaken(is_new is True, offset_ms, members.integer("every_seconds"))
        members.end()
    except errors.InvalidEncoding as error:
        raise errors.BadAnswer(f"the answer to a beat is invalid: {error}") from None
    return taken


def _refusal(response: HttpResponse) -> errors.DragonError:
    problem = response.problem()
    refusal = REFUSALS.get(str(problem.get("title")))
    if refusal is None:
        wait = {} if response.retry_after is None else {"retry_after": response.retry_after}
        message = f"answered {response.status}: {response.detail()}"
        return errors.BadAnswer(message, status=response.status, **wait)
    offset = problem.get("offset_ms")
    facts = {"offset_ms": offset} if isinstance(offset, int) else {}
    return refusal(response.detail(), **facts)
