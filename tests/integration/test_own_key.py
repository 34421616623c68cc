"""Two services with one operator's key: the second one notices before it signs anything.

Also: what the log shows about a key that is used elsewhere, or about an old copy of the journal.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dragon_operator.app
import dragon_operator.main
import dragon_operator.settings
from committees import make_members, secret
from dragon.errors import AttestationRefused, KeyInUse
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.refusal import RefusalReason
from dragon_operator.databases import Databases
from dragon_operator.journal_file import journal_path
from dragon_operator.key_check import MAX_WAIT_SECONDS, OWN_ANSWERS
from epochs import new_operator, successor
from simulation import World
from wsgi import WsgiApp

HOST = "operator-2:5002"


@pytest.fixture
def second(world: World, tmp_path: Path) -> Any:
    """The components of another service with the key of `operator_2`; its URL leads elsewhere."""
    with ExitStack() as stack:
        yield start_second(world, tmp_path / "second.db", stack)


def start_second(world: World, database: Path, stack: ExitStack, **changes: Any) -> Any:
    settings = dragon_operator.settings.Settings(
        operator="operator_2",
        committee=world.founding,
        secret=world.members.secrets["operator_2"],
        database=database,
        nodes_files=(),
        host="",
        port=0,
        threads=1,
    )
    runtime = world.runtime("second")
    files = Databases.open(replace(settings, **changes), runtime)
    stack.callback(files.close)
    client = world.services["operator_2"].client
    made = dragon_operator.main.assemble(replace(settings, **changes), files, client, runtime)
    made.follower.catch_up()
    made.peers.probe()
    return made


def down_now(world: World, node_id: str = "operator_4") -> StatusClaim:
    rounds = world.committee.rounds
    return StatusClaim(node_id, Status.DOWN, rounds.start(rounds.number(world.clock.now)))


def refusal(operator: Any, claim: StatusClaim) -> tuple[object, str]:
    with pytest.raises(AttestationRefused) as refused:
        operator.attester.attest(claim)
    return refused.value.reason, str(refused.value)


def wait_reasons(app: WsgiApp, world: World) -> list[str]:
    world.impersonate("operator_2", app)
    found: list[str] = world.get("operator_2", "/readyz").json()["reasons"]
    return [each for each in found if each.startswith("key:")]


def test_a_second_service_with_the_key_ends_before_it_signs(world: World, second: Any) -> None:
    world.stop("operator_4")

    reason, message = refusal(second, down_now(world))
    assert reason is RefusalReason.BEHIND
    assert "not known to be used here only" in message
    with pytest.raises(KeyInUse) as noticed:
        second.key_check.look()
    assert noticed.value.facts == {"operator": "operator_2", "url": "http://operator-2:5002"}
    assert "stop that service for good first" in str(noticed.value)


def test_the_first_service_signs_on_beside_the_second(world: World, second: Any) -> None:
    with pytest.raises(KeyInUse):
        second.key_check.look()
    world.stop("operator_4")

    world.components("operator_2").attester.attest(down_now(world))


def through(*apps: WsgiApp) -> tuple[WsgiApp, Callable[[], int]]:
    """Return a load balancer in front of apps, which chooses them in turn, and its counter."""
    turns, count = itertools.cycle(apps), itertools.count()

    def balance(environ: Any, start_response: Any) -> Any:
        next(count)
        return next(turns)(environ, start_response)

    return balance, lambda: next(count)


def test_a_proxy_that_leads_back_is_not_another_service(world: World, second: Any) -> None:
    proxy, count = through(dragon_operator.app.create_app(second))
    world.impersonate("operator_2", proxy)

    second.key_check.look()

    assert second.key_check.why_wait() == ""
    assert count() == OWN_ANSWERS


def test_a_proxy_that_tries_another_service_after_the_first_is_noticed(
    world: World, second: Any
) -> None:
    """The question arrives here, and the answer comes from elsewhere."""
    own, first = dragon_operator.app.create_app(second), world.wires.app(HOST)

    def retries(environ: Any, start_response: Any) -> Any:
        list(own(dict(environ), lambda *_: lambda _: None))
        world.clock.sleep(0.01)
        return first(environ, start_response)

    world.impersonate("operator_2", retries)

    with pytest.raises(KeyInUse):
        second.key_check.look()


def test_a_load_balancer_before_both_services_is_noticed(world: World, second: Any) -> None:
    balance, _ = through(dragon_operator.app.create_app(second), world.wires.app(HOST))
    world.impersonate("operator_2", balance)

    with pytest.raises(KeyInUse):
        second.key_check.look()


def test_an_operator_that_does_not_reach_its_url_signs_after_two_rounds(
    world: World, second: Any
) -> None:
    world.stop("operator_2", "hang")
    world.stop("operator_4")
    second.key_check.look()
    reasons = wait_reasons(dragon_operator.app.create_app(second), world)
    assert reasons == [
        "key: not known to be used here only; nothing is signed for 9 s, or until "
        "http://operator-2:5002 leads here"
    ]

    world.clock.sleep(2 * world.committee.rounds.seconds)

    second.peers.probe()
    second.follower.catch_up()
    assert second.attester.attest(down_now(world))


def test_the_wait_begins_with_the_first_look(world: World, second: Any) -> None:
    """However long the start takes, nothing is signed before a look."""
    world.clock.sleep(10 * world.committee.rounds.seconds)

    assert second.key_check.why_wait()
    with pytest.raises(KeyInUse):
        second.key_check.look()


def test_long_rounds_are_not_waited_for(tmp_path: Path) -> None:
    with World(tmp_path, make_members(round_seconds=3600), verify_at_end=False) as world:
        world.cuts.add(("operator_1", "*"))
        world.restart("operator_1")
        check = world.components("operator_1").key_check
        assert check.why_wait()

        world.clock.sleep(MAX_WAIT_SECONDS)

        assert check.why_wait() == ""


@pytest.mark.parametrize("other", ["operator_3", "sequencer"])
def test_a_stranger_at_the_url_is_not_another_service_with_the_key(
    world: World, second: Any, other: str
) -> None:
    hosts = {name: host for host, name in world.names.items()}
    world.impersonate("operator_2", world.wires.app(hosts[other]))

    second.key_check.look()

    assert second.key_check.why_wait()


def test_a_replayed_answer_is_not_another_service(world: World, second: Any) -> None:
    old = world.get("operator_2", "/status").content

    def replay(_: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [old]

    world.impersonate("operator_2", replay)
    second.key_check.look()

    assert second.key_check.why_wait()


def test_a_service_that_holds_both_keys_of_a_rotation_notices_the_one_with_the_old(
    world: World, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        rotated = secret("operator_2 again")
        both = start_second(world, tmp_path / "second.db", stack, next_secret=rotated)

        with pytest.raises(KeyInUse):
            both.key_check.look()


def test_a_newcomer_looks_where_the_approved_committee_lists_it(world: World) -> None:
    key = secret("operator_5")
    world.join("operator_5", key, new_operator("operator_5", key).url)
    check = world.components("operator_5").key_check
    assert "until a committee lists this operator" in check.why_wait()

    world.approve("operator_5", successor(world.members, None, add=["operator_5"]).committee)
    check.look()

    assert check.why_wait() == ""


def test_a_restart_within_a_second_signs_at_once(world: World) -> None:
    world.stop("operator_4")
    world.restart("operator_2")

    assert world.components("operator_2").attester.attest(down_now(world))


# An old copy of the journal


def put_back(world: World, name: str, copy: Path) -> None:
    """Restart an operator with an older copy of its journal."""
    file = journal_path(world.database_file(name))
    world.crash(name)
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    shutil.copy(copy, file)
    world.start(name)


def copy_journal(world: World, name: str, target: Path) -> Path:
    """Copy the journal of a stopped operator."""
    world.crash(name)
    shutil.copy(journal_path(world.database_file(name)), target)
    world.start(name)
    return target


def outage(world: World, node_id: str = "operator_4") -> None:
    world.stop(node_id)
    world.run(2)
    world.resume(node_id)
    world.run(2)


def journal_reasons(world: World, name: str) -> list[str]:
    found: list[str] = world.get(name, "/readyz").json()["reasons"]
    return [each for each in found if each.startswith("journal:")]


def is_incomplete(world: World, name: str) -> bool:
    return "datadragon_journal_incomplete 1.0" in world.get(name, "/metrics").text


def test_an_old_journal_is_noticed_by_what_the_log_shows(world: World, tmp_path: Path) -> None:
    copy = copy_journal(world, "operator_2", tmp_path / "old-journal")
    outage(world)
    assert not is_incomplete(world, "operator_2")

    put_back(world, "operator_2", copy)

    [reason] = journal_reasons(world, "operator_2")
    assert reason.startswith("journal: incomplete: the log has a signature of this operator that")
    assert is_incomplete(world, "operator_2")
    world.stop("operator_4")
    found, message = refusal(world.components("operator_2"), down_now(world))
    assert found is RefusalReason.BEHIND
    assert "an old copy of the journal was put back, or another service" in message


def test_an_old_journal_is_still_noticed_after_another_restart_and_ends_after_max_age(
    world: World, tmp_path: Path
) -> None:
    copy = copy_journal(world, "operator_2", tmp_path / "old-journal")
    outage(world)
    put_back(world, "operator_2", copy)

    world.restart("operator_2")
    assert is_incomplete(world, "operator_2")
    rounds = world.committee.rounds
    world.run(rounds.max_age // rounds.seconds + 1)

    assert not is_incomplete(world, "operator_2")
    world.restart("operator_2")
    assert journal_reasons(world, "operator_2") == []
    world.stop("operator_4")
    world.run(1)
    assert world.components("operator_2").attester.attest(down_now(world))


def test_an_old_journal_and_an_old_log_are_noticed_when_the_ledger_is_read(
    world: World, tmp_path: Path
) -> None:
    copy = copy_journal(world, "operator_2", tmp_path / "old-journal")
    outage(world)
    world.crash("operator_2")
    log = world.database_file("operator_2")
    for part in log.parent.glob(f"{log.name}*"):
        part.unlink()
    for part in log.parent.glob(f"{journal_path(log).name}*"):
        part.unlink()
    shutil.copy(copy, journal_path(log))

    world.start("operator_2")

    assert is_incomplete(world, "operator_2")


def test_an_old_journal_is_noticed_by_a_checkpoint(world: World, tmp_path: Path) -> None:
    world.run(2)
    copy = copy_journal(world, "operator_2", tmp_path / "old-journal")
    world.run(14)

    put_back(world, "operator_2", copy)

    assert is_incomplete(world, "operator_2")


def test_a_service_elsewhere_that_signs_with_the_key_is_noticed_by_the_log(world: World) -> None:
    """Its answers do not reach us, but a certificate with its signature is applied."""
    claim = down_now(world, "operator_3")
    others = [name for name in world.members.secrets if name != "operator_3"]

    world.submit(world.members.certify(claim, others))

    assert is_incomplete(world, "operator_2")
    assert not is_incomplete(world, "operator_3")


def test_a_complete_journal_is_never_called_incomplete(world: World) -> None:
    world.run(14)
    outage(world)
    for name in world.operators:
        world.restart(name)
    world.run(2)

    assert not any(is_incomplete(world, name) for name in world.operators)


def test_a_journal_that_replaces_a_lost_one_is_not_called_incomplete(world: World) -> None:
    """It is known to be new, and signs nothing for a while anyway."""
    world.run(2)
    world.crash("operator_2")
    for file in world.database_file("operator_2").parent.glob("operator_2*"):
        file.unlink()

    world.start("operator_2")
    outage(world)

    assert not is_incomplete(world, "operator_2")
