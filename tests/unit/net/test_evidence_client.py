"""What an operator may answer to a request for its records, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from committees import make_members
from dragon.encoding import Json, canonical
from dragon.errors import BadAnswer, DragonError, TooLarge
from dragon.net.evidence_client import fetch_event, fetch_records, fetch_transitions
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.file import MAX_RECORDS_PER_OPERATOR
from evidence import NODE, Writer, look, proven

MEMBERS = make_members(4, targets=1)
WRITER = Writer(MEMBERS).seal(look(Status.UP, 1)).seal(look(Status.DOWN, 2), look(Status.UP, 3))
SEALS: list[Json] = [each.to_json() for each in WRITER.seals]
RECORDS: list[Json] = [each.to_json() for each in WRITER.records]


class Operator:
    """Answers the n-th request with the n-th answer, and all later ones with the last."""

    def __init__(self, *answers: Json) -> None:
        self.answers, self.asked = answers, list[dict[str, Any]]()

    def get(self, url: str, **options: Any) -> HttpResponse:
        self.asked.append({"url": url, **options["params"]})
        at = min(len(self.asked), len(self.answers)) - 1
        return HttpResponse(200, canonical(self.answers[at]))

    @property
    def http(self) -> HttpClient:
        return cast("HttpClient", self)


def page(**changes: Json) -> dict[str, Json]:
    answer: dict[str, Json] = {"operator": "operator_1", "seals": SEALS, "records": RECORDS}
    return {**answer, "next": None, **changes}


def fetch(operator: Operator) -> Any:
    return fetch_records(operator.http, "http://op", "operator_1", NODE, begin=5, end=9)


def test_pages_are_put_together_and_a_seal_on_both_comes_once() -> None:
    operator = Operator(
        page(records=RECORDS[:2], next=2), page(seals=SEALS[1:], records=RECORDS[2:])
    )

    assert fetch(operator) == WRITER.found()
    assert [(each["url"], each["from"], each["to"], each["after"]) for each in operator.asked] == [
        ("http://op/evidence/target_1", 5, 9, 0),
        ("http://op/evidence/target_1", 5, 9, 2),
    ]


ENDLESS = page(next=7)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ([], BadAnswer),
        ({}, BadAnswer),
        (page(extra=1), BadAnswer),
        (page(records=[{}]), BadAnswer),
        (page(operator="operator_2"), BadAnswer),
        (page(next="3"), BadAnswer),
        (page(next=0), BadAnswer),
        (page(next=True), BadAnswer),
        (page(records=[], next=9), BadAnswer),
        (ENDLESS, BadAnswer),
    ],
    ids=str,
)
def test_an_answer_of_another_form_is_refused(answer: Json, refusal: type[DragonError]) -> None:
    with pytest.raises(refusal):
        fetch(Operator(answer))


def test_an_operator_with_too_many_records_is_not_read_to_its_end() -> None:
    class Endless(Operator):
        def get(self, url: str, **options: Any) -> HttpResponse:
            following = options["params"]["after"] + 1
            self.answers = (page(records=[RECORDS[0]] * 200, next=following),)
            return super().get(url, **options)

    operator = Endless(None)
    with pytest.raises(TooLarge):
        fetch(operator)
    assert len(operator.asked) == MAX_RECORDS_PER_OPERATOR // 200


@pytest.mark.parametrize(
    "answer",
    [{}, [], {"transitions": [{}]}, {"transitions": [{"timestamp": 1, "position": 1}] * 3}],
    ids=str,
)
def test_transitions_of_another_form_are_refused(answer: Json) -> None:
    with pytest.raises(BadAnswer):
        fetch_transitions(Operator(answer).http, "http://op", NODE, 5)


def test_transitions_are_times_and_positions() -> None:
    row: Json = {"status": "up", "timestamp": 7, "position": 3}
    answer: Json = {"transitions": [row]}

    assert fetch_transitions(Operator(answer).http, "http://op", NODE, 5) == [(7, 3)]


EVENT = proven(
    MEMBERS,
    StatusClaim(NODE, Status.DOWN, MEMBERS.committee.rounds.start(1)),
    ["operator_1", "operator_2", "operator_3"],
)


@pytest.mark.parametrize("add", [dict, lambda: {"anchor": None}])
def test_an_event_that_no_mark_covers_yet(add: Callable[[], dict[str, Json]]) -> None:
    operator = Operator({**EVENT.to_json(), **add()})

    assert fetch_event(operator.http, "http://op", 7) == EVENT
    assert operator.asked == [{"url": "http://op/events/7", "anchored": "true"}]


@pytest.mark.parametrize("answer", [{}, [], {"event": {"kind": "unknown"}}], ids=str)
def test_an_event_of_another_form_is_refused(answer: Json) -> None:
    with pytest.raises(BadAnswer):
        fetch_event(Operator(answer).http, "http://op", 7)
