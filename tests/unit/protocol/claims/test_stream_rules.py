"""The rules of application for windows and endorsements, one refusal at a time."""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committees import make_members, with_log_time
from dragon import errors
from dragon.protocol import transition as rules
from dragon.protocol.claims import endorsement
from dragon.protocol.claims.endorsement import MAX_RANGES_PER_EXPERT, EndorsementClaim, ExpertRecord
from dragon.protocol.claims.stream_state import StreamState
from dragon.protocol.claims.window import MAX_REFUTED, InvalidReason, Verdict, WindowClaim
from dragon.protocol.event import Event
from dragon.protocol.state import State

MEMBERS = make_members(experts=2)
OTHERS = make_members(experts=2, name="another")
COMMITTEE = MEMBERS.committee
ROUNDS = COMMITTEE.rounds
SIGNERS = ("operator_1", "operator_2", "operator_4")


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


STREAM, OTHER_STREAM = digest("stream"), digest("other stream")


def header(number: int, stream: bytes = STREAM) -> bytes:
    """Return the hash of a window's header; the stream's id for the window before the first."""
    return stream if number < 0 else digest("header", stream, number)


def at(round_: int) -> int:
    return ROUNDS.start(round_)


def claimed(
    number: int, /, *, stream: bytes = STREAM, round_: int = 0, **changes: Any
) -> WindowClaim:
    claim = WindowClaim(
        *(stream, number, header(number - 1, stream), header(number, stream)),
        *(
            Verdict.VALID,
            InvalidReason.NONE,
            digest("proof", number),
            "standard",
            at(round_ or 10 + number),
        ),
    )
    return dataclasses.replace(claim, **changes)


def refuted(number: int, /, **changes: Any) -> WindowClaim:
    spoiled = {
        "verdict": Verdict.INVALID,
        "reason": InvalidReason.STARK,
        "proof": digest("bad", number),
    }
    return claimed(number, **{**spoiled, **changes})


def praised(
    first: int, last: int, second: int = 0, expert: str = "expert_1", **changes: Any
) -> EndorsementClaim:
    note = digest("note")
    claim = EndorsementClaim(STREAM, first, last, Verdict.VALID, note, expert, at(20) + second)
    return dataclasses.replace(claim, **changes)


@cache
def event(claim: WindowClaim | EndorsementClaim) -> Event:
    if isinstance(claim, EndorsementClaim):
        return MEMBERS.endorse(claim)
    return MEMBERS.certify(claim, SIGNERS)


def apply(
    state: State, what: WindowClaim | EndorsementClaim | Event, time: int | None = None
) -> State:
    item = event(what) if isinstance(what, WindowClaim | EndorsementClaim) else what
    time = item.claim.timestamp if time is None else time
    state = with_log_time(state, time)
    return rules.transition(state, item, root_at=lambda _: bytes(32))


def applied(*claims: WindowClaim | EndorsementClaim) -> State:
    state = State.of(COMMITTEE)
    for claim in claims:
        state = apply(state, claim)
    return state


THREE = applied(claimed(0), claimed(1), claimed(2))


def refusal(
    state: State, what: WindowClaim | EndorsementClaim | Event, time: int | None = None
) -> type[errors.DragonError]:
    with pytest.raises(errors.DragonError) as refused:
        apply(state, what, time)
    return type(refused.value)


# -- windows ---------------------------------------------------------------------------------------


def test_valid_windows_form_a_chain() -> None:
    stream = THREE.stream(STREAM)

    assert (stream.windows, stream.last, stream.position) == (3, claimed(2), 2)
    assert THREE.size == 3
    assert THREE.stream(OTHER_STREAM) == StreamState()


def test_each_stream_has_a_separate_chain() -> None:
    state = apply(THREE, claimed(0, stream=OTHER_STREAM))

    assert state.stream(OTHER_STREAM).windows == 1
    assert state.stream(STREAM).windows == 3


def test_the_previous_state_does_not_change() -> None:
    before = applied(claimed(0))

    apply(before, claimed(1))

    assert before.stream(STREAM).windows == 1
    assert State.of(COMMITTEE).streams == {}


def test_a_window_of_another_committee_is_refused() -> None:
    stranger = OTHERS.certify(claimed(0), SIGNERS)

    assert refusal(State.of(COMMITTEE), stranger) is errors.WrongCommittee


def test_a_repeated_window_is_applied_already_at_any_time() -> None:
    for late in (0, 10 * ROUNDS.max_age):
        assert refusal(THREE, claimed(2), at(12) + late) is errors.AppliedAlready


def test_the_same_window_by_other_signers_is_the_same_event() -> None:
    again = MEMBERS.certify(claimed(2), sorted(MEMBERS.secrets))

    assert refusal(THREE, again) is errors.AppliedAlready


def test_a_window_is_stale_max_age_after_its_round_by_log_time() -> None:
    last = at(13) + ROUNDS.max_age

    apply(THREE, claimed(3), last)
    assert refusal(THREE, claimed(3), last + 1) is errors.Stale


