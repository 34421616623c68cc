"""`dragon verify` with the lineage of a network that has changed its committee three times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import run_dragon
from committees import Members, make_members, secret
from dragon.encoding import canonical, to_hex
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import short_id
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from epoch_log import EpochLog, opened, pass_three_handovers
from epochs import checkpoint, hand_over, successor

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EpochLog]:
    """A log of four epochs, its lineage, and the committee file of each epoch."""
    folder = tmp_path_factory.mktemp("epochs")
    with opened(folder / "operator.db") as log:
        pass_three_handovers(log)
        (folder / "lineage.json").write_bytes(log.lineage().encode())
        for epoch, members in enumerate(log.epochs):
            (folder / f"committee-{epoch}.json").write_bytes(members.committee.encode())
        yield log


@pytest.fixture
def verify(made: EpochLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dragon verify WHAT …`: exit code, standard output, standard error.

    `file` is a path, or a value that is written to a file.
    """

    def run(
        what: str, file: Path | Any, *options: object, known: str = "lineage.json"
    ) -> tuple[int, str, str]:
        if not isinstance(file, Path):
            file, value = tmp_path / "file.json", file
            file.write_bytes(canonical(value))
        chosen = ("--committee", made.path.with_name(known)) if known else ()
        return run_dragon(capsys, "verify", what, file, *chosen, *options)

    return run


def refused(result: tuple[int, str, str], reason: str) -> tuple[str, str]:
    """Return the sentence and the hint of a refusal, which may be empty."""
    code, out, err = result
    assert (code, out) == (1, "")
    sentence, *hint = err.splitlines()
    assert sentence.startswith(f"dragon: refused: {reason}: "), sentence
    return sentence, "".join(hint)


def document(result: tuple[int, str, str]) -> dict[str, Any]:
    assert result[0] == 0, result
    found: dict[str, Any] = json.loads(result[1])
    return found


def first_outage(made: EpochLog) -> int:
    """The position of the outage that epoch 0 certified."""
    return next(
        entry.position
        for entry in made.log.entries()
        if getattr(entry.event.claim, "status", None) is Status.DOWN
    )


def seen(made: EpochLog) -> int:
    time = made.lineage().seen
    assert time is not None
    return time


# -- certificates and events -----------------------------------------------------------------------


def test_a_certificate_of_the_newest_committee_is_verified(verify: Run, made: EpochLog) -> None:
    certified = made.newest.status("target_1", Status.DOWN, 50)

    code, out, err = verify("certificate", certified.to_json())
    told = document(verify("certificate", certified.to_json(), "--json"))

    assert (code, err) == (0, "")
    assert "Committee of epoch 3, the newest known, seen 2024-" in out
    assert (told["epoch"], told["newest_epoch"], told["seen"]) == (3, 3, seen(made))


def test_an_old_certificate_is_superseded_unless_its_keys_are_trusted(
    verify: Run, made: EpochLog
) -> None:
    certified = made.epochs[1].status("target_1", Status.DOWN, 12).to_json()

    sentence, hint = refused(verify("certificate", certified), "superseded")
    assert "the committee of epoch 1 has handed over (the newest known is of epoch 3)" in sentence
    assert "`dragon logs --event POSITION` prints the event with a mark" in hint
    assert "`--trust-from N`" in hint
    refused(verify("certificate", certified, "--trust-from", 2), "superseded")
    code, out, _ = verify("certificate", certified, "--trust-from", 1)
    assert code == 0
    assert "Committee of epoch 1; the newest known is of epoch 3, seen 2024-" in out


