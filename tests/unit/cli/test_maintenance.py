"""`dragon maintenance`: windows are announced with the key that speaks for the node, and listed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from commands import run_dragon
from committees import make_members, secret
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.maintenance import MAX_ANNOUNCED, MaintenanceClaim
from dragon.storage import keystore
from dragon_cli.fleet import queries
from dragon_cli.fleet.changing import Clock
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.repeating import MAX_OPEN
from dragon_cli.main import main
from dragon_cli.recurrence import Recurrence
from dragon_cli.render import certificates
from simulation import World

NOTICE = 600
MEMBERS = make_members(targets=2, owners=1, aggregators=2, maintenance_notice=NOTICE)
PASSWORD = "correct horse"
HOUR = 3600

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The files of a fleet whose nodes are certified, and the time then."""
    folder = tmp_path_factory.mktemp("maintenance")
    with World(folder, MEMBERS) as made:
        made.run(2, peers=False)
        return folder, made.clock.now


@pytest.fixture
def world(tmp_path: Path, files: tuple[Path, float]) -> Iterator[World]:
    folder, now = files
    with World(shutil.copytree(folder, tmp_path / "world"), MEMBERS, now=now) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder with the committee, and the keystores of an operator and of an owner."""
    found = Home(tmp_path)
    found.committee_file.write_text(json.dumps(MEMBERS.committee.to_json()))
    for name in ("operator_1", "owner_1"):
        keystore.write_private(found.keystore(name), keystore.seal(secret(name), PASSWORD))
        keystore.write_private(found.password(name), PASSWORD + "\n")
    return found


@pytest.fixture
def dragon(
    world: World,
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run `dragon …`: exit code, standard output, standard error."""
    monkeypatch.delenv("OPERATOR_ID", raising=False)
    monkeypatch.setattr(queries, "make_session", lambda _ca: world.session("client"))
    clock = SimpleNamespace(time=lambda: world.clock.now)
    for module in ("maintenance.add", "maintenance.list_", "incidents", "nodes", "status"):
        monkeypatch.setattr(f"dragon_cli.commands.{module}.time", clock)
    monkeypatch.setattr("dragon_cli.window_options.time", clock)
    simulated = Clock(clock.time, clock.time, lambda _: world.run(1))
    monkeypatch.setattr("dragon_cli.commands.maintenance.add.Clock", lambda _: simulated)

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run_dragon(capsys, *arguments, "--home", home.path)
        assert PASSWORD not in out + err
        return code, out, err

    return run


def announced(world: World, node_id: str) -> list[tuple[int, int]]:
    """The windows that every log has."""
    world.settle()
    logs = [world.components(name).log for name in world.operators]
    found = [
        [(each.claim.begin, each.claim.end) for each in log.announcements(node_id)] for log in logs
    ]
    assert all(each == found[0] for each in found)
    return found[0]


def posts(world: World) -> int:
    return sum(method == "POST" and "/maintenance" in url for method, url in world.wires.calls)


def refused(result: tuple[int, str, str], words: str, code: int = 1) -> None:
    assert (result[0], result[1]) == (code, "")
    assert result[2].startswith(f"dragon: {words}")


# -- a single window -------------------------------------------------------------------------------


def test_an_operator_announces_its_own_maintenance(world: World, dragon: Run) -> None:
    now = int(world.clock.now)

    code, out, err = dragon(
        "maintenance", "add", "operator_1", "--from", "+1h", "--for", "90m", "--wait"
    )

    assert (code, err) == (0, "")
    assert "signed: maintenance of operator_1 from " in out
    assert "Accepted by the aggregator at http://aggregator-0:5100" in out
    assert "It is in the logs." in out
    assert announced(world, "operator_1") == [(now + HOUR, now + HOUR + 5400)]


def test_the_owner_of_a_target_announces_in_its_own_time_zone(world: World, dragon: Run) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime.fromtimestamp(world.clock.now + 86_400, berlin).replace(microsecond=0)
    text = begin.replace(tzinfo=None).isoformat()
    until = begin.replace(tzinfo=None).replace(hour=23, minute=59, second=59).isoformat()

    code, out, _ = dragon(
        *("maintenance", "add", "target_1", "--from", text, "--to", until),
        *("--zone", "Europe/Berlin", "--json"),
    )

    told = json.loads(out)
    at = int(begin.timestamp())
    assert (code, told["verdict"], told["node_id"], told["from"]) == (0, "accepted", "target_1", at)
    assert announced(world, "target_1") == [(at, told["to"])]


