"""Entries of the log come from any operator that answers usably; a lie moves on to the next."""

from __future__ import annotations

from typing import Any

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.net.http_client import HttpClient
from dragon.net.log_client import CertifiedHead, LogClient
from dragon.protocol import merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from wsgi import WsgiAdapter

MEMBERS = make_members(3, targets=1)
ENTRY = LogEntry(0, MEMBERS.status("target_1", Status.UP, 3), 5)
ROOT = merkle.Tree([ENTRY.leaf_hash]).root()
PLAIN = ProvenEntry(ENTRY, 1, ROOT, ())
MARK = MEMBERS.certify(CheckpointClaim(1, ROOT, MEMBERS.committee.rounds.start(9)), MEMBERS.secrets)
ANCHORED = ProvenEntry(ENTRY, 1, ROOT, (), MARK)
HEAD = {"size": 1, "certified": {"size": 1, "timestamp": 1000}}


class Operators:
    """Three operators with scripted answers: path → body, status."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, tuple[Any, str]]] = {name: {} for name in "abc"}
        self.network = WsgiAdapter({f"{name}:80": self._app(name) for name in "abc"})
        urls = {name: f"http://{name}:80" for name in "abc"}
        self.client = LogClient(HttpClient(self.network.session()), urls)

    def _app(self, name: str) -> Any:
        def app(environ: Any, start_response: Any) -> list[bytes]:
            found = self.answers[name].get(environ["PATH_INFO"])
            value, status = found or ({"detail": "not here"}, "404 Not Found")
            body = canonical(value)
            start_response(status, [("Content-Length", str(len(body)))])
            return [body]

        return app

    def answer(self, name: str, path: str, value: Any, status: str = "200 OK") -> None:
        self.answers[name][path] = value, status

    @property
    def asked(self) -> list[str]:
        return [url.split("/")[2][0] for _, url in self.network.calls]


def test_an_entry_comes_from_the_first_operator_that_has_it() -> None:
    operators = Operators()
    operators.answer("b", "/events/0", PLAIN.to_json())

    assert operators.client.entry(0, size=1) == PLAIN
    assert operators.asked == ["a", "b"]
    assert operators.client.entry(0, size=1) == PLAIN
    assert operators.asked == ["a", "b", "b"]  # the one that answered last is asked first


@pytest.mark.parametrize("lie", [[], {"position": 0}, {**PLAIN.to_json(), "size": -1}, "no"])
def test_an_unusable_answer_is_passed_over(lie: Any) -> None:
    operators = Operators()
    operators.answer("a", "/events/0", lie)
    operators.answer("b", "/events/0", {"detail": "busy"}, "503 Service Unavailable")
    operators.answer("c", "/events/0", PLAIN.to_json())

    assert operators.client.entry(0, size=1) == PLAIN


def test_what_nobody_has_is_not_found() -> None:
    operators = Operators()
    operators.network.refuse("c:80")

    with pytest.raises(errors.NotFound, match="a: not here"):
        operators.client.entry(0, size=1)


def test_without_an_answer_the_first_failure_is_raised() -> None:
    operators = Operators()
    for name in "abc":
        operators.network.refuse(f"{name}:80")

    with pytest.raises(errors.Unreachable, match="a: "):
        operators.client.certified()


def test_another_entry_than_the_requested_one_is_refused() -> None:
    operators = Operators()
    operators.answer("a", "/events/1", PLAIN.to_json())

    with pytest.raises(errors.BadAnswer):
        operators.client.entry(1, size=1)


def test_an_entry_may_have_no_mark_yet() -> None:
    operators = Operators()
    operators.answer("a", "/events/0", {**PLAIN.to_json(), "anchor": None})
    assert operators.client.anchored(0) is None

    operators.answer("a", "/events/0", ANCHORED.to_json())
    assert operators.client.anchored(0) == ANCHORED


def test_the_newest_checkpoint_is_stated_or_absent() -> None:
    operators = Operators()
    operators.answer("a", "/checkpoint", HEAD)
    assert operators.client.certified() == CertifiedHead(1, 1000)

    operators.answer("a", "/checkpoint", {"size": 1, "certified": None})
    assert operators.client.certified() is None


def test_the_first_checkpoint_from_a_time_on() -> None:
    operators = Operators()
    operators.answer("c", "/checkpoints/77", ANCHORED.to_json())

    assert operators.client.first_checkpoint(77) == ANCHORED
    with pytest.raises(errors.NotFound):
        operators.client.first_checkpoint(78)
