"""Client that submits windows and their objects to an aggregator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.errors import BadAnswer, InvalidEncoding
from dragon.net.http_client import HttpClient
from dragon.protocol.streams.submission import Submission

MAX_MISSING_OBJECTS: Final = 2
MAX_VOTES: Final = 64
MAX_DETAIL_CHARS: Final = 400  # of an operator's explanation


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """The state of a window as one aggregator reports it. It is not signed."""

    state: str
    missing: tuple[bytes, ...]  # SHA-256 of objects that the aggregator lacks
    votes: tuple[Mapping[str, str], ...]  # members: operator, answer, detail


@dataclass(frozen=True, slots=True)
class SubmissionClient:
    """Client of one aggregator. `deadline` is in seconds and covers the whole exchange."""

    url: str
    http: HttpClient

    def submit(self, submission: Submission, *, deadline: float) -> WindowStatus:
        """Submit a window and return its state. Submitting it again is how to follow its state.

        Raises:
            Unreachable, BadAnswer: the aggregator did not accept it; try again.
        """
        response = self.http.post(
            f"{self.url}/windows", submission.to_json(), deadline=deadline, keep=True
        )
        try:
            return _status(response.successful())
        except InvalidEncoding as error:
            raise BadAnswer(f"the answer is not the state of a window: {error}") from None

    def put(self, body: bytes, *, deadline: float) -> None:
        """Upload an object of a window. Raises Unreachable, BadAnswer: not accepted."""
        address = f"{self.url}/objects/{to_hex(hashlib.sha256(body).digest())}"
        headers = {"Content-Type": "application/octet-stream"}
        self.http.send(
            "PUT", address, deadline=deadline, body=body, headers=headers, keep=True
        ).successful()


def _status(value: Json) -> WindowStatus:
    """Decode a window's state; members that are not used are ignored. Raises InvalidEncoding."""
    members = Members(value, "the window")
    missing = members.list("missing", most=MAX_MISSING_OBJECTS)
    return WindowStatus(
        members.text("state", longest=32),
        tuple(from_hex(sha256, member="missing", size=32) for sha256 in missing),
        tuple(_vote(vote) for vote in members.list("votes", most=MAX_VOTES)),
    )


def _vote(value: Json) -> Mapping[str, str]:
    members = Members(value, "the vote")
    detail = members.take("detail")
    return {
        "operator": members.id("operator"),
        "answer": members.text("answer", longest=200),
        "detail": detail[:MAX_DETAIL_CHARS] if isinstance(detail, str) else "",
    }
