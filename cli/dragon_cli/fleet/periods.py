"""Request period certificates from the aggregators of a fleet."""

from __future__ import annotations

from typing import Final

from dragon.net.aggregator_client import AggregatorClient
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon.protocol.period import PeriodReport
from dragon_cli.fleet import queries

# The aggregator waits up to 10 s for the operators, which may compute thousands of leaves.
CERTIFY_SECONDS: Final = 15.0


def certified_period(committee: Committee, http: HttpClient, begin: int, end: int) -> PeriodReport:
    """Return a verified report on [begin, end), Unix seconds, of the first aggregator that answers.

    Raises PeerError, NotSettled, NotCertified, UnsuitablePeriod, InvalidProof, CertificateError.
    """

    def ask(url: str) -> PeriodReport:
        client = AggregatorClient(url, http)
        return client.certify_period(begin, end, deadline=CERTIFY_SECONDS)

    _, report = queries.first(queries.aggregators(committee), ask)
    report.verify(committee)
    return report
