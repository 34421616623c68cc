"""One HTTP connection, without sockets or a clock."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import h11
import pytest
from flask import Flask, Response, request

from dragon.node import app as web
from dragon.node import http_server
from dragon.node.addresses import MemberAddresses, client_key
from dragon.node.admission import Clients
from dragon.node.http_connection import (
    ANSWER_SECONDS,
    LINGER_SECONDS,
    MAX_FIELDS,
    RECEIVE_SECONDS,
    Connection,
    Phase,
)
from dragon.node.http_server import MAX_HELD_BYTES, Server, heaviest_first
from dragon.node.lanes import Job, Lane, LaneQueue
from dragon.node.service import Service

GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENCE = 20.0


class Transport(asyncio.Transport):
    """A client that takes what is written unless `is_stuck`."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 5001)})
        self.written = b""
        self.is_stuck = self.is_aborted = self.is_closed = self.has_written_eof = False
        self.connection: Any = None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.written += bytes(data)
        if self.is_stuck:
            self.connection.pause_writing()

    def write_eof(self) -> None:
        self.has_written_eof = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_reading(self) -> bool:
        return True

    @property
    def status(self) -> int:
        return int(self.written.split()[1])

    @property
    def body(self) -> Any:
        return json.loads(self.written.partition(b"\r\n\r\n")[2])


class Client:
    """A client of a server, with its connection."""

    def __init__(self, server: Server, host: str = "10.0.0.1") -> None:
        self.server, self.transport = server, Transport()
        self.connection = Connection(server, (host, 4000))
        self.transport.connection = self.connection
        server.connections[self.connection] = None
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        while data:
            buffer = self.connection.get_buffer(-1)
            piece, data = data[: len(buffer)], data[len(buffer) :]
            buffer[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))

    async def reach(self, *phases: Phase) -> None:
        while self.connection.phase not in phases:
            await asyncio.sleep(0)

    async def ask(self, data: bytes) -> Transport:
        """Send a request and wait until it is answered."""
        self.send(data)
        await self.reach(Phase.RECEIVING, Phase.LINGERING, Phase.CLOSED)
        return self.transport


def make_server() -> Server:
    app = web.create("connections", list, max_body=1000)

    @app.route("/echo", methods=["GET", "POST"])
    def echo() -> dict[str, str]:
        return {
            "body": web.raw_body().decode(),
            **{key: value for key, value in request.environ.items() if isinstance(value, str)},
        }

    @app.get("/big")
    def big() -> bytes:
        return bytes(500_000)

    @app.get("/stream")
    def stream() -> Response:
        return Response(bytes([each]) * 1_000_000 for each in range(5))

    return Server(Service(app), threads=2)


