"""What is submitted to aggregators about a window, and the client for all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from dragon.errors import PeerError, Unreachable
from dragon.net.submission_client import SubmissionClient, WindowStatus
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon_stream.keyed_executor import RETRY_SECONDS
from dragon_stream.keys import StreamKeys
from dragon_stream.store import WindowRow

REQUEST_TIMEOUT_SECONDS: Final = 5.0  # one request to an aggregator
MAX_PAUSE_SECONDS: Final = 30.0  # while an aggregator is busy, unless it asks for more
UNREADY_AFTER_SECONDS: Final = 5.0  # after which a stream that waits is a reason not to be ready
MAX_DOUBLINGS: Final = 5  # of that pause, from RETRY_SECONDS on
MAX_REMEMBERED_WINDOWS: Final = 1024  # windows with votes in memory

Votes = Sequence[Mapping[str, str]]


def announcement(keys: StreamKeys, row: WindowRow) -> Submission:
    """The signed header alone."""
    return Submission(keys.descriptor, row.header, row.signature)


def submission(keys: StreamKeys, row: WindowRow, proof: bytes) -> Submission:
    """The signed header with the names of the objects to judge it by, signed with its key."""
    objects = WindowObjects.of(row.header, row.chunks, proof)
    signature = keys.header.sign(objects.root(keys.descriptor.network_id))
    return Submission(keys.descriptor, row.header, row.signature, objects, signature)


class Aggregators:
    """The committee's aggregators, in the order of their rank. The first to respond is used."""

    def __init__(self, clients: Callable[[], Sequence[SubmissionClient]]) -> None:
        """`clients`: returns those of the committee that holds; a handover may change them."""
        self._clients = clients

    def submit(self, submitted: Submission, bodies: Sequence[bytes] = ()) -> WindowStatus:
        """Submit a window and upload the objects that the aggregator lacks. Idempotent.

        Args:
            submitted: the announcement or the whole submission.
            bodies: the chunk headers and the proof; none for an announcement.

        Raises:
            PeerError: no aggregator accepted it; the last one's error.
        """
        last_error: PeerError = Unreachable(
            "the committee lists no aggregator", reason="aggregators"
        )
        for client in self._clients():
            try:
                return _submit(client, submitted, bodies)
            except PeerError as error:
                last_error = error
        raise last_error


def _submit(
    client: SubmissionClient, submitted: Submission, bodies: Sequence[bytes]
) -> WindowStatus:
    status = client.submit(submitted, deadline=REQUEST_TIMEOUT_SECONDS)
    if not status.missing or not bodies:
        return status
    for sha256, kind in submitted.object_kinds().items():
        if sha256 in status.missing:
            body = bodies[0] if kind == "chunks" else bodies[1]
            client.put(body, deadline=REQUEST_TIMEOUT_SECONDS)
    return status


def is_busy(error: PeerError) -> bool:
    """Whether an aggregator has no capacity now."""
    return error.facts.get("status") == HTTPStatus.TOO_MANY_REQUESTS


class BusyWindows:
    """Why streams wait: the aggregator is busy, or too many operators are.

    Counts the `busy` answers in a row, from which the pause before the next submission follows.
    """

    def __init__(self, needed_votes: Callable[[], int], monotonic: Callable[[], float]) -> None:
        """`needed_votes`: how many operators must vote alike. `monotonic` returns seconds."""
        self._needed_votes = needed_votes
        self._monotonic = monotonic
        self._reasons: dict[bytes, tuple[float, str]] = {}  # since when and why, by stream
        self._failures: dict[bytes, int] = {}  # `busy` answers in a row, by stream

    def reason(self, stream: bytes, seconds: float = 0.0) -> str:
        """Return why the stream has waited for that long or longer; empty if it has not."""
        since, reason = self._reasons.get(stream, (float("inf"), ""))
        return reason if self._monotonic() - since >= seconds else ""

    def _update(self, stream: bytes, reason: str) -> None:
        if reason:
            since, _ = self._reasons.get(stream, (self._monotonic(), ""))
            self._reasons[stream] = since, reason
        else:
            self._reasons.pop(stream, None)

    def refused(self, stream: bytes, number: int, error: PeerError) -> float:
        """Note that no aggregator accepted a window. Return the seconds to wait."""
        if not is_busy(error):
            return RETRY_SECONDS
        self._update(stream, f"window {number}: the aggregator is busy: {error}")
        failures = self._failures.get(stream, 0)
        self._failures[stream] = failures + 1
        pause = min(MAX_PAUSE_SECONDS, RETRY_SECONDS * (1 << min(failures, MAX_DOUBLINGS)))
        asked = error.facts.get("retry_after")
        return max(pause, float(asked) if isinstance(asked, int) else 0.0)

    def accepted(self, stream: bytes, number: int, status: WindowStatus) -> bool:
        """Note the state of the stream's next window. Return whether the reason changed."""
        self._failures.pop(stream, None)
        before = self.reason(stream)
        self._update(stream, self._reason(number, status))
        return self.reason(stream) != before

    def remove(self, stream: bytes) -> None:
        """Note that a window of the stream is certified."""
        self._reasons.pop(stream, None)

    def _reason(self, number: int, status: WindowStatus) -> str:
        if status.state not in {"voting", "waiting"}:
            return ""
        busy = [vote for vote in status.votes if vote["answer"] == RefusalReason.BUSY]
        if len(status.votes) - len(busy) >= self._needed_votes() or not busy:
            return ""
        names = ", ".join(vote["operator"] for vote in busy)
        return f"window {number}: busy operators: {names} ({busy[0]['detail']})"


class LastVotes:
    """The last votes on each of the newest windows, for display."""

    def __init__(self) -> None:
        self._votes: OrderedDict[tuple[bytes, int], Votes] = OrderedDict()

    def get(self, stream: bytes, number: int) -> Votes:
        return self._votes.get((stream, number), ())

    def update(self, stream: bytes, number: int, votes: Votes) -> bool:
        """Remember the votes. Return whether they changed."""
        if not votes or self.get(stream, number) == votes:
            return False
        self._votes[stream, number] = votes
        while len(self._votes) > MAX_REMEMBERED_WINDOWS:
            self._votes.popitem(last=False)
        return True
