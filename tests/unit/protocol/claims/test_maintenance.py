"""Announcements of maintenance: their form, and the rules of application one refusal at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from committees import Members, make_members, secret, with_log_time
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol import event
from dragon.protocol.claims.base import ordering_key
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.maintenance import (
    MAX_AHEAD_SECONDS,
    MAX_ANNOUNCED,
    MAX_WINDOW_SECONDS,
    Announced,
    MaintenanceClaim,
    MaintenanceWindow,
)
from dragon.protocol.claims.window import Verdict
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.state import State
from dragon.protocol.transition import transition

Oracle: Any = G2ProofOfPossession  # an independent implementation of the ciphersuite
MEMBERS = make_members(4, targets=2, experts=1, owners=1)
OTHERS = make_members(4, targets=2, owners=1, name="another")
COMMITTEE = MEMBERS.committee
NOTICE = COMMITTEE.maintenance_notice
NOW = COMMITTEE.rounds.start(100)
EMPTY = with_log_time(State.of(COMMITTEE), NOW)
DAY = 86_400


def claimed(
    node_id: str = "target_1", begin: int = NOTICE, seconds: int = 600, **changes: Any
) -> MaintenanceClaim:
    """Return a window that begins so many seconds after log time."""
    claim = MaintenanceClaim(node_id, NOW + begin, NOW + begin + seconds, NOW + 3)
    return dataclasses.replace(claim, **changes)


def apply(state: State, what: MaintenanceClaim | Maintenance) -> State:
    item = MEMBERS.announce(what) if isinstance(what, MaintenanceClaim) else what
    return transition(state, item, root_at=lambda _: bytes(32))


def refusal(state: State, what: MaintenanceClaim | Maintenance) -> errors.DragonError:
    with pytest.raises(errors.DragonError) as refused:
        apply(state, what)
    return refused.value


def windows(state: State, node_id: str = "target_1") -> list[tuple[int, int]]:
    """Return the windows that have not ended, in seconds after `NOW`."""
    return [
        (each.begin - NOW, each.end - NOW)
        for each in state.announced(node_id).after(state.log_time)
    ]


# -- who announces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("node_id", ["target_1", "operator_2"])
def test_an_announcement_is_in_the_state(node_id: str) -> None:
    state = apply(EMPTY, claimed(node_id))

    assert windows(state, node_id) == [(NOTICE, NOTICE + 600)]
    assert state.size == EMPTY.size + 1
    assert EMPTY.maintenance == {}


def test_the_owner_of_a_target_may_be_an_operator_or_an_expert() -> None:
    targets = [
        dataclasses.replace(target, owner=owner)
        for target, owner in zip(COMMITTEE.targets, ("operator_3", "expert_1"), strict=True)
    ]
    committee = dataclasses.replace(COMMITTEE, targets=tuple(targets))
    committee.check()
    members = Members(committee, MEMBERS.secrets)
    state = with_log_time(State.of(committee), NOW)

    for target in ("target_1", "target_2"):
        state = transition(state, members.announce(claimed(target)), root_at=lambda _: bytes(32))

    assert list(state.maintenance) == ["target_1", "target_2"]


def test_an_announcement_survives_its_encoding() -> None:
    announcement = MEMBERS.announce(claimed())

    decoded = event.decode(parse(canonical(announcement.to_json())))
    decoded.verify(COMMITTEE)
    root = claimed().root(COMMITTEE.id)

    assert decoded == announcement
    assert list(announcement.to_json()) == [
        *("kind", "node_id", "from", "to", "timestamp", "signature", "committee")
    ]
    assert Oracle.Verify(secret("owner_1").public_key().raw, root, announcement.signature)


def test_the_status_of_a_node_and_its_maintenance_have_different_ordering_keys() -> None:
    """An aggregator reads the newest status of a node from its outbox by the key."""
    assert ordering_key(claimed()) == "@maintenance:target_1"


# -- the rules in order ----------------------------------------------------------------------------

FORM: dict[str, Any] = MEMBERS.announce(claimed()).to_json()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        *[({name: None}, errors.WrongType) for name in FORM if name != "kind"],
        ({"node_id": "Target"}, errors.InvalidId),
        ({"from": -1}, errors.IntegerOutOfRange),
        ({"to": True}, errors.NotAnInteger),
        ({"timestamp": 2**53}, errors.IntegerOutOfRange),
        ({"signature": "0x00"}, errors.InvalidHex),
        ({"note": "x"}, errors.UnknownMember),
        ({"signers": ["owner_1"]}, errors.UnknownMember),
        ({"kind": "maintenances"}, errors.UnknownKind),
    ],
)
def test_rule_1_form(changes: dict[str, Json], expected: type[errors.DragonError]) -> None:
    with pytest.raises(errors.DragonError) as refused:
        event.decode({**FORM, **changes})

    assert type(refused.value) is expected


@pytest.mark.parametrize("name", [name for name in FORM if name != "kind"])
def test_rule_1_every_member_is_needed(name: str) -> None:
    with pytest.raises(errors.MissingMember):
        event.decode({key: value for key, value in FORM.items() if key != name})


def test_rule_2_the_committee_that_holds() -> None:
    assert isinstance(refusal(EMPTY, OTHERS.announce(claimed())), errors.WrongCommittee)
    with pytest.raises(errors.WrongCommittee):
        OTHERS.announce(claimed()).verify(COMMITTEE)


def test_rule_3_a_window_is_announced_once() -> None:
    state = apply(EMPTY, claimed())
    again = claimed(timestamp=NOW + 4)

    for late in (0, NOTICE, 10 * DAY):
        assert isinstance(refusal(with_log_time(state, NOW + late), again), errors.AppliedAlready)
    assert windows(apply(state, claimed("operator_2")), "operator_2") == windows(state)


def test_rule_3_finds_windows_that_have_ended() -> None:
    state = EMPTY
    for number in range(3 * MAX_ANNOUNCED):
        state = apply(
            with_log_time(state, NOW + 900 * number),
            claimed(timestamp=NOW + 900 * number, begin=NOTICE + 900 * number),
        )

    late = with_log_time(state, NOW + DAY)
    for number in range(3 * MAX_ANNOUNCED):
        known = claimed(begin=NOTICE + 900 * number)
        assert isinstance(refusal(late, known), errors.AppliedAlready)
        assert isinstance(refusal(late, claimed(begin=NOTICE + 900 * number + 1)), errors.Stale)


def test_rule_4_a_stale_announcement() -> None:
    old = claimed(timestamp=NOW - COMMITTEE.rounds.max_age)

    apply(EMPTY, old)
    assert isinstance(refusal(with_log_time(EMPTY, NOW + 1), old), errors.Stale)


def test_rule_5_an_announcement_of_before_the_seat() -> None:
    first = with_log_time(State.of(COMMITTEE), COMMITTEE.rounds.genesis)
    early = claimed(timestamp=COMMITTEE.rounds.genesis - 1)

    assert isinstance(refusal(first, early), errors.BeforeSeat)


def test_rule_6_somebody_speaks_for_the_node() -> None:
    unknown = dataclasses.replace(MEMBERS.announce(claimed()), claim=claimed("target_9"))
    unowned = dataclasses.replace(MEMBERS.announce(claimed()), claim=claimed("target_2"))

    assert isinstance(refusal(EMPTY, unknown), errors.UnknownNode)
    assert isinstance(refusal(EMPTY, unowned), errors.NoOwner)
    for nobody, expected in ((unknown, errors.UnknownNode), (unowned, errors.NoOwner)):
        with pytest.raises(expected):
            nobody.verify(COMMITTEE)


def test_rule_7_maintenance_is_announced_ahead_by_log_time() -> None:
    late = refusal(EMPTY, claimed(begin=NOTICE - 1))

    assert isinstance(late, errors.TooLate)
    assert late.facts == {"first": NOW + NOTICE, "notice": NOTICE}
    apply(EMPTY, claimed(begin=NOTICE))
    assert isinstance(refusal(with_log_time(EMPTY, NOW + 1), claimed()), errors.TooLate)


def test_rule_7_without_notice_maintenance_begins_at_log_time_at_the_earliest() -> None:
    members = make_members(4, maintenance_notice=0)
    state = with_log_time(State.of(members.committee), NOW)

    for begin, expected in ((0, True), (-1, False)):
        announcement = members.announce(claimed("operator_1", begin=begin))
        try:
            transition(state, announcement, root_at=lambda _: bytes(32))
            is_applied = True
        except errors.TooLate:
            is_applied = False
        assert is_applied is expected


def test_rule_8_a_window_that_begins_too_far_ahead() -> None:
    apply(EMPTY, claimed(begin=MAX_AHEAD_SECONDS))

    assert isinstance(refusal(EMPTY, claimed(begin=MAX_AHEAD_SECONDS + 1)), errors.TooFar)
    assert MAX_AHEAD_SECONDS == 90 * DAY


def test_rule_8_the_length_of_a_window() -> None:
    for seconds in (1, MAX_WINDOW_SECONDS):
        apply(EMPTY, claimed(seconds=seconds))
    for seconds in (0, -1, MAX_WINDOW_SECONDS + 1):
        assert isinstance(refusal(EMPTY, claimed(seconds=seconds)), errors.TooFar)
    assert MAX_WINDOW_SECONDS == 7 * DAY


def test_rule_9_the_number_of_windows_that_have_not_ended() -> None:
    state = EMPTY
    for number in range(MAX_ANNOUNCED):
        state = apply(state, claimed(begin=NOTICE + number))
    following = claimed(begin=NOTICE + 5000, timestamp=NOW + NOTICE + 600)

    assert isinstance(refusal(state, claimed(begin=NOTICE + 99)), errors.EnoughAnnounced)
    apply(state, claimed("operator_2", begin=NOTICE + 99))
    before = with_log_time(state, NOW + NOTICE + 599)
    assert isinstance(refusal(before, following), errors.EnoughAnnounced)
    after = apply(with_log_time(state, NOW + NOTICE + 600), following)
    assert len(windows(after)) == MAX_ANNOUNCED
    assert MAX_ANNOUNCED == 16


@pytest.mark.parametrize("signer", ["operator_1", "expert_1", "owner_2"])
def test_rule_10_only_the_speaker_of_the_node_can_sign(signer: str) -> None:
    forged = Maintenance.sign(claimed(), secret(signer), COMMITTEE.id)

    assert isinstance(refusal(EMPTY, forged), errors.BadSignature)
    with pytest.raises(errors.BadSignature):
        forged.verify(COMMITTEE)


def test_rule_10_another_operator_cannot_announce_for_an_operator() -> None:
    for signer in ("operator_1", "owner_1"):
        forged = Maintenance.sign(claimed("operator_2"), secret(signer), COMMITTEE.id)
        assert isinstance(refusal(EMPTY, forged), errors.BadSignature)


@pytest.mark.parametrize(
    "changes",
    [
        {"node_id": "operator_2"},
        {"begin": NOW + NOTICE + 1},
        {"end": NOW + NOTICE + 9},
        {"timestamp": NOW},
    ],
)
def test_rule_10_nothing_in_a_signed_announcement_can_be_changed(changes: dict[str, Any]) -> None:
    signed = MEMBERS.announce(claimed())
    changed = dataclasses.replace(signed, claim=dataclasses.replace(signed.claim, **changes))

    assert isinstance(refusal(EMPTY, changed), errors.BadSignature)


def test_rule_10_a_signature_that_is_no_point() -> None:
    broken = dataclasses.replace(MEMBERS.announce(claimed()), signature=bytes(96))

    assert isinstance(refusal(EMPTY, broken), errors.InvalidSignature)


def test_rule_10_the_signature_of_another_kind_of_claim() -> None:
    """An expert that owns a target signs endorsements with the same key."""
    note = bytes(32)
    endorsement = MEMBERS.endorse(
        EndorsementClaim(note, 0, 0, Verdict.VALID, note, "expert_1", NOW)
    )
    disguised = dataclasses.replace(MEMBERS.announce(claimed()), signature=endorsement.signature)

    assert isinstance(refusal(EMPTY, disguised), errors.BadSignature)


def test_the_rules_are_checked_in_order() -> None:
    """Each event breaks a rule and all later ones; the first is the answer."""
    full = EMPTY
    for number in range(MAX_ANNOUNCED):
        full = apply(full, claimed(begin=NOTICE + number))
    forged = Maintenance.sign(claimed(), secret("owner_2"), COMMITTEE.id)

    def broken(state: State, committee_id: bytes = COMMITTEE.id, **changes: Any) -> str:
        claim = dataclasses.replace(claimed(begin=-5, seconds=0), **changes)
        item = dataclasses.replace(forged, claim=claim, committee_id=committee_id)
        return refusal(state, item).name

    known = {"begin": NOW + NOTICE, "end": NOW + NOTICE + 600}
    far = {"begin": NOW + NOTICE + 1, "end": NOW}
    assert broken(full, bytes(32), timestamp=0) == "wrong_committee"
    assert broken(full, timestamp=0, **known) == "applied_already"
    assert broken(full, timestamp=0, node_id="target_9") == "stale"
    assert broken(full, node_id="target_9") == "unknown_node"
    assert broken(full, node_id="target_2") == "no_owner"
    assert broken(full) == "too_late"
    assert broken(full, **far) == "too_far"
    assert broken(full, begin=NOW + NOTICE + 99, end=NOW + NOTICE + 100) == "enough_announced"
    assert broken(EMPTY, begin=NOW + NOTICE + 99, end=NOW + NOTICE + 100) == "bad_signature"


# -- attacks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-10, 0, 30, DAY])
def test_maintenance_back_dated_by_the_signers_clock(ahead: int) -> None:
    """The signer states when it announced. Only log time decides what is ahead of time."""
    state, now = EMPTY, NOW + ahead

    for begin in range(-NOTICE, NOTICE, 100):
        found = refusal(state, claimed(begin=begin, timestamp=now))
        assert isinstance(found, errors.TooLate)
    assert windows(apply(state, claimed(timestamp=now))) == [(NOTICE, NOTICE + 600)]


def test_nothing_ends_or_shortens_a_window() -> None:
    state = apply(EMPTY, claimed(seconds=DAY))

    state = apply(state, claimed(seconds=60))

    assert windows(state) == [(NOTICE, NOTICE + 60), (NOTICE, NOTICE + DAY)]


# -- the windows of one node -----------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60), st.integers(1, 40)), max_size=60)


@settings(deadline=None)
@given(STEPS)
def test_windows_are_found_however_they_overlap(steps: list[tuple[int, int, int]]) -> None:
    """Compared with a plain list of all windows; log time moves on, as the log's does."""
    announced, listed, time = Announced(), list[tuple[int, int]](), 0
    for position, (later, ahead, seconds) in enumerate(steps):
        time += later
        begin, end = time + ahead, time + ahead + seconds
        assert announced.has(begin, end) is ((begin, end) in listed)
        running = [each for each in listed if each[1] > time]
        assert sorted((each.begin, each.end) for each in announced.after(time)) == sorted(running)
        if (begin, end) in listed or len(running) >= MAX_ANNOUNCED:
            continue
        announced = announced.appended(MaintenanceWindow(end, begin, time, position), time)
        listed.append((begin, end))
        assert len(announced.latest) <= MAX_ANNOUNCED

    assert all(announced.has(*each) for each in listed)
    assert len(announced.ended) + len(announced.latest) == len(listed)
    assert list(announced.ended) == sorted(announced.ended)


def test_the_signature_binds_the_committee() -> None:
    moved = dataclasses.replace(MEMBERS.announce(claimed()), committee_id=OTHERS.committee.id)

    with pytest.raises(errors.BadSignature):
        moved.verify(OTHERS.committee)
    assert to_hex(moved.claim.root(COMMITTEE.id)) != to_hex(moved.claim.root(OTHERS.committee.id))
