"""Complete receipts: add the certified checkpoint that covers the receipt's event.

Any operator may answer and none is trusted: the completed receipt is verified before it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus

from dragon.encoding import Json, Members, to_hex
from dragon.errors import BadAnswer, InvalidEncoding, PeerError, UnknownKind
from dragon.net.http_client import HttpClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import refused, verify
from dragon_cli.errors import NotCovered
from dragon_cli.fleet import queries


class ReceiptCompleter:
    """Completes receipts. Queries first the operator that answered last."""

    def __init__(self, committee: Committee, http: HttpClient, peers: Mapping[str, str]) -> None:
        """Args: `peers`, the names of operators with the URLs at which they are queried."""
        self.committee = committee
        self._http = http
        self._peers = dict(peers)

    def complete(self, receipt: Receipt) -> Receipt:
        """Return a verified receipt with the certified checkpoint that covers it.

        Args:
            receipt: verified, without a checkpoint.

        Raises:
            NotCovered: no operator has a certified checkpoint that covers the event.
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
        size, checkpoint_position = self._certified(url)
        if size <= position:
            raise NotCovered("No certified checkpoint covers the window of the receipt yet.")
        path = f"{url}/events/{checkpoint_position}"
        checkpoint = ProvenEntry.from_json(queries.get(self._http, path))
        place = queries.get(self._http, f"{url}/events/{position}", size=size)
        return self._verified(receipt, ProvenEntry.from_json(place), checkpoint)

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

    def _certified(self, url: str) -> tuple[int, int]:
        """Return size and position of the newest certified checkpoint. Raises as `_ask`."""
        head = Members(queries.get(self._http, f"{url}/checkpoint"), "the checkpoint")
        if (certified := head.take("certified")) is None:
            raise NotCovered("No checkpoint is certified yet.")
        checkpoint = Members(certified, "the certified checkpoint")
        return checkpoint.integer("size"), checkpoint.integer("position")

    def _verified(self, receipt: Receipt, place: ProvenEntry, checkpoint: ProvenEntry) -> Receipt:
        """Return the completed receipt. Raises BadAnswer: it is not valid."""
        if not isinstance(checkpoint.entry.event, Certificate):
            raise BadAnswer("The event that should be a checkpoint is not a certificate.")
        completed = receipt.completed(place, checkpoint.entry.event)
        # The proof was verified before, and takes longer than all other checks.
        checks = verify(self.committee, replace(completed, proven=None))
        for check in refused(checks):
            raise BadAnswer(f"The answer does not complete the receipt: {check.detail}")
        return completed


def _matching(verdicts: Iterable[dict[str, Json]], event: Certificate) -> int:
    """Return the position of the verdict that is this event. Raises NotCovered, InvalidEncoding."""
    wanted = event.to_json()
    for verdict in verdicts:
        if verdict.get("event") == wanted:
            return Members(verdict, "the verdict").integer("position")
    raise NotCovered("The log does not contain the verdict on the receipt's window yet.")
