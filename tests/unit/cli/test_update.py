"""`dragon committee update` extends what a home holds; `show --live` asks who has approved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from commands import run_dragon
from committees import Members, make_members, secret
from dragon.encoding import Json
from dragon.net.lineage_client import PAGE_SIZE
from dragon.protocol import committee_rules
from dragon.protocol.committee import UNSEALED, Committee, Sealed
from dragon.protocol.lineage import Lineage
from dragon_cli.fleet import lineages, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.main import main
from dragon_cli.trust import held
from epochs import Network, checkpoint, hand_over, new_operator, successor
from homes import committee_id
from wsgi import WsgiAdapter, WsgiApp

Run = Callable[..., tuple[int, str, str]]


def network(epochs: int, *, other: bool = False) -> Network:
    """A network that adds an operator, and then rotates a key in each epoch."""
    made = Network([make_members(4, targets=1)])
    for epoch in range(1, epochs + 1):
        if epoch == 1:
            made.step(add=["operator_6" if other else "operator_5"])
        else:
            made.step(rotate={"operator_2": secret(f"operator_2 of {epoch}")})
    return made


THREE = network(2)
OTHER = network(1, other=True)


def after(made: Network, epochs: int) -> Network:
    """The same network, when it had fewer epochs."""
    return Network(made.epochs[: epochs + 1], made.handovers[:epochs])


def forged_committee(members: Members, epoch: int, previous: bytes) -> Members:
    """A committee of other keys, which claims an epoch of the network."""
    made = make_members(4, name=members.committee.name)
    keys = {name: secret(f"thief of {name}") for name in made.secrets}
    forged = replace(
        made.committee,
        epoch=epoch,
        network=members.committee.network_id,
        previous=previous,
        sealed=Sealed(10, b"\xee" * 32) if epoch > 1 else UNSEALED,
        operators=tuple(new_operator(name, key) for name, key in keys.items()),
    )
    return Members(forged, keys)


def serve(lineage: Lineage, said: Mapping[str, object] | None = None) -> WsgiApp:
    """A service that answers `GET /lineage` page by page, and `GET /committee`."""

    def page(query: str) -> dict[str, object]:
        asked = dict(each.split("=") for each in query.split("&"))
        begin = int(asked["after"]) + 1
        end = min(begin + int(asked["limit"]), len(lineage.committees))
        rows = [
            {
                "epoch": epoch,
                "committee": lineage.committees[epoch].to_json(),
                "handover": lineage.handovers[epoch - 1].to_json() if epoch else None,
                "position": 10 * epoch if epoch else None,
            }
            for epoch in range(begin, end)
        ]
        checkpoint = lineage.checkpoint.to_json() if lineage.checkpoint else None
        following = end - 1 if end < len(lineage.committees) else None
        return {"committees": rows, "checkpoint": checkpoint, "next": following}

    def app(environ: dict[str, object], start: Callable[..., object]) -> list[bytes]:
        is_page = environ["PATH_INFO"] == "/lineage"
        answer = page(str(environ["QUERY_STRING"])) if is_page else said
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    return app


def broken(_environ: object, start: Callable[..., object]) -> list[bytes]:
    start("200 OK", [("Content-Type", "application/json")])
    return [b'{"committees": 1, "next": null, "checkpoint": null}']


def endless(_environ: object, start: Callable[..., object]) -> list[bytes]:
    start("200 OK", [("Content-Type", "application/json")])
    return [b'{"committees": [], "next": 7, "checkpoint": null}']


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> WsgiAdapter:
    made = WsgiAdapter()
    monkeypatch.setattr(queries, "make_session", lambda _ca: made.session())
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.committee_file.write_text(json.dumps(THREE.epochs[0].committee.to_json()))
    return made


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, "committee", *arguments, "--home", home.path)

    return command


def mount(wires: WsgiAdapter, app: WsgiApp, *names: str, members: Members | None = None) -> None:
    committee = (members or THREE.epochs[0]).committee
    for name in names or committee.keys:
        wires.mount(committee.urls[name].removeprefix("http://"), app)


def test_a_new_epoch_is_learnt(run: Run, wires: WsgiAdapter, home: Home) -> None:
    mount(wires, serve(THREE.lineage()))

    code, out, err = run("update")

    assert (code, err) == (0, "")
    assert "Epoch 0 → 2: a new committee holds." in out
    assert home.committee() == THREE.newest.committee
    found = Lineage.load(home.lineage_file.read_bytes())
    found.verify()
    assert found == THREE.lineage()
    assert held(home) == found


def test_what_was_learnt_is_told_as_json(run: Run, wires: WsgiAdapter, home: Home) -> None:
    mount(wires, serve(THREE.lineage()))

    told = json.loads(run("update", "--json")[1])

    assert told["id"] == committee_id(THREE.newest)
    assert (told["before"], told["epoch"]) == (0, 2)
    assert told["seen"] == THREE.lineage().seen
    assert told["file"] == str(home.lineage_file)


def test_a_known_lineage_is_kept_while_nothing_is_newer(
    run: Run, wires: WsgiAdapter, home: Home
) -> None:
    mount(wires, serve(THREE.lineage()))
    run("update")
    before = home.lineage_file.read_bytes(), home.committee_file.read_bytes()
    mount(wires, serve(after(THREE, 1).lineage()), members=THREE.newest)  # far behind

    code, out, _ = run("update")

    assert code == 0
    assert "The committee of epoch 2 still holds." in out
    assert (home.lineage_file.read_bytes(), home.committee_file.read_bytes()) == before


def test_the_longest_of_several_answers_counts(run: Run, wires: WsgiAdapter, home: Home) -> None:
    mount(wires, serve(after(THREE, 1).lineage()), "operator_1")
    mount(wires, broken, "operator_2")
    mount(wires, serve(THREE.lineage()), "operator_3")

    assert run("update")[0] == 0
    assert home.committee() == THREE.newest.committee


def test_a_lineage_of_many_pages(run: Run, wires: WsgiAdapter, home: Home) -> None:
    long = network(PAGE_SIZE + 1)
    mount(wires, serve(long.lineage()))

    assert run("update")[0] == 0
    assert home.committee() == long.newest.committee


def test_one_service_can_be_asked(run: Run, wires: WsgiAdapter, home: Home) -> None:
    wires.mount("aggregator:5100", serve(THREE.lineage()))

    assert run("update", "--from", "http://aggregator:5100")[0] == 0
    assert home.committee() == THREE.newest.committee


def test_fork_is_kept_as_evidence(run: Run, wires: WsgiAdapter, home: Home) -> None:
    mount(wires, serve(THREE.lineage()))
    run("update")
    before = home.lineage_file.read_bytes(), home.committee_file.read_bytes()
    mount(wires, serve(OTHER.lineage()), members=THREE.newest)

    code, out, err = run("update")

    assert (code, out) == (1, "")
    assert "refused: lineage_forked: Two committees of epoch 1 hold certificates" in err
    assert (home.lineage_file.read_bytes(), home.committee_file.read_bytes()) == before
    [kept] = home.path.glob("lineage-*.json")
    assert str(kept) in err
    assert Lineage.load(kept.read_bytes()) == OTHER.lineage()


def test_a_fork_is_found_by_the_committee_file_alone(
    run: Run, wires: WsgiAdapter, home: Home
) -> None:
    home.committee_file.write_text(json.dumps(THREE.epochs[1].committee.to_json()))
    mount(wires, serve(OTHER.lineage()))

    assert run("update")[0] == 1
    assert len(list(home.path.glob("lineage-*.json"))) == 1
    assert not home.lineage_file.exists()


def test_a_handover_without_a_checkpoint_leads_nowhere_yet(
    run: Run, wires: WsgiAdapter, home: Home
) -> None:
    whole, before = THREE.lineage(), after(THREE, 1).lineage()
    mount(wires, serve(Lineage(whole.committees, whole.handovers, before.checkpoint)))

    code, _, err = run("update")

    assert code == 1
    assert "lineage_unproven: operator_1: the committee of epoch 2 has certified no check" in err
    assert home.committee().epoch == 0


def test_another_network_is_refused(run: Run, wires: WsgiAdapter, home: Home) -> None:
    stranger = Network([make_members(4, name="stranger")])
    stranger.step(drop=["operator_4"])
    mount(wires, serve(stranger.lineage()))

    code, _, err = run("update")

    assert code == 1
    assert "wrong_committee" in err
    assert not home.lineage_file.exists()


def test_a_committee_that_no_handover_leads_to_replaces_nothing(
    run: Run, wires: WsgiAdapter, home: Home
) -> None:
    """A single lying service: a file of a later epoch, and a checkpoint by its own keys."""
    before = home.committee_file.read_bytes()
    for epoch, previous in ((7, b"\x07" * 32), (1, THREE.epochs[0].committee.id)):
        forged = forged_committee(THREE.epochs[0], epoch, previous)
        certified = checkpoint(forged, 10, b"\xcc" * 32, forged.committee.rounds.start(900))
        alone = Lineage((forged.committee,), (), certified)
        mount(wires, serve(alone), "operator_1")

        code, out, err = run("update")

        assert (code, out) == (1, "")
        assert "wrong_committee" in err
        assert home.committee_file.read_bytes() == before
        assert not home.lineage_file.exists()


def test_no_key_is_decoded_that_the_committee_before_has_not_certified(
    run: Run, wires: WsgiAdapter, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may list thousands of keys, and each costs a pairing."""
    forged = forged_committee(THREE.epochs[0], 1, THREE.epochs[0].committee.id)
    thieves = hand_over(
        *(Members(THREE.epochs[0].committee, forged.secrets), forged),
        size=10,
        root=bytes(32),
        timestamp=forged.committee.rounds.start(100),
    )
    whole = THREE.lineage()
    committees = (whole.committees[0], forged.committee)
    decoded: list[bytes] = []
    from_json = Committee.from_json

    def noted(value: Json) -> Committee:
        found = from_json(value)
        decoded.append(found.id)
        return found

    refused = {"bad_signature": thieves, "wrong_committee": whole.handovers[0]}
    for reason, handover in refused.items():
        mount(wires, serve(Lineage(committees, (handover,), whole.checkpoint)), "operator_1")
        with monkeypatch.context() as patched:
            patched.setattr(Committee, "from_json", noted)
            code, _, err = run("update")
        assert code == 1
        assert f"refused: {reason}: " in err
        assert forged.committee.id not in decoded


