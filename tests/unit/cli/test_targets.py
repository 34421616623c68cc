"""Targets by options and by files: what they make of a target, and how `target try` judges it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import run_dragon
from committees import make_members, secret
from dragon.errors import Unreachable
from dragon.net import tls
from dragon.net.http_client import HttpResponse
from dragon.net.runtime import Runtime
from dragon.protocol.committee import Committee, Target
from dragon.protocol.member import Member, Role
from dragon.protocol.target_checks import (
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TcpCheck,
    TlsCheck,
)
from dragon_cli.commands.target import list_, try_
from dragon_cli.fleet.layout import Home
from dragon_cli.render import output
from targets import ScriptedNetwork

EXAMPLE = Path(__file__).parents[3] / "deploy" / "targets.example.toml"
MEMBERS = make_members(4, targets=1)
BOX = secret("box")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path)
    found.committee_file.write_text(json.dumps(MEMBERS.committee.to_json()))
    write_member(tmp_path / "box.json", Role.TARGET, "box")
    write_member(tmp_path / "acme.json", Role.OWNER, "acme")
    return found


def write_member(file: Path, role: Role, name: str) -> None:
    file.write_text(json.dumps(Member.sign(role, name, None, secret(name)).to_json()))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> ScriptedNetwork:
    """What targets answer; only those with private addresses may be at `internal`."""
    scripted = ScriptedNetwork()
    real = Runtime.real

    def runtime(ca: Path | None = None) -> Runtime:
        made = real(ca)
        object.__setattr__(made, "networks", lambda _private: scripted)
        return made

    monkeypatch.setattr(try_.Runtime, "real", runtime)
    return scripted


@pytest.fixture
def dragon(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(home.path)

    def run(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, *arguments)

    return run


def tried(dragon: Run, home: Home, *arguments: object) -> dict[str, Any]:
    code, out, err = dragon("target", "try", *arguments, "--home", home.path, "--json")
    assert err == ""
    told: dict[str, Any] = json.loads(out)
    assert code == (told["status"] != "up")
    return told


# -- options ---------------------------------------------------------------------------------------


def http(**members: Any) -> dict[str, Any]:
    return {"kind": "http", **HttpCheck().members(), **members}


@pytest.mark.parametrize(
    ("arguments", "url", "check"),
    [
        (["http://site.example"], "http://site.example", http()),
        (["https://site.example/"], "https://site.example", http()),
        (
            ["http://site.example", "--status", "200-399,404", "--method", "HEAD"],
            "http://site.example",
            http(status=[[200, 399], [404, 404]], method="HEAD"),
        ),
        (
            ["http://site.example", "--contains", "Welcome", "--lacks", "Error"],
            "http://site.example",
            http(contains="Welcome", lacks="Error"),
        ),
        (
            [
                *("http://site.example", "--header", "Accept: text/html", "--header", "x-a:b:c"),
                *("--redirect-host", "www.site.example", "--timeout", "1500ms"),
            ],
            "http://site.example",
            http(
                headers={"accept": "text/html", "x-a": "b:c"},
                redirect_hosts=["www.site.example"],
                timeout_ms=1500,
            ),
        ),
        (
            ["--tcp", "db.example:5432"],
            "tcp://db.example:5432",
            {"kind": "tcp", "timeout_ms": 1000},
        ),
        (["tcp://db.example:1"], "tcp://db.example:1", {"kind": "tcp", "timeout_ms": 1000}),
        (
            ["--tls", "mail.example:465", "--warn-days", "30", "--timeout", "2s"],
            "tls://mail.example:465",
            {"kind": "tls", "timeout_ms": 2000, "warn_days": 30},
        ),
        (
            [
                *("http://rpc.example", "--jsonrpc", "height", "--behind", "3", "--group", "chain"),
                *("--params", '["latest"]', "--pointer", "/result/height"),
            ],
            "http://rpc.example",
            {
                "kind": "jsonrpc",
                "method": "height",
                "params": ["latest"],
                "pointer": "/result/height",
                "behind": 3,
                "group": "chain",
                "timeout_ms": 1000,
            },
        ),
    ],
)
def test_options_describe_a_target(
    dragon: Run,
    home: Home,
    network: ScriptedNetwork,
    arguments: list[str],
    url: str,
    check: dict[str, Any],
) -> None:
    network.answers = {
        url: HttpResponse(200, b'{"result":{"height":7}}'),
        url.partition("//")[2]: HttpResponse(200, b""),
    }

    target = tried(dragon, home, *arguments)["target"]

    assert (target["url"], target["check"]) == (url, check)
    assert (target["owner"], target["private_addresses"]) == ("", False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name the URL of the target, or use --tcp, --tls or --heartbeat."),
        (["--tcp", "a:1", "--tls", "b:1"], "A target has one check: use `--tcp` or `--tls`."),
        (["http://a.example", "--tcp", "a:1"], "`--tcp` takes the place of the URL"),
        (["--tcp", "a:1", "--status", "200"], "`--status` is for checks of the kind http, and"),
        (["http://a.example", "--warn-days", "3"], "`--warn-days` is for checks of the kind tls"),
        (["http://a.example", "--behind", "3"], "`--behind` is for checks of the kind jsonrpc"),
        (["http://a.example", "--every", "60s"], "`--every` is for checks of the kind heartbeat"),
        (["--heartbeat", "box.json", "--timeout", "1s"], "`--timeout` is for checks of the kind"),
        (["--heartbeat", "box.json"], "box.json is the member file of box, not of target."),
        (["box", "--heartbeat", "acme.json"], "the member file of an owner; `dragon key new box"),
        (["box", "--heartbeat", "box.json"], "Nobody looks at a target with heartbeats"),
        (["http://a.example", "--jsonrpc", "height"], "`--jsonrpc` needs `--behind`"),
        (["http://a.example", "--status", "2xx"], "'2xx' is not a status or a range of status"),
        (["http://a.example", "--header", "accept"], "'accept' is not a header; expected NAME"),
        (["http://a.example", "--timeout", "fast"], "'fast' is not a timeout, such as 500ms"),
        (["http://a.example", "--params", "[1", "--jsonrpc", "h"], "'[1' is not JSON"),
        (["target_1", "--contains", "x"], "target_1 is tried as it is listed: omit `--contains`"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    dragon: Run, home: Home, network: ScriptedNetwork, arguments: list[str], words: str
) -> None:
    code, out, err = dragon("target", "try", *arguments, "--home", home.path)

    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert network.calls == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ftp://a.example"], "unknown_value: a URL must be http://host:port or https://"),
        (["http://a.example?x=1"], "unknown_value: a URL must be http://host:port"),
        (["http://a.example", "--header", "Authorization: x"], "would hold a secret, and the comm"),
        (["http://a.example", "--timeout", "3s"], "timeout_ms must be between 1000 and 2500"),
        (["http://a.example", "--status", "200-700"], "integer_out_of_range: last must be"),
        (["--tcp", "a.example"], "the URL must be tcp://host:port in lower case"),
        (["http://a.example", "--method", "HEAD", "--contains", "x"], "the answer to HEAD has no"),
        (["nothing"], "unknown_node: The committee lists no target nothing; its targets are: ta"),
    ],
)
def test_what_a_committee_file_cannot_hold_is_refused_with_a_hint(
    dragon: Run, home: Home, network: ScriptedNetwork, arguments: list[str], words: str
) -> None:
    code, out, err = dragon("target", "try", *arguments, "--home", home.path)

    assert (code, out) == (1, "")
    assert words in err
    assert "hint: `dragon target " in err
    assert network.calls == []


# -- one look --------------------------------------------------------------------------------------


def test_try_says_what_an_operator_would_judge(
    dragon: Run, home: Home, network: ScriptedNetwork
) -> None:
    network.answers = {
        "http://target-1": HttpResponse(200, b"fine"),
        "http://target-1:80": HttpResponse(200, b"fine"),
        "http://site.example": HttpResponse(302, b"", location="http://other.example/"),
    }

    up = dragon("target", "try", "target_1", "--home", home.path)
    down = dragon("target", "try", "http://site.example", "--home", home.path)
    text = dragon("target", "try", "x", "http://target-1:80", "--contains", "Welcome")

    assert up[0] == 0
    assert up[1].splitlines()[0] == (
        "http://target-1:80: http GET, status 200-299, timeout 1000 ms"
    )
    assert up[1].splitlines()[1].startswith("up: answered after ")
    assert down[0] == 1
    assert "down: status_302 after " in down[1]
    assert "hint: `--redirect-host HOST` follows redirects to a host;" in down[1]
    assert text[0] == 1
    assert "down: text_missing after " in text[1]
    assert text[1].rstrip().endswith(": fine")


@pytest.mark.parametrize(("reason", "status"), [("private_address", "down"), ("dns", "unknown")])
def test_try_judges_nothing_where_an_operator_would_abstain(
    dragon: Run, home: Home, network: ScriptedNetwork, reason: str, status: str
) -> None:
    network.answers = {"http://site.example": Unreachable("no answer", reason=reason)}

    code, out, _ = dragon("target", "try", "http://site.example", "--home", home.path)

    assert code == 1
    assert f"{status}: {reason} after " in out


def test_try_shows_when_a_certificate_ends(
    dragon: Run, home: Home, network: ScriptedNetwork
) -> None:
    network.answers = {"mail.example:465": HttpResponse(200, b"")}
    network.certificates = {"mail.example:465": 4_000_000_000}

    told = tried(dragon, home, "--tls", "mail.example:465")
    shown = dragon("target", "try", "--tls", "mail.example:465", "--home", home.path)[1]

    assert (told["status"], told["certificate_expires"]) == ("up", 4_000_000_000)
    assert "certificate: ends at 2096-10-02 07:06:40 UTC, in " in shown


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (
            tls.UNTRUSTED,
            "hint: Operators trust the CAs of their system, and those of DRAGON_TLS_CA.",
        ),
        (tls.NO_TLS, "hint: `--tcp HOST:PORT` checks a port that does not speak TLS."),
        ("its certificate has expired", ""),
    ],
)
def test_try_gives_advice_that_fits_the_fault_of_a_tls_target(
    dragon: Run, home: Home, network: ScriptedNetwork, fault: str, advice: str
) -> None:
    network.answers = {"mail.example:465": Unreachable(f"no answer: {fault}", reason="tls")}

    code, out, _ = dragon("target", "try", "--tls", "mail.example:465", "--home", home.path)

    assert code == 1
    assert fault in out
    assert out.partition("hint: ")[2] == advice.removeprefix("hint: ") + "\n" * bool(advice)


def test_try_needs_no_fleet(dragon: Run, network: ScriptedNetwork, tmp_path: Path) -> None:
    network.answers = {"http://site.example": HttpResponse(204, b"")}

    code, out, _ = dragon("target", "try", "http://site.example", "--home", tmp_path / "none")

    assert code == 0
    assert "up: answered after " in out


# -- files -----------------------------------------------------------------------------------------

FOUNDING = ("--name", "example", "--genesis", "2026-12-01T12:00:00Z", "--nodes", "nodes.json")


@pytest.fixture
def folder(home: Home) -> Path:
    """Member files and a node list for `dragon committee assemble`."""
    from dragon_sequencer.devnet.setup import make_network  # noqa: PLC0415

    for n in (1, 2, 3, 4):
        name = f"operator_{n}"
        url = f"https://operator-{n}.example.org"
        file = home.path / f"{name}.json"
        file.write_text(json.dumps(Member.sign(Role.OPERATOR, name, url, secret(name)).to_json()))
    write_member(home.path / "machine.json", Role.TARGET, "machine")
    (home.path / "nodes.json").write_text(make_network(1, "http://sequencer:6001")[1])
    shutil.copy(EXAMPLE, home.path / "targets.toml")
    return home.path


OPERATORS = tuple(f"operator_{n}.json" for n in (1, 2, 3, 4))


def assembled(dragon: Run, folder: Path, *options: object) -> Committee:
    (folder / "made.json").unlink(missing_ok=True)
    arguments = ("committee", "assemble", *OPERATORS, *FOUNDING, *options, "-o", "made.json")
    code, out, err = dragon(*arguments)
    assert (code, err) == (0, ""), out
    return Committee.load((folder / "made.json").read_bytes())


def test_the_example_of_a_file_of_targets_is_complete(dragon: Run, folder: Path) -> None:
    made = assembled(dragon, folder, "acme.json", "--targets", "targets.toml")

    targets = {each.id: each for each in made.targets}
    assert {type(each.check) for each in made.targets} == {
        HttpCheck, TcpCheck, TlsCheck, JsonRpcCheck, HeartbeatCheck,
    }  # fmt: skip
    shop, machine = targets["shop"], targets["machine"].check
    assert isinstance(shop.check, HttpCheck)
    assert shop.check.status == ((200, 299), (401, 401))
    assert (shop.owner, shop.suspect_after, shop.recover_after) == ("acme", 2, 3)
    assert isinstance(machine, HeartbeatCheck)
    assert machine.public_key == secret("machine").public_key()
    assert targets["database"].private_addresses is True
    assert [each.id for each in made.owners] == ["acme"]


def test_json_and_options_make_the_same_committee_as_toml(dragon: Run, folder: Path) -> None:
    (folder / "t.toml").write_text('[[targets]]\nid = "a"\nurl = "http://a.example"\n')
    (folder / "t.json").write_text('{"targets":[{"id":"a","url":"http://a.example"}]}')
    notice = ("--maintenance-notice", "2h")

    toml = assembled(dragon, folder, "--targets", "t.toml", *notice)
    by_json = assembled(dragon, folder, "--targets", "t.json", *notice)
    option = assembled(dragon, folder, "--target", "a=http://a.example", *notice)

    assert toml.id == by_json.id == option.id
    assert toml.targets == (Target("a", "http://a.example"),)
    assert toml.maintenance_notice == 7200
    assert assembled(dragon, folder, "--maintenance-notice", "0s").maintenance_notice == 0
    assert assembled(dragon, folder).maintenance_notice == 3600


def test_a_file_may_have_urls_with_a_slash_at_the_end(dragon: Run, folder: Path) -> None:
    """As the commands take them."""
    (folder / "t.toml").write_text('[[targets]]\nid = "a"\nurl = "http://a.example/"\n')

    made = assembled(dragon, folder, "--targets", "t.toml")

    assert made.targets == (Target("a", "http://a.example"),)


def test_defaults_of_a_check_follow_from_the_length_of_the_rounds(
    dragon: Run, folder: Path
) -> None:
    made = assembled(dragon, folder, "--target", "a=tcp://a.example:1", "--round-seconds", "10")

    assert made.targets == (Target("a", "tcp://a.example:1", TcpCheck(timeout_ms=2000)),)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.toml", "targets = 1", "t.toml: targets must be a list"),
        ("t.toml", "[[targets]", "t.toml: not TOML of numbers, texts, lists and tables"),
        ("t.toml", "a = 2026-01-01", "t.toml: not TOML of numbers"),
        ("t.toml", "a = 1.5", "t.toml: "),
        ("t.json", "{", "t.json: not JSON"),
        ("t.json", '{"targets":[1]}', "t.json: a target must be a table"),
        ("t.json", '{"targets":[],"x":1}', "t.json: the file has no member x"),
        ("t.json", '{"targets":[{"id":"a"},{"id":"a"}]}', "t.json: the target a is listed 2 tim"),
        (
            "t.json",
            '{"targets":[{"id":"a","url":"http://a","up":1}]}',
            "target a: a target has no member up",
        ),
        ("t.toml", '[[targets]]\nid="a"\ncheck={kind="icmp"}', "kind must be"),
        (
            "t.toml",
            '[[targets]]\nid="a"\ncheck={kind="heartbeat", member_file="gone.json"}',
            "gone.json",
        ),
    ],
)
def test_other_files_of_targets_are_refused(
    dragon: Run, folder: Path, name: str, text: str, words: str
) -> None:
    (folder / name).write_text(text)

    code, out, err = dragon(
        "committee", "assemble", *OPERATORS, *FOUNDING, "--targets", name, "-o", "made.json"
    )

    assert (code, out) in ((1, ""), (2, ""))
    assert words in err
    assert "`dragon target add --help`" not in err
    assert not (folder / "made.json").exists()


def test_one_target_in_two_places_and_an_unknown_owner_are_refused(
    dragon: Run, folder: Path
) -> None:
    common = ("committee", "assemble", *OPERATORS, *FOUNDING, "--targets", "targets.toml")

    twice = dragon(*common, "acme.json", "--target", "mail=http://m.example", "-o", "made.json")
    nobody = dragon(*common, "-o", "made.json")

    assert "refused: listed_twice: the target mail is listed 2 times" in twice[2]
    assert "refused: unknown_owner: the owner of shop must be a listed operator" in nobody[2]
    assert "hint: Give `dragon committee assemble` the member file of" in nobody[2]
    assert not (folder / "made.json").exists()


def test_a_new_fleet_has_targets_owners_and_a_notice(dragon: Run, folder: Path) -> None:
    fleet = folder / "fleet"
    options = ("--targets", "targets.toml", "--owner-member", "acme.json")
    made = ("init", "--home", fleet, *options, "--maintenance-notice", "30m")

    code, _, err = dragon(*made)

    committee = Home(fleet).committee()
    assert (code, err) == (0, "")
    assert [each.id for each in committee.owners] == ["acme"]
    assert "shop" in committee.targets_by_id
    assert committee.maintenance_notice == 1800
    assert dragon(*made, "--once")[0] == 0
    again = dragon("init", "--home", fleet, "--once", "--maintenance-notice", "30m")
    assert "The committee in " in again[2]
    assert "differs: targets chain-1, database, machine, mail, mail-tls, shop, not none" in again[2]
    wrong = dragon("init", "--home", folder / "other", "--owner-member", "operator_1.json")
    assert "operator_1.json is the member file of operator_1, no owner." in wrong[2]
    compose = dragon("init", "--compose", "--targets", "targets.toml")
    assert "`--compose` does not support `--targets`" in " ".join(compose[2].split())


# -- what people agree to --------------------------------------------------------------------------


def test_show_and_diff_state_checks_owners_and_private_addresses(dragon: Run, folder: Path) -> None:
    made = assembled(dragon, folder, "acme.json", "--targets", "targets.toml")
    (folder / "one.json").write_bytes(made.encode())
    changed = (folder / "targets.toml").read_text().replace("[401, 401]", "[403, 403]")
    changed = changed.replace(
        'url = "https://rpc-1.example.org"', 'url = "https://rpc-2.example.org"'
    )
    (folder / "targets.toml").write_text(changed.replace("tcp", "tls").replace("mail-tls", "post"))
    assembled(dragon, folder, "acme.json", "--targets", "targets.toml")

    shown = dragon("committee", "show", "one.json")[1]
    differences = dragon("committee", "diff", "one.json", "made.json")[1].splitlines()

    assert "  target    database  http://10.0.0.5:8080" in shown
    assert "            private addresses allowed" in shown
    assert 'http GET, status 200-299, 401, contains "\\"ok\\":true", lacks "maintenance"' in shown
    assert "suspected after 2 looks, recovered after 3 looks, owner acme" in shown
    assert "heartbeat, key 0x" in shown
    assert "down after 120 s without a beat" in shown
    assert "target shop, status: 200-299, 401 → 200-299, 403" in differences
    assert (
        "target chain-1, URL: https://rpc-1.example.org → https://rpc-2.example.org" in differences
    )
    [mail] = [line for line in differences if line.startswith("target mail:")]
    assert "tcp://mail.example.org:25, tcp, timeout 1000 ms" in mail
    assert "→ tls://mail.example.org:25, tls, warning 14 days" in mail
    assert any(line.startswith("target mail-tls leaves: tls://") for line in differences)
    assert any(line.startswith("target post joins: tls://") for line in differences)


def test_check_names_the_targets_that_may_have_private_addresses(dragon: Run, folder: Path) -> None:
    assembled(dragon, folder, "acme.json", "--targets", "targets.toml")

    shown = dragon("committee", "check", "made.json", "acme.json", "machine.json")
    told = json.loads(dragon("committee", "check", "made.json", "--json")[1])

    assert shown[0] == 0
    assert "private networks for database at http://10.0.0.5:8080." in shown[1]
    assert told["private"] == ["database at http://10.0.0.5:8080"]


def test_list_shows_url_check_and_owner_of_each_target(
    dragon: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committee = assembled(dragon, folder, "acme.json", "--targets", "targets.toml")
    monkeypatch.setattr(list_.current, "committee", lambda *_: committee)
    monkeypatch.setattr(output.rich_console(), "_width", 200)

    told = json.loads(dragon("target", "list", "--json")[1])
    shown = dragon("target", "list")[1]

    assert told["targets"] == committee.to_json()["targets"]
    [shop] = [line for line in shown.splitlines() if line.startswith("shop")]
    assert shop.split()[1:4] == ["https://shop.example.org/health", "http", "GET,"]
    assert shop.rstrip().endswith("acme")
    assert "http://10.0.0.5:8080 (private addresses allowed)" in shown