def run(test: Callable[[Server], Any]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(test(make_server()), PATIENCE)

    asyncio.run(whole())


def test_a_request_becomes_the_environment_that_wsgi_describes() -> None:
    async def test(server: Server) -> None:
        answer = await Client(server).ask(
            b"POST /echo?x=%20y HTTP/1.1\r\nHost: a:1\r\nContent-Type: text/plain\r\n"
            b"X-A: 1\r\nX-A: 2\r\nX_B: 3\r\nX-C: \xe9\r\nContent-Length: 4\r\n\r\nbody"
        )
        seen = answer.body
        assert (answer.status, seen["body"], seen["CONTENT_LENGTH"]) == (200, "body", "4")
        assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/echo", "x=%20y")
        assert (seen["HTTP_HOST"], seen["CONTENT_TYPE"]) == ("a:1", "text/plain")
        assert (seen["HTTP_X_A"], seen["HTTP_X_C"]) == ("1,2", "é")
        assert "HTTP_X_B" not in seen
        assert (seen["REMOTE_ADDR"], seen["SERVER_PORT"]) == ("10.0.0.1", "5001")
        assert (seen["wsgi.url_scheme"], seen["SERVER_PROTOCOL"]) == ("http", "HTTP/1.1")

    run(test)


@pytest.mark.parametrize("length", [b"", b"Content-Length: 3\r\n"], ids=["alone", "with length"])
def test_a_chunked_body_is_refused_before_its_chunks_are_read(length: bytes) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\n" + length + b"Transfer-Encoding: chunked\r\n\r\n"

    async def test(server: Server) -> None:
        client = Client(server)
        answer = await client.ask(head + b"1\r\na\r\n" * 2000)
        assert (answer.status, answer.body["status"]) == (411, 411)
        assert client.connection.phase is Phase.LINGERING
        assert server.held == 0

    run(test)


@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["unfinished", "whole"])
def test_many_header_lines_are_refused_before_they_are_parsed(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        monkeypatch.setattr(h11.Connection, "next_event", None)
        answer = await client.ask(b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 64 + end)
        assert answer.status == 431
        assert client.connection.phase is Phase.LINGERING

    run(test)


def test_the_most_headers_that_are_allowed_are_answered() -> None:
    async def test(server: Server) -> None:
        raw = b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * (MAX_FIELDS - 1) + b"\r\n"
        assert (await Client(server).ask(raw)).status == 200

    run(test)


def test_a_body_above_the_limit_is_refused_by_the_app() -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        answer = await client.ask(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
        assert (answer.status, answer.body["title"]) == (413, "Request Entity Too Large")
        assert answer.has_written_eof
        assert server.held == 0

    run(test)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: a\r\n" * 70 + b"\r\n", 431),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n Content-Length: 7\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\t7\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 7\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + 2 * b"Host: b\r\n" + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 7, 8\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +7\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ],
    ids=[
        "nonsense",
        "no host",
        "long target",
        "long header",
        "many headers",
        "LF after the request line",
        "LF after a header",
        "LF at the end",
        "continued line",
        "continued length",
        "space before a colon",
        "two hosts",
        "two lengths",
        "length with a sign",
        "unknown transfer encoding",
        "HTTP/2",
    ],
)
def test_a_request_that_is_not_valid_is_refused_as_a_problem(raw: bytes, status: int) -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        answer = await client.ask(raw + GET)
        assert (answer.status, answer.body["status"]) == (status, status)
        assert b"application/problem+json" in answer.written
        assert client.connection.phase is Phase.LINGERING  # what follows is no request

    run(test)


def test_requests_that_arrive_together_are_answered_in_their_order() -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        client.send(GET + GET.replace(b"/echo", b"/echo?second") + GET.replace(b"a\r", b"z\r"))
        while client.transport.written.count(b"HTTP/1.1 200") < 3:
            await asyncio.sleep(0)
        said = client.transport.written
        assert said.index(b'"HTTP_HOST":"a"') < said.index(b"second") < said.index(b'"z"')

    run(test)


def test_a_client_is_told_to_go_on_with_its_body() -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        )
        assert client.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.ask(b"x")
        assert b"HTTP/1.1 200" in client.transport.written

    run(test)