@pytest.mark.parametrize("app", [broken, endless])
def test_answers_that_are_no_lineage_are_refused(
    run: Run, wires: WsgiAdapter, home: Home, app: WsgiApp
) -> None:
    mount(wires, app)

    code, _, err = run("update")

    assert code == 1
    assert err.startswith("dragon: failed: bad_answer: operator_1: ")


def test_without_an_answer_nothing_is_learnt(run: Run, wires: WsgiAdapter, home: Home) -> None:
    code, _, err = run("update")

    assert code == 1
    assert "No response from operator_1, operator_2, operator_3, operator_4." in err


def test_a_damaged_lineage_file_is_named(run: Run, wires: WsgiAdapter, home: Home) -> None:
    home.lineage_file.write_text("{")

    code, _, err = run("update")

    assert code == 1
    assert str(home.lineage_file) in err


# Show


def said(members: Members, operator: str, approved: object) -> dict[str, object]:
    return {
        "epoch": members.committee.epoch,
        "committee": committee_id(members),
        "approved": {operator: approved},
        "seat": members.committee.rounds.genesis,
    }


def test_show_live_counts_who_has_approved(run: Run, wires: WsgiAdapter, home: Home) -> None:
    old, new = THREE.epochs[:2]
    for operator, approved in (
        ("operator_1", committee_id(new)),
        ("operator_2", committee_id(new)),
    ):
        mount(wires, serve(THREE.lineage(), said(old, operator, approved)), operator)
    mount(wires, serve(THREE.lineage(), said(new, "operator_3", committee_id(new))), "operator_3")

    code, out, _ = run("show", "--live")
    told = json.loads(run("show", "--live", "--json")[1])

    assert code == 0
    assert "2 of 4 have approved " in out
    assert "; 3 are needed." in out
    assert "The operators are in epoch 1, and the file is of epoch 0" in out
    by_id = {each["operator"]: each for each in told["operators"]}
    assert by_id["operator_1"]["approved"] == committee_id(new)
    assert by_id["operator_3"] | {"error": ""} == {
        "operator": "operator_3",
        "error": "",
        "epoch": 1,
        "committee": committee_id(new),
        "approved": None,  # it has its seat already
        "seat": new.committee.rounds.genesis,
    }
    assert by_id["operator_4"]["error"]


