"""Handing windows and their objects to an aggregator, which nobody has to believe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.errors import BadAnswer, InvalidEncoding
from dragon.net.http_client import HttpClient
from dragon.protocol.streams.submission import Submission

MOST_MISSING = 2


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """What has become of a window, by the word of one aggregator."""

    state: str
    missing: tuple[bytes, ...]
    votes: tuple[Mapping[str, str], ...]  # operator, answer, detail


@dataclass(frozen=True, slots=True)
class SubmissionClient:
    url: str
    http: HttpClient

    def submit(self, submission: Submission, *, deadline: float) -> WindowStatus:
        """Raises Unreachable, BadAnswer: it was not taken; worth trying again."""
        answer = self.http.post(f"{self.url}/windows", submission.to_json(), deadline=deadline)
        try:
            members = Members(answer.successful(), "the standing")
            listed = members.list("missing", most=MOST_MISSING)
            return WindowStatus(
                members.text("state", longest=32),
                tuple(from_hex(each, member="missing", size=32) for each in listed),
                tuple(_vote(each) for each in members.list("votes", most=64)),
            )
        except InvalidEncoding as error:
            raise BadAnswer(f"this is no standing of a window: {error}") from None

    def put(self, body: bytes, *, deadline: float) -> None:
        """Raises Unreachable, BadAnswer: it was not taken."""
        address = f"{self.url}/objects/{to_hex(hashlib.sha256(body).digest())}"
        headers = {"Content-Type": "application/octet-stream"}
        self.http.send("PUT", address, deadline=deadline, body=body, headers=headers).successful()


def _vote(value: Json) -> Mapping[str, str]:
    members = Members(value, "the vote")
    detail = members.take("detail")
    return {
        "operator": members.id("operator"),
        "answer": members.text("answer", longest=200),
        "detail": detail[:400] if isinstance(detail, str) else "",
    }
