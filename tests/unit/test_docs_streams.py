"""stream_api/README.md shows what the stream service answers and says; here it is held to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.stream_claim import Fault
from dragon.web import websocket
from dragon_stream.app import create_app
from dragon_stream.ingest import Ingest
from streamworld import STREAMS, TOKEN, StreamWorld

PAGE = (Path(__file__).parents[2] / "stream_api" / "README.md").read_text(encoding="utf-8")
ELSEWHERE = {"/healthz", "/readyz", "/metrics", "/checkpoint", "/refused"}  # as everywhere
CODE = re.compile(r"^\| (1\d\d\d) \|", re.MULTILINE)


@dataclass(eq=False)
class Ear:
    """A connection that keeps what is left for the peer."""

    heard: list[dict[str, Any]] = field(default_factory=list)

    def send(self, message: str) -> None:
        self.heard.append(json.loads(message))

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"{code} {reason}")


@dataclass(frozen=True)
class Scene:
    world: StreamWorld
    stream: Mapping[str, Any]
    said: list[dict[str, Any]]  # on the socket that data comes in by
    told: list[dict[str, Any]]  # on the one that tells everybody


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A stream with a window that is certified; another's proof is found invalid at first."""
    with StreamWorld(tmp_path_factory.mktemp("docs"), make_members()) as world:
        world.run(1, peers=False)
        stream, said, told = world.make("sensor-1"), Ear(), Ear()
        known = world.known(stream)
        with world.own(STREAMS).events.listening(known.id, told):
            send(known, said)
            world.run(1, peers=False)
            refute_once(world, stream)
        yield Scene(world, stream, said.heard, told.heard)


def send(known: Any, ear: Any) -> None:
    source = Ingest(known, ear, credit=4 << 20, may_grant=lambda: True)
    source.begin()
    source.on_bytes(b"hello world", finished=True)
    source.on_text('{"type": "flush"}')
    known.intake.wait_for(1)
    source.end(cleanly=True)


def refute_once(world: StreamWorld, stream: Mapping[str, Any]) -> None:
    world.upload(stream, b"more")
    world.clock.sleep(1.1)
    world.stop("aggregator_0")
    world.settle()
    world.refute(stream, Fault.STARK, number=1)
    world.resume("aggregator_0")


def answers() -> list[tuple[str, Any]]:
    """The path of each `curl` of the page, and the answer that is shown."""
    pairs = re.findall(r"```sh\ncurl '?localhost:5300([^\s']*).*\n```\n```json\n(.*)\n```", PAGE)
    assert len(pairs) == PAGE.count("```sh")
    return [(path, json.loads(answer)) for path, answer in pairs]


def messages() -> list[dict[str, Any]]:
    """Those of the page's tables that a service sends."""
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (service \| )?`\{", line)]
    return [json.loads(re.findall(r"`(\{.*?\})`", row)[0]) for row in rows]


def form(value: object) -> object:
    """What has which members, each of which type. A list is as its first."""
    if isinstance(value, dict):
        return {name: form(each) for name, each in value.items()}
    if isinstance(value, list):
        return [form(value[0])] if value else []
    return type(value).__name__


def paths(world: StreamWorld) -> set[str]:
    app = create_app(world.own(STREAMS))
    found = {re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", rule.rule) for rule in app.url_map.iter_rules()}
    return {path for path in found if not path.startswith("/openapi")} - ELSEWHERE


def test_every_endpoint_and_socket_is_named(scene: Scene) -> None:
    text = re.sub(r"0x6532fd…", "<stream>", PAGE)
    text = re.sub(r"/windows/\d+", "/windows/<number>", text)
    text = re.sub(r"/chunks/\d+", "/chunks/<sequence>", text)
    named = {path.partition("?")[0] for path in re.findall(r"/streams[\w/<>]*", text)}

    assert paths(scene.world) <= named


def test_the_changelog_lists_every_endpoint_and_socket(scene: Scene) -> None:
    page = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    line = next(each for each in page.splitlines() if each.startswith("- **Stream service**"))

    assert set(re.findall(r"`(?:GET |POST )?(/[^`]*)`", line)) == paths(scene.world)


@pytest.mark.parametrize(("path", "shown"), answers(), ids=[path for path, _ in answers()])
def test_an_answer_has_the_members_that_are_shown(scene: Scene, path: str, shown: Any) -> None:
    world, stream = scene.world, scene.stream
    if path == "/streams":
        answer: Any = [world.make("sensor-1"), world.get(STREAMS, path).json()]["streams" in shown]
    elif path.endswith("/data"):
        answer = world.upload(stream, b"hello world")
    else:
        answer = world.look(stream, path.removeprefix("/streams/0x6532fd…"))

    assert form(answer) == form(shown)


@pytest.mark.parametrize("shown", messages(), ids=lambda shown: str(shown["type"]))
def test_a_message_has_the_members_that_are_shown(scene: Scene, shown: dict[str, Any]) -> None:
    heard = {each["type"]: each for each in (*scene.told, *scene.said)}

    assert form(heard[shown["type"]]) == form(shown)


def test_every_message_that_is_sent_is_shown(scene: Scene) -> None:
    sent = {each["type"] for each in (*scene.said, *scene.told)}

    assert sent == {each["type"] for each in messages()}
    assert [each["type"] for each in scene.said] == ["hello", "credit", "accepted"]


def test_the_codes_of_closing_are_those_of_the_code() -> None:
    codes = {websocket.GOING_AWAY, websocket.NOT_TEXT, websocket.POLICY, websocket.TOO_BIG}

    assert {int(code) for code in CODE.findall(PAGE)} == codes


def test_what_needs_a_token_is_refused_without(scene: Scene) -> None:
    """The service's for making streams, the stream's own for its data, none for all else."""
    stream = scene.stream["stream"]
    closed = [f"/streams/{stream}/chunks/0/data", f"/streams/{stream}/chunks/0/receipt?disclose=1"]
    open_ = [f"/streams/{stream}{rest}" for rest in ("", "/windows", "/windows/0", "/chunks/0")]

    assert {scene.world.get(STREAMS, path).status_code for path in closed} == {401}
    assert {scene.world.get(STREAMS, path).status_code for path in open_} == {200}
    for path in ("/streams", f"/streams/{stream}/data"):
        assert scene.world.post(STREAMS, path, {"name": "other"}).status_code == 401
    assert scene.stream["token"] != TOKEN
