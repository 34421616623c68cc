"""One look at a target of each kind, and `look_once`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from committees import make_members, secret
from dragon.net.http_client import HttpResponse
from dragon.net.runtime import Runtime
from dragon.net.target_network import TargetNetwork
from dragon.node.beat_book import NewestBeat
from dragon.probing.beats import LastBeat, no_beats
from dragon.probing.look_once import look_once
from dragon.probing.target_look import TargetLooks, is_slow, timeout_seconds
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Target
from dragon.protocol.target_checks import (
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TargetCheck,
    TcpCheck,
    TlsCheck,
)
from simulation import Clock, SimulatedExecutor
from targets import ScriptedNetwork

UP, DOWN = Status.UP, Status.DOWN


def beating(every: int = 60) -> HeartbeatCheck:
    key = secret("machine")
    return HeartbeatCheck(key.public_key(), key.prove_possession(), every)


def rpc(node_id: str, group: str = "chain", behind: int = 3) -> Target:
    check = JsonRpcCheck("height", behind=behind, group=group)
    return Target(node_id, f"https://{node_id}.example/", check)


def height(number: int) -> HttpResponse:
    return HttpResponse(200, b'{"result":%d}' % number)


def committee(*targets: Target) -> Committee:
    return replace(make_members(genesis=1000).committee, targets=targets)


@dataclass
class Looking:
    """A service that looks at targets on a scripted network."""

    targets: tuple[Target, ...]
    network: ScriptedNetwork = field(default_factory=ScriptedNetwork)
    last_beat: LastBeat = no_beats

    def __post_init__(self) -> None:
        self.clock = Clock(0.0)
        self.asked: list[bool] = []  # for each look, whether private addresses are allowed
        self.committee = committee(*self.targets)
        self.looks = TargetLooks(self.runtime(), self.last_beat)

    def networks(self, private_addresses: bool) -> TargetNetwork:
        self.asked.append(private_addresses)
        return self.network

    def runtime(self) -> Runtime:
        return Runtime(
            http=None,  # type: ignore[arg-type]  # no operator is probed
            wall=lambda: 1000 + self.clock.now,
            monotonic=lambda: self.clock.now,
            sleep=self.clock.sleep,
            entropy=bytes,
            workers=lambda _: SimulatedExecutor(self.clock),
            networks=self.networks,
        )

    def reasons(self) -> dict[str, str]:
        """Look at every target once."""
        return {each.id: self.looks.look(each, self.committee).reason for each in self.targets}

    def set_heights(self, **heights: int) -> None:
        self.network.answers = {
            f"https://{node_id}.example/": height(number) for node_id, number in heights.items()
        }


def test_each_kind_is_looked_at_in_its_way() -> None:
    looking = Looking(
        (
            Target("web", "https://web.example/", HttpCheck(method="HEAD")),
            Target("db", "tcp://db.example:5432", TcpCheck(), private_addresses=True),
            Target("mail", "tls://mail.example:465", TlsCheck()),
            rpc("node"),
            Target("machine", "", beating()),
        ),
        ScriptedNetwork(
            {"https://web.example/": HttpResponse(200, b""), "https://node.example/": height(1)}
        ),
        lambda _: NewestBeat(listening_seconds=100.0, age_seconds=5.0, offset_ms=0),
    )

    assert set(looking.reasons().values()) == {"answered"}
    assert looking.network.calls == [
        ("HEAD", "https://web.example/"),
        ("CONNECT", "db.example:5432"),
        ("CONNECT", "mail.example:465"),
        ("POST", "https://node.example/"),
    ]
    assert looking.asked == [False, True, False, False, False]


def test_a_node_that_answers_and_has_stopped_syncing_is_down() -> None:
    looking = Looking((rpc("a"), rpc("b"), rpc("other", group="another")))
    looking.set_heights(a=100, b=100, other=7)
    assert set(looking.reasons().values()) == {"answered"}

    looking.clock.sleep(5)
    looking.set_heights(a=103, b=100, other=7)
    assert set(looking.reasons().values()) == {"answered"}
    looking.clock.sleep(5)
    looking.set_heights(a=104, b=100, other=7)

    assert looking.reasons() == {"a": "answered", "b": "behind", "other": "answered"}


def test_a_height_counts_for_the_others_for_three_rounds() -> None:
    looking = Looking((rpc("a"), rpc("b")))
    looking.set_heights(a=100, b=90)
    looking.reasons()
    looking.network.answers = {"https://b.example/": height(90)}
    [_, b] = looking.targets

    looking.clock.sleep(15)
    assert looking.looks.look(b, looking.committee).reason == "behind"
    looking.clock.sleep(0.1)
    assert looking.looks.look(b, looking.committee).reason == "answered"


def test_a_node_alone_in_its_group_is_never_behind() -> None:
    looking = Looking((rpc("a"),))
    looking.set_heights(a=100)
    looking.reasons()
    looking.set_heights(a=1)

    assert looking.reasons() == {"a": "answered"}


def test_the_height_of_a_target_with_another_check_is_forgotten() -> None:
    """After a handover it may belong to another chain."""
    looking = Looking((rpc("a"), rpc("b")))
    looking.set_heights(a=1000, b=10)
    looking.looks.look(looking.targets[0], looking.committee)
    changed = committee(rpc("a", behind=1), rpc("b"))

    assert looking.looks.look(changed.targets[1], changed).reason == "answered"


@pytest.mark.parametrize(("seconds", "reason"), [(70.0, "not_heard_yet"), (71.0, "no_beat")])
def test_a_missing_beat_counts_after_the_service_has_listened_for_long_enough(
    seconds: float, reason: str
) -> None:
    target = Target("machine", "", beating())
    looking = Looking((target,), last_beat=lambda _: NewestBeat(listening_seconds=seconds))

    assert looking.reasons() == {"machine": reason}


@pytest.mark.parametrize(
    ("check", "seconds", "slow"),
    [
        (HttpCheck(timeout_ms=1000), 1.0, False),
        (TcpCheck(timeout_ms=1001), 1.001, True),
        (TlsCheck(timeout_ms=2500), 2.5, True),
        (beating(), 1.0, False),
    ],
)
def test_a_target_is_slow_if_it_has_more_time_than_an_operator(
    check: TargetCheck, seconds: float, slow: bool
) -> None:
    made = committee(Target("site", "https://site.example", check))

    assert (timeout_seconds(made, "site"), is_slow(made, "site")) == (seconds, slow)
    assert not is_slow(made, "operator_1")


def test_one_look_from_here_judges_as_an_operator_would() -> None:
    looking = Looking((rpc("a"),))
    looking.set_heights(a=100, new=90)

    seen = look_once(rpc("new"), looking.committee, looking.runtime())

    assert (seen.node_id, seen.status, seen.reason) == ("new", DOWN, "behind")
    assert seen.detail == "height 90, 10 behind 100"


def test_one_look_at_a_listed_target_is_one_look() -> None:
    looking = Looking((rpc("a"),))
    looking.set_heights(a=100)

    assert look_once(looking.targets[0], looking.committee, looking.runtime()).status is UP
    assert len(looking.network.calls) == 1


def test_one_look_from_here_cannot_hear_beats() -> None:
    looking = Looking((Target("machine", "", beating()),))

    seen = look_once(looking.targets[0], looking.committee, looking.runtime())

    assert seen.reason == "not_heard_yet"
