"""A window as it is submitted, and whom it is submitted to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from dragon.errors import PeerError, Unreachable
from dragon.net.submission_client import SubmissionClient, WindowStatus
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon_stream.keys import StreamKeys
from dragon_stream.store import WindowRow

DEADLINE: Final = 5.0  # seconds for one request
KEPT: Final = 1024  # windows whose votes are remembered

Votes = Sequence[Mapping[str, str]]


def announcement(keys: StreamKeys, row: WindowRow) -> Submission:
    """The header alone."""
    return Submission(keys.descriptor, row.header, row.signature)


def submission(keys: StreamKeys, row: WindowRow, proof: bytes) -> Submission:
    """With the objects that the window is to be judged by, named under the header key."""
    objects = WindowObjects.of(row.header, row.chunks, proof)
    signature = keys.header.sign(objects.root(keys.descriptor.committee_id))
    return Submission(keys.descriptor, row.header, row.signature, objects, signature)


class Aggregators:
    """All of the committee's, those of low rank first: the first that answers is used."""

    def __init__(self, clients: Sequence[SubmissionClient]) -> None:
        self._clients = clients

    def submit(self, submitted: Submission, bodies: Sequence[bytes] = ()) -> WindowStatus:
        """Hand a window over, with the objects that are missing there.

        Raises PeerError: none of them took it. Doing it again does no harm.
        """
        trouble: PeerError = Unreachable("the committee lists no aggregator", reason="aggregators")
        for client in self._clients:
            try:
                return _submit(client, submitted, bodies)
            except PeerError as error:
                trouble = error
        raise trouble


def _submit(
    client: SubmissionClient, submitted: Submission, bodies: Sequence[bytes]
) -> WindowStatus:
    standing = client.submit(submitted, deadline=DEADLINE)
    if not standing.missing or not bodies:
        return standing
    for sha256, kind in submitted.named().items():
        if sha256 in standing.missing:
            client.put(bodies[0] if kind == "chunks" else bodies[1], deadline=DEADLINE)
    return standing


class LastVotes:
    """What operators last said of windows, for people. The newest are kept."""

    def __init__(self) -> None:
        self._votes: OrderedDict[tuple[bytes, int], Votes] = OrderedDict()

    def get(self, stream: bytes, number: int) -> Votes:
        return self._votes.get((stream, number), ())

    def note(self, stream: bytes, number: int, votes: Votes) -> bool:
        """Whether they are other ones than before."""
        if not votes or self.get(stream, number) == votes:
            return False
        self._votes[stream, number] = votes
        while len(self._votes) > KEPT:
            self._votes.popitem(last=False)
        return True
