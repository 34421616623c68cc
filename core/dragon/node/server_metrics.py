"""Metrics of the server around an app: its TLS certificate, and the requests that wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flask import Flask
from prometheus_client.metrics_core import Metric

from dragon.net.tls import Tls
from dragon.node import metrics
from dragon.node.lanes import Lanes


class CertificateExpiry:
    """When the TLS certificate in use expires. `read` is called whenever the files are read."""

    def __init__(self, tls: Tls) -> None:
        self._certfile = tls.certfile
        self._expires_at = float("nan")
        self.read()

    def read(self) -> None:
        """Read the certificate of the service, which is the first one in its file."""
        if self._certfile is not None:
            self._expires_at = _expires_at(self._certfile)

    def metrics(self) -> Iterator[Metric]:
        yield metrics.gauge(
            "tls_certificate_expires_timestamp_seconds",
            "Unix time at which the TLS certificate in use expires; NaN without TLS.",
            self._expires_at,
        )


def _expires_at(certfile: Path) -> float:
    """Unix seconds; NaN if the certificate cannot be decoded."""
    from cryptography import x509  # noqa: PLC0415 - only if needed: it is slow to import

    try:
        return x509.load_pem_x509_certificate(certfile.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return float("nan")


def watch_lanes(app: Flask, lanes: Lanes) -> None:
    """Add the number of waiting requests to the metrics of `app`."""

    def read() -> Iterator[Metric]:
        yield metrics.gauges(
            "requests_waiting",
            "Requests that wait for a thread, by lane (the kind of request).",
            "lane",
            lanes.waiting(),
        )

    metrics.add(app, read)
