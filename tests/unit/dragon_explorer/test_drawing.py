"""The geometry of bars, small charts and large charts."""

from __future__ import annotations

from dragon_explorer import drawing
from dragon_explorer.views.node import Chart, ChartLine
from dragon_explorer.views.probes import ObserverRounds, RecentProbes
from dragon_explorer.views.uptime import DayRow


def test_equal_days_are_one_line_which_is_cut_into_days() -> None:
    assert drawing.bar_paths("uuud") == [("u", "M0 10h11"), ("d", "M12 10h3")]
    assert drawing.bar_paths("?u?") == [("q", "M0 17h3M8 17h3"), ("u", "M4 10h3")]


def test_a_letter_of_a_newer_release_is_drawn_as_unknown() -> None:
    assert drawing.bar_paths("ux") == [("u", "M0 10h3"), ("q", "M4 17h3")]


def test_a_bar_of_90_days_is_short() -> None:
    drawn = drawing.bar_paths("u" * 40 + "d" + "u" * 49)
    assert sum(len(name) + len(path) for name, path in drawn) < 60


def test_a_bar_has_a_text_alternative() -> None:
    assert drawing.bar_days("u" * 88 + "d?") == "90 days: 88 up, 1 with downtime, 1 unknown"
    assert drawing.bar_days("uu") == "2 days: 2 up"


def test_a_small_chart_has_gaps_and_marks_where_nothing_answered() -> None:
    line, marks = drawing.spark([10, 20, None, 20])
    assert line == "M0 10h0L4 2M12 2h0"
    assert marks == "M8 4v12"


def test_a_small_chart_of_zeros_and_of_nothing() -> None:
    assert drawing.spark([0]) == ("M0 18h0", "")
    assert drawing.spark([None]) == ("", "M0 4v12")
    assert drawing.spark([]) == ("", "")


def chart(*means: int | None) -> Chart:
    times = tuple(range(0, 60 * len(means), 60))
    return Chart("1h", 60, times, (ChartLine("operator_1", means, means, (0,) * len(means)),))


def test_a_chart_ends_at_a_round_number_and_has_gaps() -> None:
    drawn = drawing.plot(chart(10, 42, None, 50))
    assert drawn.top_ms == 50
    assert drawn.lines == (drawing.PlotLine("operator_1", "M0 128h0L240 26M720 0h0"),)


def test_a_chart_without_a_single_answer() -> None:
    drawn = drawing.plot(chart(None, None))
    assert (drawn.top_ms, drawn.lines[0].d) == (1, "")


def test_a_chart_of_zeros() -> None:
    assert drawing.plot(chart(0, 0)).lines[0].d == "M0 160h0L720 160"


# The last rounds of an observer


def observer(*outcomes: str | None) -> ObserverRounds:
    latencies = tuple(12 if outcome == "answered" else None for outcome in outcomes)
    return ObserverRounds("operator_1", outcomes, latencies, (), 0)


def test_rounds_have_a_path_for_each_state_and_a_letter_for_each_fault() -> None:
    row = observer("answered", "timeout", None, "status_503", "answered")

    assert drawing.round_paths(row) == [
        ("u", "M0 8h13M56 8h13"),
        ("d", "M14 8h13M42 8h13"),
        ("q", "M28 8h13"),
    ]
    assert drawing.round_faults(row) == [(20, "T", "timeout"), (48, "S", "status_503")]
    assert drawing.rounds_text(row) == (
        "operator_1, 5 rounds: 2 answered, 2 seen down, 1 not heard"
    )


def test_the_legend_names_the_letters_that_occur() -> None:
    rows = (observer("timeout", "dns", "odd_fault"), observer("refused", *["status_5"] * 3))

    assert drawing.fault_letters(RecentProbes(0, 0, 5, 3, rows)) == [
        ("D", "dns"),
        ("R", "refused"),
        ("S", "status 5"),
        ("T", "timeout"),
        ("x", "odd fault"),
    ]


def test_days_with_announced_maintenance_are_a_line_below_the_bar() -> None:
    days = [DayRow(n, "up", 0, 0, 0, announced) for n, announced in enumerate((0, 60, 60, 0, 9))]

    assert drawing.announced_path(days) == "M4 24h7M16 24h3"
    assert drawing.announced_path(days[:1]) == ""


def test_a_day_in_maintenance_only_has_a_class_and_words_of_its_own() -> None:
    assert drawing.bar_paths("um") == [("u", "M0 10h3"), ("m", "M4 10h3")]
    assert drawing.bar_days("um") == "2 days: 1 up, 1 down in announced maintenance only"
