"""Histories: values that share what they have in common, also between threads."""

from __future__ import annotations

from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon.protocol.history import BLOCK_ITEMS, History


def grown(size: int) -> History[int]:
    history: History[int] = History()
    for item in range(size):
        history = history.appended(item)
    return history


@pytest.mark.parametrize("size", [0, 1, BLOCK_ITEMS - 1, BLOCK_ITEMS, BLOCK_ITEMS + 1, 1000])
def test_a_history_is_a_sequence_however_it_was_made(size: int) -> None:
    history = grown(size)

    assert history == History(range(size)) == list(range(size))
    assert hash(history) == hash(History(range(size)))
    assert len(history) == len(list(history)) == size
    assert [history[at] for at in range(-size, size)] == [*range(size), *range(size)]
    assert history[size // 2 :] == list(range(size // 2, size))
    assert bisect_left(history, size // 2) == size // 2
    for beyond in (size, -size - 1):
        with pytest.raises(IndexError):
            history[beyond]


@given(st.lists(st.integers(0, 3 * BLOCK_ITEMS), max_size=6), st.integers(0, 3 * BLOCK_ITEMS))
def test_no_branch_changes_another(branches: list[int], size: int) -> None:
    """Each branch continues the same history on its own."""
    trunk = grown(size)
    made = []
    for number, more in enumerate(branches):
        branch = trunk
        for _ in range(more):
            branch = branch.appended(-1 - number)
        made.append(branch)

    assert trunk == list(range(size))
    for number, (more, branch) in enumerate(zip(branches, made, strict=True)):
        assert branch == [*range(size), *[-1 - number] * more]


def test_threads_that_append_to_one_history_do_not_see_each_other() -> None:
    """The aggregator's monitor tries pending events on the state that the log goes on with."""
    trunk = grown(BLOCK_ITEMS - 1)

    with ThreadPoolExecutor(8) as executor:
        made = list(executor.map(trunk.appended, range(1000)))

    assert len(trunk) == BLOCK_ITEMS - 1
    assert [branch[-1] for branch in made] == list(range(1000))
    assert {len(branch) for branch in made} == {BLOCK_ITEMS}


@settings(deadline=None)
@given(st.integers(0, 3 * BLOCK_ITEMS), st.integers(0, 3 * BLOCK_ITEMS))
def test_a_history_whose_blocks_are_stored_is_the_same_sequence(first: int, more: int) -> None:
    blocks: dict[int, tuple[int, ...]] = {}
    history = grown(first)
    for part in (0, more):
        for item in range(part):
            history = history.appended(first + item)
        blocks.update(history.new_blocks())
        history = history.stored(blocks.__getitem__)
    size = first + more

    assert not list(history.new_blocks())
    assert len(history.tail) < BLOCK_ITEMS
    assert history == list(range(size))
    assert len(history) == size
    assert [history[at] for at in range(-size, size)] == [*range(size), *range(size)]
    again = History.of_stored(history.full_blocks, blocks.__getitem__, history.tail)
    assert again.appended(size) == list(range(size + 1))
