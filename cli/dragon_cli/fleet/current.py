"""The committee that holds now, and its lineage, for commands that only read."""

from __future__ import annotations

from typing import Final

from dragon.errors import DragonError
from dragon.net.http_client import HttpClient
from dragon.net.lineage_client import fetch_lineage
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon_cli.fleet import approvals
from dragon_cli.fleet.layout import Home
from dragon_cli.trust import held

MAX_ASKED: Final = 4  # operators that are asked for the present epoch
MAX_FETCHED: Final = 2  # lineages, if the first one does not hold


def committee(home: Home, http: HttpClient) -> Committee:
    """Return the newest committee of the network that is proven, for this command only.

    It is that of the home, unless an operator proves a later one by its lineage. `dragon committee
    update` writes what is found here.

    Raises NoHome, NoCommittee, LineageForked: as `held`.
    """
    return newer(held(home), http).newest


def newer(known: Lineage, http: HttpClient) -> Lineage:
    """Return a lineage that an operator proves and that continues a known one; else that one."""
    newest = known.newest
    asked = {each.id: each.url for each in newest.operators[:MAX_ASKED]}
    said = approvals.ask(http, asked)
    ahead = [asked[each.operator] for each in said if (each.epoch or 0) > newest.epoch]
    for url in ahead[:MAX_FETCHED]:
        try:
            return known.replaced_by(fetch_lineage(http, url, known.network_id))
        except DragonError:
            continue  # unproven until its first checkpoint, or a service that lies
    return known
