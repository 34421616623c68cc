"""The two sockets of a stream: one that data comes in by, one that tells what happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue
from flask_sock import Sock
from simple_websocket import Server

from dragon.encoding import from_hex
from dragon.node import auth
from dragon.node.websocket import POLICY, Closed, Sockets
from dragon_stream.events import Events
from dragon_stream.ingest_session import Ingest, credit_for
from dragon_stream.pipeline import Pipeline
from dragon_stream.streams import Stream, Streams

Serve = Callable[[Server, Stream], None]
View = Callable[..., ResponseReturnValue]


class _Views:
    """What flask-sock takes for a blueprint: it makes the view, and we decide who gets there."""

    view: View

    def route(self, _path: str, **_options: Any) -> Callable[[View], View]:
        def keep(view: View) -> View:
            self.view = view
            return view

        return keep


class Silent:
    """A listener has nothing to say."""

    def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
        raise Closed(POLICY, "nothing is taken in here")

    def on_text(self, text: str) -> None:
        raise Closed(POLICY, "nothing is taken in here")


def add_sockets(
    app: Flask, sockets: Sockets, streams: Streams, pipeline: Pipeline, events: Events
) -> None:
    """`/streams/<stream>/ingest` and `/streams/<stream>/events`."""
    sockets.install(app)

    def ingest(server: Server, stream: Stream) -> None:
        with sockets.connection(server) as connection, ExitStack() as stack:
            source = Ingest(
                stream,
                connection,
                credit=credit_for(len(sockets)),
                may_grant=lambda: pipeline.has_room(stream),
            )

            def begin() -> None:
                source.begin()  # its hello comes first of all
                stack.enter_context(events.listening(stream.id, connection))

            connection.serve(source, begin=begin, end=source.end)

    def listen(server: Server, stream: Stream) -> None:
        with (
            sockets.connection(server) as connection,
            events.listening(stream.id, connection),
        ):
            connection.serve(Silent())

    def add(name: str, serve: Serve, *, owner: bool) -> None:
        served = _served(serve, streams)

        def view(stream: str) -> ResponseReturnValue:
            found = streams.get(from_hex(stream, member="stream", size=32))
            if owner:
                auth.check(found.keys.is_token, "that needs the token of the stream")
            with sockets.reserve():
                return served(stream=stream)

        path = f"/streams/<stream>/{name}"
        app.add_url_rule(path, endpoint=f"sockets.{name}", view_func=view, websocket=True)

    add("ingest", ingest, owner=True)
    add("events", listen, owner=False)


def _served(serve: Serve, streams: Streams) -> View:
    """The view that upgrades the connection and then serves it."""
    views = _Views()

    def route(server: Server, stream: str) -> None:
        serve(server, streams.get(from_hex(stream, member="stream", size=32)))

    Sock().route("", bp=views)(route)
    return views.view
