"""A stream goes on across three handovers; every receipt is verified offline at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from committees import Members, make_members, secret
from dragon.encoding import canonical, parse
from dragon.errors import DragonError
from dragon.log.audit import audit
from dragon.net.http_client import HttpClient
from dragon.net.lineage_client import fetch_lineage
from dragon.protocol.claims.status import Status
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import is_complete, verify
from epochs import new_operator, newest_handover, successor
from stream_simulation import StreamWorld

EPOCHS: Final = 4


def hand_over(world: StreamWorld, following: Members) -> None:
    """All owners approve, and the next committee takes its seats."""
    for name, key in following.secrets.items():
        present = world.members.secrets.get(name)
        if present is None:
            world.join(name, key, new_operator(name, key).url)
        elif present is not key:
            world.newcomers[name] = key
            world.restart(name)
    world.run(2)
    for name in world.watchers():
        world.approve(name, following.committee)
    world.run(4)
    assert world.components("operator_1").log.committee == following.committee
    world.take_seats(following)
    world.run(2)


def data_of(epoch: int) -> bytes:
    return b"21.%d" % epoch


@pytest.mark.timeout(300)
def test_a_stream_goes_on_across_three_handovers(tmp_path: Path) -> None:
    """One joins, one rotates its key, one leaves; meanwhile one operator is down.

    Of each epoch there is a receipt that was given at once, and one that was renewed after the next
    handover, and never again.
    """
    changes: list[dict[str, Any]] = [
        {"add": ["operator_5"]},
        {"rotate": {"operator_2": secret("operator_2 again")}},
        {"drop": ["operator_4"]},
    ]
    early: list[bytes] = []
    renewed: list[bytes] = []
    with StreamWorld(tmp_path, make_members(4)) as world:
        world.run(2)
        stream = world.make("sensor-1", mode="message")
        for epoch in range(EPOCHS):
            world.upload(stream, data_of(epoch))
            world.run(2)
            early.append(canonical(world.receipt(stream, epoch).to_json()))
            if epoch == 1:
                world.stop("operator_3")
            if epoch == EPOCHS - 1:
                world.resume("operator_3")
                world.run(14)
            else:
                seated_by = newest_handover(world.components("operator_1").log)
                hand_over(world, successor(world.members, seated_by, **changes[epoch]))
            renewed.append(canonical(world.receipt(stream, epoch).to_json()))
        lineage = fetch_lineage(
            HttpClient(world.session("client")),
            world.committee.urls["operator_1"],
            world.committee.network_id,
        )
        outage = world.components("operator_1").log.state.nodes["operator_3"]
        assert world.states(stream) == ["certified"] * EPOCHS
        log = world.database_file("operator_1")
    # The network is gone: only files are left.
    held = Lineage.load(lineage.encode())
    assert [each.epoch for each in held.committees] == list(range(EPOCHS))
    assert [move.status for move in outage] == [Status.UP, Status.DOWN, Status.UP]
    for epoch, raw in enumerate(renewed):
        receipt = Receipt.from_json(parse(raw))
        assert receipt.event.committee_id == held.committees[epoch].id
        assert is_complete(verify(held, receipt, data_of(epoch)))
        assert receipt.place is not None
        assert isinstance(receipt.place.checkpoint, Handover) is (epoch < EPOCHS - 1)
    for epoch, raw in enumerate(early[:-1]):
        assert not holds(held, Receipt.from_json(parse(raw)), data_of(epoch)), epoch
    assert audit(log, held.committees[-1]).state.committee == held.committees[-1]


def holds(lineage: Lineage, receipt: Receipt, data: bytes) -> bool:
    try:
        return is_complete(verify(lineage, receipt, data))
    except DragonError:
        return False