def test_an_old_event_needs_a_mark_that_covers_it(verify: Run, made: EpochLog) -> None:
    position = first_outage(made)
    bare, anchored = made.log.proven(position), made.log.anchored(position)
    assert anchored is not None

    _, hint = refused(verify("event", bare.to_json()), "superseded")
    assert f"`dragon logs --event {position}` prints it with a mark that covers it." in hint
    code, out, err = verify("event", anchored.to_json())
    assert (code, err) == (0, "")
    assert "A quorum certified this root in the round from 2024-" in out
    assert "(handover, epoch 0)." in out
    assert "The root itself was not verified" not in out
    told = document(verify("event", anchored.to_json(), "--json"))
    assert told["anchor"] == {
        "kind": "handover",
        "epoch": 0,
        "timestamp": made.handovers[0].claim.timestamp,
    }
    assert document(verify("certificate", anchored.to_json(), "--json"))["epoch"] == 0


def test_an_event_of_the_newest_committee_is_anchored_at_its_checkpoint(
    verify: Run, made: EpochLog
) -> None:
    position = made.log.state.marks[-1].position - 1
    anchored = made.log.anchored(position)
    assert anchored is not None
    assert isinstance(anchored.anchor, Certificate)

    told = document(verify("event", anchored.to_json(), "--json"))

    assert told["anchor"]["kind"] == "checkpoint"
    value = anchored.to_json()
    forged = {**anchored.anchor.to_json(), "size": 4}
    refused(verify("event", {**value, "anchor": forged}), "bad_signature")
    refused(verify("event", {**value, "anchor": value["event"]}), "unknown_kind")
    later = made.log.proven(position, anchored.size + 1).to_json()
    refused(verify("event", {**later, "anchor": value["anchor"]}), "invalid_proof")
    assert verify("event", {**value, "anchor": None})[0] == 0


def test_leaked_keys_of_an_older_epoch_certify_nothing(verify: Run, made: EpochLog) -> None:
    """An outage that never was, in a log that the same keys certify."""
    forged = made.epochs[0].status("target_1", Status.DOWN, 30)
    path = made.path.with_name("forged.db")
    with opened(path) as other:
        other.take(forged)
        certified = other.certify_log(31)
        logged = replace(other.log.proven(0), anchor=certified)

    refused(verify("event", logged.to_json()), "superseded")
    handed = hand_over(
        *(made.epochs[0], made.epochs[1]),
        size=logged.size,
        root=logged.root,
        timestamp=made.epochs[0].committee.rounds.start(31),
    )
    refused(verify("event", replace(logged, anchor=handed).to_json()), "superseded")


def test_a_handover_is_verified_with_both_committees(verify: Run, made: EpochLog) -> None:
    handover = made.handovers[1]

    code, out, _ = verify("certificate", handover.to_json())

    assert code == 0
    assert f"the committee handed over to {to_hex(handover.claim.next)} of epoch 2" in out
    few = replace(handover.acceptance, signers=handover.acceptance.signers[:2])
    refused(verify("certificate", replace(handover, acceptance=few).to_json()), "not_accepted")
    sentence, hint = refused(
        verify("certificate", handover.to_json(), known="committee-1.json"), "wrong_committee"
    )
    assert "is not in the lineage, which ends with epoch 1" in sentence
    assert "`dragon committee update` learns newer committees; or" in hint


def test_one_committee_file_verifies_what_that_committee_signed(
    verify: Run, made: EpochLog
) -> None:
    for epoch, members in enumerate(made.epochs):
        certified = members.status("target_1", Status.DOWN, 50).to_json()
        assert verify("certificate", certified, known=f"committee-{epoch}.json")[0] == 0
        other = f"committee-{(epoch + 1) % 4}.json"
        refused(verify("certificate", certified, known=other), "wrong_committee")


def downtime(members: Members, node_id: str) -> Certificate:
    begin = members.committee.rounds.start(0)
    claim = DowntimeClaim(node_id, begin, begin + 3600, 30, 0, 0, 12, bytes(32))
    return members.certify(claim, list(members.secrets)[:4])


def test_a_downtime_certificate_of_an_older_epoch_is_requested_again(
    verify: Run, made: EpochLog
) -> None:
    old = downtime(made.epochs[2], "target_1").to_json()

    _, hint = refused(verify("downtime", old), "superseded")

    assert "Request the certificate again with `dragon downtime`." in hint
    assert document(verify("downtime", old, "--trust-from", 2, "--json"))["epoch"] == 2


