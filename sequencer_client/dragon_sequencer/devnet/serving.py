"""The entry point of `dragon serve sequencer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dragon.node.http_server import serve as serve_http
from dragon.node.service import Service
from dragon.node.settings import Environment
from dragon.storage.permissions import PRIVATE_FOLDER, make_folder
from dragon.storage.process_lock import START_WAIT_SECONDS, ProcessLock
from dragon_sequencer.devnet.main import Settings, build

PORT: Final = 6001  # default port


def serve(environ: Mapping[str, str]) -> None:
    """Run the development sequencer until it is stopped. Raises SettingsError."""
    values, settings = Environment(environ), Settings.from_environ(environ)
    make_folder(settings.database.parent, PRIVATE_FOLDER)
    serve_http(
        lambda: _build(settings),
        name="sequencer",
        host=values.text("DRAGON_HOST", "127.0.0.1"),
        port=values.integer("DRAGON_PORT", PORT, least=1, most=65535),
        # A read that waits for new batches occupies a thread for up to a second.
        threads=values.integer("DRAGON_THREADS", 48, least=4, most=256),
        tls=values.tls(),
    )


def _build(settings: Settings) -> Service:
    lock = ProcessLock.on_database(settings.database, wait_seconds=START_WAIT_SECONDS)
    return Service(*build(settings), lock.close)
