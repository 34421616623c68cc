"""Log time: the timestamp of the last checkpoint, by which the log's rules measure age."""

from __future__ import annotations

import random
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.log.downtime import Totals, totals
from dragon.protocol import merkle
from dragon.protocol import transition as rules
from dragon.protocol.claims import Claim
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import State
from examples import examples

COMMITTEE = make_members(experts=1).committee
STREAM = b"s" * 32
UP, DOWN = Status.UP, Status.DOWN


@dataclass(frozen=True)
class Unsigned:
    """A claim in the place of its event: these tests are about the rules only."""

    claim: Claim
    committee_id: bytes

    def verify(self, committee: Committee) -> None:
        """Accept: the signatures have tests of their own."""


@dataclass
class Ledger:
    """A log in memory: its state and its tree."""

    committee: Committee = COMMITTEE
    tree: merkle.Tree = field(default_factory=merkle.Tree)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.state = State.of(self.committee)

    def at(self, round_: int) -> int:
        return self.committee.rounds.start(round_)

    @property
    def time(self) -> int:
        return self.state.log_time

    def put(self, *claims: EventClaim) -> None:
        """Apply claims. Raises NotApplicable."""
        for claim in claims:
            event = Unsigned(claim, self.committee.id)
            self.state = rules.transition(self.state, event, root_at=self.tree.root)
            self.tree.append(merkle.leaf_hash(canonical(claim.to_json())))

    def offer(self, claim: EventClaim) -> str:
        """Apply a claim. Return the name of the refusal; empty if it was applied."""
        try:
            self.put(claim)
        except errors.NotApplicable as refusal:
            return type(refusal).__name__
        return ""

    def successor(self) -> Committee:
        """Return the next committee, with nothing changed."""
        holding, sealed = self.state.committee, self.state.sealed
        return replace(
            holding,
            epoch=holding.epoch + 1,
            network=holding.network_id,
            previous=holding.id,
            sealed=sealed,
        )

    def seat(self, following: Committee, round_: int, size: int | None = None) -> None:
        """Hand over. Raises NotApplicable."""
        size = self.state.size if size is None else size
        root = self.tree.root(size)
        claim = HandoverClaim(following.epoch, following.id, root, size, self.at(round_))
        rules.check_applicable(self.state, claim)
        self.state = rules.advance(self.state, claim, following)
        self.tree.append(merkle.leaf_hash(canonical(claim.to_json())))
        self.committee = following

    def change(self, round_: int, size: int, rng: random.Random) -> None:
        """Offer a handover to a committee with other rounds, in which `operator_1` may be gone."""
        following = self.successor()
        operators = following.operators
        if rng.random() < 0.02:  # a node that no committee lists any more stays unknown
            operators = tuple(each for each in operators if each.id != "operator_1")
        rounds = Rounds(following.rounds.genesis, rng.choice([2, 5, 60, 60, 3600]))
        with suppress(errors.NotApplicable):
            self.seat(replace(following, operators=operators, rounds=rounds), round_, size)

    def checkpoint(self, round_: int, size: int | None = None) -> CheckpointClaim:
        size = self.state.size if size is None else size
        return CheckpointClaim(size, self.tree.root(size), self.at(round_))

    def status(self, round_: int, status: Status, node_id: str = "operator_1") -> StatusClaim:
        return StatusClaim(node_id, status, self.at(round_))


def window(number: int, timestamp: int) -> WindowClaim:
    previous = bytes([number]) * 32 if number else STREAM
    valid = Verdict.VALID, InvalidReason.NONE
    header = bytes([number + 1]) * 32
    return WindowClaim(STREAM, number, previous, header, *valid, bytes(32), "standard", timestamp)


def begun() -> Ledger:
    """A log with one node and a checkpoint in round 12."""
    ledger = Ledger()
    ledger.put(ledger.status(1, UP))
    ledger.put(ledger.checkpoint(12))
    return ledger


# -- its definition --------------------------------------------------------------------------------


def test_log_time_is_genesis_before_the_first_checkpoint() -> None:
    ledger = Ledger()

    ledger.put(ledger.status(7, UP))

    assert ledger.time == COMMITTEE.rounds.genesis


def test_log_time_is_the_last_marks_timestamp() -> None:
    ledger = begun()
    assert ledger.time == ledger.at(12)

    ledger.put(ledger.checkpoint(30))

    assert ledger.time == ledger.at(30)


def test_windows_and_statuses_do_not_advance_log_time() -> None:
    """Fewer operators than a byzantine quorum can certify a window of the future."""
    ledger = begun()

    ledger.put(ledger.status(900, DOWN), window(0, ledger.at(900)))
    far = ledger.at(12) + COMMITTEE.rounds.unknown_after + COMMITTEE.rounds.max_age
    ledger.put(EndorsementClaim(STREAM, 0, 0, Verdict.VALID, bytes(32), "expert_1", far))

    assert ledger.time == ledger.at(12)
    assert ledger.offer(ledger.status(13, UP, "operator_2")) == ""


