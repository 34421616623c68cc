"""A simulated network with a prover and a stream service.

    with StreamWorld(tmp_path) as world:
        world.run(1, peers=False)
        stream = world.make("sensor-1", mode="message")
        world.upload(stream, b"21.5")
        world.run(1, peers=False)       # the window closes and is certified
        assert world.window(stream, 0)["state"] == "certified"

Disk, proofs and BLS signatures are real. The writer runs on a separate thread, and an upload waits
for it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import requests

import dragon_stream.app
import dragon_stream.main
import dragon_stream.settings
from committees import secret
from dragon.encoding import Json, canonical, from_hex
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt import Receipt
from dragon_sequencer.client import SequencerClient
from provers import TOKEN as PROVER_TOKEN
from provers import prover
from simulation import Made, World

TOKEN: Final = "the-token-of-the-service"
SERVICE_KEY: Final = secret("the stream service")
STREAMS, PROVER = "stream_api", "zkp_api"
HOSTS: Final = {"streams:5300": STREAMS, "prover:5200": PROVER}


class StreamWorld(World):
    """A world with `stream_api` and `zkp_api`, which can stop, crash and restart."""

    prover_urls: tuple[str, ...] = ("http://prover:5200",)

    def __post_init__(self) -> None:
        self._ends: dict[str, ExitStack] = {}
        self.max_pending_windows = 256
        super().__post_init__()
        self.names |= HOSTS
        self.start(PROVER)
        self.start(STREAMS)

    def with_a_log(self) -> list[str]:
        return [*super().with_a_log(), STREAMS]

    def _make(self, name: str, client: SequencerClient) -> Made:
        self._ends[name] = ends = ExitStack()
        match name:
            case "zkp_api":
                return self._make_prover(name)
            case "stream_api":
                return self._make_stream_service(client, ends)
        return super()._make(name, client)

    def _make_prover(self, name: str) -> Made:
        ends = self._ends.setdefault(name, ExitStack())
        made = ends.enter_context(prover(self._random.randbytes))
        return [], made.components, made.client.application

    def _make_stream_service(self, client: SequencerClient, ends: ExitStack) -> Made:
        settings = dragon_stream.settings.Settings(
            committee=self.committee,
            secret=SERVICE_KEY,
            token=TOKEN,
            prover_urls=self.prover_urls,
            prover_tokens=(PROVER_TOKEN,) * len(self.prover_urls),
            prover_requests=4,
            database=self.database_file(STREAMS),
            data=self.data,
            nodes_files=(),
            max_pending_windows=self.max_pending_windows,
            host="",
            port=0,
            threads=24,
        )
        databases = dragon_stream.main.open_databases(settings)
        runtime = self.runtime(STREAMS)
        components = dragon_stream.main.assemble(settings, *databases, client, runtime)
        stop = threading.Event()
        writer = threading.Thread(target=components.writer.run, args=(stop,), daemon=True)
        writer.start()
        ends.callback(components.streams.close)
        ends.callback(writer.join)
        ends.callback(stop.set)
        return list(databases), components, dragon_stream.app.create_app(components)

    @property
    def data(self) -> Path:
        return self.folder / "streams"

    def crash(self, name: str) -> None:
        self._ends[name].close()
        super().crash(name)

    def settle(self) -> None:
        self._step()
        super().settle()
        self._step()

    def _step(self) -> None:
        if self.is_answering(STREAMS):
            self.step_pipeline()
            self.clock.sleep(0.2)  # the pipeline checks windows only after a pause
            self.step_pipeline()

    def step_pipeline(self) -> None:
        """One step of the stream service alone."""
        components = self.components(STREAMS)
        components.pipeline.step(components.streams)

    def reseed(self, seed: int) -> None:
        """Draw other random bytes from now on."""
        self._random.seed(seed)

    # Requests of the data's owner

    def _owner(self, method: str, path: str, token: str = "", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://streams:5300{path}"
        answer = self.session("owner").request(method, url, headers=headers, **more)
        assert answer.ok, answer.text
        return answer.json()

    def make(self, name: str, **settings: Json) -> Mapping[str, Any]:
        """Create a stream, with windows of one second by default. The result has its token."""
        body = canonical({"name": name, "window_ms": 1000, **settings})
        made: Mapping[str, Any] = self._owner("POST", "/streams", TOKEN, data=body)
        return made

    def upload(self, stream: Mapping[str, Any], data: bytes, offset: int | None = None) -> Any:
        query = "" if offset is None else f"?offset={offset}"
        path = f"/streams/{stream['stream']}/data{query}"
        return self._owner("POST", path, stream["token"], data=data)

    def get_stream(self, stream: Mapping[str, Any], path: str = "", token: str = "") -> Any:
        return self._owner("GET", f"/streams/{stream['stream']}{path}", token)

    def window(self, stream: Mapping[str, Any], number: int) -> Any:
        return self.get_stream(stream, f"/windows/{number}")

    def states(self, stream: Mapping[str, Any]) -> list[str]:
        return [window["state"] for window in self.get_stream(stream, "/windows")["windows"]]

    def receipt(self, stream: Mapping[str, Any], chunk: int, *, proof: bool = True) -> Receipt:
        """A receipt with the opening of the commitment, and with the window's proof on request."""
        query = f"?disclose=1&proof={int(proof)}"
        path = f"/chunks/{chunk}/receipt{query}"
        return Receipt.from_json(self.get_stream(stream, path, stream["token"]))

    # The service's own state

    def known(self, stream: Mapping[str, Any]) -> Any:
        """The running stream."""
        stream_id = from_hex(stream["stream"], member="stream", size=32)
        return self.components(STREAMS).streams.get(stream_id)

    def row(self, stream: Mapping[str, Any], number: int) -> Any:
        """The service's row of a closed window."""
        return self.components(STREAMS).store.window(self.known(stream).id, number)

    def refute(self, stream: Mapping[str, Any], fault: InvalidReason, number: int = 0) -> None:
        """Put a certificate on the ledger that a quorum found the proven window invalid."""
        row, rounds = self.row(stream, number), self.committee.rounds
        claim = Finding(fault).claim(
            self.known(stream).keys.descriptor,
            row.header,
            hashlib.sha256(row.proof).digest(),
            rounds.start(rounds.number(self.clock.now)),
        )
        self.submit(self.members.certify(claim, self.operators[:3]))

    def ask(self, stream: Mapping[str, Any], path: str) -> requests.Response:
        """The response to a request without a token, also if it is an error."""
        url = f"http://streams:5300/streams/{stream['stream']}{path}"
        return self.session("public").get(url)
