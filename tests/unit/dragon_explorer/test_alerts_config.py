"""The file of alerts, its routes and secrets; and apprise."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alerting import PaperFleet, config
from committees import make_members
from dragon.errors import DragonError, SettingsError
from dragon_explorer.alerts.channels import AppriseChannel
from dragon_explorer.alerts.conditions import FACTS, Condition
from dragon_explorer.alerts.config import AlertsConfig, read
from dragon_explorer.alerts.messages import TITLES
from dragon_explorer.alerts.outbox import Message
from dragon_explorer.alerts.routes import Route
from dragon_explorer.settings import Settings

COMMITTEE = make_members(4, targets=2).committee
ALERTS_PAGE = Path(__file__).parents[3] / "docs" / "alerts.md"
EXAMPLE = Path(__file__).parents[3] / "deploy" / "alerts.example.toml"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
ROUTE = '[routes.team]\ntype = "webhook"\nurl = "https://example.org/secret-path"\n'
RULE = '[[rules]]\nname = "nodes"\non = ["node_down"]\nroutes = ["team"]\n'
MESSAGE = Message("msg_1", "nodes", "node_down.begun", 0.0, "title", "text", "{}")


def write(folder: Path, text: str, **files: str) -> Path:
    for name, content in files.items():
        (folder / name).write_text(content)
    path = folder / "alerts.toml"
    path.write_text(text)
    return path


def mistakes(folder: Path, text: str, **files: str) -> list[str]:
    return read(write(folder, text, **files), COMMITTEE.urls)[1]


def test_the_example_has_no_mistake(tmp_path: Path) -> None:
    keys = tmp_path / "keys" / "explorer"
    keys.mkdir(parents=True)
    (keys / "team-url").write_text("https://example.org/hook\n")
    (keys / "team-secret").write_text(f"{SECRET}\n{SECRET}\n")
    (keys / "phone-url").write_text("tgram://token/chat\n")
    made, found = read(write(tmp_path, EXAMPLE.read_text()), COMMITTEE.urls)

    assert [each for each in found if "not installed" not in each] == []
    assert {rule.name for rule in made.rules} == {
        *("nodes", "notices", "certification", "committee", "streams", "upkeep")
    }
    assert set().union(*(rule.conditions for rule in made.rules)) == set(Condition)
    assert made.routes["team"].target == "https://example.org"
    assert made.routes["phone"].target == "tgram"
    assert len(made.routes["team"].secrets) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ROUTE, "`rules` is missing"),
        (RULE, "`rules[1].routes` has 'team'; the file describes no route"),
        (ROUTE + RULE + "color = 1\n", "`rules[1].color` is unknown; expected one of name, on,"),
        (ROUTE + RULE + 'nodes = ["x*"]\n', "which matches no node of the committee"),
        (ROUTE + RULE + 'remind = "5 hours"\n', "`rules[1].remind` must be a duration such as"),
        (ROUTE + RULE + 'remind = "1s"\n', "from 60 to 604800 seconds"),
        (ROUTE + RULE + "resolved = 1\n", "`rules[1].resolved` must be true or false"),
        (ROUTE + RULE + "hold_during_maintenance = 1\n", "must be true or false"),
        (
            ROUTE + RULE.replace("node_down", "disk") + "hold_during_maintenance = true\n",
            "`rules[1].hold_during_maintenance` holds nothing back: none of node_down, flapping,",
        ),
        (ROUTE + RULE + RULE, "`rules` has two rules with the name 'nodes'"),
        (ROUTE + RULE.replace("node_down", "up"), "`rules[1].on` has 'up'; expected one of node_"),
        (ROUTE + RULE.replace('["node_down"]', "[]"), "`rules[1].on` is missing or empty"),
        (ROUTE + RULE.replace('"nodes"', '"No!"'), "`rules[1].name` must have 1 to 32"),
        (ROUTE + ROUTE.replace("team", "spare") + RULE, "`routes.spare` is used by no rule"),
        (ROUTE.replace("webhook", "mail") + RULE, "`routes.team.type` is 'mail'; expected webhook"),
        (ROUTE.replace("https:", "ftp:") + RULE, "needs a URL that begins with https://"),
        (ROUTE.replace("example", "u:secret-path@example") + RULE, "must not contain a user"),
        (ROUTE + 'url_file = "url"\n' + RULE, "`routes.team.url` and `url_file`: exactly one"),
        (ROUTE + 'secret_file = "no"\n' + RULE, "which cannot be read: No such file"),
        (ROUTE + 'secret_file = "short"\n' + RULE, "a secret of 24 to 64 bytes in base64"),
        (ROUTE + 'secret_file = "empty"\n' + RULE, "which is empty"),
        ('[routes.team]\ntype = "apprise"\n' + RULE, "apprise URLs contain secrets"),
        ("rules = 3\n", "`rules` must be written as [[rules]] tables"),
        ("routes = []\n", "`routes` must be written as [routes.<name>] tables"),
        ("on = [\n", "is not TOML at the end of the document"),
        ("x = " + "[" * 20_000, "is not usable: it is nested too deeply"),
        ("x = " + "{a=" * 3000, "is not usable: it is nested too deeply"),
        (ROUTE + RULE + "after = " + "9" * 5000, "has a number that is too long"),
        (ROUTE + 'secret_file = "a\\u0000b"\n' + RULE, "the name has a NUL character"),
        (ROUTE + 'secret_file = "/dev/zero"\n' + RULE, "it is not a regular file"),
        (ROUTE + 'ca_file = "no"\n' + RULE, "`routes.team.ca_file` names"),
        (ROUTE.replace("example", "exa mple") + RULE, "a URL with a space"),
        (ROUTE.replace("example", "ex\\u0007ample") + RULE, "a URL with a space"),
        ('explorer_url = "https://u:secret-path@e"\n' + ROUTE + RULE, "must not contain a user"),
        ('explorer_url = "https://e:x"\n' + ROUTE + RULE, "whose host or port is not valid"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_key(tmp_path: Path, text: str, expected: str) -> None:
    found = mistakes(tmp_path, text, short="secret-path", empty="\n")

    assert expected in "; ".join(found)
    assert "secret-path" not in "; ".join(found)


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    text = ROUTE.replace("webhook", "mail") + RULE.replace("node_down", "up") + "after = 3\n"

    assert len(mistakes(tmp_path, text)) == 3
    with pytest.raises(SettingsError, match="has 3 mistakes") as caught:
        AlertsConfig.load(tmp_path / "alerts.toml", COMMITTEE.urls)
    assert caught.value.facts["setting"] == "EXPLORER_ALERTS_FILE"


def test_a_missing_or_large_file_is_a_mistake(tmp_path: Path) -> None:
    assert "No such file" in read(tmp_path / "no.toml", COMMITTEE.urls)[1][0]
    assert "65536 bytes" in mistakes(tmp_path, "#" * 70_000)[0]


def test_every_condition_has_its_facts_and_a_title() -> None:
    assert set(FACTS) == set(TITLES) == set(Condition)


class FakeApprise:
    """The part of apprise that is used."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.sent: list[tuple[str, str]] = []
        self.asset: Any = None
        self.Apprise = SimpleNamespace(instantiate=self.instantiate)

    def AppriseAsset(self, **options: Any) -> Any:  # noqa: N802
        self.asset = options
        return options

    def instantiate(self, url: str, **_: Any) -> Any:
        return None if url.startswith("unknown") else self

    def notify(self, title: str, body: str, notify_type: str) -> bool:
        self.sent.append((title, body))
        assert notify_type == "warning"
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, threading.Event):
            self.outcome.wait(30)
        return bool(self.outcome)


