"""A log that has passed handovers: what the committees that a verifier knows vouch for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import Json, parse
from dragon.log.audit import audit
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon.protocol.trust import Trust
from epoch_log import EpochLog, opened, pass_three_handovers
from epochs import checkpoint


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[EpochLog]:
    with opened(tmp_path / "operator.db") as made:
        pass_three_handovers(made)
        yield made


@pytest.fixture
def young(tmp_path: Path) -> Iterator[EpochLog]:
    """A log of epoch 0 with one checkpoint."""
    with opened(tmp_path / "young.db") as made:
        made.status(Status.UP, 1)
        made.checkpoint(3)
        yield made


def copied(made: EpochLog, tmp_path: Path) -> Path:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(made.path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def test_a_log_is_verified_from_its_first_entry_with_the_newest_lineage(chain: EpochLog) -> None:
    lineage = Lineage.load(chain.lineage().encode())
    lineage.verify()

    found = audit(chain.path, lineage)

    assert found.state == chain.log.state
    assert (found.vouched.epoch, found.vouched.size) == (3, chain.log.state.marks[-1].size)
    assert audit(chain.path, lineage, batched=False) == found


def test_the_newest_committee_file_alone_is_enough(chain: EpochLog) -> None:
    """Its `previous` leads back to epoch 0, and it has accepted the log at its own handover."""
    found = audit(chain.path, Lineage.of(chain.newest.committee))

    assert (found.vouched.epoch, found.vouched.size) == (3, chain.log.state.marks[-1].size)


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_older_committee_vouches_up_to_its_last_handover(chain: EpochLog, epoch: int) -> None:
    found = audit(chain.path, chain.epochs[epoch].committee)

    assert found.size == chain.log.state.size
    assert (found.vouched.epoch, found.vouched.size) == (
        epoch,
        chain.handovers[epoch].claim.size,
    )


def test_a_log_without_marks_is_vouched_for_by_nobody(tmp_path: Path) -> None:
    with opened(tmp_path / "log.db") as made:
        made.status(Status.UP, 1)

        assert audit(made.path, made.newest.committee).vouched.size == 0


def test_an_old_copy_is_refused_beyond_the_last_handover_that_covers_it(
    chain: EpochLog, tmp_path: Path
) -> None:
    """Leaked keys of an old committee could have signed the end of the copy."""
    with opened(tmp_path / "old.db") as old:
        old.status(Status.UP, 1)
        old.checkpoint(3)
        old.status(Status.DOWN, 5)
        assert audit(old.path, chain.lineage()).vouched.size == chain.handovers[0].claim.size == 3
        old.status(Status.UP, 6)

        with pytest.raises(errors.Superseded) as refused:
            audit(old.path, chain.lineage())

        assert refused.value.facts == {"epoch": 3, "size": 3}
        assert audit(old.path, Trust(chain.lineage(), trust_from=0)).vouched.size == 3


def test_an_old_copy_needs_more_than_a_later_committee_file(
    young: EpochLog, chain: EpochLog
) -> None:
    """The file of epoch 3 alone says nothing about a log of epoch 0."""
    with pytest.raises(errors.Superseded) as refused:
        audit(young.path, chain.newest.committee)
    assert refused.value.facts["size"] == 0


def test_a_log_that_differs_from_a_handover_is_refused(chain: EpochLog, tmp_path: Path) -> None:
    """Leaked keys of epoch 0 sign another history of the same length."""
    with opened(tmp_path / "forged.db") as forged:
        forged.status(Status.UP, 2)
        forged.checkpoint(3)
        forged.status(Status.DOWN, 5)
        for known in (chain.lineage(), Trust(chain.lineage(), trust_from=0)):
            with pytest.raises(errors.Diverged) as refused:
                audit(forged.path, known)
            assert refused.value.facts["size"] == chain.handovers[0].claim.size


def test_a_log_that_differs_from_the_checkpoint_of_the_lineage_is_refused(
    chain: EpochLog,
) -> None:
    members = chain.newest
    time = members.committee.rounds.start(60)
    other = checkpoint(members, chain.log.state.size, bytes(32), time)

    with pytest.raises(errors.Diverged):
        audit(chain.path, replace(chain.lineage(), checkpoint=other))


def test_entries_between_a_handover_and_its_position_need_a_later_mark(tmp_path: Path) -> None:
    """A handover states the log of a round ago. Old keys could add entries just before it."""
    with opened(tmp_path / "log.db") as made:
        made.status(Status.UP, 1)
        made.checkpoint(3)
        added = made.newest.status("target_1", Status.DOWN, 5)
        made.hand_over(6, added, add=["operator_5"])
        made.status(Status.UP, 7)
        for known in (Lineage.of(made.newest.committee), made.lineage()):
            with pytest.raises(errors.Superseded):
                audit(made.path, known)
        made.checkpoint(15)

        assert audit(made.path, made.newest.committee).vouched.size == made.log.state.size - 1


def test_a_lineage_that_forks_from_the_log_is_refused(chain: EpochLog, tmp_path: Path) -> None:
    with opened(tmp_path / "fork.db") as fork:
        fork.status(Status.UP, 1)
        fork.checkpoint(3)
        fork.status(Status.DOWN, 5)
        fork.hand_over(10, drop=["operator_3"])
        for known in (fork.lineage(), fork.newest.committee):
            with pytest.raises(errors.WrongCommittee) as refused:
                audit(chain.path, known)
            assert refused.value.facts["epoch"] == 1


def test_the_lineage_of_another_network_is_refused(chain: EpochLog) -> None:
    with pytest.raises(errors.WrongCommittee):
        audit(chain.path, make_members(4, targets=1, name="another").committee)


def test_leaked_keys_cannot_replace_a_committee_of_a_copy(chain: EpochLog, tmp_path: Path) -> None:
    """The copy names another committee of epoch 1: its hash is not the one that epoch 2 names."""
    copy = copied(chain, tmp_path)
    with opened(tmp_path / "fork.db") as fork:
        fork.status(Status.UP, 1)
        fork.checkpoint(3)
        fork.status(Status.DOWN, 5)
        fork.hand_over(10, drop=["operator_3"])
        document = fork.newest.committee.encode().decode()
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE committees SET document = ? WHERE epoch = 1", (document,))

    with pytest.raises((errors.WrongCommittee, errors.DocumentMissing)):
        audit(copy, chain.newest.committee)


# -- pages of committees ---------------------------------------------------------------------------


def test_pages_of_committees(chain: EpochLog) -> None:
    log = chain.log
    everything: list[Json] = [
        {
            "committee": each.committee.to_json(),
            "epoch": each.committee.epoch,
            "handover": each.handover.to_json() if each.handover else None,
            "position": each.position,
        }
        for each in log.committees()
    ]
    for limit in range(1, 6):
        found: list[Json] = []
        after = -1
        while True:
            shown, following = log.lineage_page(after, limit, 1 << 20)
            found += [parse(each.to_json()) for each in shown]
            if following is None:
                break
            after = following
        assert found == everything
    assert log.lineage_page(3, 10, 1 << 20) == ([], None)
    assert log.lineage_page(4095, 10, 1 << 20) == ([], None)


def test_a_page_of_committees_has_few_bytes_and_at_least_one_committee(chain: EpochLog) -> None:
    first = len(chain.epochs[0].committee.encode())
    for most, epochs in ((0, 1), (first, 1), (2 * first, 1), (3 * first, 2)):
        shown, following = chain.log.lineage_page(-1, 100, most)
        assert (len(shown), following) == (epochs, epochs - 1), most


# -- the mark of an entry --------------------------------------------------------------------------


def test_an_entry_is_anchored_at_the_first_handover_that_covers_it_or_the_newest_mark(
    chain: EpochLog,
) -> None:
    chain.status(Status.DOWN, 46)  # which no mark covers
    state = chain.log.state
    for position in range(state.size):
        covering = [mark for mark in state.marks if mark.size > position]
        handovers = [mark for mark in covering if not mark.is_checkpoint]
        expected = (handovers[:1] or covering[-1:] or [None])[0]
        assert state.anchor(position) == expected, position
        proven = chain.log.anchored(position)
        assert (proven is None) is (expected is None)
        if proven is not None:
            proven.verify(chain.lineage())
    assert state.anchor(state.size - 1) is None
    with pytest.raises(errors.NotFound):
        chain.log.anchored(state.size)


def test_what_anyone_may_ask_for_decodes_no_keys(
    chain: EpochLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network may have thousands of epochs, and a committee thousands of keys."""
    first = chain.epochs[0].committee

    def decode(_: object) -> None:
        raise AssertionError("a committee file was decoded")

    monkeypatch.setattr(Committee, "from_json", decode)

    assert len(chain.log.lineage_page(-1, 100, 1 << 20)[0]) == 4
    assert chain.log.committee_file(first.id) == first.encode()
    assert chain.log.committee_file(bytes(32)) is None
