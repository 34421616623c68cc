"""Fetch the lineage of a network from any service that has a log.

The service is not trusted. Each committee file is compared with the hash that the committee before
it has certified, before its keys are decoded: a file may list thousands, and each costs a pairing.
So a service that invents committees costs a page, not minutes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.encoding import Json, Members, canonical, to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.committee import MAX_EPOCH, MAX_FILE_BYTES, Committee
from dragon.protocol.committee_rules import check_all
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import MAX_LINEAGE_BYTES, Lineage

DEADLINE_SECONDS: Final = 10.0  # for one page
PAGE_SIZE: Final = 16  # committees of one page
MAX_PAGE_BYTES: Final = (PAGE_SIZE + 1) * MAX_FILE_BYTES


def fetch_lineage(http: HttpClient, url: str, network_id: bytes) -> Lineage:
    """Return the lineage that the service at `url` has, verified from epoch 0 on.

    Args:
        network_id: of the network that the caller knows, 32 bytes.

    Raises:
        PeerError: no usable answer.
        WrongCommittee: it is the lineage of another network.
        LineageUnproven: the newest committee has certified no checkpoint yet.
        InvalidCommittee, CertificateError, LineageError: the lineage does not hold.
    """
    try:
        lineage = _fetch(http, url, network_id)
    except errors.InvalidEncoding as error:
        raise errors.BadAnswer(f"no lineage: {error}") from None
    newest, checkpoint = lineage.newest, lineage.checkpoint
    if newest.epoch and (checkpoint is None or checkpoint.committee_id != newest.id):
        message = f"the committee of epoch {newest.epoch} has certified no checkpoint yet"
        raise errors.LineageUnproven(message, epoch=newest.epoch)
    check_all(lineage.committees)
    lineage.verify()
    return lineage


@dataclass(slots=True)
class _Received:
    """The committees that have arrived so far. Each is named by the one before it."""

    network_id: bytes
    committees: list[Committee] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)

    def add(self, row: Json) -> None:
        """Add the committee of a row. Raises InvalidEncoding, WrongCommittee, CertificateError."""
        members = Members(row, "a committee of the lineage")
        value, handover = members.take("committee"), members.take("handover")
        found = hashlib.sha256(canonical(value)).digest()
        if not self.committees:
            if found != self.network_id:
                message = (
                    f"the lineage begins with the committee {to_hex(found)}, not with the first "
                    "one of the network"
                )
                raise errors.WrongCommittee(message, committee=to_hex(found))
        else:
            seated_by = Handover.from_json(handover)
            seated_by.verify(self.committees[-1])
            if seated_by.claim.next != found:
                raise errors.WrongCommittee(
                    "the handover names another committee", committee=to_hex(found)
                )
            self.handovers.append(seated_by)
        self.committees.append(Committee.from_json(value))


def _fetch(http: HttpClient, url: str, network_id: bytes) -> Lineage:
    """Return a lineage, page by page. Raises PeerError, InvalidEncoding; as `_Received.add`."""
    received = _Received(network_id)
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
            received.add(each)
        following, checkpoint = page.take("next"), page.take("checkpoint")
        if following is None:
            break
        if type(following) is not int or not after < following <= MAX_EPOCH or left <= 0:
            raise errors.BadAnswer("the pages of the lineage have no order, or no end")
        after = following
    if not received.committees:
        raise errors.BadAnswer("the lineage has no committee")
    certified = None if checkpoint is None else Certificate.from_json(checkpoint)
    return Lineage(tuple(received.committees), tuple(received.handovers), certified)