def test_a_window_of_a_later_round_is_not_early() -> None:
    apply(THREE, claimed(3), at(0))


@pytest.mark.parametrize("number", [0, 1, 2, 4, 5, 2**53 - 1])
def test_a_window_without_the_next_number_is_refused(number: int) -> None:
    skipped = claimed(3, number=number)  # with any predecessor

    assert refusal(THREE, skipped) is errors.NotNext
    assert refusal(applied(claimed(0)), claimed(0, proof=digest("new"))) is errors.NotNext


@pytest.mark.parametrize(
    "previous", [header(1), header(3), STREAM, bytes(32), header(2, OTHER_STREAM)]
)
def test_a_window_follows_the_last_valid_one(previous: bytes) -> None:
    assert refusal(THREE, claimed(3, previous=previous)) is errors.NotNext
    assert refusal(THREE, refuted(3, previous=previous)) is errors.NotNext


def test_the_first_window_follows_the_stream_itself() -> None:
    assert refusal(State.of(COMMITTEE), claimed(0, previous=OTHER_STREAM)) is errors.NotNext
    assert refusal(State.of(COMMITTEE), claimed(1, previous=STREAM)) is errors.NotNext
    assert applied(claimed(0, previous=STREAM)).stream(STREAM).windows == 1


def test_staleness_is_checked_before_the_link() -> None:
    assert refusal(THREE, claimed(9), at(19) + 10 * ROUNDS.max_age) is errors.Stale


@pytest.mark.parametrize("number", [3, 9])
def test_the_certificate_is_verified_last(number: int) -> None:
    forged = dataclasses.replace(
        MEMBERS.certify(claimed(number), SIGNERS),
        signature=MEMBERS.certify(claimed(8), SIGNERS).signature,
    )

    assert refusal(THREE, forged) is (errors.BadSignature if number == 3 else errors.NotNext)


def test_two_of_four_cannot_certify_a_window() -> None:
    assert refusal(THREE, MEMBERS.certify(claimed(3), SIGNERS[:2])) is errors.QuorumNotMet


# -- windows that were found invalid ---------------------------------------------------------------


def test_an_invalid_window_does_not_advance_the_stream() -> None:
    state = apply(THREE, refuted(3))

    assert state.stream(STREAM).windows == 3
    assert state.stream(STREAM).last == claimed(2)
    assert state.size == 4
    assert apply(state, claimed(3)).stream(STREAM).windows == 4


def test_a_proof_is_found_invalid_once_for_a_window() -> None:
    state = apply(THREE, refuted(3))

    assert refusal(state, refuted(3)) is errors.AppliedAlready
    assert refusal(state, refuted(3, round_=19)) is errors.AppliedAlready
    assert refusal(state, refuted(3, reason=InvalidReason.ROOT)) is errors.AppliedAlready
    assert apply(state, refuted(3, proof=digest("another"))).size == 5


def test_another_proof_of_a_refuted_window_can_be_valid() -> None:
    """The stream can submit another proof of the same header."""
    state = applied(refuted(0), claimed(0))

    assert state.stream(STREAM) == StreamState(claimed(0), 1)


def test_an_invalid_window_may_have_a_wrong_number() -> None:
    """The number can be the fault. Its predecessor must still be right."""
    state = apply(THREE, refuted(77, previous=header(2), reason=InvalidReason.HEADER))

    assert state.stream(STREAM).windows == 3
    assert refusal(state, refuted(78, reason=InvalidReason.HEADER)) is errors.NotNext


def test_a_proof_refuted_before_a_valid_window_is_refused_after_it() -> None:
    state = applied(refuted(0), claimed(0))

    assert refusal(state, refuted(0)) is errors.NotNext
    assert refusal(state, refuted(1, previous=STREAM)) is errors.NotNext


def test_the_number_of_refuted_proofs_is_bounded() -> None:
    """Otherwise the owner of a stream could fill the memory of all operators."""
    many = [refuted(3, proof=digest("another", k)) for k in range(MAX_REFUTED)]
    state = THREE
    for claim in many:
        state = apply(state, claim)

    assert refusal(state, refuted(3)) is errors.EnoughRefuted
    assert refusal(state, many[0]) is errors.AppliedAlready
    assert len(state.stream(STREAM).refuted) == MAX_REFUTED
    assert apply(state, claimed(3)).stream(STREAM).refuted == frozenset()


# -- endorsements ----------------------------------------------------------------------------------


def test_an_expert_endorses_applied_windows() -> None:
    state = apply(THREE, praised(0, 2))

    assert state.stream(STREAM).by("expert_1").claims == (praised(0, 2),)
    assert state.stream(STREAM).by("expert_2") == ExpertRecord()
    assert (state.size, state.stream(STREAM).windows) == (4, 3)


