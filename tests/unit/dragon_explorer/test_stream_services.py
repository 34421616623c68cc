"""What the page of streams says of each stream service: ready, degraded or not ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from dragon.net.http_client import HttpClient
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.live.sources import StreamSource
from wsgi import WsgiAdapter

FAULT = "archive: s3 cannot be reached: <no connection>"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        yield made


def states(fleet: PaperFleet, ready: dict[str, Any]) -> None:
    """Let a watched stream service answer this at `/readyz`."""
    paths: dict[str, Any] = {"/readyz": ready, "/streams": {"streams": []}}

    def serve(environ: Any, start_response: Any) -> list[bytes]:
        body = json.dumps(paths[environ["PATH_INFO"]]).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    http = HttpClient(WsgiAdapter({"service:1": serve}).session())
    source = StreamSource("streams", "http://service:1", http, lambda: fleet.now)
    fleet.board.put(source.read(None))


def page(fleet: PaperFleet) -> str:
    return " ".join(fleet.app().test_client().get("/streams").text.split())


def api(fleet: PaperFleet) -> Any:
    return json.loads(fleet.app().test_client().get("/api/streams").text)["services"][0]


def test_a_service_that_works_in_spite_of_a_fault_is_degraded(fleet: PaperFleet) -> None:
    states(fleet, {"status": "ready", "reasons": [], "degraded": [FAULT]})

    assert "<p>degraded " in page(fleet)
    assert '<p class="why">archive: s3 cannot be reached: &lt;no connection&gt;</p>' in page(fleet)
    assert (api(fleet)["ready"], api(fleet)["degraded"]) == (True, [FAULT])


@pytest.mark.parametrize("more", [{}, {"degraded": []}, {"degraded": None}])
def test_a_service_without_faults_is_ready(fleet: PaperFleet, more: dict[str, Any]) -> None:
    states(fleet, {"status": "ready", "reasons": [], **more})

    assert "<p>ready " in page(fleet)
    assert api(fleet)["degraded"] == []


def test_a_service_that_is_not_ready_names_its_reasons_alone(fleet: PaperFleet) -> None:
    states(fleet, {"status": "not ready", "reasons": ["disk: full"], "degraded": [FAULT]})

    assert "<p>not ready " in page(fleet)
    assert "disk: full" in page(fleet)
    assert "cannot be reached" not in page(fleet)


def test_a_service_states_no_more_faults_than_a_page_has_room_for(fleet: PaperFleet) -> None:
    states(fleet, {"status": "ready", "reasons": [], "degraded": ["x" * 999] * 999})

    assert api(fleet)["degraded"] == ["x" * 300] * 20
