"""Certified downtime, as a reward or an SLA would use it."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from dragon import errors
from dragon.log.downtime import claim_at, settled_claim
from dragon.protocol import bls
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon_aggregator.certifier import AttestationRound
from dragon_aggregator.downtime import Downtime
from simulation import World


def outage(world: World) -> tuple[int, int]:
    """Take operator_2 down for four rounds; return the certified interval."""
    world.stop("operator_2")
    world.run(4)
    world.resume("operator_2")
    world.run(2)
    moves = world.components("operator_1").log.state.nodes["operator_2"]
    return moves[1].timestamp, moves[2].timestamp


def settle_past(world: World, end: int) -> None:
    """Run rounds until a checkpoint settles the time before `end`."""
    log = world.components("operator_1").log
    while log.state.settling(end) is None:
        world.run(1)


def claim_on(world: World, begin: int, end: int) -> DowntimeClaim:
    log = world.components("operator_1").log
    return settled_claim(log, "operator_2", (begin, end), world.clock.now)


def ask(world: World, claim: DowntimeClaim, operator: str = "operator_1") -> tuple[int, str]:
    answer = world.post(operator, "/attestations", claim.to_json())
    return answer.status_code, answer.json().get("reason", "signed")


def test_the_quorum_certifies_how_long_a_node_was_down(world: World) -> None:
    world.run(12)
    began, ended = outage(world)
    world.run(13)
    settle_past(world, ended + 10)

    certified = world.components("aggregator_0").downtime.certify(
        "operator_2", began - 10, ended + 10
    )

    certified.verify(world.committee)
    claim = certified.claim
    assert isinstance(claim, DowntimeClaim)
    assert (claim.seconds_down, claim.seconds_unknown) == (ended - began, 0)


def test_every_log_gives_the_same_claim_at_any_later_time(world: World) -> None:
    began, ended = outage(world)
    settle_past(world, ended)
    early = claim_on(world, began, ended)
    world.run(14)

    later = [
        settled_claim(
            world.components(name).log,
            "operator_2",
            (began, ended),
            world.clock.now,
        )
        for name in (*world.operators, *world.aggregators)
    ]

    assert set(later) == {early}


def test_an_interval_that_is_not_settled_is_not_certified(world: World) -> None:
    """This includes an end in the future."""
    now = int(world.clock.now)

    for end in (now - 10, now, now + 10_000):
        with pytest.raises(errors.NotSettled):
            world.components("aggregator_0").downtime.certify("operator_2", now - 100, end)


@pytest.mark.unbroken
def test_an_operator_refuses_an_interval_in_the_future(world: World) -> None:
    now, log = int(world.clock.now), world.components("operator_1").log
    claim = claim_at(log, "operator_2", (now, now + 100), size=5)

    assert ask(world, claim) == (409, "behind")


def test_an_operator_refuses_totals_at_another_log_size(world: World) -> None:
    """A shorter log, from before the outage was certified, has no downtime."""
    began, ended = outage(world)
    world.run(13)  # a checkpoint covers the interval
    settle_past(world, ended)
    log = world.components("operator_1").log
    genuine = claim_on(world, began, ended)
    earlier = claim_at(log, "operator_2", (began, ended), size=5)
    assert earlier.seconds_down == 0

    assert ask(world, earlier) == (409, "malformed")
    assert ask(world, dataclasses.replace(genuine, seconds_down=0)) == (409, "malformed")
    assert ask(world, genuine) == (200, "signed")


def test_an_operator_that_has_not_read_the_ledger_so_far_does_not_sign(world: World) -> None:
    began, ended = outage(world)
    world.cuts.add(("operator_4", "sequencer"))
    settle_past(world, ended)

    assert ask(world, claim_on(world, began, ended), "operator_4") == (409, "behind")


def test_other_totals_of_the_same_interval_are_never_signed(world: World) -> None:
    """Totals follow from the log, and the journal accepts no other log than the one signed for."""
    began, ended = outage(world)
    world.run(13)  # a checkpoint covers the interval
    settle_past(world, ended)
    claim = claim_on(world, began, ended)
    assert ask(world, claim) == (200, "signed")
    world.restart("operator_1")
    parts = world.components("operator_1")

    assert ask(world, dataclasses.replace(claim, seconds_down=0)) == (409, "malformed")
    with pytest.raises(errors.AttestationRefused) as refused:
        parts.journal.decide_log_claim(claim, parts.log.state.size, lambda _: bytes(32))

    assert refused.value.reason == "equivocation"


def test_claims_of_a_stranger_leave_no_rows_in_the_journal(world: World) -> None:
    """Any interval and any totals: the file of the journal does not change."""
    began, ended = outage(world)
    world.clock.now += 100  # longer than `max_age`
    world.run(1)
    settle_past(world, ended)
    claim = claim_on(world, began, ended)
    assert ask(world, claim) == (200, "signed")
    before = journal_rows(world)

    for earlier in range(1, 10):
        assert ask(world, claim_on(world, began - earlier, ended)) == (200, "signed")
        assert ask(world, dataclasses.replace(claim, size=0)) == (409, "malformed")
        other = dataclasses.replace(claim, seconds_down=1, seconds_unknown=0)
        assert ask(world, other) == (409, "malformed")

    assert journal_rows(world) == before


@dataclasses.dataclass
class WhileCertifying:
    """A certifier during whose work other requests come."""

    request: Callable[[], object]

    def collect(self, claim: Claim, _ends: float) -> AttestationRound:
        self.request()
        return AttestationRound(claim, (), 3)


def test_a_downtime_certificate_is_made_once_for_all_who_request_it(world: World) -> None:
    began, ended = outage(world)
    world.clock.now += 100  # longer than `max_age`
    world.run(1)
    settle_past(world, ended)
    parts = world.components("aggregator_0")
    first = parts.downtime.certify("operator_2", began, ended)
    sent = len(world.sent)

    assert parts.downtime.certify("operator_2", began, ended) == first
    assert len(world.sent) == sent

    messages: list[str] = []

    def again() -> None:
        """Request the same certificate, and then ever more others until no place is left."""
        for earlier in (len(messages), len(messages) + 1):
            try:
                made.certify("operator_2", began - earlier, ended)
            except (errors.Busy, errors.NotCertified) as error:
                messages.append(f"{error.name}: {error}")

    certifier: Any = WhileCertifying(again)
    made = Downtime(world.committee, parts.log, certifier, world.runtime("aggregator_0"))
    with pytest.raises(errors.NotCertified):
        made.certify("operator_2", began, ended)

    assert messages[0] == "busy: this certificate is in progress; request it again"
    assert "busy: 4 downtime certificates are in progress, the maximum" in messages


def journal_rows(world: World) -> list[str]:
    with closing(sqlite3.connect(world.folder / "operator_1-journal.db")) as database:
        return list(database.iterdump())


def test_a_period_without_checkpoints_counts_as_unknown(world: World) -> None:
    """Two of four are down for longer than `unknown_after`, so nothing can be certified."""
    world.run(12)
    world.stop("operator_3")
    world.stop("operator_4")
    begin = int(world.clock.now)
    world.run(30)
    end = int(world.clock.now)
    world.resume("operator_3")
    world.resume("operator_4")
    world.run(14)
    settle_past(world, end)

    assert claim_on(world, begin, end).seconds_unknown == end - begin


def test_with_too_few_signers_the_error_has_each_operators_answer(world: World) -> None:
    began, ended = outage(world)
    settle_past(world, ended)
    world.stop("operator_3")
    world.stop("operator_4")

    with pytest.raises(errors.NotCertified) as refused:
        world.components("aggregator_0").downtime.certify("operator_2", began, ended)

    answers = refused.value.facts["answers"]
    assert isinstance(answers, dict)
    assert answers["operator_3"] == "unreachable"


def test_a_downtime_certificate_is_not_an_event(world: World) -> None:
    began, ended = outage(world)
    settle_past(world, ended)
    certified = world.components("aggregator_0").downtime.certify("operator_2", began, ended)

    world.submit(certified)

    assert world.components("operator_1").log.refusals() == {"unknown_kind": 1}


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"seconds_down": 0}, errors.BadSignature),
        ({"seconds_unknown": 1}, errors.BadSignature),
        ({"node_id": "operator_3"}, errors.BadSignature),
        ({"size": 4}, errors.BadSignature),
        ({"log_root": bytes(32)}, errors.BadSignature),
        ({"node_id": "operator_9"}, errors.BadSignature),
    ],
)
def test_a_downtime_certificate_with_one_changed_member_is_refused(
    world: World, changes: dict[str, object], refusal: type[errors.CertificateError]
) -> None:
    claim = DowntimeClaim("operator_2", 100, 200, 50, 0, 0, 5, b"\x01" * 32)
    genuine = world.members.certify(claim, ("operator_1", "operator_2", "operator_3"))
    genuine.verify(world.committee)

    changed = dataclasses.replace(
        genuine,
        claim=dataclasses.replace(claim, **changes),  # type: ignore[arg-type]
    )

    with pytest.raises(refusal):
        changed.verify(world.committee)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"to": 100}, errors.IntegerOutOfRange),
        ({"seconds_down": 101}, errors.IntegerOutOfRange),
        ({"seconds_down": 60, "seconds_unknown": 41}, errors.IntegerOutOfRange),
        ({"from": -1}, errors.IntegerOutOfRange),
        ({"seconds_up": 1}, errors.UnknownMember),
    ],
)
def test_impossible_totals_are_refused(
    world: World, changes: dict[str, int], refusal: type[errors.InvalidEncoding]
) -> None:
    claim = DowntimeClaim("operator_2", 100, 200, 50, 0, 0, 5, b"\x01" * 32)
    genuine = world.members.certify(claim, ("operator_1", "operator_2", "operator_3"))

    with pytest.raises(refusal):
        Certificate.from_json({**genuine.to_json(), **changes})


def test_batched_verification_refuses_a_forged_signature(world: World) -> None:
    """One forged signature at any position invalidates the batch."""
    secrets = world.members.secrets
    signed = [
        bls.Signed(key.public_key(), message, key.sign(message))
        for key in (secrets["operator_1"], secrets["operator_2"])
        for message in (b"one", b"two", b"three")
    ]
    entropy = world.runtime("operator_1").entropy

    assert bls.verify_batch(signed, entropy)
    assert bls.verify_batch([], entropy)
    for at, each in enumerate(signed):
        for forged in (
            dataclasses.replace(each, message=b"other"),
            dataclasses.replace(each, signature=signed[at - 1].signature),
            dataclasses.replace(each, signature=b"\xc0" + bytes(95)),
            dataclasses.replace(each, key=secrets["operator_3"].public_key()),
        ):
            assert not bls.verify_batch([*signed[:at], forged, *signed[at + 1 :]], entropy)
    # Two wrong signatures with the correct sum do not pass: each has its own random factor.
    swapped = [
        dataclasses.replace(signed[0], signature=signed[1].signature),
        dataclasses.replace(signed[1], signature=signed[0].signature),
        *signed[2:],
    ]
    assert not bls.verify_batch(swapped, entropy)
