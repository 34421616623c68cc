"""The examples of periods, checked with hashlib and py_ecc alone, and by the code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from eth_typing import BLSPubkey, BLSSignature
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from dragon import errors
from dragon.protocol.committee import Committee
from dragon.protocol.period import PeriodReport, ProvenLeaf

VECTORS = Path(__file__).parents[3] / "tests" / "vectors" / "protocol"


def value(name: str) -> Any:
    shown = json.loads((VECTORS / f"{name}.json").read_text())
    return shown["value"] if "value" in shown else shown["text"]


REPORT, LEAF, COMMITTEE = value("period-report"), value("period-leaf"), value("committee")


def compact(shown: Any) -> bytes:
    """Canonical JSON of a value whose members have ASCII names."""
    return json.dumps(shown, sort_keys=True, separators=(",", ":")).encode()


def hashed(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """The tree of RFC 6962, as its section 2.1 defines it."""
    if len(leaves) == 1:
        return hashed(b"\x00", leaves[0])
    half = 1
    while 2 * half < len(leaves):
        half *= 2
    return hashed(b"\x01", root_of(leaves[:half]), root_of(leaves[half:]))


def test_the_report_is_the_root_over_the_leaves() -> None:
    leaves = [compact(each) for each in REPORT["leaves"]]

    assert REPORT["certificate"]["report"] == "0x" + root_of(leaves).hex()
    assert REPORT["certificate"]["nodes"] == len(leaves) == 5
    assert [each["node_id"] for each in REPORT["leaves"]] == [
        *(f"operator_{number}" for number in range(1, 5)),
        "target_1",
    ]


def test_the_path_leads_from_the_leaf_to_the_report() -> None:
    """Leaf 1 of 5: a neighbour on its left, one pair and one leaf on its right."""
    left, pair, last = (bytes.fromhex(each[2:]) for each in LEAF["path"])
    two = hashed(b"\x01", left, hashed(b"\x00", compact(LEAF["leaf"])))

    found = hashed(b"\x01", hashed(b"\x01", two, pair), last)

    assert LEAF["index"] == 1
    assert LEAF["certificate"]["report"] == "0x" + found.hex()
    assert LEAF["certificate"] == REPORT["certificate"]


def test_the_quorum_has_signed_the_root_of_the_claim() -> None:
    certificate, members = REPORT["certificate"], json.loads(value("period-members"))
    committee_id = bytes.fromhex(certificate["committee"][2:])
    root = hashed(b"datadragon/period/v1\x00", committee_id, compact(members))
    keys = {each["id"]: each["public_key"] for each in COMMITTEE["operators"]}
    signers = [BLSPubkey(bytes.fromhex(keys[each][2:])) for each in certificate["signers"]]
    signature = BLSSignature(bytes.fromhex(certificate["aggregated_signature"][2:]))

    assert {name: certificate[name] for name in members} == members
    assert committee_id == hashed(value("committee-id-input").encode())
    assert "0x" + root.hex() == value("period-root")
    assert len(signers) == 3  # the byzantine quorum of four
    assert G2ProofOfPossession.FastAggregateVerify(signers, root, signature)


def test_the_seconds_are_those_of_the_downtime_example() -> None:
    downtime = value("downtime-certificate")

    for name in ("from", "to", "root", "size"):
        assert REPORT["certificate"][name] == downtime[name]
    for name in ("node_id", "seconds_down", "seconds_maintenance", "seconds_unknown"):
        assert LEAF["leaf"][name] == downtime[name]


def test_the_code_reproduces_and_verifies_both_files() -> None:
    committee = Committee.load(compact(COMMITTEE))
    report, proven = PeriodReport.from_json(REPORT), ProvenLeaf.from_json(LEAF)

    assert report.to_json() == REPORT
    assert report.prove("operator_2") == proven
    assert proven.to_json() == LEAF
    report.verify(committee)
    proven.verify(committee)
    with pytest.raises(errors.InvalidProof):
        ProvenLeaf.from_json({**LEAF, "index": 2}).verify(committee)
