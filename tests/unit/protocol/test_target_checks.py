"""The checks of targets: what the committee file may state, and what is refused by which name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol import differences
from dragon.protocol.committee import Committee, Owner, Target
from dragon.protocol.founding import Change, succeed
from dragon.protocol.lineage import Lineage
from dragon.protocol.member import Member, Role
from dragon.protocol.target_checks import (
    Defaults,
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TargetCheck,
    TcpCheck,
    TlsCheck,
    decode_check,
    default_timeout_ms,
    encode_check,
    timeouts_ms,
)

MEMBERS = make_members(4, targets=1)
DEFAULTS = Defaults("site", 5)
BEAT_KEY = secret("box")


def beat_key() -> dict[str, Json]:
    return {
        "public_key": to_hex(BEAT_KEY.public_key().raw),
        "proof_of_possession": to_hex(BEAT_KEY.prove_possession()),
    }


HTTP: dict[str, Json] = {
    "kind": "http",
    "method": "GET",
    "status": [[200, 299], [404, 404]],
    "redirect_hosts": ["www.example.org"],
    "contains": "Welcome",
    "lacks": "Maintenance",
    "headers": {"accept": "text/html"},
    "timeout_ms": 2500,
}
RPC: dict[str, Json] = {
    "kind": "jsonrpc",
    "method": "eth_getBlockByNumber",
    "params": ["latest", False],
    "pointer": "/result/number",
    "behind": 3,
    "group": "mainnet",
    "timeout_ms": 1000,
}
TCP: dict[str, Json] = {"kind": "tcp", "timeout_ms": 1000}
TLS: dict[str, Json] = {"kind": "tls", "timeout_ms": 1000, "warn_days": 30}
BEAT: dict[str, Json] = {"kind": "heartbeat", **beat_key(), "every_seconds": 90}
KINDS = [HTTP, RPC, TCP, TLS, BEAT]


def file_with(*targets: dict[str, Any], round_seconds: int = 5) -> dict[str, Any]:
    file = cast("dict[str, Any]", copy.deepcopy(MEMBERS.committee.to_json()))
    file["round_seconds"] = round_seconds
    file["targets"] = list(targets)
    return file


def load(file: dict[str, Any]) -> Committee:
    return Committee.load(canonical(file))


@pytest.mark.parametrize("stated", KINDS, ids=lambda stated: str(stated["kind"]))
def test_a_check_is_restored_from_its_members(stated: dict[str, Json]) -> None:
    assert encode_check(decode_check(stated, DEFAULTS)) == stated


@pytest.mark.parametrize(
    ("stated", "check"),
    [
        ({"kind": "http"}, HttpCheck()),
        ({"kind": "tcp"}, TcpCheck()),
        ({"kind": "tls"}, TlsCheck()),
        (
            {"kind": "jsonrpc", "method": "eth_blockNumber", "behind": 5},
            JsonRpcCheck("eth_blockNumber", behind=5, group="site"),
        ),
        (
            {"kind": "heartbeat", **beat_key()},
            HeartbeatCheck(BEAT_KEY.public_key(), BEAT_KEY.prove_possession(), 60),
        ),
    ],
)
def test_what_a_check_omits_has_a_default(stated: dict[str, Json], check: TargetCheck) -> None:
    decoded = decode_check(stated, DEFAULTS)

    assert decoded == check
    assert decode_check(encode_check(decoded), DEFAULTS) == check


def test_defaults_follow_from_the_length_of_a_round() -> None:
    slow = Defaults("site", 60)

    assert decode_check({"kind": "tcp"}, slow) == TcpCheck(12_000)
    beats = decode_check({"kind": "heartbeat", **beat_key()}, slow)
    assert isinstance(beats, HeartbeatCheck)
    assert beats.every_seconds == 180


@pytest.mark.parametrize(("seconds", "least", "most"), [(2, 400, 1000), (5, 1000, 2500)])
def test_a_timeout_is_from_a_second_to_half_a_round(seconds: int, least: int, most: int) -> None:
    allowed = timeouts_ms(seconds)

    assert (allowed[0], allowed[-1]) == (least, most)
    assert default_timeout_ms(seconds) in allowed


@pytest.mark.parametrize(
    ("base", "change", "refusal"),
    [
        (HTTP, {"kind": "icmp"}, errors.UnknownValue),
        (HTTP, {"more": 1}, errors.UnknownMember),
        (HTTP, {"warn_days": 1}, errors.UnknownMember),  # of another kind
        (HTTP, {"method": "POST"}, errors.UnknownValue),
        (HTTP, {"method": "HEAD"}, errors.UnknownValue),  # with a text that no answer has
        (HTTP, {"status": []}, errors.UnknownValue),
        (HTTP, {"status": [200]}, errors.WrongType),
        (HTTP, {"status": [[200, 199]]}, errors.IntegerOutOfRange),
        (HTTP, {"status": [[99, 200]]}, errors.IntegerOutOfRange),
        (HTTP, {"status": [[200, 600]]}, errors.IntegerOutOfRange),
        (HTTP, {"status": [[200, 299]] * 17}, errors.UnknownValue),
        (HTTP, {"redirect_hosts": ["https://www.example.org"]}, errors.UnknownValue),
        (HTTP, {"redirect_hosts": ["WWW.example.org"]}, errors.UnknownValue),
        (HTTP, {"redirect_hosts": [1]}, errors.UnknownValue),
        (HTTP, {"redirect_hosts": ["a.example"] * 9}, errors.UnknownValue),
        (HTTP, {"contains": "x" * 257}, errors.UnknownValue),
        (HTTP, {"lacks": 1}, errors.WrongType),
        (HTTP, {"headers": {"authorization": "Bearer x"}}, errors.UnknownValue),
        (HTTP, {"headers": {"cookie": "a=b"}}, errors.UnknownValue),
        (HTTP, {"headers": {"x-api-key": "x"}}, errors.UnknownValue),
        (HTTP, {"headers": {"host": "example.org"}}, errors.UnknownValue),
        (HTTP, {"headers": {"proxy-connection": "close"}}, errors.UnknownValue),
        (HTTP, {"headers": {"Accept": "text/html"}}, errors.UnknownValue),
        (HTTP, {"headers": {"accept": "a\r\nhost: b"}}, errors.UnknownValue),
        (HTTP, {"headers": {"accept": ""}}, errors.UnknownValue),
        (HTTP, {"headers": {f"x-{at}": "1" for at in range(17)}}, errors.UnknownValue),
        (HTTP, {"timeout_ms": 999}, errors.IntegerOutOfRange),
        (HTTP, {"timeout_ms": 2501}, errors.IntegerOutOfRange),
        (TCP, {"timeout_ms": 1.5}, errors.NotAnInteger),
        (TLS, {"warn_days": 366}, errors.IntegerOutOfRange),
        (RPC, {"method": ""}, errors.UnknownValue),
        (RPC, {"params": "latest"}, errors.WrongType),
        (RPC, {"params": ["x" * 1024]}, errors.UnknownValue),
        (RPC, {"pointer": "result"}, errors.UnknownValue),
        (RPC, {"pointer": "/a~2"}, errors.UnknownValue),
        (RPC, {"behind": -1}, errors.IntegerOutOfRange),
        (RPC, {"group": "Main net"}, errors.InvalidId),
        (BEAT, {"every_seconds": 0}, errors.IntegerOutOfRange),
        (BEAT, {"every_seconds": 86_401}, errors.IntegerOutOfRange),
        (BEAT, {"public_key": to_hex(bytes(48))}, errors.InvalidKey),
        (BEAT, {"proof_of_possession": "0x00"}, errors.InvalidHex),
    ],
)
def test_an_invalid_check_is_refused(
    base: dict[str, Json], change: dict[str, Any], refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        decode_check({**base, **change}, DEFAULTS)


def test_a_heartbeat_without_proof_of_possession_is_refused() -> None:
    stated = {name: value for name, value in BEAT.items() if name != "proof_of_possession"}

    with pytest.raises(errors.UnprovenKey):
        decode_check(stated, DEFAULTS)


# -- targets in a committee ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "url"),
    [
        (HTTP, "https://example.org/health"),
        (RPC, "http://node.example.org:8545"),
        (TCP, "tcp://mail.example.org:25"),
        (TLS, "tls://example.org:443"),
        (BEAT, ""),
    ],
)
def test_a_target_is_restored_from_the_file(stated: dict[str, Json], url: str) -> None:
    target = {
        "id": "site",
        "url": url,
        "check": stated,
        "owner": "operator_2",
        "private_addresses": True,
        "suspect_after": 3,
        "recover_after": 2,
    }

    committee = load(file_with(target))

    assert cast("list[Any]", committee.to_json()["targets"]) == [target]
    assert committee.urls["site"] == url
    assert committee.speaker("site") == "operator_2"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"url": "tcp://example.org:80"}, errors.UnknownValue),
        ({"check": TCP}, errors.UnknownValue),
        ({"check": TCP, "url": "tls://example.org:443"}, errors.UnknownValue),
        ({"check": TCP, "url": "tcp://example.org"}, errors.UnknownValue),
        ({"check": TCP, "url": "tcp://example.org:65536"}, errors.UnknownValue),
        ({"check": TLS, "url": "tls://example.org:443/path"}, errors.UnknownValue),
        ({"check": BEAT}, errors.UnknownValue),
        ({"suspect_after": 0}, errors.IntegerOutOfRange),
        ({"recover_after": 6}, errors.IntegerOutOfRange),
        ({"private_addresses": 1}, errors.WrongType),
        ({"owner": "Some Body"}, errors.InvalidId),
        ({"owner": "nobody"}, errors.UnknownOwner),
        ({"owner": "site"}, errors.UnknownOwner),  # a target speaks for nobody
    ],
)
def test_an_invalid_target_is_refused(
    change: dict[str, Any], refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        load(file_with({"id": "site", "url": "https://example.org", **change}))


def test_a_timeout_that_does_not_fit_the_rounds_is_refused() -> None:
    target = Target("site", "https://example.org", HttpCheck(timeout_ms=2501))

    with pytest.raises(errors.InvalidTimeout, match="1000 to 2500 ms"):
        replace(MEMBERS.committee, targets=(target,)).check()


def test_a_heartbeat_key_needs_its_own_proof_of_possession() -> None:
    stolen = {**BEAT, "proof_of_possession": to_hex(secret("other").prove_possession())}

    with pytest.raises(errors.UnprovenKey):
        load(file_with({"id": "box", "check": stolen}))


def test_a_heartbeat_key_belongs_to_one_target() -> None:
    with pytest.raises(errors.ListedTwice):
        load(file_with({"id": "box", "check": BEAT}, {"id": "box_2", "check": BEAT}))


def test_only_a_listed_node_with_an_owner_has_a_speaker() -> None:
    committee = load(file_with({"id": "site", "url": "https://example.org"}))

    assert committee.speaker("operator_3") == "operator_3"
    with pytest.raises(errors.NoOwner):
        committee.speaker("site")
    with pytest.raises(errors.UnknownNode):
        committee.speaker("elsewhere")


# -- changes ---------------------------------------------------------------------------------------


def changed(change: Change) -> Committee:
    return succeed(Lineage.of(MEMBERS.committee), change)


def test_an_owner_joins_by_a_member_file_and_speaks_for_a_target() -> None:
    owner = Member.sign(Role.OWNER, "acme", None, secret("acme"))
    target = Target("site", "https://example.org", owner="acme")

    after = changed(Change(members=(owner,), targets=(target,), maintenance_notice=60))

    assert after.owners == (
        Owner("acme", secret("acme").public_key(), secret("acme").prove_possession()),
    )
    assert after.speaker("site") == "acme"
    assert after.maintenance_notice == 60
    assert Member.load(canonical(owner.to_json())).listed() == after.owners[0]


def test_the_member_file_of_a_target_is_no_member() -> None:
    box = Member.sign(Role.TARGET, "box", None, BEAT_KEY)

    with pytest.raises(errors.InvalidCommittee, match="add it as a target"):
        changed(Change(members=(box,)))


def test_a_heartbeat_key_serves_one_id_for_ever() -> None:
    check = HeartbeatCheck(BEAT_KEY.public_key(), BEAT_KEY.prove_possession(), 60)
    first = replace(MEMBERS.committee, targets=(Target("box", "", check),))
    renamed = Change(targets=(Target("box_2", "", check),), drop=frozenset({"box"}))

    with pytest.raises(errors.RecycledKey):
        succeed(Lineage.of(first), renamed)


def test_a_default_timeout_follows_the_length_of_a_round() -> None:
    longer = Target("slow", "https://example.org", HttpCheck(timeout_ms=2000))
    before = Lineage.of(replace(MEMBERS.committee, targets=(*MEMBERS.committee.targets, longer)))

    after = succeed(before, Change(round_seconds=10))

    timeouts = {each.id: encode_check(each.check)["timeout_ms"] for each in after.targets}
    assert timeouts == {"target_1": 2000, "slow": 2000}


CHANGES: list[Callable[[Target], Target]] = [
    lambda target: replace(target, url="https://elsewhere.example"),
    lambda target: replace(target, owner="operator_1"),
    lambda target: replace(target, private_addresses=True),
    lambda target: replace(target, suspect_after=2),
    lambda target: replace(target, recover_after=2),
    lambda target: replace(target, check=HttpCheck(lacks="Error")),
    lambda target: replace(target, check=HttpCheck(headers={"accept": "text/html"})),
    lambda target: replace(target, check=HttpCheck(timeout_ms=1001)),
    lambda target: replace(target, check=JsonRpcCheck("eth_blockNumber", group="main")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_each_member_of_a_target_is_in_the_id_and_in_the_differences(
    change: Callable[[Target], Target],
) -> None:
    target = Target("site", "https://example.org")
    before = replace(MEMBERS.committee, targets=(target,))
    after = replace(before, targets=(change(target),))

    assert before.id != after.id
    found = differences.differences(before, after)
    assert found
    assert all(each.what.startswith("target site") for each in found)
    assert all(each.before != each.after for each in found)
    assert parse(before.encode()) != parse(after.encode())
