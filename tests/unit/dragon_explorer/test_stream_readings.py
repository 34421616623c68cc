"""What the explorer shows of streams with readings, and its verdict on stream reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from alerting import MEMBERS, PaperFleet, config
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.streams.stream_report import StreamReport
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.live.sources import StreamSource
from dragon_explorer.views.verification import Verification
from dragon_explorer.views.verify import verification
from epoch_log import EpochLog
from stream_reports import Ledger
from streams import START_MS, make_owner
from timed_readings import make_reading_owner
from wsgi import WsgiAdapter

OWNER = make_reading_owner(MEMBERS)
NAME = to_hex(OWNER.descriptor.id)
WINDOWS = ([b"4.000", b"4.250"], [b"9.100"], [b"4.500"], [b"4.600"])
PERIOD = (START_MS // 1000, START_MS // 1000 + 60)


@dataclass
class Shop:
    """An explorer whose log has four windows of a cold chain, two of them without the claim."""

    fleet: PaperFleet
    ledger: Ledger
    mark: Certificate

    def states(self, descriptor: Any, stream: str = NAME) -> None:
        """Let a watched stream service state this descriptor of a stream."""
        said = {
            "stream": stream, "name": "cold-chain", "chunks": 5, "bytes": None, "windows": 4,
            "certified": 4, "stopped": None, "descriptor": descriptor,
        }  # fmt: skip
        paths: dict[str, Any] = {
            "/readyz": {"status": "ready", "reasons": []},
            "/streams": {"streams": [said]},
            f"/streams/{stream}/windows": {"windows": [], "next": None},
        }

        def serve(environ: Any, start_response: Any) -> list[bytes]:
            body = json.dumps(paths.get(environ["PATH_INFO"])).encode()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]

        http = HttpClient(WsgiAdapter({"service:1": serve}).session())
        source = StreamSource("streams", "http://service:1", http, lambda: self.fleet.now)
        self.fleet.board.put(source.read(None))

    def get(self, path: str) -> str:
        answer = self.fleet.app().test_client().get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def api(self, path: str) -> Any:
        return json.loads(self.get(f"/api{path}"))

    def report(self, **more: Any) -> StreamReport:
        return self.ledger.report(range(4), self.mark, PERIOD, **more)

    def verify(self, report: StreamReport) -> Verification:
        return verification(b"".join(report.encode()), self.fleet.sources)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        ledger = Ledger(EpochLog(fleet.log, tmp_path, [fleet.members]), OWNER)
        for number, data in enumerate(WINDOWS):
            before = ledger.windows[-1] if ledger.windows else None
            window = OWNER.window(data, before, began_ms=START_MS + 10_000 * number)
            ledger.certify(window, 150 + number)
        yield Shop(fleet, ledger, ledger.log.checkpoint(170))


# -- the pages -------------------------------------------------------------------------------------


def test_the_page_names_every_window_without_the_claim(shop: Shop) -> None:
    page = shop.get(f"/streams/{NAME}")

    assert "In 2 windows every committed reading is within the bounds of the stream." in page
    assert "2 windows carry no claim about their readings:" in page
    for number in (1, 2):
        assert f'<a href="/streams/{NAME}/windows/{number}">Window {number}</a>' in page
    assert f"dragon stream report {NAME} --output report.jsonl" in page
    assert "readings are" not in page


def test_a_stated_descriptor_gives_the_bounds_because_the_id_is_its_hash(shop: Shop) -> None:
    shop.states(OWNER.descriptor.to_json())

    page = shop.get(f"/streams/{NAME}")

    assert (
        "In 2 windows every committed reading is from 2 to 8 °C, each at most 0.5 °C below and at "
        "most 0.5 °C above the one before."
    ) in page


@pytest.mark.parametrize("high", ["8001", "-1", 8000, None, []])
def test_a_service_cannot_state_other_bounds(shop: Shop, high: Any) -> None:
    stated: Any = OWNER.descriptor.to_json()
    shop.states({**stated, "readings": {**stated["readings"], "high": high}})

    assert shop.api(f"/streams/{NAME}")["readings"]["bounds"] is None


def test_the_bytes_of_such_a_stream_are_unknown(shop: Shop) -> None:
    shop.states(OWNER.descriptor.to_json())

    assert shop.api("/streams")["streams"][0]["bytes"] is None
    assert '<dd>–</dd><dd class="more">5 chunks' in shop.get(f"/streams/{NAME}")


def test_each_window_states_what_its_proof_shows(shop: Shop) -> None:
    told = shop.api(f"/streams/{NAME}")

    assert [each["statement"] for each in told["windows"]] == [
        *("readings", "blocks", "blocks", "readings")
    ]
    assert [each["number"] for each in told["readings"]["unclaimed"]] == [2, 1]
    assert "within bounds" in shop.get(f"/streams/{NAME}/windows/0")
    assert "no claim" in shop.get(f"/streams/{NAME}/windows/1")


def test_a_stream_with_the_claim_in_every_window_says_so(tmp_path: Path) -> None:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        ledger = Ledger(EpochLog(fleet.log, tmp_path, [fleet.members]), OWNER)
        ledger.certify(OWNER.window([b"4.000"]), 150)
        page = Shop(fleet, ledger, ledger.log.checkpoint(170)).get(f"/streams/{NAME}")

    assert "In 1 window every committed reading is within the bounds of the stream." in page
    assert "No window is without the claim." in page


def test_a_stream_without_readings_has_no_such_section(tmp_path: Path) -> None:
    owner = make_owner(MEMBERS)
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        ledger = Ledger(EpochLog(fleet.log, tmp_path, [fleet.members]), owner)
        ledger.certify(owner.window([b"a"]), 150)
        shop = Shop(fleet, ledger, ledger.log.checkpoint(170))
        stream = to_hex(owner.descriptor.id)
        page, told = shop.get(f"/streams/{stream}"), shop.api(f"/streams/{stream}")

    assert told["readings"] is None
    assert told["windows"][0]["statement"] is None
    assert 'id="readings"' not in page


# -- stream reports --------------------------------------------------------------------------------


def outcomes(found: Verification) -> dict[str, str]:
    return {line.name: line.outcome for line in found.lines}


def test_a_stream_report_is_verified(shop: Shop) -> None:
    found = shop.verify(shop.report())

    assert (found.what, found.verdict) == ("stream report", "verified")
    assert "without the claim: windows 1 to 2 (2 chunks); whether more windows" in found.sentence
    assert "Compare the stream's id" in found.sentence
    assert outcomes(found) == {
        "windows": "holds",
        "period": "absent",
        "readings": "absent",
        "proofs": "absent",
        "log": "holds",
    }
    assert found.command.startswith("dragon verify stream-report report.jsonl --stream ID ")


def test_a_pasted_report_has_other_line_ends(shop: Shop) -> None:
    raw = b"".join(shop.report().encode()).replace(b"\n", b"\r\n").strip()

    assert verification(raw, shop.fleet.sources).verdict == "verified"


def test_a_report_that_leaves_a_window_out_is_refused(shop: Shop) -> None:
    report = shop.report()
    lines = [each for number, each in enumerate(report.windows) if number != 1]
    head = replace(report.head, windows=3)

    found = shop.verify(StreamReport(head, lines))
    assert found.verdict == "refused"
    assert outcomes(found) == {"gap": "refused"}


def test_a_report_that_is_cut_or_altered_is_refused(shop: Shop) -> None:
    raw = b"".join(shop.report().encode())

    for changed in (raw[:-500], raw.replace(b'"position"', b'"Position"', 1)):
        found = verification(changed, shop.fleet.sources)
        assert (found.what, found.verdict) == ("stream report", "refused")
        assert "line " in found.sentence


def test_the_page_takes_a_report_as_a_file(shop: Shop) -> None:
    raw = b"".join(shop.report().encode())

    answer = shop.fleet.app().test_client().post("/api/verify", data=raw)

    assert answer.json["what"] == "stream report"
    assert answer.json["verdict"] == "verified"
