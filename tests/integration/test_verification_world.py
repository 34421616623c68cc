"""A fleet hands over while streams run: what it certified before is verified with the lineage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import run_dragon
from committees import Members, make_members
from dragon.encoding import to_hex
from dragon.log.audit import audit
from dragon.net.http_client import HttpClient
from dragon.net.lineage_client import fetch_lineage
from dragon.protocol.certificate import Certificate
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import is_complete, verify
from dragon_cli.fleet import queries, streams
from epochs import successor
from stream_simulation import STREAMS, StreamWorld

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with StreamWorld(tmp_path_factory.mktemp("world"), make_members(4, targets=1)) as world:
        yield Story(world)


class Story:
    """A stream with a window before a handover that drops a target, and one behind it."""

    def __init__(self, world: StreamWorld) -> None:
        self.world, self.before = world, world.members
        world.run(2)
        self.stream = world.make("sensor-1", mode="message")
        world.upload(self.stream, b"21.5")
        world.run(1)
        self.young = world.receipt(self.stream, 0, proof=False)
        world.run(14)
        self.old = world.receipt(self.stream, 0, proof=False)
        self.after: Members = successor(world.members, None, targets=())
        for name in world.operators:
            world.approve(name, self.after.committee)
        world.run(3)
        world.take_seats(self.after)
        world.upload(self.stream, b"21.7")
        world.run(15)

    @property
    def http(self) -> HttpClient:
        return HttpClient(self.world.session("client"))

    def url(self, name: str = "operator_1") -> str:
        return self.after.committee.urls[name]

    def lineage(self) -> Lineage:
        return fetch_lineage(self.http, self.url(), self.before.committee.id)

    def settled_span(self) -> tuple[object, ...]:
        """The options of a report up to the last second that the handover settles."""
        rounds, handover = self.before.committee.rounds, self.lineage().handovers[0]
        end = handover.claim.timestamp - rounds.settled_after
        return "--from", end - 10, "--to", end

    def get(self, path: str) -> Any:
        return self.world.session("client").get(self.url() + path)


@pytest.fixture
def dragon(
    story: Story,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command in a home that knows the whole lineage."""
    monkeypatch.setattr(queries, "make_session", lambda _ca: story.world.session("client"))
    monkeypatch.setattr(streams, "make_session", lambda _ca: story.world.session("owner"))
    monkeypatch.setattr("time.time", lambda: story.world.clock.now)
    (tmp_path / "committee.json").write_bytes(story.after.committee.encode())
    (tmp_path / "lineage.json").write_bytes(story.lineage().encode())

    def run(*arguments: object, home: bool = True) -> tuple[int, str, str]:
        chosen = ("--home", tmp_path) if home else ("--committee", tmp_path / "lineage.json")
        return run_dragon(capsys, *arguments, *chosen)

    return run


def test_the_stream_service_serves_the_renewed_receipt(story: Story) -> None:
    """Without any change to the stream: it is bound to the network."""
    lineage = story.lineage()
    assert story.old.place is not None
    assert isinstance(story.old.place.checkpoint, Certificate)
    assert not is_complete(verify(lineage, story.old))

    renewed = story.world.receipt(story.stream, 0)
    behind = story.world.receipt(story.stream, 1)

    assert renewed.place is not None
    assert isinstance(renewed.place.checkpoint, Handover)
    assert behind.event.committee_id == story.after.committee.id
    assert renewed.descriptor == behind.descriptor
    for receipt, data in ((renewed, b"21.5"), (behind, b"21.7")):
        assert is_complete(verify(lineage, receipt, data))


@pytest.mark.parametrize("age", ["young", "old"])
def test_a_receipt_in_a_file_is_renewed_once(
    story: Story, dragon: Run, tmp_path: Path, age: str
) -> None:
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(getattr(story, age).to_json()))
    stream = story.stream["stream"]

    code, _, err = dragon("verify", "receipt", file, home=False)
    assert code == 1
    sentence, hint = err.splitlines()
    assert sentence.startswith(
        "dragon: refused: receipt_superseded: votes: the votes prove nothing"
    )
    assert f"`dragon receipt complete {file}` adds a mark that counts." in hint
    code, out, err = dragon("receipt", "complete", file)

    word = {"young": "completed", "old": "renewed"}[age]
    assert (code, out, err) == (0, f"{word}: {file}, a receipt of stream {stream}\n", "")
    calls = len(story.world.wires.calls)
    assert dragon("receipt", "complete", file)[1].startswith("already complete: ")
    code, out, _ = dragon("verify", "receipt", file, home=False)
    assert code == 0
    assert "Committee of epoch 0; the newest known is of epoch 1, seen 2024-" in out
    assert len(story.world.wires.calls) == calls
    assert is_complete(verify(story.before.committee, Receipt.decode(file.read_bytes())))