@pytest.mark.parametrize(("first", "last"), [(3, 3), (0, 3), (2, 2**53 - 1)])
def test_endorsements_of_windows_that_are_not_applied_are_refused(first: int, last: int) -> None:
    assert refusal(THREE, praised(first, last)) is errors.NoSuchWindow
    assert refusal(State.of(COMMITTEE), praised(0, 0)) is errors.NoSuchWindow
    assert refusal(applied(refuted(0)), praised(0, 0)) is errors.NoSuchWindow


def test_an_endorsement_is_applied_once() -> None:
    state = apply(THREE, praised(0, 2))

    for late in (0, 10 * ROUNDS.max_age):
        assert refusal(state, praised(0, 2), at(20) + late) is errors.AppliedAlready


@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 1), (0, 1), (1, 2), (0, 2)])
def test_an_expert_can_replace_an_endorsement_only_at_a_later_time(first: int, last: int) -> None:
    """The ranges need not be equal: one common window is enough."""
    state = apply(THREE, praised(0, 1, 7, verdict=Verdict.INVALID))

    for second in (6, 7):
        again = praised(first, last, second)
        assert refusal(state, again) is errors.NotLater
    assert apply(state, praised(first, last, 8)).size == 5


def test_an_endorsement_of_other_windows_may_be_earlier() -> None:
    state = apply(THREE, praised(0, 1, 7))

    assert apply(state, praised(2, 2, 3)).size == 5
    assert refusal(apply(state, praised(2, 2, 3)), praised(1, 2, 5)) is errors.NotLater


def test_another_expert_may_disagree_at_the_same_time() -> None:
    state = apply(THREE, praised(0, 2))

    other = praised(0, 2, expert="expert_2", verdict=Verdict.INVALID)
    assert apply(state, other).stream(STREAM).by("expert_2").claims == (other,)


def test_endorsements_by_others_than_experts_are_refused() -> None:
    for signer in ("expert_3", "operator_1"):
        assert refusal(THREE, praised(0, 2, expert=signer)) is errors.UnknownSigner


def test_endorsement_from_the_future_is_early() -> None:
    """One key signs it, at a time of its choice, which would supersede all later ones."""
    first = at(20) - ROUNDS.unknown_after - ROUNDS.max_age

    apply(THREE, praised(0, 0), first)
    assert refusal(THREE, praised(0, 0), first - 1) is errors.Early
    assert refusal(THREE, praised(0, 0, timestamp=2**53 - 1), at(20)) is errors.Early


def test_stale_and_foreign_endorsements_are_refused() -> None:
    assert refusal(THREE, praised(0, 0), at(20) + ROUNDS.max_age + 1) is errors.Stale
    assert refusal(THREE, OTHERS.endorse(praised(0, 0))) is errors.WrongCommittee


def test_the_signature_of_an_endorsement_is_verified_last() -> None:
    state = apply(THREE, praised(0, 0))
    late, good = MEMBERS.endorse(praised(0, 0, -1)), MEMBERS.endorse(praised(0, 0, 1))

    assert refusal(state, dataclasses.replace(late, signature=good.signature)) is errors.NotLater
    forged = dataclasses.replace(good, signature=late.signature)
    assert refusal(state, forged) is errors.BadSignature


RANGES = st.tuples(st.integers(0, 200), st.integers(0, 3), st.integers(0, 300))


@given(st.lists(RANGES, max_size=150))
def test_the_record_of_an_expert_is_bounded_and_keeps_the_order(
    said: list[tuple[int, int, int]],
) -> None:
    """Compared with unbounded records: refuses all that they refuse, and little else."""
    kept, everything = ExpertRecord(), list[EndorsementClaim]()
    for first, more, second in said:
        claim = praised(first, first + more, second)
        forgotten = kept.floor
        if claim.timestamp <= kept.latest_overlapping(claim):
            clashes = [each for each in everything if endorsement.overlap(each, claim)]
            last = max((each.timestamp for each in clashes), default=-1)
            assert claim.timestamp <= max(last, forgotten)
            continue
        assert all(
            each.timestamp < claim.timestamp
            for each in everything
            if endorsement.overlap(each, claim)
        )
        kept = kept.appended(claim)
        everything.append(claim)
        assert len(kept.claims) <= MAX_RANGES_PER_EXPERT
        assert claim in kept.claims or claim.timestamp == kept.floor


def test_dropped_endorsements_still_count_by_their_timestamp() -> None:
    """Otherwise a superseded endorsement could be applied again after it was dropped."""

    def said(number: int, timestamp: int) -> EndorsementClaim:
        return praised(number, number, timestamp=timestamp)

    endorsed = ExpertRecord()
    for number in range(MAX_RANGES_PER_EXPERT + 1):
        endorsed = endorsed.appended(said(number, 1000 + number))

    assert (len(endorsed.claims), endorsed.floor) == (MAX_RANGES_PER_EXPERT, 1000)
    for timestamp in (999, 1000):
        assert timestamp <= endorsed.latest_overlapping(said(0, timestamp))
    assert endorsed.latest_overlapping(said(0, 1001)) < 1001
