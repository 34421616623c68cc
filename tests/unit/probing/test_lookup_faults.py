"""Whose fault it is that a name cannot be resolved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from committees import make_members, secret
from dragon.probing.lookup_faults import (
    MAX_CONTROL_NAMES,
    control_names,
    is_resolver_at_fault,
)
from dragon.probing.probe_result import ProbeResult
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Target
from dragon.protocol.state import History, State, Transition
from dragon.protocol.target_checks import HeartbeatCheck, TcpCheck

PUBLIC = [Target(f"site_{number}", f"https://site{number}.example/") for number in (1, 2, 3)]
PLAIN = Target("web", "http://web:80/")
NUMERIC = Target("host", "http://192.0.2.1/")


def committee(*targets: Target) -> Committee:
    members = make_members(7).committee
    operators = [
        replace(operator, url=f"http://operator-{number}:5001")
        for number, operator in enumerate(members.operators, start=1)
    ]
    return replace(members, operators=tuple(operators), targets=targets)


def results(made: Committee, **reasons: str) -> dict[str, ProbeResult]:
    """Probes of all nodes: answered, or down for these reasons."""
    return {
        node_id: ProbeResult(
            node_id,
            Status.DOWN if node_id in reasons else Status.UP,
            reasons.get(node_id, "answered"),
            0.0,
            0.0,
            0,
            None,
        )
        for node_id in made.urls
    }


NOTHING_CERTIFIED = State.of(make_members().committee)


def down(*node_ids: str) -> State:
    moves = History([Transition(Status.DOWN, 0, 0)])
    return replace(NOTHING_CERTIFIED, nodes=dict.fromkeys(node_ids, moves))


def at_fault(
    made: Committee, node_id: str, state: State = NOTHING_CERTIFIED, **reasons: str
) -> bool:
    return is_resolver_at_fault(made, node_id, results(made, **reasons), state)


@pytest.mark.parametrize("reason", ["timeout", "refused", "tls", "status_302", "unreachable"])
def test_a_failure_after_the_lookup_is_the_nodes(reason: str) -> None:
    assert not at_fault(committee(*PUBLIC), "site_1", site_1=reason)


def test_a_public_target_without_an_answer_about_its_name_is_not_called_down() -> None:
    """Even if all other names are resolved: a resolver answers from its memory for a while."""
    assert at_fault(committee(*PUBLIC), "site_1", site_1="dns")


def test_a_target_that_alone_does_not_exist_is_down() -> None:
    assert not at_fault(committee(PUBLIC[0]), "site_1", site_1="no_such_name")
    assert not at_fault(committee(*PUBLIC), "site_1", site_1="no_such_name", site_2="no_such_name")


def test_all_public_names_do_not_end_at_once() -> None:
    gone = dict.fromkeys(("site_1", "site_2", "site_3"), "no_such_name")

    assert at_fault(committee(*PUBLIC), "site_1", **gone)
    assert at_fault(committee(*PUBLIC[:2]), "site_1", site_1="no_such_name", site_2="dns")


def test_names_of_nodes_that_are_certified_down_do_not_count_as_failed() -> None:
    gone = dict.fromkeys(("site_1", "site_2", "site_3"), "no_such_name")

    assert not at_fault(committee(*PUBLIC), "site_1", down("site_2", "site_3"), **gone)


@pytest.mark.parametrize("reason", ["dns", "no_such_name"])
def test_a_stopped_container_is_down(reason: str) -> None:
    """It has lost its name, and the names of the other containers are resolved."""
    assert not at_fault(committee(), "operator_2", operator_2=reason)
    assert not at_fault(committee(), "operator_2", operator_2=reason, operator_3=reason)
    assert not at_fault(committee(PLAIN), "web", web=reason, operator_3=reason)


@pytest.mark.parametrize("reason", ["dns", "no_such_name"])
def test_a_resolver_that_finds_no_operator_is_at_fault(reason: str) -> None:
    made = committee(NUMERIC, *PUBLIC)
    gone = dict.fromkeys(made.keys, reason)

    assert at_fault(made, "operator_2", **gone)
    assert at_fault(made, "operator_2", **(gone | {"operator_3": "timeout"}))
    assert not at_fault(made, "operator_2", **(gone | {"operator_3": "refused"}))


def test_names_of_another_sort_are_no_control() -> None:
    """A network of containers resolves its own names while the public ones fail."""
    made = committee(*PUBLIC[:2])

    assert at_fault(made, "site_1", site_1="no_such_name", site_2="no_such_name")
    assert control_names(made, "site_1", results(made, site_1="no_such_name")["site_1"]) == [
        "site_2"
    ]
    assert not control_names(made, "site_1", results(made, site_1="dns")["site_1"])
    assert not control_names(made, "site_1", results(made)["site_1"])


def test_this_operator_itself_is_no_control() -> None:
    """It does not look up its own name."""
    made = committee()
    gone = dict.fromkeys(made.keys, "no_such_name") | {"operator_1": "myself"}

    assert at_fault(made, "operator_2", **gone)


def test_localhost_is_no_control() -> None:
    made = committee(Target("here", "http://localhost:80/"))

    assert at_fault(made, "operator_2", **dict.fromkeys(made.keys, "no_such_name"))


def test_a_name_without_an_answer_and_without_a_control_is_not_called_down() -> None:
    made = committee()
    others = [name for name in made.keys if name != "operator_2"]

    assert at_fault(made, "operator_2", down(*others), **dict.fromkeys(made.keys, "dns"))


def test_an_operator_with_a_public_name_is_down_if_another_name_is_resolved() -> None:
    made = committee()
    public = [
        replace(each, url=f"https://{each.id.replace('_', '-')}.example") for each in made.operators
    ]

    assert not at_fault(replace(made, operators=tuple(public)), "operator_2", operator_2="dns")


def test_a_dot_at_the_end_does_not_make_a_name_public() -> None:
    made = committee(Target("web", "http://web.:80/"))

    assert not at_fault(made, "web", web="dns")


def test_few_nodes_are_probed_as_a_control() -> None:
    many = [Target(f"site_{number}", f"https://site{number}.example/") for number in range(20)]
    made = committee(*many)

    names = control_names(made, "site_1", results(made, site_1="no_such_name")["site_1"])

    assert len(names) == MAX_CONTROL_NAMES


@pytest.mark.parametrize("url", ["tcp://db.example:5432", "tls://db.example:465"])
def test_names_of_ports_are_names_like_those_of_websites(url: str) -> None:
    port = Target("port", url, TcpCheck())
    gone = {"port": "no_such_name", "site_1": "no_such_name"}

    assert at_fault(committee(port, *PUBLIC), "port", port="dns")
    assert not at_fault(committee(port, *PUBLIC), "port", port="no_such_name")
    assert at_fault(committee(port, PUBLIC[0]), "port", **gone)
    assert control_names(committee(port, PUBLIC[0]), "port", failed("port")) == ["site_1"]


def test_a_target_with_heartbeats_has_no_name_and_proves_nothing() -> None:
    key = secret("machine")
    machine = Target("machine", "", HeartbeatCheck(key.public_key(), key.prove_possession(), 60))
    made = committee(machine, PLAIN)
    gone = dict.fromkeys([*made.keys, "web"], "dns")

    assert at_fault(made, "web", **gone)
    assert "machine" not in control_names(made, "web", failed("web"))
    assert control_names(made, "machine", failed("machine", "no_beat")) == []


@pytest.mark.parametrize("reason", ["looking", "not_listed"])
def test_a_node_that_was_not_looked_at_proves_nothing(reason: str) -> None:
    gone = dict.fromkeys(("site_1", "site_2"), "no_such_name")

    assert at_fault(committee(*PUBLIC), "site_1", **gone, site_3=reason)


def test_a_target_that_alone_has_a_private_address_is_down() -> None:
    """Otherwise its owner could hide an outage by a change of the name's address."""
    assert not at_fault(committee(PUBLIC[0]), "site_1", site_1="private_address")
    both = {"site_1": "private_address", "site_2": "private_address"}
    assert not at_fault(committee(*PUBLIC), "site_1", **both)
    assert not at_fault(committee(*PUBLIC), "site_1", down("site_2", "site_3"), **both)


@pytest.mark.parametrize("reason", ["private_address", "no_such_name"])
def test_a_resolver_that_answers_all_names_with_private_addresses_is_at_fault(reason: str) -> None:
    """As in a network whose users have to sign in first."""
    everywhere = dict.fromkeys(("site_2", "site_3"), "private_address")

    assert at_fault(committee(*PUBLIC), "site_1", site_1=reason, **everywhere)


@pytest.mark.parametrize("url", ["http://10.0.0.5/", "tcp://[::1]:80", "http://localhost:80/"])
def test_no_resolver_is_at_fault_for_a_private_address_in_the_file(url: str) -> None:
    inside, other = Target("inside", url), Target("other", "http://10.0.0.6/")
    private = dict.fromkeys(("inside", "other"), "private_address")

    assert not at_fault(committee(inside, other), "inside", **private)
    assert (
        control_names(committee(inside, other), "inside", failed("inside", "private_address")) == []
    )


def failed(node_id: str, reason: str = "no_such_name") -> ProbeResult:
    return ProbeResult(node_id, Status.DOWN, reason, 0.0, 0.0, 0, None)
