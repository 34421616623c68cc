"""The votes on decided windows are kept, and no stream displaces those of a smaller one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from committees import make_members
from dragon.encoding import MAX_INTEGER
from dragon.protocol.streams.chunks import ChunkHeader
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import close
from dragon_aggregator import decided_windows
from dragon_aggregator.decided_windows import DecidedWindows
from dragon_aggregator.pending_windows import Window
from streams import make_owner

OWNER = make_owner(make_members())
HEADER = close(OWNER.descriptor, None, [ChunkHeader(0, 1, 1, OWNER.descriptor.identity)])


def window(
    number: int, *, stream: bytes = bytes(32), proof: bytes = bytes(32), state: str = "applied"
) -> Window:
    header = replace(HEADER, stream=stream, number=number)
    objects = WindowObjects(stream, header.hash, bytes(32), proof)
    descriptor = replace(OWNER.descriptor)
    descriptor.__dict__["id"] = stream
    submission = Submission(descriptor, header, b"", objects)
    return Window(submission, state, votes={"operator_1": ("valid", "")})


def kept(decided: DecidedWindows, **chosen: object) -> list[int]:
    found = decided.newest_first(below=MAX_INTEGER, **chosen)  # type: ignore[arg-type]
    return [each.window.submission.number for each in found]


def test_the_newest_windows_come_first_and_are_read_in_pages() -> None:
    decided = DecidedWindows()
    for number in range(3):
        decided.add(window(number))
    decided.add(window(1))  # again

    assert kept(decided) == [2, 1, 0]
    assert [each.id for each in decided.newest_first(below=3)] == [2, 1]


def test_the_windows_of_a_stream_and_of_a_number_can_be_chosen() -> None:
    decided = DecidedWindows()
    for stream in (b"a" * 32, b"b" * 32):
        for number in range(3):
            decided.add(window(number, stream=stream))

    assert kept(decided, stream=b"a" * 32) == [2, 1, 0]
    assert kept(decided, stream=b"a" * 32, number=1) == [1]


def test_each_invalid_proof_is_kept_beside_the_valid_one() -> None:
    decided = DecidedWindows()
    for proof in (b"1" * 32, b"2" * 32):
        decided.add(window(0, proof=proof, state="invalid"))
    valid = window(0)
    decided.add(valid)

    assert kept(decided) == [0, 0, 0]
    assert decided.applied(valid.submission.header.hash) is valid
    assert decided.applied(bytes(32)) is None


def test_windows_without_votes_are_not_kept() -> None:
    decided = DecidedWindows()
    decided.add(replace(window(0), votes={}))

    assert kept(decided) == []


def test_a_busy_stream_displaces_only_its_own_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decided_windows, "MAX_DECIDED_WINDOWS", 5)
    decided = DecidedWindows()
    decided.add(window(0, stream=b"a" * 32))
    for number in range(20):
        decided.add(window(number, stream=b"b" * 32))

    assert kept(decided, stream=b"a" * 32) == [0]
    assert kept(decided, stream=b"b" * 32) == [19, 18, 17, 16]
