"""`dragon committee assemble`: deterministic files from member files and options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import run_dragon
from committees import make_members, secret
from dragon.encoding import to_hex
from dragon.protocol.committee import Committee
from dragon.protocol.member import Member, Role
from dragon_sequencer.devnet.setup import make_network
from dragon_sequencer.nodes import NodeList
from epochs import Network

Run = Callable[..., tuple[int, str, str]]

FOUNDING = ("--name", "example", "--genesis", "2026-12-01T12:00:00Z")


def member(name: str, *, key: str = "", url: str = "", role: Role = Role.OPERATOR) -> Member:
    place = url or f"https://{name.replace('_', '-')}.example.org"
    return Member.sign(role, name, None if role is Role.EXPERT else place, secret(key or name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Member files, node lists, and the lineage of a network of epoch 1."""
    members = [member(f"operator_{n}") for n in (1, 2, 3, 4, 5, 6)]
    members += [member("expert_1", role=Role.EXPERT)]
    for each in members:
        (tmp_path / f"{each.id}.json").write_text(json.dumps(each.to_json()))
    for name, nodes in (("nodes", 2), ("others", 1)):
        (tmp_path / f"{name}.json").write_text(make_network(nodes, "http://sequencer:6001")[1])
    network = Network([make_members(4, targets=1)])
    network.step(add=["operator_5"])
    (tmp_path / "lineage.json").write_bytes(network.lineage().encode())
    return tmp_path


