"""Streams with readings over HTTP: how they are created, what they refuse, and what is public."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import structlog

from committees import make_members
from dragon.encoding import Json
from dragon.node.websocket import TOO_BIG, Closed
from dragon_stream.ingest_session import IngestSession
from dragon_stream.routes.streams import warnings
from dragon_stream.streams import MAX_STREAMS
from local_streams import COLD_CHAIN, cold_chain, with_readings
from stream_simulation import STREAMS, TOKEN, StreamWorld

Stream = Mapping[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamWorld]:
    with StreamWorld(tmp_path_factory.mktemp("readings"), make_members()) as made:
        made.run(1, peers=False)
        yield made


def create(world: StreamWorld, name: str, **settings: Json) -> requests.Response:
    body = json.dumps({"name": name, "readings": COLD_CHAIN, **settings})
    return ask(world, "POST", "/streams", TOKEN, data=body)


def ask(
    world: StreamWorld, method: str, path: str, token: str = "", **more: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"http://streams:5300{path}"
    return world.session("owner").request(method, url, headers=headers, **more)


def problem(answer: requests.Response) -> tuple[int, str, object]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["title"], answer.json().get("member")


# -- creating ------------------------------------------------------------------------------------


def test_the_settings_follow_from_the_readings(world: StreamWorld) -> None:
    answer = create(world, "defaults")

    assert answer.status_code == 201
    made = answer.json()
    assert made["descriptor"]["readings"] == COLD_CHAIN
    expected = {
        "mode": "message", "chunk_bytes": 12, "window_chunks": None, "max_window_chunks": 62,
        "warnings": [],
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    assert create(world, "defaults").status_code == 200


@pytest.mark.parametrize(
    ("changes", "largest"),
    [
        ({}, 62),
        ({"most": 4095}, 1022),
        ({"most": 300}, 254),
        ({"most": 17}, 16),
        ({"carry": False, "fall": "600", "rise": "600"}, 63),
        ({"carry": False, "fall": "600", "rise": "600", "most": 17}, 17),
    ],
)
def test_a_window_has_place_for_the_reading_that_it_carries(
    world: StreamWorld, changes: dict[str, Json], largest: int
) -> None:
    name = f"n{len(world.components(STREAMS).streams.all())}"
    readings = {**COLD_CHAIN, **changes}

    made = create(world, name, readings=readings).json()
    more = create(world, f"{name}-more", readings=readings, window_chunks=readings["most"] + 1)

    assert (made["window_chunks"], made["max_window_chunks"]) == (None, largest)
    assert problem(more) == (400, "integer_out_of_range", "window_chunks")
    if readings["carry"]:
        full = create(world, f"{name}-full", readings=readings, window_chunks=readings["most"])
        assert problem(full) == (400, "integer_out_of_range", "window_chunks")


def test_windows_with_a_bound_on_their_total_never_grow(world: StreamWorld) -> None:
    total: Json = {"kind": "total", "low": "0", "high": "50000"}

    made = create(world, "totals", readings={**COLD_CHAIN, "most": 500, "sum": total}).json()

    assert (made["window_chunks"], made["max_window_chunks"]) == (62, 62)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mode": "bytes"}, (400, "unknown_value", "mode")),
        ({"chunk_bytes": 13}, (400, "integer_out_of_range", "chunk_bytes")),
        ({"chunk_bytes": 11}, (400, "integer_out_of_range", "chunk_bytes")),
        ({"window_chunks": 63}, (400, "integer_out_of_range", "window_chunks")),
        ({"readings": None}, (400, "wrong_type", "readings")),
        ({"readings": {**COLD_CHAIN, "low": 200}}, (400, "wrong_type", "low")),
        ({"readings": {**COLD_CHAIN, "low": "0200"}}, (400, "unknown_value", "low")),
        ({"readings": {**COLD_CHAIN, "low": "900"}}, (422, "invalid_readings", "low")),
        ({"readings": {**COLD_CHAIN, "carry": False}}, (422, "invalid_readings", "carry")),
        ({"readings": {**COLD_CHAIN, "most": 4096}}, (422, "invalid_readings", "most")),
        ({"readings": {**COLD_CHAIN, "colour": "red"}}, (400, "unknown_member", "colour")),
    ],
)
def test_other_settings_are_refused_by_name(
    world: StreamWorld, settings: dict[str, Json], expected: tuple[int, str, str]
) -> None:
    before = len(world.components(STREAMS).streams.all())

    assert problem(create(world, "refused", **settings)) == expected
    assert len(world.components(STREAMS).streams.all()) == before


@pytest.mark.parametrize(
    "readings", [{**COLD_CHAIN, "low": "199"}, {**COLD_CHAIN, "unit": "K"}, "none"]
)
def test_a_name_belongs_to_one_set_of_readings(world: StreamWorld, readings: Json) -> None:
    create(world, "taken")
    if readings == "none":
        again = ask(world, "POST", "/streams", TOKEN, data=b'{"name":"taken"}')
    else:
        again = create(world, "taken", readings=readings)

    assert problem(again) == (409, "already_made", "readings")
    assert len(world.components(STREAMS).streams.all()) < MAX_STREAMS


def test_a_window_size_with_padding_gives_a_warning() -> None:
    assert warnings(with_readings(cold_chain(most=4095), 62)) == []
    assert warnings(with_readings(cold_chain(most=4095), 63)) == [
        "a window of 63 chunks costs as much as one of 126: 63 of its 128 blocks are padding"
    ]


# -- data ----------------------------------------------------------------------------------------


def test_a_message_longer_than_the_readings_is_refused_and_not_stored(world: StreamWorld) -> None:
    made = create(world, "long").json()
    path = f"/streams/{made['stream']}"
    assert ask(world, "POST", f"{path}/data", made["token"], data=b"4.00".ljust(12)).ok

    refused = ask(world, "POST", f"{path}/data", made["token"], data=b"4.00".ljust(13))

    assert problem(refused)[:2] == (400, "message_too_long")
    assert refused.json()["most"] == 12
    assert ask(world, "GET", path, made["token"]).json()["bytes"] == 12
    assert ask(world, "GET", path).json()["chunks"] == 1


class Client:
    """The end of a socket, which keeps what it is sent."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def send(self, message: str) -> None:
        self.messages.append(json.loads(message))

    def close(self, code: int, reason: str) -> None:
        self.messages.append({"type": "close", "code": code, "reason": reason})