def test_head_and_http_1_0_are_answered() -> None:
    async def test(server: Server) -> None:
        head = await Client(server).ask(b"HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert head.written.endswith(b"\r\n\r\n")
        old = await Client(server).ask(b"GET /echo HTTP/1.0\r\n\r\n")
        assert (old.status, old.is_closed) == (200, True)

    run(test)


def test_a_body_of_unknown_length_is_read_in_parts() -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        client.transport.is_stuck = True
        client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.reach(Phase.SENDING)
        assert client.connection.held < 3_000_000
        client.transport.is_stuck = False
        while client.connection.phase is Phase.SENDING:
            client.connection.resume_writing()
            await asyncio.sleep(0)
        assert (
            sum(client.transport.written.count(bytes([each])) for each in (1, 2, 3, 4)) > 3_999_990
        )

    run(test)


@pytest.mark.parametrize("begun", [b"", b"GET /ec", b"GET /echo HTTP/1.1\r\nHost: a\r\n"])
def test_a_request_that_is_not_whole_in_time_ends_its_connection(begun: bytes) -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        client.send(begun)
        client.connection.tick(RECEIVE_SECONDS - 0.1)
        assert not client.transport.is_closed
        client.send(begun[:0])
        client.connection.tick(0.2)
        assert client.transport.is_closed
        client.connection.tick(LINGER_SECONDS + 0.1)
        assert client.transport.is_aborted
        assert not server.connections

    run(test)


def test_a_body_that_is_not_whole_in_time_is_answered_with_408() -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        client.connection.tick(RECEIVE_SECONDS)
        assert client.transport.status == 408

    run(test)


def test_an_answer_that_is_not_taken_in_time_is_dropped() -> None:
    async def test(server: Server) -> None:
        client = Client(server)
        client.transport.is_stuck = True
        client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.reach(Phase.SENDING)
        assert server.held > 400_000
        client.connection.tick(ANSWER_SECONDS)
        assert client.transport.is_aborted
        assert (server.held, server.connections) == (0, {})

    run(test)


def test_the_bytes_of_all_connections_have_one_limit() -> None:
    async def test(server: Server) -> None:
        clients = [Client(server, "10.0.0.9") for _ in range(4)]
        for client in clients:
            client.transport.is_stuck = True
            client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.reach(Phase.SENDING)
        server.held += MAX_HELD_BYTES - server.held  # as if others held the rest
        late = Client(server)
        late.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + b"x" * 800)
        # Three of them hold the byte too much, and what is freed at once.
        assert [each.transport.is_aborted for each in clients] == [True, True, True, False]
        assert not late.transport.is_aborted

    run(test)


def test_the_address_with_most_connections_loses_its_oldest() -> None:
    async def test(server: Server) -> None:
        first = Client(server, "10.0.0.1")
        crowd = [Client(server, "10.0.0.9") for _ in range(3)]
        order = list(heaviest_first(server.connections, lambda _: 1))
        assert order[:2] == [crowd[0].connection, crowd[1].connection]
        assert order[2] is first.connection

        weights = {first: 5, crowd[0]: 1, crowd[1]: 2, crowd[2]: 3}
        by_weight = {each.connection: weight for each, weight in weights.items()}
        order = list(heaviest_first(server.connections, by_weight.__getitem__))
        assert [by_weight[each] for each in order] == [3, 5, 2, 1]

    run(test)


MEMBER, PROXY = "192.0.2.1", "192.0.2.9"
CLIENTS = Clients(MemberAddresses([MEMBER]), [ip_network(PROXY)])


def of_clients(clients: Clients) -> Service:
    return Service(web.create("limited", list, clients=clients))


def limited(count: int) -> Server:
    """A server with few places for connections, an eighth of them for members."""
    return Server(of_clients(CLIENTS), 2, max_connections=count)


def is_kept(server: Server, host: str) -> bool:
    return server.has_place(Connection(server, (host, 4001)))


@pytest.mark.parametrize("phase", [Phase.RECEIVING, Phase.SENDING, Phase.LINGERING])
def test_strangers_displace_each_other_and_no_member(phase: Phase) -> None:
    async def test(_server: Server) -> None:
        server = limited(16)
        members = [Client(server, MEMBER) for _ in range(2)]
        strangers = [Client(server, f"10.0.0.{number}") for number in range(14)]
        for each in strangers:
            each.connection.phase = phase
        assert is_kept(server, "10.0.1.1")
        assert [each.transport.is_aborted for each in strangers] == [True] + 13 * [False]
        assert is_kept(server, "10.0.1.2")
        assert len(server.connections) == 15
        assert not any(each.transport.is_aborted for each in members)

    run(test)


def test_strangers_that_wait_for_answers_keep_no_member_out() -> None:
    async def test(_server: Server) -> None:
        server = limited(16)
        for number in range(14):
            Client(server, f"10.0.0.{number}").connection.phase = Phase.WORKING
        assert not is_kept(server, "10.0.1.1")
        assert is_kept(server, MEMBER)
        assert len(server.connections) == 14

    run(test)


