"""The seat of this operator: with which of its keys, if any, a committee lists it.

While a key is rotated the operator has two. It signs with the one that the committee in question
lists, and with none if the committee does not list its id, or lists another key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import structlog

from dragon.errors import AttestationRefused
from dragon.protocol import bls
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.refusal import RefusalReason

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Seat:
    """An operator's id and its keys."""

    operator: str
    secrets: Sequence[bls.SecretKey] = field(repr=False)  # the present one, then the next one

    @cached_property
    def _public_keys(self) -> Sequence[bls.PublicKey]:
        """Those of the secrets, computed once: each costs a multiplication on the curve."""
        return tuple(secret.public_key() for secret in self.secrets)

    def secret_in(self, committee: Committee) -> bls.SecretKey | None:
        """Return the key with which this operator signs for a committee; None: it has no seat."""
        listed = committee.keys.get(self.operator)
        keys = zip(self.secrets, self._public_keys, strict=True)
        return next((secret for secret, key in keys if key == listed), None)

    def secret(self, committee: Committee) -> bls.SecretKey:
        """Return the key with which this operator signs for a committee.

        Raises AttestationRefused: `unseated`, the committee lists none of its keys.
        """
        if (secret := self.secret_in(committee)) is None:
            message = f"{self.operator} has no seat in the committee of epoch {committee.epoch}"
            raise AttestationRefused(RefusalReason.UNSEATED, message)
        return secret


class SeatReport:
    """Logs when this operator takes a seat or a new key, and when it loses its seat."""

    def __init__(self, seat: Seat, seated: Seated) -> None:
        self._seat = seat
        self._seated = seated
        self._secret = seat.secret_in(seated.committee)

    def update(self, _: object = None) -> None:
        """Look at the committee that holds. Called after entries were applied."""
        committee = self._seated.committee
        before, self._secret = self._secret, self._seat.secret_in(committee)
        if self._secret is before:
            return
        event = "seat_lost" if self._secret is None else "seat_taken"
        logger.info(event, operator=self._seat.operator, epoch=committee.epoch)
