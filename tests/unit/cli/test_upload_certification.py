"""Waiting for certified windows: no deadline while there is progress."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from dragon.errors import NotCertified, Unavailable, Unreachable
from dragon.net.retries import Retries
from dragon.net.stream_client import StreamClient
from dragon_cli.fleet.upload_certification import Watcher, wait_certified
from dragon_cli.render import upload_bars

STREAM = "0x" + "07" * 32
WINDOWS = 520  # of a file of 2 GB


class Service:
    """Certifies one window every `pace` seconds of its clock; each has one chunk."""

    def __init__(self, pace: float, stops_at: int = WINDOWS) -> None:
        self.now, self.pace, self.stops_at = 0.0, pace, stops_at
        self.fails = False

    def certified(self) -> int:
        return min(int(self.now / self.pace), self.stops_at)

    def get(self, path: str, **params: int) -> dict[str, Any]:
        if self.fails:
            raise Unreachable("no answer in time")
        if path.endswith("/windows"):
            return {"windows": [{"first": params["after"] + 1, "count": 1}]}
        return {"certified": self.certified(), "windows": WINDOWS, "stopped": None}

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 10.0)


def client_of(service: Service, monkeypatch: pytest.MonkeyPatch) -> StreamClient:
    monkeypatch.setattr(StreamClient, "get", lambda _, *path, **query: service.get(*path, **query))
    return StreamClient("http://none", None)  # type: ignore[arg-type]


def test_there_is_no_deadline_while_windows_are_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    service, told = Service(pace=100), []

    windows = wait_certified(
        *(client_of(service, monkeypatch), STREAM, WINDOWS, 300),
        report=lambda certified, of: told.append((certified, of)),
        monotonic=lambda: service.now,
        sleep=service.sleep,
    )

    assert windows == WINDOWS
    assert service.now >= 100 * WINDOWS
    assert told[0] == (0, WINDOWS)
    assert told[-1] == (WINDOWS, WINDOWS)


def test_without_progress_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(pace=100, stops_at=12)

    with pytest.raises(NotCertified) as ended:
        wait_certified(
            *(client_of(service, monkeypatch), STREAM, WINDOWS, 300),
            monotonic=lambda: service.now,
            sleep=service.sleep,
        )

    assert str(ended.value) == (
        "Upload complete. 12 of 520 windows are certified, and no further one within 300 s; run "
        "the same command again to keep waiting."
    )
    assert 1500 <= service.now <= 1520


def test_a_certified_window_is_progress_of_an_upload_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service(pace=100)
    retries = Retries(300, monotonic=lambda: service.now)
    watcher = Watcher(
        *(client_of(service, monkeypatch), STREAM, lambda *_: None, retries),
        monotonic=lambda: service.now,
    )
    stalled = Unavailable("nothing was stored")

    for _ in range(200):  # 2,000 s in which the service stores nothing
        service.sleep(10)
        watcher.step()
        retries.stalled(stalled)

    service.stops_at = 0
    for _ in range(40):
        service.sleep(10)
        watcher.step()
    with pytest.raises(Unavailable):
        retries.stalled(stalled)


def test_asking_how_far_it_is_never_ends_an_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(pace=1)
    told: list[tuple[int, int]] = []
    watcher = Watcher(
        *(client_of(service, monkeypatch), STREAM, lambda *now: told.append(now), Retries()),
        monotonic=lambda: service.now,
    )
    watcher.step()  # too early
    service.now, service.fails = 3.0, True
    watcher.step()
    service.now, service.fails = 6.0, False
    watcher.step()

    assert told == [(6, WINDOWS)]


def test_a_terminal_shows_a_bar_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(upload_bars, "console", terminal)

    with upload_bars.UploadBars(2_000_000_000, 500_000_000) as bars:
        bars.uploaded(2_000_000_000)
        bars.certified(12, 49)
        assert "receipts" not in terminal.file.getvalue()  # type: ignore[attr-defined]
        bars.written(3, 7)

    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "uploaded" in shown
    assert "2.0 GB of 2.0 GB" in shown
    assert "12/49 windows" in shown
    assert "3/7 receipts" in shown
