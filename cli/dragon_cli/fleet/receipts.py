"""Complete receipts: add a certified mark that covers the receipt's event.

Any operator may answer and none is trusted: the completed receipt is verified before it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from dragon.encoding import Json, Members, to_hex
from dragon.errors import BadAnswer, InvalidEncoding, PeerError, UnknownKind
from dragon.net.http_client import HttpClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.handover import Handover
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import Check, is_complete, refused, verify
from dragon.protocol.trust import Trust
from dragon_cli.errors import NotCovered
from dragon_cli.fleet import queries


def needs_mark(receipt: Receipt, checks: Sequence[Check], trust: Trust) -> bool:
    """Return whether a valid receipt lacks a mark, or a handover could replace its checkpoint.

    A handover that covers the receipt counts under every later committee, a checkpoint only until
    its own committee hands over.
    """
    if receipt.place is None or not is_complete(checks):
        return True
    if isinstance(receipt.place.checkpoint, Handover):
        return False
    return any(each.claim.size > receipt.place.position for each in trust.lineage.handovers)


class ReceiptCompleter:
    """Completes receipts. Queries first the operator that answered last."""

    def __init__(self, trust: Trust, http: HttpClient, peers: Mapping[str, str]) -> None:
        """Args: `peers`, the names of operators with the URLs at which they are queried."""
        self.trust = trust
        self._http = http
        self._peers = dict(peers)

    def complete(self, receipt: Receipt) -> Receipt:
        """Return a verified receipt with a certified mark that covers it.

        Args:
            receipt: verified, without a mark that counts.

        Raises:
            NotCovered: no operator has a certified mark that covers the event.
            PeerError: no operator gave a usable answer.
        """
        too_early: list[NotCovered] = []

        def ask(url: str) -> Receipt:
            try:
                return self._ask(url, receipt)
            except NotCovered as error:
                too_early.append(error)
                raise BadAnswer(str(error)) from None
            except (InvalidEncoding, UnknownKind) as error:
                raise BadAnswer(f"The answer is invalid: {error}") from None

        try:
            name, completed = queries.first(self._peers, ask)
        except PeerError:
            if too_early:
                raise too_early[0] from None
            raise
        self._peers = {name: self._peers[name], **self._peers}
        return completed

    def _ask(self, url: str, receipt: Receipt) -> Receipt:
        """Query one operator. Raises NotCovered, PeerError, InvalidEncoding, UnknownKind."""
        position = self._position(url, receipt)
        path = f"{url}/events/{position}"
        proven = ProvenEntry.from_json(queries.get(self._http, path, anchored="true"))
        if proven.anchor is None:
            raise NotCovered("No certified checkpoint covers the window of the receipt yet.")
        completed = receipt.completed(proven, proven.anchor)
        # The proof was verified before, and takes longer than all other checks.
        checks = verify(self.trust, replace(completed, proven=None))
        for check in refused(checks):
            raise BadAnswer(f"The answer does not complete the receipt: {check.detail}")
        return completed

    def _position(self, url: str, receipt: Receipt) -> int:
        """Return the position of the window's event in the operator's log.

        Raises NotCovered, PeerError.
        """
        claim = receipt.event.claim
        number = claim.number if isinstance(claim, WindowClaim) else 0
        path = f"/streams/{to_hex(receipt.descriptor.id)}/windows/{number}"
        try:
            verdicts = queries.rows(queries.get(self._http, url + path), "verdicts")
        except BadAnswer as error:
            if error.facts.get("status") != HTTPStatus.NOT_FOUND:
                raise
            verdicts = []
        return _matching(verdicts, receipt.event)


def _matching(verdicts: Iterable[dict[str, Json]], event: Certificate) -> int:
    """Return the position of the verdict that is this event. Raises NotCovered, InvalidEncoding."""
    wanted = event.to_json()
    for verdict in verdicts:
        if verdict.get("event") == wanted:
            return Members(verdict, "the verdict").integer("position")
    raise NotCovered("The log does not contain the verdict on the receipt's window yet.")
