"""Columns of integers, in memory and in stored blocks."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon.log import columns
from dragon.log.columns import Column

INTEGERS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.lists(INTEGERS, max_size=9), max_size=5))
def test_a_column_is_the_same_sequence_wherever_its_blocks_are(parts: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK_INTEGERS", 3)
        blocks: dict[int, array[int]] = {}
        column, expected = Column(blocks.__getitem__), list[int]()
        for part in parts:
            for value in part:
                column.append(value)
            expected += part
            assert list(column) == expected
            blocks |= {number: columns.from_bytes(each) for number, each in column.new_blocks()}
            column.forget()
            assert list(column) == expected
            column = Column(blocks.__getitem__, len(blocks), column.tail())

            assert list(column) == expected
            assert [column[at - len(expected)] for at in range(len(expected))] == expected
            assert column[1:3] == expected[1:3]
            assert not list(column.new_blocks())
            for beyond in (len(expected), -len(expected) - 1):
                with pytest.raises(IndexError):
                    column[beyond]


@given(st.lists(st.integers(0, 50)).map(sorted), st.integers(0, 50))
def test_a_column_can_be_searched(values: list[int], wanted: int) -> None:
    column = Column(rest=values)

    assert bisect_left(column, wanted) == bisect_left(values, wanted)
    assert bisect_right(column, wanted) == bisect_right(values, wanted)


@given(st.lists(INTEGERS))
def test_integers_are_restored_from_their_text(values: list[int]) -> None:
    assert list(columns.from_text(columns.to_text(values))) == values


@pytest.mark.parametrize("text", [None, 7, [], "x", "AAAA", "AAAAAAAAAA=", "é"])
def test_other_text_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        columns.from_text(text)


def test_integers_have_eight_bytes_little_endian() -> None:
    assert columns.to_bytes(array("q", [1, -1])) == b"\1" + bytes(7) + b"\xff" * 8
