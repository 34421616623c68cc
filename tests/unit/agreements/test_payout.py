"""Payouts are exact, never more than the payout, and never less for more up time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon import errors
from dragon.agreements.amounts import format_amount, parse_amount
from dragon.agreements.payout import Payout, compute_payout, counted_seconds
from dragon.agreements.rule import Counts, Entry, Rule, Tier, Unearned
from dragon.protocol.period import PeriodLeaf

SECONDS = 1000
ALL = (Tier(Fraction(99, 100), Fraction(1)), Tier(Fraction(9, 10), Fraction(1, 2)))
OWN = (Tier(Fraction(0), None),)


def rule(
    *nodes: Entry,
    tiers: tuple[Tier, ...] = ALL,
    maintenance: Counts = Counts.DOWN,
    unknown: Counts = Counts.DOWN,
    unearned: Unearned = Unearned.KEPT,
    maintenance_seconds: int = SECONDS,
    known: Fraction = Fraction(0),
) -> Rule:
    return Rule(
        text="text",
        decimals=2,
        unit="",
        maintenance=maintenance,
        maintenance_seconds=maintenance_seconds,
        unknown=unknown,
        known=known,
        unearned=unearned,
        nodes=nodes or (Entry("*", 1, None),),
        tiers=tiers,
    )


def paid(payout: Payout) -> dict[str, int]:
    return {each.node_id: each.units for each in payout.earnings}


def test_weights_split_the_payout_and_what_remains_is_shown() -> None:
    leaves = [
        PeriodLeaf("a", 0, 0, 0),
        PeriodLeaf("b", 50, 0, 0),
        PeriodLeaf("c", 500, 0, 0),
        PeriodLeaf("d", 0, 0, 0),
    ]
    chosen = rule(Entry("a", 1, None), Entry("b", 1, None), Entry("c", 1, None))

    payout = compute_payout(chosen, leaves, SECONDS, 1000)

    assert paid(payout) == {"a": 333, "b": 166, "c": 0}
    assert (payout.distributed, payout.undistributed) == (499, 501)


def test_shared_gives_the_nodes_what_others_did_not_earn() -> None:
    leaves = [PeriodLeaf("a", 0, 0, 0), PeriodLeaf("b", 50, 0, 0), PeriodLeaf("c", 500, 0, 0)]

    payout = compute_payout(rule(unearned=Unearned.SHARED), leaves, SECONDS, 1000)

    assert paid(payout) == {"a": 1000 * 333 // 499, "b": 1000 * 166 // 499, "c": 0}
    nobody = [PeriodLeaf("a", SECONDS, 0, 0)]
    assert paid(compute_payout(rule(unearned=Unearned.SHARED), nobody, SECONDS, 9)) == {"a": 0}


def test_an_exact_id_comes_before_a_pattern_and_the_first_pattern_counts() -> None:
    leaves = [PeriodLeaf(name, 0, 0, 0) for name in ("relay-1", "relay-2", "relay-x1")]
    nodes = (Entry("relay-x*", 3, None), Entry("relay-*", 1, None), Entry("relay-2", 4, None))

    payout = compute_payout(rule(*nodes), leaves, SECONDS, 80)

    assert paid(payout) == {"relay-1": 10, "relay-2": 40, "relay-x1": 30}


def test_amounts_need_a_payout_that_covers_them() -> None:
    leaves = [PeriodLeaf("a", 0, 0, 0), PeriodLeaf("b", 50, 0, 0)]
    chosen = rule(Entry("*", None, 301))

    assert paid(compute_payout(chosen, leaves, SECONDS, 602)) == {"a": 301, "b": 150}
    with pytest.raises(errors.PayoutTooSmall):
        compute_payout(chosen, leaves, SECONDS, 601)


def test_an_entry_that_fits_no_node_is_refused() -> None:
    with pytest.raises(errors.UnknownNode, match="entry relay-9 of the rule fits no node"):
        compute_payout(rule(Entry("relay-9", 1, None)), [PeriodLeaf("a", 0, 0, 0)], SECONDS, 1)


@pytest.mark.parametrize(
    ("maintenance", "unknown", "counted"),
    [
        ("down", "down", (600, 1000)),
        ("up", "down", (650, 1000)),
        ("excluded", "down", (600, 950)),
        ("down", "up", (700, 1000)),
        ("down", "excluded", (600, 900)),
        ("up", "up", (750, 1000)),
        ("excluded", "excluded", (600, 850)),
    ],
)
def test_maintenance_and_unknown_count_as_the_rule_says(
    maintenance: str, unknown: str, counted: tuple[int, int]
) -> None:
    chosen = rule(maintenance=Counts(maintenance), unknown=Counts(unknown))

    assert counted_seconds(PeriodLeaf("a", 300, 50, 100), SECONDS, chosen) == counted


@pytest.mark.parametrize("counts", [Counts.UP, Counts.EXCLUDED])
def test_maintenance_beyond_the_limit_counts_as_down(counts: Counts) -> None:
    """Otherwise a node that announces maintenance for ever would earn all."""
    chosen = rule(maintenance=counts, maintenance_seconds=100)

    up, counted = counted_seconds(PeriodLeaf("a", 999, 999, 0), SECONDS, chosen)

    assert (up, counted) == ((101, 1000) if counts is Counts.UP else (1, 900))


@pytest.mark.parametrize("counts", [Counts.UP, Counts.EXCLUDED])
def test_a_node_of_which_too_little_is_known_earns_nothing(counts: Counts) -> None:
    """A node that was listed for a day is unknown in the rest of the month."""
    chosen = rule(unknown=counts, known=Fraction(3, 4))
    leaves = [PeriodLeaf("a", 0, 0, 251), PeriodLeaf("b", 0, 0, 250)]

    payout = compute_payout(chosen, leaves, SECONDS, 100)

    assert paid(payout) == {"a": 0, "b": 50}
    assert payout.earnings[0].tier is None


def test_a_node_without_counted_time_earns_nothing() -> None:
    chosen = rule(tiers=OWN, unknown=Counts.EXCLUDED)

    [earning] = compute_payout(chosen, [PeriodLeaf("a", 0, 0, SECONDS)], SECONDS, 10).earnings

    assert (earning.counted, earning.share, earning.units) == (0, 0, 0)


@st.composite
def leaves_of(draw: st.DrawFn, node_id: str) -> PeriodLeaf:
    unknown = draw(st.integers(0, SECONDS))
    down = draw(st.integers(0, SECONDS - unknown))
    return PeriodLeaf(node_id, down, draw(st.integers(0, down)), unknown)


SHARES = st.fractions(0, 1, max_denominator=1000)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Rules whose tiers pay no more for less up time, as `decode_rule` demands."""
    bounds = sorted(draw(st.sets(SHARES, min_size=1, max_size=4)))
    pays = sorted(draw(st.lists(SHARES, min_size=len(bounds), max_size=len(bounds))))
    tiers = [Tier(*each) for each in zip(bounds, pays, strict=True)][::-1]
    if draw(st.booleans()):
        tiers = [Tier(max(tiers[0].up, Fraction(0)), Fraction(1)), Tier(Fraction(0), None)]
        tiers = tiers[tiers[0].up == 0 :]
    weights = [Entry(name, draw(st.integers(1, 9)), None) for name in "abc"]
    counts = st.sampled_from(Counts)
    return rule(
        *weights,
        tiers=tuple(tiers),
        maintenance=draw(counts),
        unknown=draw(counts),
        unearned=draw(st.sampled_from(Unearned)),
        maintenance_seconds=draw(st.integers(0, SECONDS)),
        known=draw(SHARES),
    )