def test_a_socket_is_closed_by_a_message_longer_than_the_readings(world: StreamWorld) -> None:
    made = create(world, "socket").json()
    client = Client()
    session = IngestSession(
        world.known(made),
        client,  # type: ignore[arg-type]
        credit=1 << 20,
        may_grant=lambda: True,
    )
    session.begin()
    session.on_bytes(b"4.00", finished=True)

    with pytest.raises(Closed) as closed:
        session.on_bytes(b"4.0000000000000", finished=True)
    session.end(cleanly=False)

    assert closed.value.code == TOO_BIG
    assert "12 bytes, the `length` of the readings" in str(closed.value.reason)
    chunker = world.known(made).chunker
    chunker.wait_for(1)
    assert (chunker.sequence, chunker.total) == (1, 4)


def test_a_message_without_a_number_is_data_like_any_other(world: StreamWorld) -> None:
    made = world.make("silent", readings=COLD_CHAIN)
    world.upload(made, b"door open")
    world.run(1, peers=False)

    window = world.window(made, 0)

    assert (window["state"], window["statement"]) == ("certified", "blocks")
    assert window["header"]["claim"] == "none"
    data = ask(world, "GET", f"/streams/{made['stream']}/chunks/0/data", made["token"])
    assert data.content == b"door open"


def test_the_owner_may_know_the_lengths(world: StreamWorld) -> None:
    made = world.make("lengths", readings=COLD_CHAIN)
    for data in (b"4.00", b"4", b""):
        world.upload(made, data)
    path, token = f"/streams/{made['stream']}", made["token"]
    world.run(1, peers=False)
    world.upload(made, b"5.5")

    listed = ask(world, "GET", f"{path}/chunks", token).json()["chunks"]
    by_service = ask(world, "GET", "/streams", TOKEN).json()["streams"]

    assert [each["length"] for each in listed] == [4, 1, 0, 3]
    assert ask(world, "GET", path, token).json()["bytes"] == 8
    assert next(each for each in by_service if each["name"] == "lengths")["bytes"] == 8
    for data in (b"4.00", b"4", b""):
        sequence = [b"4.00", b"4", b""].index(data)
        assert ask(world, "GET", f"{path}/chunks/{sequence}/data", token).content == data


# -- nothing public counts bytes -----------------------------------------------------------------

