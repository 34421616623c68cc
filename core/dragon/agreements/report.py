"""Certified reports: a period certificate, its leaves and, if somebody pays, rule and payout.

Everything that such a report shows follows from these, so anybody can compute it again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from dragon.agreements.payout import Payout, compute_payout
from dragon.agreements.rule import Rule
from dragon.agreements.rule_file import MAX_RULE_BYTES, decode_rule
from dragon.encoding import Json, Members
from dragon.errors import UnknownValue
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon.protocol.period import PeriodReport
from dragon.protocol.trust import Trust

_UNITS: Final = re.compile(r"0|[1-9][0-9]{0,35}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is paid for a period. The author of a report chooses them; no operator signs them."""

    rule: Rule
    units: int  # of the smallest unit of the rule's currency

    def to_json(self) -> dict[str, Json]:
        """Return the published form. `units` is a text: it may exceed 2^53."""
        return {"rule": self.rule.text, "units": str(self.units)}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode terms strictly. Raises InvalidEncoding, InvalidRule."""
        members = Members(value, "the payout")
        rule = decode_rule(members.text("rule", longest=MAX_RULE_BYTES).encode())
        units = members.text("units", longest=36)
        members.end()
        if not _UNITS.fullmatch(units):
            raise UnknownValue("units must be an integer of at most 36 digits", member="units")
        return cls(rule, int(units))


@dataclass(frozen=True, slots=True)
class CertifiedReport:
    """A report that everybody can verify offline. It proves nothing until `verify` has returned."""

    period: PeriodReport
    terms: Terms | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the published form: that of the period report, and `payout`."""
        paid: dict[str, Json] = {} if self.terms is None else {"payout": self.terms.to_json()}
        return {**self.period.to_json(), **paid}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a report strictly. Raises InvalidEncoding, InvalidRule, UnknownKind."""
        if not isinstance(value, dict) or "payout" not in value:
            return cls(PeriodReport.from_json(value))
        period = PeriodReport.from_json({k: v for k, v in value.items() if k != "payout"})
        return cls(period, Terms.from_json(value["payout"]))

    def verify(self, known: Trust | Lineage | Committee) -> Committee:
        """Verify that a quorum signed exactly these leaves; return the committee.

        Raises as `PeriodReport.verify`.
        """
        return self.period.verify(known)

    def payout(self) -> Payout | None:
        """Compute what the nodes earn; None without terms. Raises UnknownNode, PayoutTooSmall."""
        if self.terms is None:
            return None
        seconds = self.period.claim.seconds
        return compute_payout(self.terms.rule, self.period.leaves, seconds, self.terms.units)