def test_the_next_recurring_window_is_named_if_it_is_not_announced_yet(
    world: World, dragon: Run
) -> None:
    rare = ("--repeat", "0 3 1 1 *", "--for", "1h", "--ahead", "1h", "--once")

    code, out, _ = dragon("maintenance", "add", "operator_1", *rare)

    assert code == 0
    assert "-01-01 03:00:00 UTC; it is announced 1 h ahead.\n" in out
    assert "0 windows announced now, 0 known already." in out
    assert posts(world) == 0


def test_a_window_that_begins_too_soon_is_refused_with_the_earliest_begin(
    world: World, dragon: Run
) -> None:
    late = dragon("maintenance", "add", "operator_1", "--from", "+1m", "--for", "1h")

    refused(late, "refused: too_late: The window begins at ")
    assert "asks for 10 min of notice: at present " in late[2]
    assert posts(world) == 0
    earliest = late[2].partition("hint: Use `--from ")[2].partition("`")[0]
    assert dragon("maintenance", "add", "operator_1", "--from", earliest, "--for", "1h")[0] == 0
    at = int(datetime.fromisoformat(earliest).timestamp())
    assert announced(world, "operator_1") == [(at, at + HOUR)]
    assert NOTICE < at - world.clock.now < NOTICE + 120


def test_log_time_decides_what_is_too_late(world: World, dragon: Run) -> None:
    """The window is not certainly too late for this host, so it is sent."""
    lag = MEMBERS.committee.rounds.unknown_after
    log_time = int(world.components("aggregator_0").log.state.log_time)
    seconds = log_time + NOTICE - 1 - int(world.clock.now)
    assert seconds > NOTICE - lag

    late = dragon("maintenance", "add", "operator_1", "--from", f"+{seconds}s", "--for", "1h")

    refused(late, "refused: too_late: The window begins at ")
    assert posts(world) == 2  # the other aggregator may have another log


def test_a_window_too_far_ahead_or_too_long_is_refused(world: World, dragon: Run) -> None:
    far = dragon("maintenance", "add", "operator_1", "--from", "+91d", "--for", "1h")
    long = dragon("maintenance", "add", "operator_1", "--from", "+1d", "--for", "7d1s")

    refused(far, "refused: too_far: The window begins at ")
    refused(long, "refused: too_far: The window has 7 d 1 s; at most 7 d are possible.")
    assert "hint: A window begins at most 90 days ahead" in far[2]
    assert posts(world) == 0


def test_nobody_speaks_for_a_target_without_an_owner(world: World, dragon: Run) -> None:
    result = dragon("maintenance", "add", "target_2", "--from", "+1d", "--for", "1h")

    refused(result, "refused: no_owner: the committee lists no owner of target_2")
    assert "hint: `dragon target add ID URL --owner MEMBER` gives a target an owner" in result[2]
    assert posts(world) == 0


def test_an_unknown_node_is_refused(dragon: Run) -> None:
    result = dragon("maintenance", "add", "nobody", "--from", "+1d", "--for", "1h")

    refused(result, "refused: unknown_node: ")


def test_only_the_key_that_speaks_for_the_node_signs(world: World, dragon: Run, home: Home) -> None:
    when = ("--from", "+1d", "--for", "1h")
    own = (
        "--keystore",
        home.keystore("operator_1"),
        "--password-file",
        home.password("operator_1"),
    )

    missing = dragon("maintenance", "add", "operator_2", *when)
    other = dragon("maintenance", "add", "target_1", *when, *own)
    home.password("owner_1").write_text("another")
    wrong = dragon("maintenance", "add", "target_1", *when)

    refused(missing, "failed: keystore_error: operator_2 announces the maintenance of", code=2)
    assert "hint: Run the command where operator_2 has its key" in missing[2]
    refused(other, "refused: not_a_member: The keystore does not hold the key of owner_1")
    refused(wrong, "refused: keystore_refused: ")
    assert posts(world) == 0


