"""What is submitted to aggregators about a window, and the client for all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from dragon.errors import PeerError, Unreachable
from dragon.net.submission_client import SubmissionClient, WindowStatus
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon_stream.keys import StreamKeys
from dragon_stream.store import WindowRow

REQUEST_TIMEOUT_SECONDS: Final = 5.0  # one request to an aggregator
MAX_REMEMBERED_WINDOWS: Final = 1024  # windows with votes in memory

Votes = Sequence[Mapping[str, str]]


def announcement(keys: StreamKeys, row: WindowRow) -> Submission:
    """The signed header alone."""
    return Submission(keys.descriptor, row.header, row.signature)


def submission(keys: StreamKeys, row: WindowRow, proof: bytes) -> Submission:
    """The signed header with the names of the objects to judge it by, signed with its key."""
    objects = WindowObjects.of(row.header, row.chunks, proof)
    signature = keys.header.sign(objects.root(keys.descriptor.committee_id))
    return Submission(keys.descriptor, row.header, row.signature, objects, signature)


class Aggregators:
    """The committee's aggregators, in the order of their rank. The first to respond is used."""

    def __init__(self, clients: Sequence[SubmissionClient]) -> None:
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
        for client in self._clients:
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
