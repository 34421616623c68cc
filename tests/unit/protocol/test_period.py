"""Period reports: the file with all leaves, and the file that proves one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.encoding import canonical, parse, to_hex
from dragon.protocol import period
from dragon.protocol.certificate import Certificate, quorum
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.period import MAX_PERIOD_NODES
from dragon.protocol.period import PeriodLeaf, PeriodReport, ProvenLeaf
from dragon.protocol.trust import Trust
from epochs import Network
from period_reports import BEGIN, END, LEAVES, LOG_ROOT, MEMBERS, SIGNERS, make_report

KNOWN = MEMBERS.committee
REPORT = make_report()
PROVEN = REPORT.prove("node_3")


def spoiled(made: PeriodReport | ProvenLeaf, **changes: Any) -> dict[str, Any]:
    return {**made.to_json(), **changes}


def test_both_files_are_restored_and_verified() -> None:
    for made in (REPORT, PROVEN):
        read = type(made).from_json(parse(canonical(made.to_json())))

        assert read == made
        assert read.verify(KNOWN) == KNOWN


def test_the_root_is_that_of_rfc_6962() -> None:
    """Computed with hashlib alone."""

    def hashed(prefix: bytes, *parts: bytes) -> bytes:
        return hashlib.sha256(prefix + b"".join(parts)).digest()

    texts = [
        f'{{"node_id":"node_{at}","seconds_down":{100 + at},"seconds_maintenance":20,'
        '"seconds_unknown":3}'
        for at in range(5)
    ]
    one, two, three, four, five = (hashed(b"\x00", text.encode()) for text in texts)
    left = hashed(b"\x01", hashed(b"\x01", one, two), hashed(b"\x01", three, four))

    assert REPORT.claim.report == hashed(b"\x01", left, five)
    assert PROVEN.path == (three, hashed(b"\x01", one, two), five)


def test_the_quorum_is_that_of_downtime() -> None:
    members = make_members(7, rules={"downtime": 6})

    assert quorum(REPORT.claim, members.committee) == 6


def test_the_seconds_of_a_leaf_add_up_to_the_period() -> None:
    leaf = REPORT.leaf("node_3")

    assert leaf.seconds_up(REPORT.claim) == 3600 - 103 - 3
    assert leaf.downtime(REPORT.claim) == DowntimeClaim(
        "node_3", BEGIN, END, 103, 20, 3, 1234, LOG_ROOT
    )


def test_every_leaf_can_be_proven() -> None:
    for size in (1, 2, 3, 7, 8):
        made = make_report([PeriodLeaf(f"node_{at}", at, at, 0) for at in range(size)])
        for leaf in made.leaves:
            proven = made.prove(leaf.node_id)
            assert proven.leaf == leaf
            proven.verify(KNOWN)


def test_the_proof_of_one_of_8192_nodes_has_less_than_2500_bytes() -> None:
    leaves = [
        PeriodLeaf(f"a-target-with-a-long-name-{at:06}", 10_000_000, 9_000_000, 20_000_000)
        for at in range(MAX_PERIOD_NODES)
    ]
    members = make_members(22)
    made = make_report(leaves, members, list(members.secrets)[:15], end=BEGIN + 366 * 86_400)
    proven = made.prove(leaves[4711].node_id)

    written = json.dumps(proven.to_json(), indent=2).encode()

    proven.verify(members.committee)
    assert len(proven.path) == period.MAX_LEAF_PATH == 13
    assert len(written) < 2500
    assert len(canonical(made.to_json())) < 1_500_000 < period.MAX_PERIOD_FILE_BYTES


# -- what is refused -------------------------------------------------------------------------------


def test_period_leaf_of_another_period() -> None:
    other = make_report(begin=BEGIN - 100).prove("node_3")
    moved = make_report([PeriodLeaf("node_3", 0, 0, 0)], begin=BEGIN - 100).prove("node_3")

    # The same leaves are certified for both periods, so each certificate proves them for its own.
    other.verify(KNOWN)
    with pytest.raises(errors.InvalidProof):
        replace(moved, certificate=PROVEN.certificate, claim=PROVEN.claim).verify(KNOWN)
    with pytest.raises(errors.InvalidProof):
        replace(PROVEN, leaf=moved.leaf).verify(KNOWN)


@pytest.mark.parametrize(
    "changes",
    [
        {"index": 2},
        {"index": 5},
        {"path": []},
        {"path": [to_hex(each) for each in PROVEN.path[:-1]]},
        {"path": [to_hex(each) for each in reversed(PROVEN.path)]},
        {"path": [to_hex(each) for each in (*PROVEN.path, bytes(32))]},
        {"leaf": {**PROVEN.leaf.members(), "node_id": "node_4"}},
        {"leaf": {**PROVEN.leaf.members(), "seconds_down": 102}},
        {"leaf": {**PROVEN.leaf.members(), "seconds_maintenance": 19}},
        {"leaf": {**PROVEN.leaf.members(), "seconds_unknown": 4}},
    ],
)
def test_another_leaf_than_the_certified_one_is_an_invalid_proof(changes: dict[str, Any]) -> None:
    proven = ProvenLeaf.from_json(spoiled(PROVEN, **changes))

    with pytest.raises(errors.InvalidProof):
        proven.verify(KNOWN)


def test_another_number_of_nodes_is_an_invalid_proof() -> None:
    """The path would lead to the same root in a tree of another size."""
    larger = make_report(nodes=6)

    with pytest.raises(errors.InvalidProof):
        replace(larger.prove("node_4")).verify(KNOWN)
    with pytest.raises(errors.InvalidProof, match="6 leaves, not 5"):
        larger.verify(KNOWN)


@pytest.mark.parametrize(
    "leaves",
    [
        LEAVES[:4],
        LEAVES[1:],
        [*LEAVES, PeriodLeaf("node_5", 0, 0, 0)],
        [*LEAVES[:4], replace(LEAVES[4], seconds_down=105)],
        [],
    ],
)
def test_other_leaves_than_the_certified_ones_are_an_invalid_proof(
    leaves: Sequence[PeriodLeaf],
) -> None:
    value = spoiled(REPORT, leaves=[each.members() for each in leaves])

    with pytest.raises(errors.InvalidProof):
        PeriodReport.from_json(value).verify(KNOWN)


@pytest.mark.parametrize("order", [[0, 2, 1, 3, 4], [0, 1, 2, 3, 3]])
def test_leaves_out_of_order_are_refused_even_if_a_quorum_signed_them(order: list[int]) -> None:
    made = make_report([LEAVES[at] for at in order])

    with pytest.raises(errors.UnsortedNodes):
        PeriodReport.from_json(made.to_json())


def test_a_certificate_of_another_kind_is_refused() -> None:
    claim = DowntimeClaim("node_3", BEGIN, END, 103, 20, 3, 1234, LOG_ROOT)
    certificate = MEMBERS.certify(claim, SIGNERS)

    with pytest.raises(errors.UnknownKind):
        PeriodReport.from_json(spoiled(REPORT, certificate=certificate.to_json()))
    with pytest.raises(errors.UnknownKind):
        ProvenLeaf.from_json(spoiled(PROVEN, certificate=certificate.to_json()))


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"node_id": "Node"}, errors.InvalidId),
        ({"seconds_down": 3598}, errors.IntegerOutOfRange),  # with 3 s unknown
        ({"seconds_down": -1}, errors.IntegerOutOfRange),
        ({"seconds_down": 366 * 86_400 + 1}, errors.IntegerOutOfRange),
        ({"seconds_maintenance": 104}, errors.IntegerOutOfRange),  # more than down
        ({"seconds_unknown": 3498}, errors.IntegerOutOfRange),
        ({"seconds_unknown": True}, errors.NotAnInteger),
        ({"seconds_up": 3494}, errors.UnknownMember),
    ],
)
def test_an_invalid_leaf_is_refused(
    change: dict[str, Any], refusal: type[errors.InvalidEncoding]
) -> None:
    leaf = {**PROVEN.leaf.members(), **change}

    for decode, value in (
        (ProvenLeaf.from_json, spoiled(PROVEN, leaf=leaf)),
        (PeriodReport.from_json, spoiled(REPORT, leaves=[leaf])),
    ):
        with pytest.raises(errors.InvalidEncoding) as refused:
            decode(value)
        assert type(refused.value) is refusal


@pytest.mark.parametrize("made", [REPORT, PROVEN], ids=["report", "leaf"])
def test_a_file_has_exactly_its_members(made: PeriodReport | ProvenLeaf) -> None:
    value = made.to_json()

    for name in value:
        with pytest.raises(errors.MissingMember):
            type(made).from_json({key: value[key] for key in value if key != name})
    with pytest.raises(errors.UnknownMember):
        type(made).from_json({**value, "more": 1})


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"index": MAX_PERIOD_NODES}, errors.IntegerOutOfRange),
        ({"index": -1}, errors.IntegerOutOfRange),
        ({"path": [to_hex(bytes(32))] * 14}, errors.UnknownValue),
        ({"path": [to_hex(bytes(31))]}, errors.InvalidHex),
        ({"path": None}, errors.WrongType),
    ],
)
def test_an_invalid_path_is_refused(
    changes: dict[str, Any], refusal: type[errors.InvalidEncoding]
) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        ProvenLeaf.from_json(spoiled(PROVEN, **changes))

    assert type(refused.value) is refusal


def test_more_than_8192_leaves_are_refused() -> None:
    leaf = PROVEN.leaf.members()

    with pytest.raises(errors.UnknownValue):
        PeriodReport.from_json(spoiled(REPORT, leaves=[leaf] * 8193))


def test_a_node_that_was_not_listed_has_no_leaf() -> None:
    with pytest.raises(errors.UnknownNode, match="node_9"):
        REPORT.prove("node_9")
    with pytest.raises(errors.UnknownNode):
        REPORT.leaf("node_")


def test_a_certificate_without_a_quorum_is_refused() -> None:
    few = make_report(signers=SIGNERS[:2])

    for made in (few, few.prove("node_3")):
        with pytest.raises(errors.QuorumNotMet):
            made.verify(KNOWN)


def test_a_signature_on_another_report_is_refused() -> None:
    certificate = REPORT.certificate
    for change in ({"size": 1235}, {"end": END + 1}, {"log_root": bytes(32)}):
        claim = replace(REPORT.claim, **change)
        forged = replace(certificate, claim=claim)
        for made in (REPORT, PROVEN):
            with pytest.raises(errors.BadSignature):
                replace(made, certificate=forged, claim=claim).verify(KNOWN)


# -- with a lineage --------------------------------------------------------------------------------


def test_the_certificate_of_a_committee_that_handed_over_is_superseded() -> None:
    network = Network()
    network.step(rotate={"operator_1": secret("operator_1 again")})
    lineage = network.lineage()
    old, new = (make_report(members=members) for members in network.epochs)

    for made in (old, old.prove("node_3")):
        with pytest.raises(errors.Superseded):
            made.verify(lineage)
        assert made.verify(Trust(lineage, trust_from=0)).epoch == 0
    assert new.verify(lineage).epoch == 1
    assert new.prove("node_3").verify(lineage).epoch == 1


def test_the_certificate_of_another_network_is_refused() -> None:
    other = make_members(4, name="other")

    for made in (REPORT, PROVEN):
        with pytest.raises(errors.WrongCommittee):
            made.verify(other.committee)


def test_the_certificate_alone_proves_no_leaf() -> None:
    certificate = Certificate.from_json(PROVEN.to_json()["certificate"])

    certificate.verify(KNOWN)
    with pytest.raises(errors.InvalidProof):
        replace(PROVEN, leaf=replace(PROVEN.leaf, seconds_down=0, seconds_maintenance=0)).verify(
            KNOWN
        )
