"""A late operator starts from a certified checkpoint, or from the first event: the same log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask

from dragon import errors
from dragon.log.audit import audit
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.log_entry import LogEntry
from dragon_operator.main import begin_late
from simulation import World

LATE = "operator_2"


def begin_anew(world: World) -> Any:
    """Operator_2 loses its file and is put together again; nothing is read yet."""
    world.crash(LATE)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{world.database_file(LATE)}{suffix}").unlink(missing_ok=True)
    return world.start(LATE)


def sent_by(world: World, name: str) -> list[str]:
    return [str(request.url) for caller, request in world.sent if caller == name]


def test_a_late_operator_starts_from_a_certified_checkpoint(world: World) -> None:
    world.run(14)
    own = begin_anew(world)

    begin_late(own, world.runtime(LATE))

    size = own.log.state.size
    assert size == world.checkpoints("operator_1")[-1].size
    assert own.log.checkpoint() == world.own("operator_1").log.checkpoint(size)


def test_it_ends_identical_to_those_that_read_from_the_first_event(world: World) -> None:
    world.run(14)
    own = begin_anew(world)
    begin_late(own, world.runtime(LATE))

    world.run(14)

    assert own.log.checkpoint() == world.own("operator_1").log.checkpoint()
    assert own.log.state == world.own("operator_1").log.state
    assert audit(world.database_file(LATE), world.committee).size == own.log.state.size


def test_without_the_option_it_reads_from_the_first_event(world: World) -> None:
    world.run(14)
    own = begin_anew(world)

    world.run(2)

    assert own.log.checkpoint() == world.own("operator_1").log.checkpoint()


def test_a_log_that_has_begun_goes_on_where_it_is(world: World) -> None:
    own = world.own(LATE)
    before, asked = own.log.checkpoint(), len(sent_by(world, LATE))

    begin_late(own, world.runtime(LATE))

    assert own.log.checkpoint() == before
    assert len(sent_by(world, LATE)) == asked


class Liar:
    """Answers as operator_1 would, but for one thing."""

    def __init__(self, world: World, spoil: str) -> None:
        self.app = Flask("liar")
        genuine = world.wires._apps["operator-1:5001"]
        self.app.wsgi_app = self._spoiling(genuine, spoil)  # type: ignore[method-assign]

    @staticmethod
    def _spoiling(genuine: Any, spoil: str) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            body = b"".join(genuine(environ, lambda *_: None))
            path = environ["PATH_INFO"]
            if spoil == "entries" and path == "/events":
                body = body.replace(b'"down"', b'"up"', 1)
            if spoil == "short" and path == "/events":
                body = b'{"events":[],"next":null}'
            if spoil == "checkpoint" and path.startswith("/events/"):
                body = body.replace(b'"size":', b'"size":1', 1)
            response = flask.Response(body, mimetype="application/json")
            return response(environ, start_response)

        return app


@pytest.mark.parametrize("spoil", ["entries", "short", "checkpoint"])
def test_an_operator_that_lies_about_its_log_is_passed_over(world: World, spoil: str) -> None:
    world.stop("operator_3")
    world.run(14)
    own = begin_anew(world)
    world.wires.mount("operator-1:5001", Liar(world, spoil).app)

    begin_late(own, world.runtime(LATE))

    size = own.log.state.size
    assert own.log.checkpoint() == world.own("operator_4").log.checkpoint(size)


def test_what_was_refused_in_the_checkpoints_last_batch_stays_refused(world: World) -> None:
    """An event that comes too early in a batch, and would be taken if the batch were read anew."""
    number = world.committee.rounds.number(world.clock.now)
    up = world.members.status(LATE, Status.UP, number + 2)
    down = world.members.status(LATE, Status.DOWN, number + 1)
    world.submit(up, down)  # the up changes nothing yet, and is refused
    mark = world.own("operator_1").log.checkpoint()
    own = begin_anew(world)
    claim = CheckpointClaim(mark.size, mark.root, 0)
    entries = [
        LogEntry(e.position, e.event, e.ledger_index, e.ledger_time)
        for e in world.own("operator_1").log.entries()
    ]

    own.log.begin_at(claim, entries)
    world.settle()

    assert own.log.checkpoint() == world.own("operator_1").log.checkpoint()
    assert own.log.position.index == world.own("operator_1").log.position.index


def test_where_nobody_has_a_checkpoint_the_start_fails_and_keeps_nothing(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        with pytest.raises(errors.Unreachable, match="no operator gave"):
            begin_late(world.own(LATE), world.runtime(LATE))

        assert world.own(LATE).log.state.size == 0
        world.run(3)
        assert world.statuses(LATE) == dict.fromkeys(world.operators, "up")
