"""A lineage verified without this project's code: `hashlib`, `json` and `py_ecc` only."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from dragon.protocol.lineage import Lineage
from lineage_vector import VECTOR, make

Oracle: Any = G2ProofOfPossession
NO_LOG = {"size": 0, "root": "0x" + "00" * 32, "timestamp": 0}


def read() -> Any:
    return json.loads(VECTOR.read_text())


def hexadecimal(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def canonical(value: Any) -> bytes:
    """Canonical JSON, which for ASCII text and integers is what this module writes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def id_of(committee: Any) -> str:
    return "0x" + hashlib.sha256(canonical(committee)).hexdigest()


def byzantine(members: int) -> int:
    return members - (members - 1) // 3


def keys_of(committee: Any) -> dict[str, bytes]:
    return {each["id"]: hexadecimal(each["public_key"]) for each in committee["operators"]}


def check_signed(kind: str, committee: Any, claim: Any, signed: Any) -> None:
    """Check that a quorum of the committee signed a claim; all quorums here are byzantine."""
    keys, signers = keys_of(committee), signed["signers"]
    assert signers == sorted(set(signers))
    assert len(signers) >= byzantine(len(keys))
    listed = [keys[signer] for signer in signers]
    assert Oracle._AggregatePKs(listed) == hexadecimal(signed["aggregated_public_key"])
    domain = f"datadragon/{kind}/v1".encode() + b"\0" + hexadecimal(id_of(committee))
    root = hashlib.sha256(domain + canonical(claim)).digest()
    signature = hexadecimal(signed["aggregated_signature"])
    assert Oracle.FastAggregateVerify(listed, root, signature)


def check_chain(committees: list[Any], handovers: list[Any]) -> str:
    """Check everything except signatures. Returns the network's id."""
    network = id_of(committees[0])
    for before, handover, following in zip(committees, handovers, committees[1:], strict=False):
        epoch = before["epoch"]
        assert following["epoch"] == handover["epoch"] == epoch + 1
        assert following["network"] == network
        assert following["previous"] == handover["committee"] == id_of(before)
        assert handover["next"] == id_of(following)
        seated_by = handovers[epoch - 1] if epoch else NO_LOG
        assert following["sealed"] == {
            name: seated_by[name] for name in ("size", "root", "timestamp")
        }
        for name in ("name", "genesis"):
            assert following[name] == before[name]
    return network


def verify(lineage: Any) -> str:
    """Verify a lineage from its newest committee backwards. Returns the network's id.

    Hashes pin every committee and every handover except the last one, so only that one's signatures
    and the checkpoint's are needed.
    """
    committees, handovers = lineage["committees"], lineage["handovers"]
    network = check_chain(committees, handovers)
    before, newest, last = committees[-2], committees[-1], handovers[-1]
    claim = {name: last[name] for name in ("epoch", "next", "root", "size", "timestamp")}
    check_signed("handover", before, claim, last)
    check_signed("acceptance", newest, claim, last["acceptance"])
    known = set(keys_of(before).values())
    new = {name for name, key in keys_of(newest).items() if key not in known}
    assert new <= set(last["acceptance"]["signers"])
    checkpoint = lineage["checkpoint"]
    claim = {name: checkpoint[name] for name in ("root", "size", "timestamp")}
    check_signed("checkpoint", newest, claim, checkpoint)
    assert checkpoint["size"] > last["size"]
    assert checkpoint["timestamp"] > last["timestamp"]
    return network


def test_the_vector_is_the_lineage_that_this_project_makes() -> None:
    vector = read()

    assert vector == make()
    lineage = Lineage.load(canonical(vector["lineage"]))
    lineage.verify()
    assert "0x" + lineage.network_id.hex() == vector["network"]


def test_a_lineage_is_verified_with_py_ecc_alone() -> None:
    vector = read()

    assert verify(vector["lineage"]) == vector["network"]


@pytest.mark.parametrize("member", ["root", "size", "next", "epoch"])
def test_the_oracle_finds_a_changed_handover_by_hashes_alone(member: str) -> None:
    """Whatever an older handover states, a later file pins."""
    lineage = read()["lineage"]
    first = lineage["handovers"][0]
    first[member] = first[member] + 1 if isinstance(first[member], int) else "0x" + "11" * 32

    with pytest.raises(AssertionError):
        check_chain(lineage["committees"], lineage["handovers"])