def test_a_keystore_elsewhere_and_that_of_an_operators_settings_are_used(
    world: World, dragon: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = home.keystore("operator_1").rename(home.path / "mine.json")
    password = home.password("operator_1").rename(home.path / "mine.txt")
    files = ("--keystore", moved, "--password-file", password)

    assert (
        dragon("maintenance", "add", "operator_1", "--from", "+1d", "--for", "1h", *files)[0] == 0
    )
    monkeypatch.setenv("OPERATOR_ID", "operator_1")
    monkeypatch.setenv("OPERATOR_KEYSTORE", str(moved))
    monkeypatch.setenv("OPERATOR_PASSWORD_FILE", str(password))
    assert dragon("maintenance", "add", "operator_1", "--from", "+2d", "--for", "1h")[0] == 0
    assert len(announced(world, "operator_1")) == 2


def test_the_next_key_signs_once_the_committee_lists_it(
    world: World, dragon: Run, home: Home
) -> None:
    """The present key of the home was rotated away; the listed one lies beside it."""
    following = Home.next_key("operator_1")
    for path in (home.keystore, home.password):
        target = path(following)
        target.parent.mkdir(exist_ok=True)
        path("operator_1").rename(target)
    stale = keystore.seal(secret("former"), PASSWORD)
    keystore.write_private(home.keystore("operator_1"), stale)
    keystore.write_private(home.password("operator_1"), PASSWORD)

    assert dragon("maintenance", "add", "operator_1", "--from", "+1d", "--for", "1h")[0] == 0
    assert len(announced(world, "operator_1")) == 1


def test_the_same_window_is_announced_once(world: World, dragon: Run) -> None:
    begin = int(world.clock.now) + 86_400
    window = ("maintenance", "add", "operator_1", "--from", begin, "--for", "1h")

    assert dragon(*window, "--wait")[0] == 0
    refused(dragon(*window), "refused: applied_already: ")
    assert len(announced(world, "operator_1")) == 1


def test_at_most_sixteen_windows_are_open(world: World, dragon: Run) -> None:
    begin = int(world.clock.now) + 86_400
    for n in range(MAX_ANNOUNCED):
        world.announce("operator_1", begin + n, HOUR)

    result = dragon("maintenance", "add", "operator_1", "--from", "+2d", "--for", "1h")

    refused(result, "refused: enough_announced: 16 windows of operator_1 are announced")
    assert "hint: Wait until a window has ended" in result[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--for", "1h"), "Say when it begins with `--from`, or use `--repeat`."),
        (("--from", "+1d"), "Say how long it lasts with either `--for` or `--to`."),
        (("--from", "+1d", "--for", "1h", "--to", "+2d"), "with either `--for` or `--to`."),
        (("--from", "+2d", "--to", "+1d"), "`--from` (+2d) must be earlier than `--to` (+1d)."),
        (("--from", "soon", "--for", "1h"), "'soon' is not a time"),
        (("--from", "+1d", "--for", "0s"), "'0s' is not a duration"),
        (("--from", "+1d", "--for", "1h", "--once"), "belong to `--repeat`"),
        (("--from", "+1d", "--for", "1h", "--zone", "Mars/Base"), "is not a time zone"),
        (("--repeat", "0 3 * *", "--for", "1h"), "is not a cron expression: it has 4 fields"),
        (("--repeat", "0 3 * * 0"), "Say how long each window lasts with `--for`."),
        (("--repeat", "0 3 * * 0", "--for", "1h", "--from", "+1d"), "omit `--from` and `--to`"),
        (("--repeat", "0 * * * *", "--for", "61m"), "Windows overlap: "),
        (("--repeat", "0 3 * * 0", "--for", "1h", "--wait"), "`--wait` is for a single window"),
        (("--repeat", "0 3 * * 0", "--for", "1h", "--json"), "`--json` needs `--once`"),
    ],
)
def test_wrong_usage_announces_nothing(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.setattr(queries, "get", None)  # nothing is asked
    monkeypatch.setattr(queries, "aggregators", None)
    command = ["maintenance", "add", "operator_1", *options, "--home", str(home.path)]

    with pytest.raises(SystemExit) as done:
        main(command)

    out, err = capsys.readouterr()
    assert done.value.code == 2
    assert words in " ".join((out + err).split())


# -- recurring windows -----------------------------------------------------------------------------

DAILY = ("--repeat", "0 3 * * *", "--zone", "Europe/Berlin", "--for", "2h")


def test_recurring_windows_are_announced_ahead_and_four_places_stay_free(
    world: World, dragon: Run
) -> None:
    code, out, _ = dragon("maintenance", "add", "operator_1", *DAILY, "--once", "--json")

    told = json.loads(out)
    windows = Recurrence("0 3 * * *", ZoneInfo("Europe/Berlin"), 7200).begins(
        int(world.clock.now) + NOTICE
    )
    expected = [(begin, begin + 7200) for begin, _ in zip(windows, range(MAX_OPEN), strict=False)]
    assert (code, told["known"], told["refused"]) == (0, [], [])
    assert [(each["from"], each["to"]) for each in told["announced"]] == expected
    assert sorted(announced(world, "operator_1")) == expected


def test_running_it_again_or_twice_announces_nothing_more(world: World, dragon: Run) -> None:
    first = dragon("maintenance", "add", "operator_1", *DAILY, "--once")
    count = posts(world)
    world.settle()
    world.run(1)

    again = dragon("maintenance", "add", "operator_1", *DAILY, "--once")

    assert (first[0], again[0]) == (0, 0)
    assert f"{MAX_OPEN} windows announced now, 0 known already." in first[1]
    assert f"0 windows announced now, {MAX_OPEN} known already." in again[1]
    assert posts(world) == count
    assert len(announced(world, "operator_1")) == MAX_OPEN


def test_windows_are_announced_no_longer_ahead_than_wished(world: World, dragon: Run) -> None:
    code, out, _ = dragon("maintenance", "add", "operator_1", *DAILY, "--once", "--ahead", "3d")

    assert (code, out.splitlines()[-1]) == (0, "3 windows announced now, 0 known already.")
    assert len(announced(world, "operator_1")) == 3


# -- what is announced -----------------------------------------------------------------------------


def test_windows_are_listed_past_and_coming(world: World, dragon: Run) -> None:
    begin = int(world.clock.now) + NOTICE + 60
    world.announce("operator_1", begin, 60)
    world.announce("target_1", begin + 86_400, 7200)
    world.clock.now = begin + 30
    world.run(1)

    table = dragon("maintenance", "list")[1]
    listed = json.loads(dragon("maintenance", "list", "--json")[1])["maintenance"]
    world.clock.now = begin + 61
    opened = json.loads(dragon("maintenance", "list", "--open", "--json")[1])["maintenance"]
    one = json.loads(dragon("maintenance", "list", "operator_1", "--json")[1])["maintenance"]

    assert [(each["node_id"], each["from"], each["to"], each["state"]) for each in listed] == [
        ("target_1", begin + 86_400, begin + 93_600, "coming"),
        ("operator_1", begin, begin + 60, "now"),
    ]
    assert [each["node_id"] for each in opened] == ["target_1"]
    assert [(each["node_id"], each["state"]) for each in one] == [("operator_1", "past")]
    assert "2 h" in table
    assert "coming" in table
    assert dragon("maintenance", "list", "target_2")[1].endswith("announces no such maintenance.\n")


def test_status_nodes_and_incidents_show_maintenance(world: World, dragon: Run) -> None:
    begin = int(world.clock.now) + NOTICE + 60
    world.announce("operator_4", begin, 600)
    moment = datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert f"operator_4: {moment} to " in dragon("status")[1]
    world.clock.now = begin + 10
    world.run(1)
    world.stop("operator_4")
    world.run(3)

    status, nodes = dragon("status")[1], dragon("nodes")[1]
    outages = json.loads(dragon("incidents", "--node", "operator_4", "--open", "--json")[1])
    [outage] = outages["incidents"]

    assert "(now)" in status.partition("announced maintenance:")[2]
    assert f"operator_4: {moment} to " in nodes
    assert outage["seconds_maintenance"] == outage["seconds"] > 0
    assert "in maintenance" in dragon("incidents")[1]


def test_totals_name_the_downtime_in_announced_time() -> None:
    claim = DowntimeClaim("operator_1", 0, 1000, 100, 40, 7, 9, bytes(32))
    lines = certificates.totals(claim).splitlines()

    assert lines[-1] == "  of the downtime, 40 s in announced maintenance"
    assert len(certificates.totals(replace(claim, seconds_maintenance=0)).splitlines()) == 3


def test_the_sentence_of_an_announcement_claims_no_quorum() -> None:
    signed = MEMBERS.announce(MaintenanceClaim("operator_1", 7200, 10_800, 60))

    assert certificates.statement(signed, MEMBERS.committee) == (
        "maintenance of operator_1 from 1970-01-01 02:00:00 UTC to 1970-01-01 03:00:00 UTC was "
        "announced at 1970-01-01 00:01:00 UTC, signed by operator_1"
    )