@pytest.fixture
def assemble(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(folder)

    def run(*arguments: object, output: str = "next.json") -> tuple[int, str, str]:
        return run_dragon(capsys, "committee", "assemble", *arguments, "-o", output)

    return run


def made(folder: Path, name: str = "next.json") -> Committee:
    return Committee.load((folder / name).read_bytes())


def test_assemble_is_deterministic_in_any_order(assemble: Run, folder: Path) -> None:
    files = [f"operator_{n}.json" for n in (1, 2, 3, 4)]
    places = ("--aggregator", "https://b.example.org", "--aggregator", "https://a.example.org@1")
    targets = ("--target", "b=https://b.example.org", "--target", "a=https://a.example.org")
    lists = ("--nodes", "nodes.json", "--nodes", "others.json")

    code, out, _ = assemble(*files, "expert_1.json", *FOUNDING, *lists, *places, *targets)
    again, _, _ = assemble(
        *("expert_1.json", *reversed(files), *FOUNDING),
        *("--nodes", "others.json", "--nodes", "nodes.json", *places[2:], *places[:2]),
        *(*targets[2:], *targets[:2]),
        output="again.json",
    )

    assert (code, again) == (0, 0)
    assert (folder / "next.json").read_bytes() == (folder / "again.json").read_bytes()
    committee = made(folder)
    assert [each.id for each in committee.targets] == ["a", "b"]
    assert committee.experts[0].id == "expert_1"
    assert len(committee.sequencer.nodes_sha256) == 2
    assert "Compare the short id by voice: " in out


def test_the_next_committee_differs_only_where_an_option_says_so(
    assemble: Run, folder: Path
) -> None:
    before = json.loads((folder / "lineage.json").read_text())["committees"][-1]
    moved = member("operator_2", url="https://new.example.org")
    (folder / "moved.json").write_text(json.dumps(moved.to_json()))

    code, out, _ = assemble(
        *("operator_6.json", "moved.json", "--after", "lineage.json", "--drop", "operator_1"),
        *("--drop", "target_1", "--target", "site=https://example.org"),
        *("--drop", "http://aggregator-0:5100", "--aggregator", "https://agg.example.org@2"),
        *("--round-seconds", 10, "--quorum", "window=byzantine", "--threshold", 80),
        *("--nodes", "nodes.json", "--json"),
    )

    assert code == 0
    committee = made(folder)
    assert committee.epoch == 2
    assert list(committee.keys) == [f"operator_{n}" for n in (2, 3, 4, 5, 6)]
    assert committee.urls["operator_2"] == "https://new.example.org"
    assert committee.urls["site"] == "https://example.org"
    assert "target_1" not in committee.urls
    assert [(each.url, each.rank) for each in committee.aggregators] == [
        ("https://agg.example.org", 2)
    ]
    assert committee.rounds.seconds == 10
    assert committee.quorum_rules["window"] == "byzantine"
    assert committee.sequencer.threshold_percent == 80
    nodes = NodeList.decode((folder / "nodes.json").read_text()).sha256
    assert nodes in committee.sequencer.nodes_sha256
    assert {each["what"] for each in json.loads(out)["differences"]} >= {
        "operator operator_1",
        "operator operator_2",
        "operator operator_6",
        "round length",
    }
    for stays in ("name", "genesis", "experts"):
        assert committee.to_json()[stays] == before[stays]


def test_a_node_list_is_dropped_in_a_second_step(assemble: Run, folder: Path) -> None:
    lists = ("--nodes", "nodes.json", "--nodes", "others.json")
    files = [f"operator_{n}.json" for n in (1, 2, 3)]
    assemble(*files, *FOUNDING, *lists, output="first.json")

    assert assemble("--after", "first.json", "--drop-nodes", "nodes.json")[0] == 0

    [left] = made(folder).sequencer.nodes_sha256
    assert left == NodeList.decode((folder / "others.json").read_text()).sha256
    code, _, err = assemble("--after", "next.json", "--drop-nodes", "nodes.json", output="x.json")
    assert code == 1
    assert "lineage_error" in err  # of a later epoch, a committee file alone is not enough


def test_a_network_is_founded_anew(assemble: Run, folder: Path) -> None:
    options = ("--after", "lineage.json", "--refound", "--app", "again", "--drop", "operator_1")

    code, out, _ = assemble(*options, "--genesis", "2026-12-01T12:00:00Z")

    committee = made(folder)
    assert (code, committee.epoch, committee.sequencer.app) == (0, 0, "again")
    assert committee.network_id == committee.id
    assert list(committee.keys) == [f"operator_{n}" for n in (2, 3, 4, 5)]
    assert to_hex(committee.id)[2:6] in out


def test_nothing_changes_without_options_but_the_epoch(assemble: Run) -> None:
    assert "Nothing changes except the epoch." in assemble("--after", "lineage.json")[1]


DROPPED = [word for n in (1, 2, 3) for word in ("--drop", f"operator_{n}")]
REFUSED: dict[str, tuple[tuple[object, ...], int, str]] = {
    "no genesis": (("--after", "lineage.json", "--refound"), 2, "needs `--genesis`"),
    "no lineage": (("--refound", *FOUNDING), 2, "needs `--after`"),
    "genesis now": (
        ("--after", "lineage.json", "--refound", "--genesis", "now"),
        2,
        "the same for everybody",
    ),
    "an earlier genesis": (
        ("--after", "lineage.json", "--refound", "--genesis", "2020-01-01"),
        1,
        "hint: Nothing was written: check the options",
    ),
    "another name": (
        ("--after", "lineage.json", "--refound", "--genesis", "2026-12-01", "--name", "x"),
        2,
        "`--name` stays",
    ),
    "a name that stays": (("--after", "lineage.json", "--name", "x"), 2, "`--name` stays"),
    "too few": (
        ("--after", "lineage.json", *DROPPED),
        1,
        "too_few_operators",
    ),
    "a stranger": (("--after", "lineage.json", "--drop", "nobody"), 1, "does not list nobody"),
    "a used id": (("--after", "lineage.json", "--target", "operator_1=https://x.org"), 1, "twice"),
    "no rule": (("--after", "lineage.json", "--quorum", "window=many"), 2, "byzantine, majority"),
    "no kind": (("--after", "lineage.json", "--quorum", "lunch=2"), 2, "is none of"),
    "no rank": (("--after", "lineage.json", "--aggregator", "https://x.org@x"), 2, "rank"),
    "no target": (("--after", "lineage.json", "--target", "x"), 2, "expected id=url"),
    "a weak handover": (("--after", "lineage.json", "--quorum", "handover=3"), 1, "weak_handover"),
    "no member file": (("nodes.json", "--after", "lineage.json"), 1, "is not a member file"),
    "no lineage file": (("--after", "nodes.json"), 2, "is not a committee file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_assembled_is_refused(assemble: Run, folder: Path, what: str) -> None:
    arguments, code, said = REFUSED[what]

    ended, out, err = assemble(*arguments)

    assert (ended, out) == (code, "")
    assert said in err
    assert not (folder / "next.json").exists()


def test_no_file_is_overwritten(assemble: Run, folder: Path) -> None:
    (folder / "next.json").write_text("mine")

    assert assemble("--after", "lineage.json")[0] == 2
    assert (folder / "next.json").read_text() == "mine"
