"""Places of the results of steps: few, and none is overwritten while it is needed."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from dragon_sequencer.machine.steps import Steps

FIRST: Final = 10
NAMES: Final = st.sampled_from(["one", "two", "three"])
# For each step a name and two operands, counted back from the step; beyond the first: fixed places.
GRAPHS: Final = st.lists(st.tuples(NAMES, st.integers(1, 9), st.integers(1, 9)), max_size=30)


def built(graph: list[tuple[str, int, int]]) -> tuple[Steps[str], list[int]]:
    steps, made = Steps[str](), [-1, -2, -3]
    for name, first, second in graph:
        made.append(steps.take(name, made[-min(first, len(made))], made[-min(second, len(made))]))
    return steps, made


def expression(graph: list[tuple[str, int, int]]) -> list[object]:
    """The same graph as nested tuples."""
    made: list[object] = [0, 1, 2]
    for name, first, second in graph:
        made.append((name, made[-min(first, len(made))], made[-min(second, len(made))]))
    return made


@given(GRAPHS, st.lists(st.integers(1, 9), max_size=4), st.booleans())
def test_placed_steps_compute_the_results(
    graph: list[tuple[str, int, int]], wanted: list[int], grouped: bool
) -> None:
    graph = graph[:12]  # expressions double in size with each step
    steps, made = built(graph)
    results = [made[-min(at, len(made))] for at in wanted]

    placed, places = steps.placed(results, FIRST, grouped=grouped)

    memory: dict[int, object] = {0: 0, 1: 1, 2: 2}
    for step in placed:
        assert step.target >= FIRST
        memory[step.target] = (step.name, *(memory[place] for place in step.operands))
    expected = expression(graph)
    assert [memory[place] for place in places] == [
        expected[-min(at, len(expected))] for at in wanted
    ]


def test_equal_steps_are_taken_once_and_unneeded_ones_never() -> None:
    steps = Steps[str]()
    once = steps.take("add", -1, -2)
    steps.take("never", once, once)

    assert steps.take("add", -1, -2) == once
    placed, places = steps.placed([once], FIRST)
    assert placed == [("add", FIRST, (0, 1))]
    assert places == [FIRST]


def test_places_are_used_again() -> None:
    steps = Steps[str]()
    last = steps.take("step", -1)
    for _ in range(20):
        last = steps.take("step", last)

    placed, _ = steps.placed([last], FIRST)

    assert {step.target for step in placed} == {FIRST}


def test_grouped_steps_of_one_name_follow_each_other() -> None:
    steps = Steps[str]()
    ends = []
    for at in range(4):
        added = steps.take("add", -1, -2 - at)
        ends.append(steps.take("multiply", added, added))

    def names(*, grouped: bool) -> list[str]:
        return [step.name for step in steps.placed(ends, FIRST, grouped=grouped)[0]]

    assert names(grouped=False) == ["add", "multiply"] * 4
    assert names(grouped=True) == ["add"] * 4 + ["multiply"] * 4
