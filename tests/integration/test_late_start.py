"""A new operator starts from a certified checkpoint or from the first event, with equal logs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask

from dragon import errors
from dragon.log.audit import audit
from dragon.net import checkpoint_sync
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.log_entry import LogEntry
from dragon_operator.main import start_late
from simulation import World

LATE = "operator_2"


def start_empty(world: World) -> Any:
    """Restart operator_2 with empty files. It has read nothing yet."""
    world.crash(LATE)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{world.database_file(LATE)}{suffix}").unlink(missing_ok=True)
    return world.start(LATE, reads=False)


def size_before_the_last_batch(world: World) -> int:
    """Return the size of the logs before the last batch that the newest checkpoint covers."""
    log, newest = world.components("operator_1").log, world.checkpoints("operator_1")[-1]
    last = log.entry(newest.size - 1).ledger_index
    return sum(entry.ledger_index < last for entry in log.entries())


def sent_by(world: World, name: str) -> list[str]:
    return [str(request.url) for caller, request in world.sent if caller == name]


def test_a_new_operator_starts_from_a_certified_checkpoint(world: World) -> None:
    world.run(14)
    components = start_empty(world)

    start_late(components, world.committee, world.runtime(LATE))

    others, size = world.components("operator_1").log, components.log.state.size
    assert components.log.head() == others.head(size)
    assert size == size_before_the_last_batch(world) > 0


def test_its_log_ends_identical_to_logs_read_from_the_first_event(world: World) -> None:
    world.run(14)
    components = start_empty(world)
    start_late(components, world.committee, world.runtime(LATE))

    world.run(14)

    assert components.log.head() == world.components("operator_1").log.head()
    assert components.log.state == world.components("operator_1").log.state
    assert audit(world.database_file(LATE), world.committee).size == components.log.state.size


def test_without_the_option_it_reads_from_the_first_event(world: World) -> None:
    world.run(14)
    components = start_empty(world)

    world.run(2)

    assert components.log.head() == world.components("operator_1").log.head()


def test_a_log_that_is_not_empty_stays_unchanged(world: World) -> None:
    components = world.components(LATE)
    before, asked = components.log.head(), len(sent_by(world, LATE))

    start_late(components, world.committee, world.runtime(LATE))

    assert components.log.head() == before
    assert len(sent_by(world, LATE)) == asked


class Liar:
    """Answers as operator_1 would, except for one response."""

    def __init__(self, world: World, spoil: str) -> None:
        self.app = Flask("liar")
        genuine = world.wires.app("operator-1:5001")
        self.app.wsgi_app = self._spoiling(world, genuine, spoil)  # type: ignore[method-assign]

    @staticmethod
    def _spoiling(world: World, genuine: Any, spoil: str) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            body = b"".join(genuine(environ, lambda *_: None))
            path = environ["PATH_INFO"]
            if spoil == "slow" and path == "/events":
                world.clock.now += 9
                listed = json.loads(body)
                body = json.dumps({"events": listed["events"][:1], "next": 0}).encode()
            if spoil == "entries" and path == "/events":
                body = body.replace(b'"down"', b'"up"', 1)
            if spoil == "short" and path == "/events":
                body = b'{"events":[],"next":null}'
            if spoil == "time" and path == "/events":
                body = re.sub(rb'("ledger_time":)[0-9]+', rb"\g<1>9007199254740991", body)
            if spoil == "checkpoint" and path.startswith("/events/"):
                body = body.replace(b'"size":', b'"size":1', 1)
            response = flask.Response(body, mimetype="application/json")
            return response(environ, start_response)

        return app


def test_beginning_at_a_checkpoint_believes_no_ledger_time(world: World) -> None:
    """A time far in the future would make every genuine proof look like a step back."""
    world.run(14)
    components = start_empty(world)
    world.wires.mount("operator-1:5001", Liar(world, "time").app)

    start_late(components, world.committee, world.runtime(LATE))
    size = components.log.state.size
    world.run(2)

    assert size == size_before_the_last_batch(world) > 0
    assert components.log.alarm() is None
    assert components.log.head() == world.components("operator_1").log.head()
    assert {entry.ledger_time for entry in components.log.entries()[:size]} == {None}
    events = world.get(LATE, "/events").json()["events"]
    assert [each["ledger_time"] for each in events[:size]] == [None] * size


@pytest.mark.parametrize("spoil", ["entries", "short", "checkpoint"])
def test_an_operator_that_lies_about_its_log_is_skipped(world: World, spoil: str) -> None:
    world.stop("operator_3")
    world.run(14)
    components = start_empty(world)
    world.wires.mount("operator-1:5001", Liar(world, spoil).app)

    start_late(components, world.committee, world.runtime(LATE))

    size = components.log.state.size
    assert components.log.head() == world.components("operator_4").log.head(size)


def test_an_operator_that_sends_its_entries_one_by_one_is_skipped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer is in time, but a long log would take days."""
    world.run(14)
    components = start_empty(world)
    world.wires.mount("operator-1:5001", Liar(world, "slow").app)
    monkeypatch.setattr(checkpoint_sync, "TOTAL_DEADLINE_SECONDS", 5)
    begun = world.clock.now

    start_late(components, world.committee, world.runtime(LATE))

    size = components.log.state.size
    assert size == size_before_the_last_batch(world) > 0
    assert world.clock.now - begun < 5 + 20
    assert any("operator-3" in url for url in sent_by(world, LATE))


def test_an_event_refused_in_the_last_batch_before_a_checkpoint_stays_refused(world: World) -> None:
    """The event came too early in its batch. If the batch were read again, it would be applied."""
    number = world.committee.rounds.number(world.clock.now)
    up = world.members.status(LATE, Status.UP, number + 2)
    down = world.members.status(LATE, Status.DOWN, number + 1)
    world.submit(up, down)  # `up` is not a change at that point, so it is refused
    checkpoint = world.components("operator_1").log.head()
    components = start_empty(world)
    claim = CheckpointClaim(checkpoint.size, checkpoint.root, 0)
    entries = [
        LogEntry(e.position, e.event, e.ledger_index)
        for e in world.components("operator_1").log.entries()
    ]

    components.log.begin_at(claim, entries)
    world.settle()

    assert components.log.head() == world.components("operator_1").log.head()
    assert components.log.position.index == world.components("operator_1").log.position.index


def test_without_any_checkpoint_the_start_fails_and_stores_nothing(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        with pytest.raises(errors.Unreachable, match="no operator gave"):
            start_late(world.components(LATE), world.committee, world.runtime(LATE))

        assert world.components(LATE).log.state.size == 0
        world.run(3)
        assert world.statuses(LATE) == dict.fromkeys(world.operators, "up")
