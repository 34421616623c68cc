"""Verifying a log of 5,000 status events from its first entry, as `dragon verify log` does.

Singly: one pairing check for each certificate. Batched: the signatures of 256 entries in one random
combination, one pairing for each set of signers. Both do all other work (decoding, rules, leaves,
rows), so the ratio is that of whole replays.

Goal: batched at least 2.5 times as fast.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest import mock

from dragon.log import audit as auditing
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from fixtures import fill_log, history, make_members
from timing import show, verdict

GOAL = 2.5
STRETCH = auditing.ENTRIES_PER_BATCH  # events over which one time is taken


class Singly:
    """Replaces the batch verifier: verifies every certificate immediately."""

    def __init__(self, _entropy: Callable[[int], bytes]) -> None:
        pass

    def __call__(self, event: Event, committee: Committee) -> None:
        event.verify(committee)

    def verify(self) -> bool:
        return True


def replay(path: Path, committee: Committee, *, batched: bool) -> tuple[float, float]:
    """Processor seconds of the whole replay, and the median per event over stretches."""
    marks = [time.process_time()]

    def note(verified: int) -> None:
        if verified % STRETCH == 0:
            marks.append(time.process_time())

    begun = time.process_time()
    auditing.audit(path, committee, note, batched=batched)
    whole = time.process_time() - begun
    stretches = [(after - before) / STRETCH for before, after in pairwise(marks)]
    return whole, statistics.median(stretches) if stretches else whole


def main(*, events: int = 5000) -> None:
    members = make_members(4, targets=20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "operator.db"
        fill_log(path, members, history(members, events))
        batched = replay(path, members.committee, batched=True)
        with mock.patch.object(auditing, "BatchVerifier", Singly):
            singly = replay(path, members.committee, batched=False)
    ratio = singly[1] / batched[1]
    judged = f"≥ {GOAL}: {verdict(ratio >= GOAL)}"
    rows = [
        ("singly", f"{singly[0]:.2f}", f"{1000 * singly[1]:.2f}", "1.0", ""),
        ("batched", f"{batched[0]:.2f}", f"{1000 * batched[1]:.2f}", f"{ratio:.1f}", judged),
    ]
    columns = ("replay", "seconds", "ms an event", "times as fast", "goal")
    note = f"Medians over stretches of {STRETCH} events, processor time."
    show(f"A log of {events} events verified from its first entry", columns, rows, note)


if __name__ == "__main__":
    main()