@given(rules(), st.tuples(*map(leaves_of, "abc")), st.integers(0, 10**24))
def test_a_payout_is_never_exceeded(
    chosen: Rule, leaves: tuple[PeriodLeaf, ...], units: int
) -> None:
    payout = compute_payout(chosen, leaves, SECONDS, units)

    assert all(each.units >= 0 for each in payout.earnings)
    assert payout.distributed + payout.undistributed == units
    assert payout.undistributed >= 0


@given(
    rules(), st.tuples(*map(leaves_of, "abc")), st.sampled_from(["down", "maintenance", "unknown"])
)
def test_a_second_more_of_up_time_never_earns_less(
    chosen: Rule, leaves: tuple[PeriodLeaf, ...], what: str
) -> None:
    first = leaves[0]
    down, maintenance = first.seconds_down, first.seconds_maintenance
    if what == "unknown":
        better = PeriodLeaf("a", down, maintenance, max(0, first.seconds_unknown - 1))
    elif what == "maintenance":
        less = min(1, maintenance)
        better = PeriodLeaf("a", down - less, maintenance - less, first.seconds_unknown)
    else:
        better = PeriodLeaf("a", max(maintenance, down - 1), maintenance, first.seconds_unknown)

    before = compute_payout(chosen, leaves, SECONDS, 10**9)
    after = compute_payout(chosen, [better, *leaves[1:]], SECONDS, 10**9)

    assert paid(after)["a"] >= paid(before)["a"]


@pytest.mark.parametrize(
    ("text", "decimals", "units", "shown"),
    [
        ("1000", 0, 1000, "1000"),
        ("12.5", 2, 1250, "12.50"),
        ("0.000001", 6, 1, "0.000001"),
        ("1000", 6, 10**9, "1000.000000"),
    ],
)
def test_amounts_are_read_and_shown_exactly(
    text: str, decimals: int, units: int, shown: str
) -> None:
    assert parse_amount(text, decimals, member="--payout") == units
    assert format_amount(units, decimals) == shown


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1,000", "0x10", "1.", ".5", "1.001", "١"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(errors.UnknownValue, match="--payout"):
        parse_amount(text, 2, member="--payout")
