"""`/verify` in a network that has changed its committee: the explorer's own log decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dragon.encoding import Json, canonical
from dragon.protocol.claims.status import Status
from dragon_explorer.epochs import Epochs
from dragon_explorer.sources import Sources
from dragon_explorer.views.verify import Verification, verification
from epoch_log import EpochLog, opened, pass_three_handovers

Verify = Callable[[Json], Verification]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EpochLog]:
    with opened(tmp_path_factory.mktemp("explorer") / "explorer.db") as log:
        pass_three_handovers(log)
        yield log


@pytest.fixture(scope="module")
def verify(made: EpochLog) -> Verify:
    parts = {"log": made.log, "epochs": Epochs(made.log), "committee": made.log.committee}
    sources = cast("Sources", SimpleNamespace(**parts))
    return lambda value: verification(canonical(value), sources)


def outcomes(found: Verification) -> dict[str, str]:
    return {line.name: line.outcome for line in found.lines}


ALL_HOLD = {"signatures": "holds", "inclusion": "holds", "log": "holds"}


def test_every_entry_of_the_log_is_verified(verify: Verify, made: EpochLog) -> None:
    """With or without a mark: the explorer's log has the same root."""
    for entry in made.log.entries():
        newest = entry.event.committee_id == made.newest.committee.id
        expected = ALL_HOLD if newest else {**ALL_HOLD, "committee": "holds"}
        for proven in (made.log.proven(entry.position), made.log.anchored(entry.position)):
            if proven is None:
                continue
            found = verify(proven.to_json())
            assert (found.verdict, outcomes(found)) == ("verified", expected), found
            command = "dragon verify event event.json --committee lineage.json"
            assert found.command == command


def test_a_certificate_of_an_older_committee_counts_if_the_log_has_it(
    verify: Verify, made: EpochLog
) -> None:
    applied = next(
        entry
        for entry in made.log.entries()
        if entry.event.committee_id == made.epochs[1].committee.id
    )

    found = verify(applied.event.to_json())

    assert found.verdict == "verified"
    assert f"the same claim as entry {applied.position}" in found.lines[-1].detail
    never: Any = made.epochs[1].status("target_1", Status.DOWN, 13)
    refused = verify(never.to_json())
    assert (refused.verdict, outcomes(refused)["committee"]) == ("refused", "refused")
    assert outcomes(verify(made.newest.status("target_1", Status.DOWN, 60).to_json())) == {
        "signatures": "holds"
    }


def test_leaked_keys_of_an_older_committee_are_refused(
    verify: Verify, made: EpochLog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(tmp_path_factory.mktemp("forged") / "forged.db") as forged:
        forged.status(Status.UP, 2)
        certified = forged.certify_log(3)
        logged = replace(forged.log.proven(0), anchor=certified)

    found = verify(logged.to_json())

    assert found.verdict == "refused"
    assert outcomes(found) == {
        "signatures": "holds", "inclusion": "holds", "log": "refused", "committee": "refused",
    }  # fmt: skip


def test_a_handover_is_verified_with_its_acceptance(verify: Verify, made: EpochLog) -> None:
    handover = made.handovers[0]
    assert verify(handover.to_json()).verdict == "verified"

    few = replace(handover.acceptance, signers=handover.acceptance.signers[:1])
    found = verify(replace(handover, acceptance=few).to_json())

    assert (found.verdict, outcomes(found)["signatures"]) == ("refused", "refused")
