"""An explorer on a simulated fleet, for tests and for work on its pages.

    python tests/explorer_fleet.py 25400      # serves a fleet with an outage and a stream

The explorer follows the ledger of the simulated network and watches its services.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from flask_openapi.openapi import OpenAPI

import dragon_explorer.app
import dragon_explorer.main
import dragon_explorer.settings
from committees import Members, make_members, with_target
from dragon.protocol.committee import Target
from dragon.protocol.target_checks import TlsCheck
from dragon_explorer.components import Components
from dragon_explorer.public_page import PublicPage
from dragon_sequencer.client import SequencerClient
from simulation import Made, World
from stream_simulation import StreamWorld

EXPLORER: Final = "explorer"
HOST: Final = "explorer:5400"


class SmallExplorerWorld(World):
    """A simulated fleet with an explorer, and without streams."""

    public: PublicPage | None = None
    stream_urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._apps: dict[int, OpenAPI] = {}
        super().__post_init__()
        self.names[HOST] = EXPLORER
        self.start(EXPLORER)

    def with_a_log(self) -> list[str]:
        return [*super().with_a_log(), EXPLORER]

    def _make(self, name: str, client: SequencerClient) -> Made:
        if name != EXPLORER:
            return super()._make(name, client)
        settings = dragon_explorer.settings.Settings(
            committee=self.founding,
            database=self.database_file(EXPLORER),
            nodes_files=(),
            host="",
            port=0,
            threads=1,
            public=self.public,
            stream_urls=self.stream_urls,
        )
        databases = dragon_explorer.main.open_databases(settings)
        components = dragon_explorer.main.assemble(
            settings, *databases, client, self.runtime(EXPLORER)
        )
        return list(databases), components, dragon_explorer.app.create_app(components)

    @property
    def explorer(self) -> Components:
        found: Components = self.components(EXPLORER)
        return found

    def poll(self) -> None:
        """Let the explorer read every service once, each from the same moment."""
        now = self.clock.now
        for poller in self.explorer.pollers.current():
            poller.step()
            self.clock.now = now

    def run(self, rounds: int = 1, *, settle: bool = True, peers: bool = True) -> None:
        """Run rounds; the explorer reads all services after each."""
        for _ in range(rounds):
            super().run(1, settle=settle, peers=peers)
            if self.is_answering(EXPLORER):
                self.poll()
        if self.is_answering(EXPLORER):
            self.explorer.recorder.flush()

    def app(self) -> OpenAPI:
        """An app on the explorer's components, without a network."""
        key = id(self.explorer)
        if key not in self._apps:
            self._apps[key] = dragon_explorer.app.create_app(self.explorer)
        return self._apps[key]


class ExplorerWorld(SmallExplorerWorld, StreamWorld):
    """A simulated fleet with an explorer, a prover and a stream service."""

    stream_urls = ("http://streams:5300",)

    def _make(self, name: str, client: SequencerClient) -> Made:
        self._ends[name] = ExitStack()
        return super()._make(name, client)


def fleet_with_history(folder: Path) -> ExplorerWorld:
    """A fleet of 4 operators and 3 targets: an outage that ended, one that lasts, and a stream.

    The outage that lasts is certified because of a report, after the aggregator's own probes. The
    certificate of target_3 ends soon. Maintenance of target_2 runs, and more is to come.

    The caller ends it: `with fleet_with_history(folder) as world`.
    """
    world = ExplorerWorld(folder, _members(), verify_at_end=False)
    for target in ("target_1", "target_2"):
        host = f"{target.replace('_', '-')}:80"
        world.names[host] = target
        world.wires.mount(host, _answer)
    world.names["target-3:443"] = "target_3"
    world.wires.mount("target-3:443", _answer)
    world.certificates["target-3:443"] = int(world.clock.now) + 5 * 86_400
    world.run(3)
    stream = world.make("sensor-1", mode="message")
    world.upload(stream, b"21.5")
    world.stop("target_1")
    world.run(3)
    world.resume("target_1")
    world.submit("no event")
    world.run(6)
    now = int(world.clock.now)
    world.announce("target_2", now + 31, 3600)
    world.announce("operator_1", now + 86_400, 3600)
    world.run(8)
    world.upload(stream, b"21.7")
    world.stop("operator_4", "hang")
    world.post("operator_1", "/reports", {"node_id": "operator_4", "status": "down"})
    world.run(3)
    return world


def _members() -> Members:
    made = make_members(targets=2, experts=1, owners=2, maintenance_notice=30)
    return with_target(made, Target("target_3", "tls://target-3:443", TlsCheck(), suspect_after=2))


def _answer(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def main(port: int) -> None:
    """Serve the explorer of such a fleet on a local port."""
    with tempfile.TemporaryDirectory() as folder, fleet_with_history(Path(folder)) as world:
        app = world.app()
        app.config["TEMPLATES_AUTO_RELOAD"] = True
        app.run("127.0.0.1", port, threaded=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