LONG: Final = (b"-800.55", b"-800.55", b"-800.5", b"-800.55     ")
SHORT: Final = (b"4", b"4", b"4", b"4")
WIDE: Final[Mapping[str, Json]] = {
    **COLD_CHAIN, "low": "-90000", "high": "90000", "fall": "500", "rise": "500",
}  # fmt: skip
HEX: Final = re.compile(r"[0-9a-f]{16,}")
RANDOM: Final = re.compile(r'"proof_bytes":\d+|"bytes":\d{5,}')  # of proofs, whose queries differ
MEASURED: Final = re.compile(r"_seconds|^(# )?(HELP |TYPE )?(python|process)_", re.MULTILINE)


class PublicView:
    """Everything that strangers learn from a service with one stream of these messages."""

    def __init__(self, folder: Path, messages: Sequence[bytes]) -> None:
        with (
            StreamWorld(folder, make_members()) as world,
            structlog.testing.capture_logs() as logs,
        ):
            world.run(1, peers=False)
            stream = world.make("meter", readings=WIDE, window_chunks=3)
            self.listener = Client()
            self._upload(world, stream, messages)
            self.whole = self._read(world, stream)
            self._damage(world)
            self.damaged = self._read(world, stream)
            self.logs = [each for each in logs if "stream" in each["event"]]

    def _upload(self, world: StreamWorld, stream: Stream, messages: Sequence[bytes]) -> None:
        components, stream_id = world.components(STREAMS), world.known(stream).id
        with components.events.subscribed(stream_id, self.listener):  # type: ignore[arg-type]
            for data in messages:
                world.upload(stream, data)
            world.run(1, peers=False)

    @staticmethod
    def _damage(world: StreamWorld) -> None:
        """Cut off the end of the stream's data, which was acknowledged, and start again."""
        world.crash(STREAMS)
        [segment] = world.data.glob("*/*.chunks")
        segment.write_bytes(segment.read_bytes()[:-1])
        world.restart(STREAMS)

    @staticmethod
    def _read(world: StreamWorld, stream: Stream) -> dict[str, str]:
        path = f"/streams/{stream['stream']}"
        paths = ["/streams", path, f"{path}/windows", "/healthz", "/readyz", "/metrics"]
        paths += [f"{path}/windows/{number}" for number in range(2)]
        for chunk in range(5):
            paths += [f"{path}/chunks/{chunk}", f"{path}/chunks/{chunk}/receipt"]
        paths += [f"{path}/chunks", f"{path}/chunks/0/data", f"{path}/chunks/0/receipt?proof=1"]
        found = {each: masked(ask(world, "GET", each).text) for each in paths}
        lines = found["/metrics"].splitlines()
        found["/metrics"] = "\n".join(line for line in lines if not MEASURED.search(line))
        return found


def masked(text: str) -> str:
    """A text without what has to differ: hashes, commitments, keys and sizes of proofs."""
    return RANDOM.sub("", HEX.sub("…", text))


def unnamed(views: dict[str, str]) -> dict[str, str]:
    return {masked(path): text for path, text in views.items()}


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> tuple[PublicView, PublicView]:
    folders = tmp_path_factory.mktemp("long"), tmp_path_factory.mktemp("short")
    return PublicView(folders[0], LONG), PublicView(folders[1], SHORT)


def test_answers_to_strangers_do_not_depend_on_the_length_of_numbers(
    views: tuple[PublicView, PublicView],
) -> None:
    one, other = (unnamed(view.whole) for view in views)

    assert one == other
    assert '"statement":"readings"' in one["/streams/0x…/windows/0"]
    assert '"bytes":null' in one["/streams"]
    assert '"bytes":null' in one["/streams/0x…"]
    assert "datadragon_stream_bytes 0.0" in one["/metrics"]
    assert '"length":12' in one["/streams/0x…/chunks/0"]


def test_events_and_logs_do_not_depend_on_the_length_of_numbers(
    views: tuple[PublicView, PublicView],
) -> None:
    one, other = views

    assert masked(json.dumps(one.listener.messages, separators=(",", ":"))) == masked(
        json.dumps(other.listener.messages, separators=(",", ":"))
    )
    kinds = {message["type"] for message in one.listener.messages}
    assert {"closed", "proven", "certified"} <= kinds
    assert masked(str(one.logs)) == masked(str(other.logs))
    assert {"stream_created", "stream_damaged"} <= {each["event"] for each in one.logs}


def test_reports_of_damage_do_not_depend_on_the_length_of_numbers(
    views: tuple[PublicView, PublicView],
) -> None:
    one, other = (unnamed(view.damaged) for view in views)

    assert one == other
    assert "run `dragon stream check`" in one["/readyz"]
