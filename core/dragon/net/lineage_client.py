"""Fetch the lineage of a network from any service that has a log."""

from __future__ import annotations

from typing import Final

from dragon import errors
from dragon.encoding import Json, Members, canonical
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import MAX_EPOCH, MAX_FILE_BYTES
from dragon.protocol.lineage import MAX_LINEAGE_BYTES, Lineage

DEADLINE_SECONDS: Final = 10.0  # for one page
PAGE_SIZE: Final = 16  # committees of one page
MAX_PAGE_BYTES: Final = (PAGE_SIZE + 1) * MAX_FILE_BYTES


def fetch_lineage(http: HttpClient, url: str) -> Lineage:
    """Return the lineage that the service at `url` has, verified from epoch 0 on.

    Raises:
        PeerError: no usable answer.
        LineageUnproven: the newest committee has certified no checkpoint yet.
        InvalidCommittee, CertificateError, LineageError: the lineage does not hold.
    """
    try:
        lineage = Lineage.load(canonical(_fetch(http, url)))
    except errors.InvalidEncoding as error:
        raise errors.BadAnswer(f"no lineage: {error}") from None
    if (first := lineage.committees[0].epoch) != 0:
        # One committee alone is signed by nobody but itself.
        raise errors.BadAnswer(f"the lineage begins with epoch {first}, expected 0")
    newest, checkpoint = lineage.newest, lineage.checkpoint
    if newest.epoch and (checkpoint is None or checkpoint.committee_id != newest.id):
        message = f"the committee of epoch {newest.epoch} has certified no checkpoint yet"
        raise errors.LineageUnproven(message, epoch=newest.epoch)
    lineage.verify()
    return lineage


def _fetch(http: HttpClient, url: str) -> dict[str, Json]:
    """Return a lineage as JSON, page by page. Raises PeerError, InvalidEncoding."""
    committees: list[Json] = []
    handovers: list[Json] = []
    after, left = -1, MAX_LINEAGE_BYTES
    while True:
        answer = http.get(
            f"{url}/lineage",
            params={"after": after, "limit": PAGE_SIZE},
            deadline=DEADLINE_SECONDS,
            max_bytes=min(MAX_PAGE_BYTES, left),
        )
        left -= len(answer.body)
        page = Members(answer.successful(), "the lineage")
        for each in page.list("committees", most=PAGE_SIZE):
            row = Members(each, "a committee of the lineage")
            committees.append(row.take("committee"))
            if (handover := row.take("handover")) is not None:
                handovers.append(handover)
        following, checkpoint = page.take("next"), page.take("checkpoint")
        if following is None:
            break
        if type(following) is not int or not after < following <= MAX_EPOCH or left <= 0:
            raise errors.BadAnswer("the pages of the lineage have no order, or no end")
        after = following
    return {"committees": committees, "handovers": handovers, "checkpoint": checkpoint}