def test_strangers_open_few_connections_in_a_second() -> None:
    now = [100.0]
    clients = replace(CLIENTS, monotonic=lambda: now[0])
    server = Server(of_clients(clients), 2)

    def opened(address: Callable[[int], str]) -> int:
        return sum(server.may_connect(address(number)) for number in range(2000))

    assert opened(lambda _: "10.0.0.1") == 1000  # 900 idle ones keep no other client there out
    assert server.may_connect("10.0.0.2")
    assert opened(lambda number: f"10.0.{number // 200}.{number % 200}") == 1000 - 1
    assert not server.may_connect("10.0.100.1")
    assert opened(lambda _: MEMBER) == opened(lambda _: PROXY) == 2000
    now[0] += 1
    assert opened(lambda _: "10.0.0.1") == 250
    assert opened(lambda _: "10.0.100.1") == 150
    assert not server.may_connect("10.0.100.2")


def test_many_places_are_made_at_once() -> None:
    """Choosing takes longer than accepting: a crowd must not pay for it with each connection."""

    async def test(_server: Server) -> None:
        server = limited(64)
        strangers = [Client(server, f"10.0.0.{number}") for number in range(56)]
        assert is_kept(server, "10.0.1.1")
        assert [each.transport.is_aborted for each in strangers] == [True, True] + 54 * [False]

    run(test)


def test_a_crowd_at_the_address_of_a_member_leaves_places_to_strangers() -> None:
    async def test(_server: Server) -> None:
        server = limited(16)
        crowd = [Client(server, MEMBER) for _ in range(15)]
        stranger = Client(server, "10.0.0.1")
        assert is_kept(server, "10.0.0.2")
        assert crowd[0].transport.is_aborted
        assert not stranger.transport.is_aborted
        Client(server, "10.0.0.2")
        for each in crowd[1:]:
            each.connection.phase = Phase.WORKING
        assert is_kept(server, MEMBER)
        assert stranger.transport.is_aborted

    run(test)


def test_what_strangers_hold_displaces_no_member() -> None:
    async def test(_server: Server) -> None:
        server = limited(16)
        member, stranger = Client(server, MEMBER), Client(server, "10.0.0.1")
        for each, size in ((member, 9000), (stranger, 10)):
            each.connection.held = size
        server.held = MAX_HELD_BYTES + 9
        server.balance()
        assert (member.transport.is_aborted, stranger.transport.is_aborted) == (False, True)

    run(test)


@pytest.mark.parametrize(
    ("peer", "forwarded", "turn", "is_member"),
    [
        (MEMBER, "", MEMBER, True),
        ("10.0.0.1", MEMBER, "10.0.0.1", False),  # any client can state it
        (PROXY, MEMBER, MEMBER, True),
        (PROXY, f"{MEMBER}, 10.0.0.7", "10.0.0.7", False),
        (PROXY, "2001:db8::1:2", "2001:db8::/64", False),
        (PROXY, "", PROXY, False),
        (PROXY, f"{MEMBER}\r\nX-Forwarded-For: 10.0.0.8", "10.0.0.8", False),
        (PROXY, f"10.0.0.8\r\nX_Forwarded_For: {MEMBER}", "10.0.0.8", False),
    ],
)
def test_a_request_takes_the_turn_of_the_client_behind_a_believed_proxy(
    monkeypatch: pytest.MonkeyPatch, peer: str, forwarded: str, turn: str, is_member: bool
) -> None:
    jobs: list[Job[object]] = []
    monkeypatch.setattr(LaneQueue, "submit", lambda _queue, job: jobs.append(job))

    async def test(_server: Server) -> None:
        header = f"X-Forwarded-For: {forwarded}\r\n" if forwarded else ""
        Client(limited(16), peer).send(f"GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n".encode())

    run(test)
    assert [(each.turn.removesuffix(" patient"), each.is_member) for each in jobs] == [
        (turn, is_member)
    ]