def attempt(outcome: Any, url: str = "slack://secret-path") -> str:
    channel = AppriseChannel(Route("phone", "apprise", url), lambda _: FakeApprise(outcome))
    return channel.send(MESSAGE).error


def test_apprise_gets_title_and_text_and_follows_no_redirect() -> None:
    fake = FakeApprise(True)
    channel = AppriseChannel(Route("phone", "apprise", "slack://x"), lambda _: fake)

    assert channel.send(MESSAGE).error == ""
    assert fake.sent == [("title", "text")]
    assert fake.asset["http_redirects"] is False
    assert "slack://" not in repr(channel)


def test_failures_of_apprise_do_not_show_its_url() -> None:
    assert attempt(False) == "the service did not accept the message"
    assert (
        attempt(ValueError("slack://secret-path"))
        == "apprise failed: its plugin for this URL has a fault"
    )
    assert "does not know this URL" in attempt(True, "unknown://secret-path")


def test_a_missing_apprise_is_a_sentence_with_the_next_step() -> None:
    def load(_: str) -> Any:
        raise ImportError

    channel = AppriseChannel(Route("phone", "apprise", "slack://x"), load)
    assert channel.send(MESSAGE).error.endswith("`pip install 'datadragon[alerts]'`")


LOADED = """
import sys
from pathlib import Path

import dragon_explorer.main
from dragon.net.http_client import HttpClient
from dragon_explorer.alerts.channels import channel
from dragon_explorer.alerts.config import read

config, _ = read(Path(sys.argv[1]), None)
for route in config.routes.values():
    channel(route, HttpClient.create, float)
print(sorted(config.routes), "apprise" in sys.modules)
"""


