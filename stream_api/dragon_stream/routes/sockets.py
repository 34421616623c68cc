"""The WebSockets of a stream: `ingest` accepts data, `events` reports what happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue
from flask_sock import Sock
from simple_websocket import Server

from dragon.encoding import from_hex
from dragon.node.websocket import POLICY, Closed
from dragon_stream.components import Components
from dragon_stream.events import message_of
from dragon_stream.ingest_session import IngestSession, credit_for
from dragon_stream.routes.paths import check_owner, has_stream_token
from dragon_stream.streams import Stream

Serve = Callable[[Server, Stream], None]
View = Callable[..., ResponseReturnValue]


class _Views:
    """Stands in for a blueprint: it receives the view that flask-sock makes.

    flask-sock would register the view itself, without a check before the upgrade.
    """

    view: View

    def route(self, _path: str, **_options: Any) -> Callable[[View], View]:
        def keep(view: View) -> View:
            self.view = view
            return view

        return keep


class SendOnly:
    """Handler of a socket on which the client must not send messages."""

    def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
        raise Closed(POLICY, "this socket accepts no messages")

    def on_text(self, text: str) -> None:
        raise Closed(POLICY, "this socket accepts no messages")


def install(app: Flask, components: Components) -> None:
    """Add `/streams/<stream>/ingest` and `/streams/<stream>/events` to the app."""
    components.sockets.install(app)
    _add(app, components, "ingest", _ingest(components), owner=True)
    _add(app, components, "events", _events(components), owner=False)


def _ingest(components: Components) -> Serve:
    sockets, events = components.sockets, components.events

    def serve(server: Server, stream: Stream) -> None:
        with sockets.connection(server) as connection, ExitStack() as stack:
            session = IngestSession(
                stream,
                connection,
                credit=credit_for(sockets.owners),
                may_grant=lambda: components.pipeline.has_capacity(stream),
            )

            def begin() -> None:
                session.begin()  # sends `hello`, which precedes all events
                stack.enter_context(events.subscribed(stream.id, connection))

            connection.serve(session, begin=begin, end=session.end)

    return serve


def _events(components: Components) -> Serve:
    sockets, events = components.sockets, components.events

    def serve(server: Server, stream: Stream) -> None:
        with sockets.connection(server) as connection, events.subscribed(stream.id, connection):
            for damage in components.damages.of(stream.id):  # found before, perhaps at the start
                connection.send(message_of("damaged", **damage.facts()))
            connection.serve(SendOnly())

    return serve


def _add(app: Flask, components: Components, name: str, serve: Serve, *, owner: bool) -> None:
    """Register a WebSocket; `owner` tells whether it requires the stream's token.

    A listener that shows the token takes one of the owner's places.
    """
    upgrade = _upgrade(serve, components)

    def view(stream: str) -> ResponseReturnValue:
        found = _find(components, stream)
        if owner:
            check_owner(found)
        with components.sockets.reserve(owner=owner or has_stream_token(found)):
            return upgrade(stream=stream)

    path = f"/streams/<stream>/{name}"
    app.add_url_rule(path, endpoint=f"sockets.{name}", view_func=view, websocket=True)


def _upgrade(serve: Serve, components: Components) -> View:
    """The view that upgrades the connection and then serves it."""
    views = _Views()

    def route(server: Server, stream: str) -> None:
        serve(server, _find(components, stream))

    Sock().route("", bp=views)(route)
    return views.view


def _find(components: Components, stream: str) -> Stream:
    return components.streams.get(from_hex(stream, member="stream", size=32))