def test_the_downtime_of_a_node_that_is_listed_no_more(verify: Run, made: EpochLog) -> None:
    """A quorum has said so of that id."""
    assert "operator_1" not in made.newest.committee.urls

    code, out, _ = verify("downtime", downtime(made.newest, "operator_1").to_json())

    assert code == 0
    assert out.startswith("verified: operator_1 was down for 30 s")


# -- logs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", ["lineage.json", "committee-3.json"])
def test_a_log_that_passed_three_handovers_is_verified(
    verify: Run, made: EpochLog, known: str
) -> None:
    size = made.log.state.size

    code, out, err = verify("log", made.path, known=known)
    told = document(verify("log", made.path, "--json", known=known))

    assert (code, err) == (0, "")
    assert out.startswith(f"verified: all {size} log entries are valid; root 0x")
    assert f"The committee of epoch 3 vouches for the first {size - 1} entries." in out
    assert told["vouched"] == {"epoch": 3, "size": size - 1}
    assert told["seen"] == (seen(made) if known == "lineage.json" else None)
    assert told["nodes"]["target_1"]["status"] == "up"


def test_an_older_committee_file_names_what_it_vouches_for(verify: Run, made: EpochLog) -> None:
    told = document(verify("log", made.path, "--json", known="committee-0.json"))

    assert told["vouched"] == {"epoch": 0, "size": made.handovers[0].claim.size}
    assert (told["epoch"], told["newest_epoch"]) == (3, 0)


def test_a_copy_that_ends_in_an_older_epoch_is_superseded(
    verify: Run, made: EpochLog, tmp_path: Path
) -> None:
    with opened(tmp_path / "old.db") as old:
        old.status(Status.UP, 1)
        old.checkpoint(3)
        old.status(Status.DOWN, 5)
        old.status(Status.UP, 6)

    sentence, hint = refused(verify("log", tmp_path / "old.db"), "superseded")

    assert "vouches for the first 3 of 4 entries" in sentence
    assert "Get a newer copy of the log. `--trust-from N` trusts older keys" in hint
    assert verify("log", tmp_path / "old.db", "--trust-from", 0)[0] == 0


# -- lineages --------------------------------------------------------------------------------------


def test_a_lineage_is_verified(verify: Run, made: EpochLog) -> None:
    network, newest = to_hex(made.lineage().network_id), made.newest.committee
    path = made.path.with_name("lineage.json")

    code, out, err = verify("lineage", path, "--network", network)
    told = document(verify("lineage", path, "--json"))

    assert (code, err) == (0, "")
    assert out.startswith("verified: all 4 committees of test, with 3 handovers.\n")
    assert short_id(newest.id) in out
    assert told == {
        "verdict": "verified",
        "network": network,
        "name": "test",
        "epoch": 3,
        "committee": to_hex(newest.id),
        "short_id": short_id(newest.id),
        "seen": seen(made),
        "kept_epoch": 3,
    }


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ("committee-0.json", "It continues what you keep (epoch 0): `dragon committee update`"),
        ("committee-2.json", "It continues what you keep (epoch 2)"),
        ("committee-3.json", "It ends with the committee that you keep."),
        ("lineage.json", "It ends with the committee that you keep."),
    ],
)
def test_a_lineage_is_compared_with_what_is_kept(
    verify: Run, made: EpochLog, known: str, words: str
) -> None:
    code, out, _ = verify("lineage", made.lineage().to_json(), known=known)

    assert code == 0
    assert words in out


def test_an_older_lineage_is_said_to_be_older(verify: Run, made: EpochLog) -> None:
    older = made.lineage(1)

    code, out, _ = verify("lineage", older.to_json())

    assert code == 0
    assert "It is older than what you keep, which ends with epoch 3." in out


def test_a_committee_file_is_the_end_of_a_lineage(verify: Run, made: EpochLog) -> None:
    code, out, _ = verify("lineage", made.path.with_name("committee-3.json"))

    assert code == 0
    assert "this is the committee of epoch 3 of test alone" in out


