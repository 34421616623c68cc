"""The stream service over HTTP: defaults, refusals by name, data and receipts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from committees import make_members
from documented_metrics import check_documented
from dragon.encoding import canonical
from dragon_stream.ingest_session import Upload
from dragon_stream.routes.streams import MAX_UPLOAD_BYTES, warnings
from dragon_stream.streams import MAX_STREAMS, StreamConfig
from stream_simulation import STREAMS, TOKEN, StreamWorld

DEFAULTS = {
    "chunk_bytes": 65_536,
    "window_chunks": None,
    "window_ms": 5000,
    "mode": "bytes",
    "retention_seconds": 86_400,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamWorld]:
    with StreamWorld(tmp_path_factory.mktemp("app"), make_members()) as made:
        made.run(1, peers=False)
        yield made


@pytest.fixture(scope="module")
def stream(world: StreamWorld) -> Mapping[str, Any]:
    """A stream with a certified window of two chunks and an open window with a third."""
    made = world.make("known", mode="message")
    world.upload(made, b"21.5")
    world.upload(made, b"21.7")
    world.run(1, peers=False)
    world.upload(made, b"open")
    return made


def ask(
    world: StreamWorld, method: str, path: str, token: str = TOKEN, **more: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return world.session("owner").request(
        method, f"http://streams:5300{path}", headers=headers, **more
    )


def problem(answer: requests.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["title"]


# -- creating ------------------------------------------------------------------------------------


def test_a_stream_has_the_documented_defaults_and_is_created_once(world: StreamWorld) -> None:
    first = ask(world, "POST", "/streams", data=b'{"name":"sensor-9"}')
    again = ask(world, "POST", "/streams", data=b'{"name":"sensor-9"}')

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert {name: first.json()[name] for name in DEFAULTS} == DEFAULTS
    assert first.json()["warnings"] == []


@pytest.mark.parametrize(
    ("member", "value", "title"),
    [
        ("name", "", "invalid_id"),
        ("name", "with space", "invalid_id"),
        ("name", 7, "wrong_type"),
        ("chunk_bytes", 0, "integer_out_of_range"),
        ("chunk_bytes", 65_537, "integer_out_of_range"),
        ("chunk_bytes", "64", "wrong_type"),
        ("window_chunks", 0, "integer_out_of_range"),
        ("window_chunks", 4096, "integer_out_of_range"),
        ("window_ms", 99, "integer_out_of_range"),
        ("window_ms", 3_600_001, "integer_out_of_range"),
        ("mode", "lines", "unknown_value"),
        ("retention_seconds", 59, "integer_out_of_range"),
        ("retention_seconds", 315_360_001, "integer_out_of_range"),
        ("parameters", "ziggy-classic", "unknown_value"),
        ("colour", "red", "unknown_member"),
    ],
)
def test_an_invalid_setting_is_refused_by_name(
    world: StreamWorld, member: str, value: object, title: str
) -> None:
    before = len(world.components(STREAMS).streams.all())

    answer = ask(world, "POST", "/streams", data=json.dumps({"name": "bad", member: value}))

    assert problem(answer) == (400, title)
    assert answer.json()["member"] == member
    assert len(world.components(STREAMS).streams.all()) == before


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"[]", "wrong_type"),
        (b"{}", "missing_member"),
        (b'{"name":"a","chunk_bytes":1.5}', "not_an_integer"),
        (b'{"name":"a","name":"b"}', "duplicate_member"),
    ],
)
def test_an_invalid_body_is_refused(world: StreamWorld, body: bytes, title: str) -> None:
    assert problem(ask(world, "POST", "/streams", data=body)) == (400, title)


def test_windows_have_a_fixed_size_if_one_is_named(world: StreamWorld) -> None:
    def made(name: str, **wanted: object) -> list[object]:
        answer = ask(world, "POST", "/streams", data=json.dumps({"name": name, **wanted}))
        found = answer.json()
        return [found["window_chunks"], found["max_window_chunks"], len(found["warnings"])]

    assert made("unnamed") == [None, 1023, 0]
    assert made("null", window_chunks=None) == [None, 1023, 0]
    assert made("named", window_chunks=31) == [31, 31, 0]
    assert made("padded", window_chunks=32) == [32, 32, 1]


def test_a_request_that_names_no_size_finds_a_stream_with_any(world: StreamWorld) -> None:
    """Earlier releases fixed a size in every stream."""
    ask(world, "POST", "/streams", data=b'{"name":"earlier","window_chunks":31}')

    found = ask(world, "POST", "/streams", data=b'{"name":"earlier"}')
    other = ask(world, "POST", "/streams", data=b'{"name":"earlier","window_chunks":63}')

    assert (found.status_code, found.json()["window_chunks"]) == (200, 31)
    assert problem(other) == (409, "already_made")


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_stream_with_the_same_name_and_other_settings_is_refused(
    world: StreamWorld, name: str
) -> None:
    ask(world, "POST", "/streams", data=b'{"name":"taken"}')
    other = {"mode": "message"}.get(name, 100)

    answer = ask(world, "POST", "/streams", data=json.dumps({"name": "taken", name: other}))

    assert problem(answer) == (409, "already_made")
    assert answer.json()["member"] == name


def test_the_number_of_streams_is_limited(tmp_path: Path) -> None:
    with StreamWorld(tmp_path, make_members()) as world:
        fill_up(world)


def fill_up(world: StreamWorld) -> None:
    while len(world.components(STREAMS).streams.all()) < MAX_STREAMS:
        number = len(world.components(STREAMS).streams.all())
        assert ask(world, "POST", "/streams", data=b'{"name":"n-%d"}' % number).status_code == 201

    answer = ask(world, "POST", "/streams", data=b'{"name":"one-more"}')

    assert problem(answer) == (429, "busy")
    assert answer.headers["Retry-After"] == "1"


def test_a_window_size_with_padding_gives_a_warning() -> None:
    def config(chunks: int) -> StreamConfig:
        return StreamConfig("s", "standard", 10, chunks, 1000, "bytes", 60)

    for cheap in (1, 3, 63, 255, 4095):
        assert warnings(config(cheap)) == []
    assert warnings(config(64)) == [
        "a window of 64 chunks costs as much as one of 127: 63 of its 128 blocks are padding"
    ]


# -- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x"])
def test_creating_and_writing_require_the_right_token(
    world: StreamWorld, stream: Mapping[str, Any], token: str
) -> None:
    path = f"/streams/{stream['stream']}"

    assert problem(ask(world, "POST", "/streams", token, data=b"{}"))[0] == 401
    upload = ask(world, "POST", f"{path}/data", token, data=b"x")
    assert problem(upload) == (401, "unauthorized")
    for each in ("/chunks", "/chunks/0/data", "/chunks/0/receipt?disclose=1"):
        assert problem(ask(world, "GET", path + each, token)) == (401, "unauthorized")
    assert ask(world, "GET", f"{path}/chunks/0/receipt", token).ok


def test_the_tokens_of_service_and_stream_differ(
    world: StreamWorld, stream: Mapping[str, Any]
) -> None:
    path = f"/streams/{stream['stream']}/data"

    assert problem(ask(world, "POST", path, TOKEN, data=b"x"))[0] == 401
    assert problem(ask(world, "POST", "/streams", stream["token"], data=b"{}"))[0] == 401


def test_an_upload_is_accepted_only_at_its_offset(world: StreamWorld) -> None:
    made = world.make("sensor-9", window_ms=5000)
    path = f"/streams/{made['stream']}/data"

    assert world.upload(made, b"hello", offset=0) == {"sequence": 1, "bytes": 5, "chunks": 1}
    active = Upload()
    world.known(made).chunker.attach(active)
    again = ask(world, "POST", f"{path}?offset=0", made["token"], data=b"hello")

    world.known(made).chunker.feed(active, b"", finished=True)  # not replaced: no error
    assert problem(again) == (409, "wrong_offset")
    assert again.json()["bytes"] == 5
    assert world.upload(made, b"world", offset=5)["bytes"] == 10


def test_an_upload_above_the_limit_stores_nothing(world: StreamWorld) -> None:
    made = world.make("sensor-9", window_ms=5000)
    path = f"/streams/{made['stream']}/data"
    before = world.get_stream(made)["bytes"]

    answer = ask(world, "POST", path, made["token"], data=bytes(MAX_UPLOAD_BYTES + 1))

    assert answer.status_code == 413
    assert world.get_stream(made)["bytes"] == before
    assert ask(world, "POST", path, made["token"], data=bytes(MAX_UPLOAD_BYTES)).ok


def test_a_message_above_the_limit_stores_nothing(
    world: StreamWorld, stream: Mapping[str, Any]
) -> None:
    path = f"/streams/{stream['stream']}/data"
    before = world.get_stream(stream)["bytes"]

    answer = ask(world, "POST", path, stream["token"], data=bytes(65_537))

    assert problem(answer) == (400, "too_large")
    assert world.get_stream(stream)["bytes"] == before


# -- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/streams/0x" + "00" * 32, 404, "not_found"),
        ("/streams/0x00", 400, "invalid_hex"),
        ("/streams/sensor", 400, "invalid_hex"),
        ("{stream}/windows/1", 404, "not_found"),
        ("{stream}/windows/x", 400, "not_an_integer"),
        ("{stream}/windows/-1", 400, "integer_out_of_range"),
        ("{stream}/windows?after=-2", 400, "integer_out_of_range"),
        ("{stream}/windows?limit=0", 400, "integer_out_of_range"),
        ("{stream}/chunks?after=-2", 400, "integer_out_of_range"),
        ("{stream}/chunks/2", 404, "not_found"),
        ("{stream}/chunks/9", 404, "not_found"),
        ("{stream}/chunks/0/receipt?disclose=2", 400, "integer_out_of_range"),
        ("{stream}/chunks/0/receipt?open=1", 400, "unknown_member"),
        ("{stream}/nothing", 404, "Not Found"),
    ],
)
def test_an_unknown_resource_is_refused_by_name(
    world: StreamWorld, stream: Mapping[str, Any], path: str, status: int, title: str
) -> None:
    answer = ask(world, "GET", path.format(stream=f"/streams/{stream['stream']}"))

    assert problem(answer) == (status, title)


def test_the_owner_can_list_the_digests_of_all_chunks_on_disk(
    world: StreamWorld, stream: Mapping[str, Any]
) -> None:
    """Chunks of closed windows and of the open window, in pages."""
    path = f"/streams/{stream['stream']}/chunks"
    listed = [
        {"sequence": n, "length": 4, "digest": "0x" + hashlib.sha256(data).hexdigest()}
        for n, data in enumerate((b"21.5", b"21.7", b"open"))
    ]

    def page(query: str) -> Any:
        answer = ask(world, "GET", path + query, stream["token"])
        assert answer.ok, answer.text
        return answer.json()

    assert page("") == {"chunks": listed, "next": None}
    assert page("?limit=2") == {"chunks": listed[:2], "next": 1}
    assert page("?limit=1&after=0") == {"chunks": listed[1:2], "next": 1}
    assert page("?after=1") == {"chunks": listed[2:], "next": None}
    assert page("?after=2") == {"chunks": [], "next": None}


def test_a_window_that_was_just_closed_does_not_count_as_certified(world: StreamWorld) -> None:
    """Also before the pipeline has noticed that it is closed."""
    made = world.make("just-closed", mode="message")
    world.upload(made, b"21.5")
    own = world.components(STREAMS)
    stream = own.streams.get(bytes.fromhex(made["stream"][2:]))
    now_ms = round(1000 * world.clock.now) + 2000

    stream.sealer.close(own.store, stream.chunker.due_chunks(now_ms), now_ms)

    answer = world.ask(made, "").json()
    assert (answer["windows"], answer["certified"]) == (1, 0)


def test_errors_distinguish_open_chunks_from_unknown_ones(
    world: StreamWorld, stream: Mapping[str, Any]
) -> None:
    assert "no closed window yet" in world.ask(stream, "/chunks/2").json()["detail"]
    assert "has not arrived yet" in world.ask(stream, "/chunks/9").json()["detail"]


def test_the_owner_can_read_the_data(world: StreamWorld, stream: Mapping[str, Any]) -> None:
    path = f"/streams/{stream['stream']}/chunks/1/data"

    answer = ask(world, "GET", path, stream["token"])

    assert (answer.content, answer.headers["Content-Type"]) == (
        b"21.7",
        "application/octet-stream",
    )


def test_a_receipt_contains_the_opening_for_the_owner_only(
    world: StreamWorld, stream: Mapping[str, Any]
) -> None:
    path = f"/streams/{stream['stream']}/chunks/0/receipt"

    plain = ask(world, "GET", path, "").json()
    opened = ask(world, "GET", f"{path}?disclose=1", stream["token"]).json()
    proven = ask(world, "GET", f"{path}?proof=1", "").json()

    assert set(opened) - set(plain) == {"opening"}
    assert set(proven) - set(plain) == {"chunks", "proof"}
    assert canonical({**plain, "opening": opened["opening"]}) == canonical(opened)


def test_windows_are_listed_in_pages(world: StreamWorld) -> None:
    made = world.make("sensor-9", window_ms=5000)
    world.run(1, peers=False)
    for _ in range(3):
        world.upload(made, b"more")
        world.clock.sleep(5.1)
        world.settle()

    pages, after = list[int](), -1
    while True:
        page = world.get_stream(made, f"/windows?limit=2&after={after}")
        pages += [window["number"] for window in page["windows"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert pages == list(range(world.get_stream(made)["windows"]))


def test_every_metric_of_a_stream_service_is_in_the_reference(world: StreamWorld) -> None:
    check_documented(ask(world, "GET", "/metrics").text)