@pytest.mark.parametrize(
    ("host", "share"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1:2:3", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_network_of_ipv6_shares_capacity(host: str, share: str) -> None:
    assert client_key(host) == share


def test_a_fault_in_the_app_is_a_problem_without_details() -> None:
    def broken(environ: dict[str, Any], start_response: Any) -> Any:
        raise ValueError("secret")

    async def test(_server: Server) -> None:
        app = Flask("broken")
        app.wsgi_app = broken  # type: ignore[method-assign]
        answer = await Client(Server(Service(app), 1)).ask(GET)
        assert answer.status == 500
        assert b"secret" not in answer.written

    run(test)


def test_a_lane_may_allow_longer_bodies_than_the_app() -> None:
    async def test(_server: Server) -> None:
        app = Flask("objects")
        app.config["MAX_CONTENT_LENGTH"] = 10

        @app.post("/objects")
        def take() -> str:
            request.max_content_length = 100
            return str(len(request.get_data()))

        server = Server(Service(app, lanes=[Lane("objects", 1, ("/objects",), 100)]), 1)
        post = b"POST /objects HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        assert (await Client(server).ask(post % 100 + bytes(100))).written.endswith(b"100")
        assert (await Client(server).ask(post % 101)).status == 413

    run(test)


def test_an_answer_is_closed_only_after_the_thread_that_reads_it() -> None:
    reading, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def parts() -> Iterator[bytes]:
        try:
            yield bytes(2_000_000)
            reading.set()
            go_on.wait(PATIENCE)
            yield bytes(2_000_000)
        finally:
            closed.set()

    async def test(_server: Server) -> None:
        app = web.create("connections", list)
        app.add_url_rule("/parts", view_func=lambda: Response(parts()))
        server = Server(Service(app), threads=2)
        client = Client(server)
        client.send(b"GET /parts HTTP/1.1\r\nHost: a\r\n\r\n")
        while not reading.is_set():
            await asyncio.sleep(0)
        client.connection.connection_lost(None)
        assert (server.connections, server.held, closed.is_set()) == ({}, 0, False)
        go_on.set()
        while not closed.is_set():
            await asyncio.sleep(0)

    run(test)


def test_an_answer_that_cannot_be_closed_ends_only_its_connection() -> None:
    def fail() -> None:
        raise ValueError

    async def test(_server: Server) -> None:
        app = web.create("connections", list)

        @app.get("/parts")
        def parts() -> Response:
            response = Response(bytes(1_000_000) for _ in range(5))
            response.call_on_close(fail)
            return response

        server = Server(Service(app), threads=2)
        client = Client(server)
        client.transport.is_stuck = True
        client.send(b"GET /parts HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.reach(Phase.SENDING)
        client.connection.tick(ANSWER_SECONDS)
        assert (server.connections, server.held) == ({}, 0)

    run(test)


def test_a_client_that_resets_its_connection_ends_only_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_transport: Transport) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    async def test(server: Server) -> None:
        monkeypatch.setattr(Transport, "write_eof", fail)
        client = Client(server)
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbody")
        client.connection.tick(RECEIVE_SECONDS)
        assert client.transport.is_aborted
        assert (server.connections, server.held) == ({}, 0)

    run(test)


def test_a_fault_in_one_connection_keeps_the_deadlines_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(server: Server) -> None:
        faulty, idle = Client(server), Client(server)
        monkeypatch.setattr(faulty.connection, "tick", None)
        monkeypatch.setattr(http_server, "TICK_SECONDS", 0.0)
        monkeypatch.setattr(idle.connection, "_seconds_left", 0.0)
        sweeping = asyncio.create_task(server._sweep())
        await idle.reach(Phase.LINGERING)
        assert faulty.transport.is_aborted
        sweeping.cancel()

    run(test)
