"""When the pipeline looks for what a stream's windows need next."""

from __future__ import annotations

from dataclasses import dataclass
from unittest.mock import Mock

import pytest

from dragon.errors import ChunkDamaged
from dragon_stream.keyed_executor import DAMAGE_RETRY_SECONDS
from dragon_stream.pipeline import STEP_SECONDS, Pipeline
from simulation import Clock


@dataclass
class Checking:
    """A pipeline with one stream that has an unfinished window, and a clock that stands still."""

    clock: Clock
    confirmation: Mock
    pipeline: Pipeline
    streams: Mock

    def checks(self) -> int:
        """Take a step. Returns how often the log was asked for the stream so far."""
        self.pipeline.step(self.streams)
        return int(self.confirmation.update.call_count)


@pytest.fixture
def checking() -> Checking:
    clock = Clock(1_732_522_760.0)
    confirmation = Mock(update=Mock(return_value=None), check_age=Mock(return_value=None))
    runtime = Mock(monotonic=lambda: clock.now, wall=lambda: clock.now)
    pipeline = Pipeline(
        Mock(count_unfinished=Mock(return_value=1), unfinished=Mock(return_value=[])),
        confirmation,
        provers=Mock(places=1, silent=[]),
        aggregators=Mock(),
        events=Mock(),
        runtime=runtime,
        max_pending_windows=8,
        needed_votes=lambda: 3,
    )
    chunker = Mock(last_error="", pending_windows=0, is_due=Mock(return_value=0))
    streams = Mock(all=Mock(return_value=[Mock(id=b"\x01", chunker=chunker)]))
    pipeline.load(streams)
    return Checking(clock, confirmation, pipeline, streams)


def test_windows_are_checked_at_most_ten_times_a_second(checking: Checking) -> None:
    assert [checking.checks() for _ in range(3)] == [1, 1, 1]

    checking.clock.sleep(2 * STEP_SECONDS)

    assert checking.checks() == 2


def test_new_entries_of_the_log_are_looked_at_without_a_pause(checking: Checking) -> None:
    assert checking.checks() == 1

    checking.pipeline.on_entries()

    assert [checking.checks() for _ in range(2)] == [2, 2]


def test_a_stream_with_damaged_data_waits_though_the_log_grows(checking: Checking) -> None:
    checking.confirmation.update.side_effect = ChunkDamaged("window 0 is damaged")
    assert checking.checks() == 1

    checking.pipeline.on_entries()
    assert checking.checks() == 1

    checking.clock.sleep(DAMAGE_RETRY_SECONDS + 2 * STEP_SECONDS)
    assert checking.checks() == 2
