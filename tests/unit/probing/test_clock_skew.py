"""The rule by which peers' clocks show that the local clock is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon.probing.clock_skew import ABSTAIN_MS, is_confirmed, is_wrong, median_ms
from dragon.protocol.committee import byzantine_faults

AHEAD, BEHIND, RIGHT = ABSTAIN_MS + 1, -ABSTAIN_MS - 1, 0


@pytest.mark.parametrize(
    ("offsets", "faults", "wrong"),
    [
        # (1) No peer answered: unknown.
        ([], 1, False),
        ([], 0, False),
        # (2) At least f + 1 peers.
        ([AHEAD], 1, False),
        ([AHEAD, AHEAD], 1, True),
        ([BEHIND, BEHIND], 1, True),
        ([AHEAD], 0, True),
        ([AHEAD, AHEAD], 2, False),
        ([AHEAD, AHEAD, AHEAD], 2, True),
        # (3) And more than half of those that answered.
        ([AHEAD, AHEAD, RIGHT], 1, True),
        ([AHEAD, AHEAD, RIGHT, RIGHT], 1, False),
        ([AHEAD, AHEAD, AHEAD, RIGHT, RIGHT, RIGHT], 1, False),
        ([AHEAD, AHEAD, AHEAD, AHEAD, RIGHT, RIGHT, RIGHT], 1, True),
        # (4) In the same direction.
        ([AHEAD, BEHIND], 1, False),
        ([AHEAD, AHEAD, BEHIND], 1, True),
        ([AHEAD, AHEAD, BEHIND, BEHIND], 1, False),
        ([AHEAD, BEHIND, BEHIND, BEHIND], 1, True),
        # (5) More than two seconds.
        ([2000, 2000, 2000], 1, False),
        ([2001, 2001, 2000], 1, True),
        ([-2000, -2000, -2000], 1, False),
        ([-2001, -2001, -2000], 1, True),
        # (6) The size of the offset does not matter.
        ([10**12, 0, 0], 1, False),
    ],
)
def test_the_rule_holds_case_by_case(offsets: list[int], faults: int, wrong: bool) -> None:
    assert is_wrong(offsets, faults) is wrong


near = st.integers(-ABSTAIN_MS, ABSTAIN_MS)
anything = st.integers(-(10**15), 10**15)


@given(st.data(), st.integers(3, 40))
def test_faulty_peers_alone_cannot_make_a_service_abstain(
    data: st.DataObject, members: int
) -> None:
    faults = byzantine_faults(members)
    honest = data.draw(st.lists(near, max_size=members - 1))
    lies = data.draw(st.lists(anything, max_size=faults))

    assert not is_wrong([*honest, *lies], faults)


@given(st.data(), st.integers(3, 40), st.sampled_from([1, -1]))
def test_faulty_peers_cannot_hide_a_wrong_clock(
    data: st.DataObject, members: int, side: int
) -> None:
    """All honest peers answer and see a wrong clock, and they outnumber the faulty ones."""
    faults = byzantine_faults(members)
    far = st.integers(ABSTAIN_MS + 1, 10**9).map(lambda offset: side * offset)
    count = members - 1 - faults
    honest = data.draw(st.lists(far, min_size=count, max_size=count))
    lies = data.draw(st.lists(anything, max_size=faults))

    if count > faults:
        assert is_wrong([*honest, *lies], faults)


@given(st.lists(anything, max_size=30), st.integers(0, 13))
def test_the_rule_depends_on_neither_order_nor_direction(offsets: list[int], faults: int) -> None:
    wrong = is_wrong(offsets, faults)

    assert is_wrong(offsets[::-1], faults) is wrong
    assert is_wrong([-offset for offset in offsets], faults) is wrong


@given(st.lists(st.sampled_from([AHEAD, BEHIND]), max_size=30), st.integers(0, 13))
def test_ahead_and_behind_are_counted_separately(offsets: list[int], faults: int) -> None:
    if offsets.count(AHEAD) == offsets.count(BEHIND):
        assert not is_wrong(offsets, faults)


@pytest.mark.parametrize(
    ("offsets", "faults", "confirmed"),
    [
        # (1) No peer answered.
        ([], 0, False),
        ([], 1, False),
        # (2) At least f + 1 peers, whatever the others say.
        ([RIGHT], 0, True),
        ([RIGHT], 1, False),
        ([RIGHT, RIGHT], 1, True),
        ([RIGHT, AHEAD, AHEAD], 1, False),
        ([RIGHT, RIGHT, AHEAD], 1, True),
        # (3) Within two seconds to either side.
        ([2000, -2000], 1, True),
        ([2001, -2000], 1, False),
        ([2000, -2001], 1, False),
    ],
)
def test_a_clock_is_confirmed_case_by_case(
    offsets: list[int], faults: int, confirmed: bool
) -> None:
    assert is_confirmed(offsets, faults) is confirmed


@given(st.data(), st.integers(3, 40), st.sampled_from([1, -1]))
def test_faulty_peers_alone_cannot_confirm_a_wrong_clock(
    data: st.DataObject, members: int, side: int
) -> None:
    faults = byzantine_faults(members)
    far = st.integers(ABSTAIN_MS + 1, 10**9).map(lambda offset: side * offset)
    honest = data.draw(st.lists(far, max_size=members - 1))
    lies = data.draw(st.lists(near, max_size=faults))

    assert not is_confirmed([*honest, *lies], faults)


def test_the_median_is_one_of_the_offsets() -> None:
    assert median_ms([]) is None
    assert median_ms([7]) == 7
    assert median_ms([900, -5, 3]) == 3
    assert median_ms([4, 1]) in (1, 4)
