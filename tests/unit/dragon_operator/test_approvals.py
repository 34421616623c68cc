"""The owner's approval: the file that is there now counts, whoever reads it and when."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from committees import make_members
from dragon_operator.approvals import LAPSES_SECONDS, Approval, Approvals
from epochs import successor

MEMBERS = make_members(4)
ONE = successor(MEMBERS, None, drop=["operator_4"]).committee
TWO = successor(MEMBERS, None, add=["operator_5"]).committee
NOW = 1_800_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator_1-approved.json"


def write(path: Path, approval: Approval) -> None:
    """Replace the file, as `dragon committee approve` does."""
    part = path.with_suffix(".part")
    part.write_text(approval.encode())
    os.replace(part, path)


def test_a_thread_that_reads_the_former_file_for_long_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a pairing for each key, and the owner may approve another file meanwhile."""
    approvals, load = Approvals(path, lambda: NOW), Approval.load
    write(path, Approval(NOW, ONE))

    def slow(raw: bytes) -> Approval:
        monkeypatch.setattr(Approval, "load", load)
        write(path, Approval(NOW, TWO))
        assert approvals.current() == TWO  # another thread
        return load(raw)

    monkeypatch.setattr(Approval, "load", slow)
    approvals.current()

    assert approvals.current() == TWO


def test_nobody_sees_no_approval_while_another_thread_reads_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    approvals, load = Approvals(path, lambda: NOW), Approval.load
    write(path, Approval(NOW, ONE))

    def slow(raw: bytes) -> Approval:
        monkeypatch.setattr(Approval, "load", load)
        assert approvals.current() == ONE  # another thread
        return load(raw)

    monkeypatch.setattr(Approval, "load", slow)

    assert approvals.current() == ONE


@pytest.mark.parametrize("ahead", [-1, 1])
def test_an_approval_counts_for_a_week_by_whatever_clock(path: Path, ahead: int) -> None:
    """A clock that was years ahead when the owner approved must not make it last for years."""
    write(path, Approval(NOW + ahead * LAPSES_SECONDS, ONE))
    assert Approvals(path, lambda: NOW).current() == ONE

    write(path, Approval(NOW + ahead * (LAPSES_SECONDS + 1), ONE))
    assert Approvals(path, lambda: NOW).current() is None


def test_a_file_that_cannot_be_read_is_reported(path: Path) -> None:
    path.mkdir()
    approvals = Approvals(path, lambda: NOW)

    assert approvals.current() is None
    assert "cannot be read" in approvals.fault