@pytest.mark.parametrize("answers", [True, False])
def test_show_live_names_whoever_joins_and_has_not_approved(
    run: Run, wires: WsgiAdapter, home: Home, answers: bool
) -> None:
    """Without its approval nothing happens, however many others approve."""
    old, new = THREE.epochs[:2]
    for operator in ("operator_1", "operator_2"):
        mount(wires, objects(new, said(old, operator, committee_id(new))), operator)
    if answers:
        newcomer = serve(THREE.lineage(), said(old, "operator_5", None))
        mount(wires, newcomer, "operator_5", members=new)

    out = run("show", "--live")[1]

    what = "must approve too" if answers else "does not answer"
    assert f"To join, and {what}: operator_5." in out


def objects(members: Members, answer: Mapping[str, object]) -> WsgiApp:
    """A service that has the file of a committee, and answers `GET /committee`."""

    def app(environ: dict[str, object], start: Callable[..., object]) -> list[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        is_file = environ["PATH_INFO"] == f"/objects/{committee_id(members)}"
        return [members.committee.encode() if is_file else json.dumps(answer).encode()]

    return app


def test_show_live_asks_nobody_whom_only_faulty_operators_name(
    run: Run, wires: WsgiAdapter, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one operator could make this host send requests to any address."""
    old, new = THREE.epochs[:2]
    [newcomer] = (each for each in new.committee.operators if each.id not in old.committee.keys)
    asked = f"{newcomer.url}/committee"

    def app(operator: str) -> WsgiApp:
        answer = serve(THREE.lineage(), said(old, operator, committee_id(new)))

        def one(environ: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
            if str(environ["PATH_INFO"]).startswith("/objects/"):
                start("200 OK", [])
                return [new.committee.encode()]
            return answer(environ, start)

        return one

    def no_pairing(_: Committee) -> None:
        raise AssertionError("the keys of a file that is only shown were checked")

    monkeypatch.setattr(committee_rules, "check", no_pairing)
    monkeypatch.setattr(Home, "committee", lambda _: old.committee)
    mount(wires, app("operator_1"), "operator_1")
    assert run("show", "--live")[0] == 0
    assert asked not in {url for _, url in wires.calls}

    mount(wires, app("operator_2"), "operator_2")
    assert run("show", "--live")[0] == 0
    assert asked in {url for _, url in wires.calls}


def test_hostile_answers_to_show_live_are_named(run: Run, wires: WsgiAdapter, home: Home) -> None:
    for approved in (1, "0x12", ["\x1b[2J"]):
        mount(wires, serve(THREE.lineage(), said(THREE.epochs[0], "operator_1", approved)))
        code, out, _ = run("show", "--live")
        assert code == 0
        assert "\x1b[2J" not in out


def test_show_without_a_file_shows_the_home(run: Run, home: Home) -> None:
    assert committee_id(THREE.epochs[0]) in run("show")[1]


def test_a_successor_is_approved_by_its_newest_lineage(
    run: Run, home: Home, tmp_path: Path
) -> None:
    """`assemble --after` takes the file that `update` writes, and no committee file alone."""
    lineages.write(home, THREE.lineage())
    options = ("--drop", "operator_1", "-o", tmp_path / "next.json")

    with pytest.raises(SystemExit) as done:
        main(["committee", "assemble", "--after", str(home.committee_file), *map(str, options)])
    assert done.value.code == 1
    with pytest.raises(SystemExit) as done:
        main(["committee", "assemble", "--after", str(home.lineage_file), *map(str, options)])
    assert not done.value.code
    following = successor(THREE.newest, THREE.handovers[-1], drop=["operator_1"])
    made = json.loads((tmp_path / "next.json").read_text())
    assert made["sealed"] == following.committee.to_json()["sealed"]