def test_apprise_is_not_loaded_before_a_message_goes_through_it(tmp_path: Path) -> None:
    """It needs 20 MB of memory."""
    phone = '[routes.phone]\ntype = "apprise"\nurl_file = "url"\n'
    path = write(
        tmp_path, ROUTE + phone + RULE.replace('"team"', '"team", "phone"'), url="ntfy://x"
    )
    command = [sys.executable, "-c", LOADED, str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )

    assert done.stdout == "['phone', 'team'] False\n"


def test_an_attempt_of_apprise_that_hangs_is_left_behind() -> None:
    released = threading.Event()
    fake = FakeApprise(released)
    channel = AppriseChannel(Route("phone", "apprise", "slack://x"), lambda _: fake, 0.01)

    assert channel.send(MESSAGE).error == "no answer in time"
    assert channel.send(MESSAGE).error == "the last attempt has not ended yet"
    assert len(fake.sent) == 1
    released.set()


def test_the_example_of_a_receiver_in_the_documentation_works(tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", ALERTS_PAGE.read_text(), re.DOTALL)
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        fleet.up("target_1")
        fleet.pass_time(10)
        fleet.down("target_1")
        fleet.pass_time(10)
    (tmp_path / "committee.json").write_text(json.dumps(fleet.committee.to_json()))
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        exec(example, names)

    body = fleet.receiver.messages[0].body.encode()
    [claim] = names["certified"](body)

    assert "target_1" in claim
    with pytest.raises(DragonError):
        names["certified"](body.replace(b'"status":"down"', b'"status":"up"'))


def test_the_explorer_reads_its_alerts_file(tmp_path: Path) -> None:
    (tmp_path / "committee.json").write_text(json.dumps(COMMITTEE.to_json()))
    environ = {
        "DRAGON_COMMITTEE": str(tmp_path / "committee.json"),
        "EXPLORER_DATABASE": str(tmp_path / "explorer.db"),
        "SEQUENCER_NODES_FILE": str(tmp_path / "nodes.json"),
        "EXPLORER_ALERTS_FILE": str(write(tmp_path, ROUTE + RULE)),
    }
    settings = Settings.from_environ(environ)

    assert settings.alerts is not None
    assert "secret-path" not in repr(settings)
    write(tmp_path, RULE)
    with pytest.raises(SettingsError, match="describes no route"):
        Settings.from_environ(environ)
