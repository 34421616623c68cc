"""The committee files that operators say their owners have approved, fetched by their hash."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dragon.encoding import from_hex
from dragon.errors import DragonError
from dragon.log.store import Log
from dragon.net.committee_client import fetch_unchecked
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_explorer.live.board import OperatorReport, Report

DEADLINE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 30.0  # between two requests for a file from one operator
MAX_FILES: Final = 32  # further ones push out the oldest


class ApprovedFiles:
    """Committee files by id. They prove nothing: what is in them is what operators say.

    Their keys are not checked, because one operator could name large files all the time.

    An operator that names one file after the other costs one request in `RETRY_SECONDS`.
    """

    def __init__(self, log: Log, http: HttpClient, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._http = http
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next two lines
        self._files: dict[str, Committee] = {}  # by id in hexadecimal
        self._asked_at: dict[str, float] = {}  # by operator

    def file(self, committee_id: str) -> Committee | None:
        """Return a committee file, if it was fetched. Args: `committee_id`, in hexadecimal."""
        with self._lock:
            return self._files.get(committee_id)

    def note(self, report: Report) -> None:
        """Fetch the file that an operator says is approved, if it is not known."""
        if not isinstance(report, OperatorReport) or (said := report.committee.value) is None:
            return
        named = said.approved.get(report.name)
        if named is None or self.file(named) is not None or not self._may_ask(report.name):
            return
        digest = from_hex(named, member="approved", size=32)
        found = self._log.document(digest) or self._fetched(report.url, digest)
        if found is not None:
            with self._lock:
                self._files[named] = found
                for oldest in list(self._files)[:-MAX_FILES]:
                    del self._files[oldest]

    def _may_ask(self, operator: str) -> bool:
        now = self._monotonic()
        with self._lock:
            if now - self._asked_at.get(operator, float("-inf")) < RETRY_SECONDS:
                return False
            self._asked_at[operator] = now
        return True

    def _fetched(self, url: str, named: bytes) -> Committee | None:
        """Return the file with this hash; None if the operator has none."""
        try:
            return fetch_unchecked(self._http, url, named, deadline=DEADLINE_SECONDS)
        except DragonError:
            return None