def test_every_entry_is_given_with_a_mark_that_counts(story: Story) -> None:
    lineage, size = story.lineage(), story.world.components("operator_1").log.state.size
    for position in range(size):
        answer = story.get(f"/events/{position}?anchored=true").json()
        proven = ProvenEntry.from_json(answer)
        if proven.anchor is None:
            assert answer["anchor"] is None
            assert proven.size == size
            continue
        proven.verify(lineage)
    assert ProvenEntry.from_json(story.get("/events/0?anchored=true").json()).anchor is not None


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/events/0?anchored=1", 400, "unknown_value"),
        ("/events/0?anchored=", 400, "unknown_value"),
        ("/events/0?anchored=true&size=0", 400, "integer_out_of_range"),
        ("/events/0?anchored=true&more=1", 400, "unknown_member"),
        ("/events/9999?anchored=true", 404, "not_found"),
        ("/events/-1?anchored=true", 400, "integer_out_of_range"),
        ("/lineage?limit=0", 400, "integer_out_of_range"),
        ("/lineage?limit=1001", 400, "integer_out_of_range"),
        ("/lineage?limit=x", 400, "not_an_integer"),
        ("/lineage?after=-2", 400, "integer_out_of_range"),
        ("/lineage?after=99999999999999999999", 400, "integer_out_of_range"),
        ("/lineage?before=1", 400, "unknown_member"),
    ],
)
def test_wrong_parameters_are_refused(story: Story, path: str, status: int, reason: str) -> None:
    answer = story.get(path)

    assert (answer.status_code, answer.json()["title"]) == (status, reason)


def test_pages_of_the_lineage(story: Story) -> None:
    whole = story.get("/lineage").json()
    first, second = (story.get(f"/lineage?limit=1&after={after}").json() for after in (-1, 0))

    assert [each["epoch"] for each in whole["committees"]] == [0, 1]
    assert whole["next"] is None
    assert first["committees"] + second["committees"] == whole["committees"]
    assert (first["next"], second["next"]) == (0, None)
    assert first["checkpoint"] == second["checkpoint"] == whole["checkpoint"]
    assert whole["checkpoint"]["committee"] == to_hex(story.after.committee.id)
    assert whole["committees"][0]["handover"] is whole["committees"][0]["position"] is None
    position = whole["committees"][1]["position"]
    assert story.get(f"/events/{position}").json()["event"] == whole["committees"][1]["handover"]
    for after in (1, 4095):
        beyond = story.get(f"/lineage?after={after}").json()
        assert (beyond["committees"], beyond["next"]) == ([], None)


def test_every_service_with_a_log_shows_the_same_lineage(story: Story) -> None:
    network = story.lineage().committees
    for url in (*(story.url(name) for name in story.after.secrets), "http://streams:5300"):
        found = fetch_lineage(story.http, url, story.before.committee.id)
        assert found.committees == network


def test_logs_are_verified_with_the_newest_lineage(story: Story) -> None:
    lineage = story.lineage()
    for name in story.world.with_a_log():
        found = audit(story.world.database_file(name), lineage)
        assert found.vouched.epoch == 1
        assert found.vouched.size > lineage.handovers[0].claim.size


def test_a_report_of_the_time_before_a_handover(story: Story, dragon: Run) -> None:
    """From the network and from a file alike; a target that was dropped is in it."""
    span = story.settled_span()
    database = story.world.database_file("operator_2")

    code, out, err = dragon("report", *span, "--json")
    offline = dragon("report", *span, "--json", "--log", database)

    assert code == 0, err
    told = json.loads(out)
    assert {each["node_id"] for each in told["nodes"]} == {*story.before.secrets, "target_1"}
    assert told["epoch"] == 0
    assert {**json.loads(offline[1]), "checkpoint": 0} == {**told, "checkpoint": 0}
    code, _, err = dragon("report", *span, "--node", "target_9")
    assert (code, "unknown_node" in err) == (1, True)


def test_a_report_needs_only_the_newest_committee_file(
    story: Story, dragon: Run, tmp_path: Path
) -> None:
    span = (*story.settled_span(), "--json")
    (tmp_path / "lineage.json").unlink()

    told = json.loads(dragon("report", *span)[1])

    assert {each["node_id"] for each in told["nodes"]} == {*story.before.secrets, "target_1"}
    (tmp_path / "committee.json").write_bytes(story.before.committee.encode())
    assert json.loads(dragon("report", *span)[1]) == told


def test_dragon_logs_prints_an_event_that_can_be_kept(
    story: Story, dragon: Run, tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    file.write_text(dragon("logs", "--event", 0)[1])

    code, out, err = dragon("verify", "event", file, home=False)

    assert (code, err) == (0, "")
    assert "(handover, epoch 0)" in out


def test_the_votes_of_an_older_committee_are_verified_in_the_log(
    story: Story, dragon: Run, tmp_path: Path
) -> None:
    (tmp_path / "services.json").write_text(json.dumps({STREAMS: "http://streams:5300"}))
    for number in (0, 1):
        code, out, err = dragon("votes", story.stream["stream"], number, "--json")
        assert (code, err) == (0, "")
        told = json.loads(out)
        assert told["certificate"] == "verified"
        assert {each["operator"] for each in told["votes"]} == set(story.before.secrets)
        assert all(each["is_certified"] for each in told["votes"] if each["outcome"] == "signed")
