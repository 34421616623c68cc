"""The rules of application: each refusal alone, and arbitrary sequences of events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from committees import make_members, with_log_time
from dragon import errors
from dragon.protocol import bls
from dragon.protocol import transition as rules
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.history import History
from dragon.protocol.marks import Mark
from dragon.protocol.state import State, Transition
from examples import examples

MEMBERS = make_members()
OTHERS = make_members(name="another")
COMMITTEE = MEMBERS.committee
ROUNDS = COMMITTEE.rounds
NODE = "operator_2"
UP, DOWN = Status.UP, Status.DOWN


def apply(state: State, event: Event, time: int, committee: Committee) -> State:
    """Apply a status event, which does not need the log's roots, at a log time."""
    state = with_log_time(state, time)
    return rules.transition(state, event, root_at=lambda _: bytes(32))


@cache
def certified(node_id: str, status: Status, round_: int) -> Event:
    return MEMBERS.status(node_id, status, round_)


def at(round_: int) -> int:
    return ROUNDS.start(round_)


def applied(*events: Event) -> State:
    state = State.of(COMMITTEE)
    for event in events:
        state = apply(state, event, event.claim.timestamp, COMMITTEE)
    return state


def unsigned(event: Event) -> Event:
    """Return the same claim with a signature on another message."""
    signature = certified("operator_1", UP, 99).signature
    return dataclasses.replace(event, signature=signature)


def foreign(event: Event) -> Event:
    return dataclasses.replace(event, committee_id=OTHERS.committee.id)


def test_the_first_event_of_a_node_is_a_change_from_unknown() -> None:
    state = apply(State.of(COMMITTEE), certified(NODE, DOWN, 3), at(3), COMMITTEE)

    assert state.status(NODE) is DOWN
    assert state.last(NODE) == Transition(DOWN, at(3))


def test_a_node_without_events_is_unknown() -> None:
    state = applied(certified(NODE, UP, 3))

    assert state.status("operator_1") is None
    assert state.last("operator_1") is None


def test_each_node_has_a_separate_history() -> None:
    state = applied(
        certified(NODE, UP, 3), certified("operator_1", UP, 1), certified(NODE, DOWN, 4)
    )

    assert state.nodes == {
        NODE: (Transition(UP, at(3)), Transition(DOWN, at(4))),
        "operator_1": (Transition(UP, at(1)),),
    }


def test_the_previous_state_does_not_change() -> None:
    before = applied(certified(NODE, UP, 3))
    kept = {node_id: tuple(moves) for node_id, moves in before.nodes.items()}

    after = apply(before, certified(NODE, DOWN, 4), at(4), COMMITTEE)

    assert before.nodes == kept
    assert after.nodes != kept


def test_the_empty_state_is_never_shared() -> None:
    apply(State.of(COMMITTEE), certified(NODE, UP, 3), at(3), COMMITTEE)

    assert State.of(COMMITTEE).nodes == {}


def test_an_event_of_another_committee_is_refused() -> None:
    stranger = OTHERS.status(NODE, UP, 3)

    with pytest.raises(errors.WrongCommittee):
        apply(State.of(COMMITTEE), stranger, at(3), COMMITTEE)


def test_an_event_is_applied_once() -> None:
    event = certified(NODE, UP, 3)

    with pytest.raises(errors.AppliedAlready):
        apply(applied(event), event, at(3), COMMITTEE)


def test_the_same_claim_by_other_signers_is_the_same_event() -> None:
    again = MEMBERS.status(NODE, UP, 3, ["operator_1", "operator_3", "operator_4"])

    with pytest.raises(errors.AppliedAlready):
        apply(applied(certified(NODE, UP, 3)), again, at(3), COMMITTEE)


def test_an_old_applied_event_is_applied_already_and_not_stale() -> None:
    state = applied(certified(NODE, UP, 3), certified(NODE, DOWN, 4))

    with pytest.raises(errors.AppliedAlready):
        apply(state, certified(NODE, UP, 3), at(3) + 10 * ROUNDS.max_age, COMMITTEE)


