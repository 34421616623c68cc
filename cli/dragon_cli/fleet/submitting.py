"""Hand an event that one key has signed to the aggregators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dragon.errors import BadAnswer, DragonError, Early, PeerError, Stale
from dragon.net.aggregator_client import REFUSALS, AggregatorClient
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_cli.fleet import queries
from dragon_cli.hints import with_hint

TIMEOUT_SECONDS: Final = 5.0  # for each aggregator

Send = Callable[[AggregatorClient], None]  # hands the event to one aggregator


def submit(committee: Committee, http: HttpClient, send: Send, *, first: int = 0) -> str:
    """Hand an event to the aggregators by rank; return the name of the first to accept it.

    Args: `first`, the place in that order of the aggregator that is asked first.

    Raises:
        one of REFUSALS: no aggregator accepts it; the first explanation.
        PeerError: no aggregator gave a usable answer.
        NotListed: the committee lists no aggregator.
    """
    refusals: list[DragonError] = []

    def ask(url: str) -> None:
        try:
            send(AggregatorClient(url, http))
        except tuple(REFUSALS.values()) as refusal:
            refusals.append(refusal)
            raise BadAnswer(str(refusal)) from None

    asked = list(queries.aggregators(committee).items())
    start = first % len(asked)
    try:
        return queries.first(dict(asked[start:] + asked[:start]), ask)[0]
    except PeerError:
        if not refusals:
            raise
    if isinstance(refusals[0], (Early, Stale)):
        raise with_hint(refusals[0], "Check the clock of this machine.")
    raise refusals[0]
