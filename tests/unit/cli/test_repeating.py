"""The helper that announces recurring windows: it reads the logs, and goes on after failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.errors import DragonError
from dragon.protocol.committee import Committee
from dragon.storage import keystore
from dragon_cli.fleet.announced import believed, seconds_within
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.repeating import (
    MAX_OPEN,
    MIN_RESEND_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    Fleet,
    Repeater,
)
from dragon_cli.recurrence import Recurrence, Window

MEMBERS = make_members(4, aggregators=2)
NOW = int(datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp())
DAILY = Recurrence("0 3 * * *", UTC, 7200)
HOUR, DAYS = 3600, 86_400
FIRST, SECOND, THIRD = (Window(begin, begin + 7200) for begin in islice(DAILY.begins(NOW), 3))


@dataclass
class Network:
    """What the helper sees: one log, and aggregators that accept or fail."""

    now: int = NOW
    committee: Committee = MEMBERS.committee
    listed: list[Window] = field(default_factory=list)
    failure: DragonError | None = None  # of every announcement
    unreachable: bool = False
    reaches_the_log: bool = True
    asked: list[tuple[Window, int]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def check_key(self, committee: Committee) -> None:
        committee.speaker("operator_1")

    def announced(self, _committee: Committee) -> list[Window]:
        if self.unreachable:
            raise errors.Unreachable("1 operators answer; 2 must, to tell what is announced.")
        return self.listed

    def announce(self, _committee: Committee, window: Window, first: int) -> str:
        self.asked.append((window, first))
        if self.failure:
            raise self.failure
        if self.reaches_the_log:
            self.listed.append(window)
        return f"aggregator {first}"

    def repeater(self, ahead: int = 3 * DAYS, recurrence: Recurrence = DAILY) -> Repeater:
        fleet = Fleet(lambda: self.committee, self.check_key, self.announced, self.announce)
        return Repeater(fleet, recurrence, ahead, self.lines.append)

    def windows(self) -> list[Window]:
        return [window for window, _ in self.asked]


@pytest.fixture
def network() -> Network:
    return Network()


def test_each_window_is_announced_once(network: Network) -> None:
    repeater = network.repeater()

    first = repeater.once(NOW)
    second = repeater.once(NOW + 60)
    next_day = repeater.once(NOW + DAYS)

    assert first.announced == [FIRST, SECOND, THIRD]
    assert (second.announced, second.known) == ([], [FIRST, SECOND, THIRD])
    assert [each.begin for each in next_day.announced] == [THIRD.begin + DAYS]
    assert len(network.asked) == 4
    assert network.lines[0] == (
        "Announced: 2026-11-30 03:00:00 UTC to 2026-11-30 05:00:00 UTC. Accepted by aggregator 0."
    )


def test_two_helpers_do_no_harm(network: Network) -> None:
    network.repeater().once(NOW)
    network.failure = errors.AppliedAlready("this window of maintenance is in the log already")
    other = network.repeater()
    network.listed = []  # the other one has asked a moment before

    assert other.once(NOW).known == [FIRST, SECOND, THIRD]
    network.failure, network.listed = None, [FIRST, SECOND, THIRD]
    assert other.once(NOW + 60).announced == []


def test_a_window_in_an_announced_one_needs_no_announcement(network: Network) -> None:
    network.listed = [Window(FIRST.begin - 600, FIRST.end), Window(SECOND.begin + 1, SECOND.end)]

    done = network.repeater().once(NOW)

    assert (done.known, done.announced) == ([FIRST], [SECOND, THIRD])


def test_four_places_stay_free_for_windows_by_hand(network: Network) -> None:
    network.listed = [Window(NOW - 60, NOW + n) for n in range(1, MAX_OPEN)]
    repeater = network.repeater(ahead=90 * DAYS)

    assert repeater.once(NOW).announced == [FIRST]
    assert repeater.once(NOW).announced == []
    network.listed = [FIRST]
    assert len(repeater.once(NOW + MAX_OPEN).announced) == MAX_OPEN - 1


def test_windows_that_have_ended_take_no_place(network: Network) -> None:
    network.listed = [Window(NOW - 600 - n, NOW - n) for n in range(MAX_OPEN)]

    assert network.repeater().once(NOW).announced == [FIRST, SECOND, THIRD]


def test_what_no_log_has_after_a_while_is_handed_to_another_aggregator(network: Network) -> None:
    network.reaches_the_log = False
    repeater = network.repeater(ahead=DAYS)

    repeater.once(NOW)
    assert repeater.once(NOW + MIN_RESEND_SECONDS - 1).known == [FIRST]
    repeater.once(NOW + MIN_RESEND_SECONDS)

    assert network.asked == [(FIRST, 0), (FIRST, 1)]


@pytest.mark.parametrize("kind", [errors.TooLate, errors.EnoughAnnounced, errors.TooFar])
def test_a_refused_window_is_named_once_and_the_next_ones_are_tried(
    network: Network, kind: type[DragonError]
) -> None:
    network.failure = kind("The reason.")
    repeater = network.repeater(ahead=2 * DAYS)

    done = repeater.once(NOW)
    repeater.once(NOW + 60)

    assert [each.window for each in done.refused] == [FIRST, SECOND]
    assert len(network.asked) == 4
    assert network.lines == [
        "Not announced: 2026-11-30 03:00:00 UTC to 2026-11-30 05:00:00 UTC. The reason.",
        "Not announced: 2026-12-01 03:00:00 UTC to 2026-12-01 05:00:00 UTC. The reason.",
    ]


def test_frequent_windows_are_announced_behind_a_long_notice() -> None:
    """More windows begin within the notice than are considered in one pass."""
    committee = replace(MEMBERS.committee, maintenance_notice=7 * DAYS)
    network = Network(committee=committee)
    hourly = Recurrence("0 * * * *", UTC, 60)

    announced = network.repeater(ahead=HOUR, recurrence=hourly).once(NOW).announced

    assert [each.begin for each in announced] == [NOW + 7 * DAYS]


def pauses(network: Network, repeater: Repeater, stop_after: int) -> list[float]:
    """Run the helper, and return the seconds that it waited between passes."""
    found: list[float] = []

    def wait(seconds: float) -> bool:
        found.append(seconds)
        network.now += int(seconds)
        return len(found) > stop_after

    repeater.run(lambda: network.now, wait)
    return found


def test_it_goes_on_while_nothing_can_be_reached(network: Network) -> None:
    network.unreachable = True
    repeater = network.repeater(ahead=DAYS)

    assert pauses(network, repeater, 2) == [0, RETRY_SECONDS, RETRY_SECONDS]
    network.unreachable, network.failure = False, errors.Unreachable("No response from anybody.")
    pauses(network, repeater, 1)
    network.failure = None
    assert pauses(network, repeater, 3) == [0, RETRY_SECONDS, REFRESH_SECONDS, REFRESH_SECONDS]

    assert network.windows() == [FIRST, FIRST]
    assert network.lines[0].endswith("to tell what is announced. Trying again in 30 s.")
    assert network.lines[2] == "No response from anybody. Trying again in 30 s."


def test_it_ends_when_only_the_owner_can_help(network: Network) -> None:
    repeater = network.repeater()
    pauses(network, repeater, 1)
    network.committee = replace(MEMBERS.committee, operators=MEMBERS.committee.operators[1:])

    with pytest.raises(errors.UnknownNode):
        pauses(network, repeater, 5)


@pytest.mark.parametrize("kind", [errors.NoOwner, errors.UnknownNode, errors.BadSignature])
def test_what_an_aggregator_answers_does_not_end_it(
    network: Network, kind: type[DragonError]
) -> None:
    network.failure = kind("the aggregator says so.")

    assert pauses(network, network.repeater(), 2) == [0, RETRY_SECONDS, RETRY_SECONDS]
    assert network.lines == ["the aggregator says so. Trying again in 30 s."] * 2


def test_the_latest_begin_is_before_the_limit_by_log_time(network: Network) -> None:
    rare = Recurrence("0 12 27 2 *", UTC, 7200)  # exactly 90 days from now

    assert network.repeater(ahead=90 * DAYS, recurrence=rare).once(NOW).announced == []
    later = network.repeater(ahead=90 * DAYS, recurrence=rare).once(NOW + 300)
    assert [each.begin for each in later.announced] == [NOW + 90 * DAYS]


def test_a_faulty_operator_neither_invents_a_window_nor_hides_one() -> None:
    honest, invented = [FIRST, SECOND], Window(1, 2)
    answers: Iterator[list[Window]] = iter([honest, honest, [], [invented, invented]])

    assert believed(MEMBERS.committee, answers) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("windows", "seconds"),
    [
        ([], 0),
        ([Window(0, 100)], 0),
        ([Window(0, 150)], 50),
        ([Window(110, 120), Window(115, 130)], 20),
        ([Window(110, 190), Window(120, 130), Window(195, 900)], 85),
        ([Window(0, 900), Window(50, 120)], 100),
    ],
)
def test_seconds_in_several_windows_count_once(windows: list[Window], seconds: int) -> None:
    assert seconds_within(windows, 100, 200) == seconds


@pytest.mark.processes
def test_sigterm_ends_the_process_while_nothing_can_be_reached(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.committee_file.write_text(json.dumps(MEMBERS.committee.to_json()))
    keystore.write_private(home.keystore("operator_1"), keystore.seal(secret("operator_1"), "word"))
    keystore.write_private(home.password("operator_1"), "word")
    command = [Path(sys.executable).with_name("dragon"), "maintenance", "add", "operator_1"]
    command += ["--repeat", "0 3 * * 0", "--for", "2h", "--home", tmp_path]  # type: ignore[list-item]
    environment = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as helper:
        assert helper.stdout
        notice = helper.stdout.readline()
        begun = helper.stdout.readline()
        retried = helper.stdout.readline()
        helper.send_signal(signal.SIGTERM)
        ended = helper.stdout.read()

    assert notice.startswith("The committee asks for 1 h of notice: windows that begin before ")
    assert begun == "Announcing maintenance of operator_1 at '0 3 * * 0' until stopped.\n"
    assert retried == (
        "0 operators answer; 2 must, to tell what is announced. Trying again in 30 s.\n"
    )
    assert (helper.returncode, ended) == (0, "Stopped.\n")