def fork(made: EpochLog) -> Lineage:
    """A verified lineage with another committee of epoch 2."""
    other = EpochLog(made.log, made.path, made.epochs[:2], made.handovers[:1])
    following = hand_over_to(other, drop=["operator_3"])
    time = following.committee.rounds.start(50)
    certified = checkpoint(following, 40, bytes(32), time)
    committees = tuple(each.committee for each in other.epochs)
    return Lineage(committees, tuple(other.handovers), certified)


def hand_over_to(log: EpochLog, **changes: Any) -> Members:
    following = successor(log.newest, log.handovers[-1], **changes)
    time = log.newest.committee.rounds.start(20)
    log.handovers.append(hand_over(log.newest, following, size=20, root=bytes(32), timestamp=time))
    log.epochs.append(following)
    return following


def test_fork_is_kept_as_evidence(verify: Run, made: EpochLog, tmp_path: Path) -> None:
    """Both files stay as they are, and the refusal names who signed twice."""
    forked = tmp_path / "forked.json"
    forked.write_bytes(fork(made).encode())
    kept = made.path.with_name("lineage.json")
    before = kept.read_bytes(), forked.read_bytes()

    sentence, hint = refused(verify("lineage", forked), "lineage_forked")

    assert "name different committees of epoch 2; operator_1, operator_2" in sentence
    assert "signed both handovers" in sentence
    assert hint.startswith("hint: Keep both files: they show who signed twice.")
    assert (kept.read_bytes(), forked.read_bytes()) == before
    refused(verify("lineage", forked, known="committee-2.json"), "lineage_forked")
    refused(verify("lineage", forked, known="committee-3.json"), "lineage_forked")


def _spoilt(made: EpochLog, **changes: object) -> Lineage:
    return replace(made.lineage(), **changes)  # type: ignore[arg-type]


def _last(made: EpochLog, **changes: object) -> tuple[Handover, ...]:
    last = made.handovers[-1]
    certified = replace(last.certificate, **changes)  # type: ignore[arg-type]
    return (*made.handovers[:-1], replace(last, certificate=certified))


def _recycled_id(made: EpochLog) -> Lineage:
    return _continued(made, add=["operator_1"])


def _recycled_key(made: EpochLog) -> Lineage:
    return _continued(made, rotate={"operator_2": secret("operator_2")})


def _continued(made: EpochLog, **changes: Any) -> Lineage:
    other = EpochLog(made.log, made.path, list(made.epochs), list(made.handovers))
    hand_over_to(other, **changes)
    committees = tuple(each.committee for each in other.epochs)
    return Lineage(committees, tuple(other.handovers), None)