# -- the age of events -----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [2, 5, 7, 60, 3600])
def test_stale_by_log_time_at_the_edge(seconds: int) -> None:
    committee = replace(COMMITTEE, rounds=Rounds(COMMITTEE.rounds.genesis, seconds))
    ledger = Ledger(committee=committee)
    ledger.put(ledger.status(1, UP), ledger.checkpoint(100))
    oldest = -(-committee.rounds.max_age // seconds)

    assert ledger.offer(ledger.status(100 - oldest, UP, "operator_2")) == (
        "" if committee.rounds.max_age % seconds == 0 else "Stale"
    )
    assert ledger.offer(ledger.status(100 - oldest + 1, UP, "operator_3")) == ""
    assert ledger.offer(ledger.status(100 - oldest - 1, UP, "operator_4")) == "Stale"
    assert ledger.offer(window(0, ledger.time - committee.rounds.max_age - 1)) == "Stale"
    assert ledger.offer(window(0, ledger.time - committee.rounds.max_age)) == ""


def test_endorsement_from_the_future_is_early() -> None:
    """One key alone could otherwise lock its ranges of windows for ever."""
    ledger = begun()
    ledger.put(window(0, ledger.at(12)))
    most = COMMITTEE.rounds.unknown_after + COMMITTEE.rounds.max_age

    def said(timestamp: int) -> EndorsementClaim:
        return EndorsementClaim(STREAM, 0, 0, Verdict.VALID, bytes(32), "expert_1", timestamp)

    assert ledger.offer(said(2**53 - 1)) == "Early"
    assert ledger.offer(said(ledger.time + most + 1)) == "Early"
    assert ledger.offer(said(ledger.time + most)) == ""


@given(st.randoms(use_true_random=False), st.sampled_from([2, 5, 6, 60]))
@settings(max_examples=examples(80), deadline=None)
def test_in_time_is_never_stale_whatever_comes_first(rng: random.Random, seconds: int) -> None:
    """Marks are at most 2 s ahead of real time. So an event that is on the ledger within
    `max_age` - 4 s of its round is applied, whatever certified events somebody puts before it."""
    committee = replace(COMMITTEE, rounds=Rounds(COMMITTEE.rounds.genesis, seconds))
    ledger, rounds = Ledger(committee=committee), committee.rounds
    ledger.put(ledger.status(0, UP, "operator_9"))
    now, number = float(rounds.start(20)), 0
    for _ in range(30):
        now += rng.uniform(0, 9 * seconds)
        for _ in range(rng.randrange(4)):  # the adversary's choice of certified events
            size = rng.randint(1, ledger.state.size)
            newest = rounds.number(now + 2)  # no honest operator signs a later round
            ledger.offer(ledger.checkpoint(newest - rng.randrange(3), size))
            if ledger.offer(window(number, rounds.start(newest))) == "":
                number += 1
            ledger.offer(ledger.status(newest, rng.choice([UP, DOWN]), "operator_9"))
        late = rng.uniform(0, rounds.max_age - 4)
        round_ = rounds.number(now - late)
        claim = ledger.status(round_, rng.choice([UP, DOWN]), f"operator_{rng.randrange(3)}")
        if now - claim.timestamp <= rounds.max_age - 4:
            assert ledger.offer(claim) != "Stale"


# -- checkpoints -----------------------------------------------------------------------------------


def test_a_checkpoint_covers_the_mark_before() -> None:
    ledger = begun()
    ledger.put(window(0, ledger.at(13)), window(1, ledger.at(13)))
    position = ledger.state.marks[-1].position
    assert (position, ledger.state.size) == (1, 4)

    assert ledger.offer(ledger.checkpoint(36, size=position)) == "NotLater"
    assert ledger.offer(ledger.checkpoint(23, size=position + 1)) == "NotLater"  # too near
    assert ledger.offer(ledger.checkpoint(24, size=position + 1)) == ""


def test_a_checkpoint_of_the_certified_size_is_not_enough() -> None:
    """A log that has grown by its last checkpoint only has something new to certify."""
    ledger = begun()

    assert ledger.offer(ledger.checkpoint(24)) == ""
    assert [each.size for each in ledger.state.marks] == [1, 2]


def test_of_a_hoarded_chain_one_checkpoint_is_applied() -> None:
    """While nothing reaches the ledger, anyone can have checkpoints of many sizes signed."""
    ledger = begun()
    ledger.put(*(window(number, ledger.at(13)) for number in range(20)))
    hoarded = [ledger.checkpoint(12 + 24 * n, size=1 + n) for n in range(1, 20)]
    down = ledger.status(13, DOWN)

    taken = [ledger.offer(claim) for claim in (down, *hoarded)]

    assert taken.count("") == 2  # the outage, and one checkpoint


# -- settling --------------------------------------------------------------------------------------


def test_settled_by_the_first_mark_max_age_later_included() -> None:
    ledger = begun()
    for round_ in (24, 37, 60):
        ledger.put(ledger.checkpoint(round_))
    last, age = COMMITTEE.rounds.start(37), COMMITTEE.rounds.max_age

    exact = ledger.state.settling(last - age)
    later = ledger.state.settling(last - age + 1)

    assert exact is not None
    assert later is not None
    assert (exact.timestamp, exact.position) == (last, 3)
    assert later.timestamp == ledger.at(60)
    assert ledger.state.settling(ledger.at(60) - age + 1) is None


@given(
    st.randoms(use_true_random=False),
    st.sampled_from([2, 3, 5, 6, 60, 600, 3600]),
)
@settings(max_examples=examples(60), deadline=None)
def test_settled_is_final(rng: random.Random, seconds: int) -> None:
    """No event after the settling checkpoint changes totals, in whatever order events come."""
    committee = replace(COMMITTEE, rounds=Rounds(COMMITTEE.rounds.genesis, seconds))
    ledger, round_ = Ledger(committee=committee), 1
    ledger.put(ledger.status(0, UP))
    seen: dict[tuple[int, int], tuple[int, Totals]] = {}
    for _ in range(120):
        round_ += rng.choice([0, 0, 1, 3, 12, 40])
        old = max(0, round_ - rng.choice([0, 1, 12, 13, 30, 200]))
        claims: list[EventClaim] = [
            ledger.status(old, rng.choice([UP, DOWN])),
            ledger.checkpoint(round_, rng.randint(1, ledger.state.size)),
        ]
        ledger.offer(rng.choice(claims))
        begin = ledger.at(rng.randrange(round_ + 1))
        interval = begin, begin + rng.randrange(1, 40 * seconds)
        if (found := _settled(ledger, interval)) is not None:
            assert seen.setdefault(interval, found) == found
    for interval, before in seen.items():
        assert _settled(ledger, interval) == before
        now = totals(ledger.state, ledger.state.size, "operator_1", interval)
        assert now == before[1]


@given(st.randoms(use_true_random=False))
@settings(max_examples=examples(60), deadline=None)
def test_settled_is_final_across_epochs(rng: random.Random) -> None:
    """The same while committees with other round lengths take their seats, and nodes leave."""
    ledger, now = Ledger(), COMMITTEE.rounds.genesis
    ledger.put(ledger.status(0, UP))
    seen: dict[tuple[int, int], tuple[int, Totals]] = {}
    for _ in range(120):
        rounds = ledger.state.committee.rounds
        now += rng.choice([0, 0, 1, 3, 13, 26]) * rng.choice([5, 5, 5, rounds.seconds])
        old = max(rounds.genesis, now - rng.choice([0, 0, 13, 30, 60]) * rng.choice([2, 5, 20]))
        size = rng.randint(max(1, ledger.state.size - 3), ledger.state.size)
        event = rng.choice(["status", "checkpoint", "checkpoint", "handover"])
        if event == "handover":
            ledger.change(rounds.number(now), size, rng)
        elif event == "checkpoint":
            ledger.offer(ledger.checkpoint(rounds.number(now), size))
        else:
            ledger.offer(ledger.status(rounds.number(old), rng.choice([UP, DOWN])))
        for _ in range(4):
            begin = max(rounds.genesis, now - rng.randrange(1, 1000))
            interval = begin, begin + rng.randrange(1, 300)
            if (found := _settled(ledger, interval)) is not None:
                assert seen.setdefault(interval, found) == found
    for interval, before in seen.items():
        assert _settled(ledger, interval) == before
        now_totals = totals(ledger.state, ledger.state.size, "operator_1", interval)
        assert now_totals == before[1]


def test_settled_is_final_when_rounds_become_longer() -> None:
    """With rounds of 60 s the age of 720 s reaches back behind what the handover has settled."""
    ledger = begun()
    slow = replace(ledger.successor(), rounds=Rounds(COMMITTEE.rounds.genesis, 60))
    ledger.seat(slow, 30)
    interval = ledger.state.seat - 80, ledger.state.seat - 60
    before = _settled(ledger, interval)
    assert before is not None
    assert before[1] == Totals(0, 0)

    refusal = ledger.offer(ledger.status(1, DOWN))

    assert refusal == "BeforeSeat"
    assert totals(ledger.state, ledger.state.size, "operator_1", interval) == before[1]


def _settled(ledger: Ledger, interval: tuple[int, int]) -> tuple[int, Totals] | None:
    checkpoint = ledger.state.settling(interval[1])
    if checkpoint is None:
        return None
    size = checkpoint.position + 1
    return size, totals(ledger.state, size, "operator_1", interval)


@given(st.lists(st.integers(12, 60), min_size=1, max_size=300), st.integers(0, 5000))
@settings(max_examples=examples(60), deadline=None)
def test_the_settling_mark_is_found_among_many(gaps: list[int], back: int) -> None:
    ledger = Ledger()
    ledger.put(ledger.status(0, UP))
    for round_ in _sums(gaps):
        ledger.put(ledger.checkpoint(round_))
    end = ledger.time - back

    found = ledger.state.settling(end)

    stamps = [each.timestamp for each in ledger.state.marks]
    place = bisect_left(stamps, end + COMMITTEE.rounds.max_age)
    assert found == (ledger.state.marks[place] if place < len(stamps) else None)


def _sums(gaps: list[int]) -> list[int]:
    return [sum(gaps[: at + 1]) for at in range(len(gaps))]