@pytest.mark.parametrize("round_seconds", [2, 5, 7, 60])
def test_stale_by_log_time_at_the_edge(
    round_seconds: int,
) -> None:
    members = make_members(round_seconds=round_seconds)
    event, rounds = members.status(NODE, UP, 3), members.committee.rounds
    last = rounds.start(3) + max(12 * round_seconds, 60)

    apply(State.of(members.committee), event, last, members.committee)

    with pytest.raises(errors.Stale) as refused:
        apply(State.of(members.committee), event, last + 1, members.committee)
    assert refused.value.facts == {"late": last + 1 - rounds.start(3), "most": rounds.max_age}


def test_a_status_of_a_later_round_is_not_early() -> None:
    """Signers compare the round with their clocks; the log has none."""
    event = certified(NODE, UP, 300)

    assert apply(State.of(COMMITTEE), event, at(0), COMMITTEE).status(NODE) is UP


@pytest.mark.parametrize("round_", [1, 2])
def test_an_event_from_before_the_last_one_is_refused(round_: int) -> None:
    state = applied(certified(NODE, UP, 3))

    with pytest.raises(errors.NotLater) as refused:
        apply(state, certified(NODE, DOWN, round_), at(3), COMMITTEE)

    assert refused.value.facts == {"last": at(3)}


def test_only_one_of_two_opposite_events_of_one_round_applies() -> None:
    with pytest.raises(errors.NotLater):
        apply(applied(certified(NODE, UP, 3)), certified(NODE, DOWN, 3), at(3), COMMITTEE)


@pytest.mark.parametrize("status", list(Status))
def test_an_event_that_changes_nothing_is_refused(status: Status) -> None:
    state = applied(certified(NODE, status, 3))

    with pytest.raises(errors.NotAChange):
        apply(state, certified(NODE, status, 4), at(4), COMMITTEE)


def certificate_spoilings() -> dict[type[errors.CertificateError], Event]:
    """Return a genuine event with one fault in its certificate, by error."""
    good = certified(NODE, DOWN, 3)
    off_round = StatusClaim(NODE, DOWN, at(3) + 1)
    return {
        errors.UnknownNode: MEMBERS.status("operator_9", DOWN, 3),
        errors.OffRound: MEMBERS.certify(off_round, good.signers),
        errors.SubjectSigned: MEMBERS.status(NODE, DOWN, 3, [*good.signers, NODE]),
        errors.UnknownSigner: dataclasses.replace(good, signers=(*good.signers, "operator_9")),
        errors.DuplicateSigner: dataclasses.replace(
            good, signers=(good.signers[0], *good.signers[:2])
        ),
        errors.UnsortedSigners: dataclasses.replace(good, signers=good.signers[::-1]),
        errors.QuorumNotMet: MEMBERS.status(NODE, DOWN, 3, good.signers[:2]),
        errors.WrongAggregateKey: dataclasses.replace(
            good, public_key=certified(NODE, UP, 3).public_key
        ),
        errors.InvalidSignature: dataclasses.replace(good, signature=bytes(bls.SIGNATURE_BYTES)),
        errors.BadSignature: unsigned(good),
    }


@pytest.mark.parametrize("refusal", certificate_spoilings(), ids=lambda refusal: refusal.__name__)
def test_an_event_is_applied_only_if_its_certificate_verifies(
    refusal: type[errors.CertificateError],
) -> None:
    event = certificate_spoilings()[refusal]

    with pytest.raises(refusal):
        apply(State.of(COMMITTEE), event, at(3), COMMITTEE)


