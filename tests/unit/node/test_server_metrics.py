"""Metrics of the server around an app: the TLS certificate in use, and waiting requests."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from authorities import Papers
from dragon.net.tls import PLAIN
from dragon.node import app as web
from dragon.node import metrics
from dragon.node.lanes import Job, Lane, Lanes
from dragon.node.server_metrics import CertificateExpiry, watch_lanes
from dragon_cli.fleet.certificates import SERVICE_DAYS

EXPIRES = "datadragon_tls_certificate_expires_timestamp_seconds"
DAY = 86_400


def scrape(app: Flask, name: str) -> dict[str, float]:
    """The values of a metric by the value of its label."""
    return {
        "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(app.test_client().get("/metrics").text)
        for sample in family.samples
        if sample.name == name
    }


def test_the_expiry_is_that_of_the_certificate_in_use(tmp_path: Path) -> None:
    papers, app = Papers.make(tmp_path), web.create("some_service", list)
    expiry = CertificateExpiry(papers.service("operator_1"))
    metrics.add(app, expiry.metrics)
    first = scrape(app, EXPIRES)[""]

    papers.service("operator_1", days=10)  # replaces the file; the service still uses the old one
    before = scrape(app, EXPIRES)[""]
    expiry.read()
    after = scrape(app, EXPIRES)[""]

    assert first == before == pytest.approx(time.time() + SERVICE_DAYS * DAY, abs=DAY)
    assert after == pytest.approx(first + 10 * DAY, abs=60)


def test_a_service_without_tls_has_no_expiry() -> None:
    app = web.create("some_service", list)
    metrics.add(app, CertificateExpiry(PLAIN).metrics)

    assert math.isnan(scrape(app, EXPIRES)[""])


def test_waiting_requests_are_counted_by_lane() -> None:
    async def two_jobs_for_one_thread() -> dict[str, float]:
        app, free = web.create("some_service", list), threading.Event()
        lanes = Lanes([Lane("votes", 1, ("/v",))], 1)
        watch_lanes(app, lanes)
        for _ in range(3):
            lanes.of("/v").submit(Job("a client", free.wait, lambda _: None))
        found = scrape(app, "datadragon_requests_waiting")
        free.set()
        return found

    assert asyncio.run(two_jobs_for_one_thread()) == {"votes": 2, "health": 0, "others": 0}


def test_an_app_without_metrics_is_left_alone() -> None:
    metrics.add(Flask("plain"), list)