LINEAGES: dict[str, tuple[Callable[[EpochLog], Lineage], str]] = {
    "a committee is missing": (
        lambda made: _spoilt(made, committees=made.lineage().committees[1:]), "broken_succession",
    ),
    "handovers are exchanged": (
        lambda made: _spoilt(made, handovers=tuple(reversed(made.handovers))), "broken_succession",
    ),
    "an id returns": (_recycled_id, "recycled_id"),
    "a key returns": (_recycled_key, "recycled_key"),
    "a handover is missing": (
        lambda made: _spoilt(made, handovers=tuple(made.handovers[:2])), "lineage_error",
    ),
    "no checkpoint": (lambda made: _spoilt(made, checkpoint=None), "lineage_unproven"),
    "a forged signature": (
        lambda made: _spoilt(made, handovers=_last(made, signature=made.handovers[0].signature)),
        "bad_signature",
    ),
    "no signature": (
        lambda made: _spoilt(made, handovers=_last(made, signature=bytes(96))),
        "invalid_signature",
    ),
    "not accepted": (
        lambda made: _spoilt(
            made,
            handovers=(
                *made.handovers[:-1],
                replace(made.handovers[-1], acceptance=made.handovers[0].acceptance),
            ),
        ),
        "not_accepted",
    ),
    "a checkpoint of the committee before": (
        lambda made: _spoilt(made, checkpoint=made.lineage(2).checkpoint), "wrong_committee",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LINEAGES)
def test_a_lineage_that_does_not_hold_is_refused_by_name(
    verify: Run, made: EpochLog, what: str
) -> None:
    make, reason = LINEAGES[what]

    result = verify("lineage", make(made).to_json())

    assert result[0] == 1
    assert result[2].startswith(f"dragon: refused: {reason}: ")
    assert "file.json" in result[2]
    told = verify("lineage", make(made).to_json(), "--json")
    assert json.loads(told[1])["reason"] == reason


def test_a_committee_alone_does_not_show_its_network(
    verify: Run, made: EpochLog, tmp_path: Path
) -> None:
    """Its file says so, and whoever made it can let it say anything."""
    path = tmp_path / "alone.json"
    path.write_bytes(made.newest.committee.encode())

    found = verify("lineage", path, "--network", to_hex(made.lineage().network_id))

    refused(found, "lineage_error")


def test_the_lineage_of_another_network_is_refused(verify: Run, made: EpochLog) -> None:
    other = make_members(name="another").committee.to_json()
    path = made.path.with_name("lineage.json")

    _, hint = refused(verify("lineage", other), "wrong_committee")
    refused(verify("lineage", path, "--network", to_hex(bytes(32))), "wrong_committee")

    assert "`dragon committee update`" in hint
    assert verify("lineage", path, "--network", "0x00")[0] == 1


# -- files and options -----------------------------------------------------------------------------


def test_the_lineage_of_the_fleet_is_the_default(
    verify: Run, made: EpochLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    position = first_outage(made)
    anchored = made.log.anchored(position)
    assert anchored is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet/committee.json").write_bytes(made.newest.committee.encode())

    refused(verify("event", anchored.to_json(), known=""), "wrong_committee")
    (tmp_path / "fleet/lineage.json").write_bytes(made.lineage().encode())

    assert verify("event", anchored.to_json(), known="")[0] == 0
    assert verify("lineage", made.path.with_name("lineage.json"), known="")[0] == 0


def test_without_anything_that_is_kept_a_lineage_is_verified_alone(
    verify: Run, made: EpochLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = made.path.with_name("lineage.json")

    assert document(verify("lineage", path, "--json", known=""))["kept_epoch"] is None
    assert verify("lineage", path, known="none.json")[0] == 2


def test_trust_from_is_an_epoch_that_is_known(verify: Run, made: EpochLog) -> None:
    certified = made.newest.status("target_1", Status.DOWN, 50).to_json()
    for wrong in (4, -1, "x"):
        code, out, err = verify("certificate", certified, f"--trust-from={wrong}")
        assert (code, out) == (2, "")
        assert "--trust-from" in err


def test_a_lineage_that_does_not_hold_is_never_trusted(verify: Run, made: EpochLog) -> None:
    path = made.path.with_name("unproven.json")
    path.write_bytes(_spoilt(made, checkpoint=None).encode())
    certified = made.newest.status("target_1", Status.DOWN, 50).to_json()

    sentence, _ = refused(verify("certificate", certified, known=path.name), "lineage_unproven")

    assert "unproven.json" in sentence


def test_the_home_of_the_environment_is_used_where_no_committee_is_named(
    verify: Run, made: EpochLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name, source in (("committee.json", "committee-3.json"), ("lineage.json", "lineage.json")):
        (home / name).write_bytes(made.path.with_name(source).read_bytes())
    monkeypatch.setenv("DRAGON_HOME", str(home))

    code, out, _ = verify("lineage", home / "lineage.json", known="")

    assert code == 0
    assert short_id(made.epochs[3].committee.id) in out
    monkeypatch.setenv("DRAGON_HOME", str(tmp_path / "none"))
    assert verify("certificate", {}, known="")[2].startswith("dragon: failed: no_home")