# Each case has two faults; the error is that of the earlier check.
BOTH: dict[str, tuple[Callable[[], tuple[State, Event, int]], type[errors.DragonError]]] = {
    "another committee's, and applied already": (
        lambda: (applied(certified(NODE, UP, 3)), foreign(certified(NODE, UP, 3)), at(3)),
        errors.WrongCommittee,
    ),
    "another committee's, and stale": (
        lambda: (State.of(COMMITTEE), foreign(certified(NODE, UP, 3)), at(300)),
        errors.WrongCommittee,
    ),
    "applied already, and stale": (
        lambda: (applied(certified(NODE, UP, 3)), certified(NODE, UP, 3), at(300)),
        errors.AppliedAlready,
    ),
    "applied already, and its certificate is forged": (
        lambda: (applied(certified(NODE, UP, 3)), unsigned(certified(NODE, UP, 3)), at(3)),
        errors.AppliedAlready,
    ),
    "stale, and not later": (
        lambda: (applied(certified(NODE, UP, 4)), certified(NODE, DOWN, 3), at(300)),
        errors.Stale,
    ),
    "not later, and not a change": (
        lambda: (applied(certified(NODE, UP, 4)), certified(NODE, UP, 3), at(4)),
        errors.NotLater,
    ),
    "stale, and its certificate is forged": (
        lambda: (State.of(COMMITTEE), unsigned(certified(NODE, UP, 3)), at(300)),
        errors.Stale,
    ),
    "not a change, and its certificate is forged": (
        lambda: (applied(certified(NODE, UP, 3)), unsigned(certified(NODE, UP, 4)), at(4)),
        errors.NotAChange,
    ),
}


@pytest.mark.parametrize("case", BOTH)
def test_the_first_refusal_in_the_order_is_reported(case: str) -> None:
    make, refusal = BOTH[case]
    state, event, time = make()

    with pytest.raises(refusal):
        apply(state, event, time, COMMITTEE)


def test_a_replay_costs_no_pairing(monkeypatch: pytest.MonkeyPatch) -> None:
    event = certified(NODE, UP, 3)
    state = applied(event)
    pairings: list[object] = []
    monkeypatch.setattr(bls, "verify", lambda *_: pairings.append(None))

    for time in (at(3), at(300)):
        with pytest.raises(errors.NotApplicable):
            apply(state, event, time, COMMITTEE)

    assert not pairings


@st.composite
def ledgers(draw: st.DrawFn) -> list[tuple[Event, int]]:
    """Draw events of a ledger: genuine, forged, foreign and repeated ones, at any log time."""
    events: list[tuple[Event, int]] = []
    for _ in range(draw(st.integers(1, 25))):
        if events and draw(st.integers(0, 3)) == 0:
            event = draw(st.sampled_from(events))[0]  # a replay
        else:
            node_id = draw(st.sampled_from([NODE, "operator_1"]))
            event = certified(node_id, draw(st.sampled_from(Status)), draw(st.integers(0, 15)))
        spoil = draw(st.sampled_from([None, None, None, unsigned, foreign]))
        time = event.claim.timestamp + draw(st.sampled_from([-16, -15, 0, 1, 60, 61]))
        events.append((spoil(event) if spoil else event, time))
    return events


@given(ledgers())
@settings(max_examples=examples(60), deadline=None)
def test_for_any_ledger_statuses_alternate_and_timestamps_increase(
    ledger: list[tuple[Event, int]],
) -> None:
    state, taken = State.of(COMMITTEE), set()
    for event, time in ledger:
        try:
            state = apply(state, event, time, COMMITTEE)
        except errors.DragonError:
            continue
        assert event.claim not in taken, "an event was applied twice"
        taken.add(event.claim)
        assert event == certified(
            event.claim.node_id, event.claim.status, ROUNDS.number(event.claim.timestamp)
        ), "a forged event was applied"

    for moves in state.nodes.values():
        for former, latter in pairwise(moves):
            assert former.timestamp < latter.timestamp
            assert former.status is not latter.status
    assert sum(map(len, state.nodes.values())) == len(taken)


def test_the_first_checkpoint_from_a_time_on_is_no_handover() -> None:
    first, later = Mark(1, bytes(32), 100), Mark(3, bytes(32), 165)
    handover = Mark(2, bytes(32), 160, next=bytes(32))
    state = dataclasses.replace(State.of(COMMITTEE), marks=History([first, handover, later]))

    found = [state.first_checkpoint(since) for since in (0, 100, 101, 165)]

    assert found == [first, first, later, later]
    assert state.first_checkpoint(166) is None
