"""Write the examples in `tests/vectors/protocol` anew, after a change of what is signed.

    PYTHONPATH=tests python tests/protocol_examples.py

The inputs stay as they are in the files: names, times, texts, secrets and signers. All that follows
from them is computed: ids, roots, signatures, certificates, leaves, trees, proofs and the receipt.
`make docs` then brings them into the specification.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, Final

from dragon.encoding import Members, canonical, to_hex
from dragon.protocol import bls, certificate, event, handover, merkle, signing
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.committee import Committee, Expert, short_id
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.founding import Change, succeed
from dragon.protocol.lineage import Lineage
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.member import Member, Role
from dragon.protocol.period import PeriodLeaf, PeriodReport, report_tree
from dragon.protocol.streams.chunks import (
    chunk_headers,
    digest,
    encode_chunks,
    opening,
    opening_with_reading,
    tree_of,
)
from dragon.protocol.streams.closing import decide
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.statements import statement_of, window_statement
from dragon.protocol.streams.submission import WindowObjects
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon.stark.prover.blocks import prove_blocks
from dragon.stark.prover.readings import prove_readings
from dragon.stark.ziggy import secret_preimage

VECTORS: Final = Path(__file__).parent / "vectors" / "protocol"


class Examples:
    """The examples by name. Values are changed here, and written at the end."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in VECTORS.glob("*.json")
        }

    def rows(self, name: str) -> list[list[Any]]:
        rows: list[list[Any]] = self.files[name]["rows"]
        return rows

    def value(self, name: str) -> dict[str, Any]:
        """Return an example as a value, whether it is kept as a value or as canonical JSON."""
        shown = self.files[name]
        value: dict[str, Any] = shown["value"] if "value" in shown else json.loads(shown["text"])
        return value

    def raw(self, name: str) -> bytes:
        return bytes.fromhex(str(self.files[name]["text"]).removeprefix("0x"))

    def put(self, name: str, content: Any) -> None:
        """Set an example, in the form in which it is kept."""
        shown = self.files[name]
        if isinstance(content, bytes):
            prefix = "0x" if shown["text"].startswith("0x") else ""
            shown["text"] = prefix + content.hex()
        elif "rows" in shown:
            shown["rows"] = content
        elif "value" in shown:
            shown["value"] = _in_order(content, shown["value"])
        else:
            shown["text"] = content if isinstance(content, str) else canonical(content).decode()

    def write(self) -> None:
        for name, shown in self.files.items():
            (VECTORS / f"{name}.json").write_text(_text(shown), encoding="utf-8")


class Maker:
    """Computes the examples in the order in which they rest on each other."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples
        self.keys = {
            name: bls.SecretKey.decode(bytes.fromhex(secret[2:]))
            for name, secret, _ in examples.rows("example-keys")
        }
        self.committee = Committee.from_json(examples.value("committee"))

    def make(self) -> None:
        self._committee()
        self._log()
        self._totals()
        self._stream()
        self._readings()
        self._handover()
        self._maintenance()
        for kind in ("status-answer", "suspicion"):
            self._root(kind, self.examples.value(f"{kind}-members"), self.committee.network_id)

    def _committee(self) -> None:
        put, committee = self.examples.put, self.committee
        put("committee", committee.to_json())
        put("committee-id-input", committee.to_json())
        put("committee-id", committee.id)
        put("short-id", short_id(committee.id))

    def _log(self) -> None:
        put, get = self.examples.put, self.examples.value
        self._root("status", get("status-members"), self.committee.id)
        put("status-signature", self.keys["operator_1"].sign(self.examples.raw("status-root")))
        outage = self._certified(StatusClaim, get("status-members"), "certificate")
        back = StatusClaim("operator_2", Status.UP, outage.claim.members()["timestamp"] + 55)  # type: ignore[operator,arg-type]
        tree = merkle.Tree()
        for number, each in enumerate((outage, self._certify(back, tuple(self.keys)))):
            leaf = event.leaf(each, get(f"leaf-{number}")["ledger_index"])
            put(f"leaf-{number}", leaf.decode())
            put(f"leaf-{number}-hash", merkle.leaf_hash(leaf))
            tree.append(merkle.leaf_hash(leaf))
        put("roots", [[size, to_hex(tree.root(size))] for size in range(3)])
        put("inclusion-path", tree.inclusion(0, 2)[0])
        put("consistency-proof", tree.consistency(1, 2)[0])
        checkpoint = {**get("checkpoint-members"), "root": to_hex(tree.root(2))}
        self._root("checkpoint", checkpoint, self.committee.id)
        self._certified(CheckpointClaim, checkpoint, "checkpoint-certificate")

    def _handover(self) -> None:
        """A fifth operator joins, and both committees sign the log of two entries."""
        put, get = self.examples.put, self.examples.value
        key = bls.SecretKey.generate(b"operator_5".ljust(32, b"."))
        member = Member.sign(Role.OPERATOR, "operator_5", get("member")["url"], key)
        signed = {
            name: value
            for name, value in member.to_json().items()
            if name in ("role", "id", "url", "public_key")
        }
        put("member", member.to_json())
        put("member-input", b"datadragon/member/v1\x00" + bytes(32) + canonical(signed))
        put("member-root", member.root())
        following = succeed(Lineage.of(self.committee), Change(members=(member,)))
        put("next-committee-id", following.id)
        stated = get("handover-members")
        root = bytes.fromhex(self.examples.rows("roots")[stated["size"]][1][2:])
        claim = HandoverClaim(1, following.id, root, stated["size"], stated["timestamp"])
        self._root("handover", claim.members(), self.committee.id)
        accepted = claim.acceptance.root(following.id)
        put("acceptance-root", accepted)
        signers = get("handover")
        keys = {**self.keys, "operator_5": key}
        made = handover.assemble(
            self._certify(claim, tuple(signers["signers"])),
            {name: keys[name].sign(accepted) for name in signers["acceptance"]["signers"]},
            following,
        )
        put("handover", made.to_json())

    def _totals(self) -> None:
        """Apply the log of the worked example, and let the first interval's totals be signed."""
        tree, genesis = merkle.Tree(), self.committee.rounds.genesis
        for position, (_, what, second) in enumerate(self.examples.rows("totals-log")):
            subject, said = what.split()
            at = genesis + int(second)
            signers = tuple(each for each in self.keys if said != "down" or each != subject)
            claim: Claim = (
                CheckpointClaim(int(said), tree.root(int(said)), at)
                if subject == "checkpoint"
                else StatusClaim(subject, Status(said), at)
            )
            applied = self._certify(claim, signers)
            tree.append(merkle.leaf_hash(event.leaf(applied, position + 1)))
        members = self.examples.value("downtime-members")
        members["root"] = to_hex(tree.root(members["size"]))
        self._root("downtime", members, self.committee.id)
        self._certified(DowntimeClaim, members, "downtime-certificate")
        self._period(members)

    def _period(self, stated: dict[str, Any]) -> None:
        """Certify all nodes of the first interval; the log has events of one of them only."""
        seconds = ("seconds_down", "seconds_maintenance", "seconds_unknown")
        unknown = [0, 0, stated["to"] - stated["from"]]
        known = [stated[each] for each in seconds]
        leaves = [
            PeriodLeaf(node_id, *(known if node_id == stated["node_id"] else unknown))
            for node_id in sorted(self.committee.urls)
        ]
        members = {name: stated[name] for name in ("from", "to", "root", "size")}
        members |= {"nodes": len(leaves), "report": to_hex(report_tree(leaves).root())}
        self._root("period", members, self.committee.id)
        signers = self.examples.value("period-report")["certificate"]["signers"]
        claim = PeriodClaim.take(Members(members, "period"))
        report = PeriodReport.of(self._certify(claim, tuple(signers)), leaves)
        self.examples.put("period-report", report.to_json())
        self.examples.put("period-leaf", report.prove(stated["node_id"]).to_json())

    def _stream(self) -> None:
        put, get, raw = self.examples.put, self.examples.value, self.examples.raw
        identity, header_key, salt_key = (
            bytes.fromhex(secret[2:]) for _, secret in self.examples.rows("stream-secrets")
        )
        secret = bls.SecretKey.decode(header_key)
        # (1) The descriptor and its id.
        shown = get("descriptor")
        shown.pop("committee", None)
        network = to_hex(self.committee.network_id)
        descriptor = Descriptor.from_json({**shown, "network": network})
        put("descriptor", descriptor.to_json())
        put("stream-id", descriptor.id)
        # (2) Chunks.
        listed = self.examples.rows("chunk-data")
        digests = [bytes.fromhex(each[2:]) for *_, each in listed]
        openings = [
            opening(salt_key, descriptor.id, number, each) for number, each in enumerate(digests)
        ]
        put("salt-input", descriptor.id + bytes(8) + digests[0])
        put("salt", openings[0][32:])
        put("opening", openings[0])
        chunks = chunk_headers(0, [(at, len(text)) for _, at, text, _ in listed], openings)
        put("commitment", chunks[0].commitment)
        for number, chunk in enumerate(chunks):
            put(f"chunk-{number}", chunk.leaf().decode())
        put("chunks-root", tree_of(chunks).root())
        # (3) The window, its proof, and its objects.
        header = close(descriptor, None, chunks)
        put("window-hash", header.hash)
        self._root("stream-header", header.members(), self.committee.network_id)
        put("stream-header-signature", sign(header, descriptor, secret))
        secrets = [secret_preimage(identity), *openings]
        proof = prove_blocks("standard", secrets, header.hash, raw("proof-rho"))
        proof_digest = hashlib.sha256(proof).digest()
        put("proof-digest", proof_digest)
        objects = WindowObjects.of(header, encode_chunks(chunks), proof)
        self._root("stream-objects", objects.members(), self.committee.network_id)
        put("stream-objects-signature", secret.sign(raw("stream-objects-root")))
        # (4) The votes, and an expert's endorsement.
        stream = to_hex(descriptor.id)
        votes = {**get("window-members"), "stream": stream, "previous": stream}
        votes |= {"header": to_hex(header.hash), "proof": to_hex(proof_digest)}
        self._root("window", votes, self.committee.id)
        voted = self._certified(WindowClaim, votes, "window-certificate")
        self._endorsement({**get("endorsement-members"), "stream": stream})
        # (5) The receipt of chunk 0.
        place = get("receipt")
        leaf = merkle.leaf_hash(event.leaf(voted, place["ledger_index"]))
        stated = place["checkpoint"]
        claim = CheckpointClaim(stated["size"], merkle.Tree([leaf]).root(), stated["timestamp"])
        certified = self._certify(claim, tuple(stated["signers"]))
        receipt = Receipt(
            descriptor,
            chunks[0],
            tuple(tree_of(chunks).inclusion(0)),
            header,
            sign(header, descriptor, secret),
            voted,
            opening=openings[0],
        ).to_json()
        receipt |= {key: place[key] for key in ("position", "ledger_index", "inclusion")}
        put("receipt", {**receipt, "checkpoint": certified.to_json()})

    def _readings(self) -> None:
        """A stream with readings: two windows that claim them, and one that claims nothing."""
        put, get = self.examples.put, self.examples.value
        identity, _, salt_key = (
            bytes.fromhex(secret[2:]) for _, secret in self.examples.rows("stream-secrets")
        )
        # (1) The descriptor: the keys of the other example, with a name and readings of its own.
        own = {name: get("readings-descriptor")[name] for name in ("name", "readings")}
        descriptor = Descriptor.from_json({**get("descriptor"), **own})
        put("readings-descriptor", descriptor.to_json())
        put("readings-stream-id", descriptor.id)
        readings = descriptor.readings
        assert readings
        # (2) Chunks.
        listed = self.examples.rows("readings-chunk-data")
        data = [text.encode() for _, _, text, _, _ in listed]
        values = [readings.committed_value(each) for each in data]
        openings = [
            opening_with_reading(salt_key, descriptor.id, number, digest(each), values[number])
            for number, each in enumerate(data)
        ]
        shown = [readings.rule.reading(each) for each in data]
        put(
            "readings-chunk-data",
            [
                [number, at, text, "none" if shown[number] is None else shown[number], window]
                for number, at, text, _, window in listed
            ],
        )
        put("readings-salt", openings[0][32:52])
        put("readings-opening", openings[0])
        put("readings-no-opening", openings[-1])
        received = [(at, readings.length) for _, at, *_ in listed]
        chunks = chunk_headers(0, received, openings)
        put("readings-commitment", chunks[0].commitment)
        put("readings-chunk", chunks[0].leaf().decode())
        # (3) Windows.
        headers: list[WindowHeader] = []
        bounds = []
        for window in range(3):
            first, last = (f([n for n, *_, at in listed if at == window]) for f in (min, max))
            carried = readings.is_carried(window)
            closing = decide(
                readings, values[first : last + 1], values[first - 1] if carried else None
            )
            previous = headers[-1] if headers else None
            headers.append(close(descriptor, previous, chunks[first : last + 1], closing))
            put(f"readings-header-{window}", headers[-1].members())
            found = window_statement(descriptor, headers[-1], previous)
            if found:
                bounds.append([window, int(carried), *astuple(found.bounds)])
        put("readings-bounds", bounds)
        # (4) The proof of the second window, and the claim about it.
        statement = window_statement(descriptor, headers[1], headers[0])
        assert statement
        proof = prove_readings(
            *("standard", secret_preimage(identity), openings[1:4], True, statement.bounds),
            *(headers[1].hash, self.examples.raw("proof-rho")),
        )
        put("readings-proof-digest", hashlib.sha256(proof).digest())
        claim = WindowClaim(
            *(descriptor.id, 1, headers[0].hash, headers[1].hash),
            *(Verdict.VALID, InvalidReason.NONE, hashlib.sha256(proof).digest(), "standard"),
            get("readings-window-members")["timestamp"],
            statement_of(descriptor, headers[1]),
        )
        put("readings-window-members", claim.members())

    def _endorsement(self, members: dict[str, Any]) -> None:
        key = bls.SecretKey.generate(b"expert_1".ljust(32, b"."))
        expert = Expert("expert_1", key.public_key(), key.prove_possession())
        committee = replace(self.committee, experts=(expert,))
        self._root("endorsement", members, self.committee.id)
        self.examples.put("expert-committee-id", committee.id)
        claim = EndorsementClaim.take(Members(members, "the endorsement"))
        self.examples.put("endorsement", Endorsement.sign(claim, key, committee.id).to_json())

    def _maintenance(self) -> None:
        """The owner of a target announces its maintenance."""
        members = self.examples.value("maintenance-members")
        self._root("maintenance", members, self.committee.id)
        claim = MaintenanceClaim.take(Members(members, "the announcement"))
        key = self.keys[self.committee.speaker(claim.node_id)]
        announced = Maintenance.sign(claim, key, self.committee.id)
        self.examples.put("maintenance", announced.to_json())

    def _root(self, kind: str, members: dict[str, Any], bound_to: bytes) -> None:
        """Set the members, the hashed bytes and the root of a statement."""
        self.examples.put(f"{kind}-members", members)
        domain = b"datadragon/" + kind.encode() + b"/v1\x00"
        self.examples.put(f"{kind}-input", domain + bound_to + canonical(members))
        self.examples.put(f"{kind}-root", signing.root(kind, bound_to, members))

    def _certified(self, shape: type[Claim], members: dict[str, Any], name: str) -> Certificate:
        signers = tuple(self.examples.value(name)["signers"])
        certified = self._certify(shape.take(Members(members, name)), signers)
        self.examples.put(name, certified.to_json())
        return certified

    def _certify(self, claim: Claim, signers: tuple[str, ...]) -> Certificate:
        root = claim.root(self.committee.id)
        signatures = {name: self.keys[name].sign(root) for name in signers}
        return certificate.assemble(claim, signatures, self.committee)


def _text(shown: dict[str, Any]) -> str:
    """Return the text of an example's file: each row of a table in one line."""
    rows = [json.dumps(row, ensure_ascii=False) for row in shown.get("rows", [])]
    plain = {**shown, "rows": [f"row {number}" for number in range(len(rows))]} if rows else shown
    if "columns" in shown:
        plain["columns"] = "columns"
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    for number, row in enumerate(rows):
        text = text.replace(f'"row {number}"', row)
    if "columns" in shown:
        text = text.replace('"columns": "columns"', f'"columns": {json.dumps(shown["columns"])}')
    return text + "\n"


def _in_order(value: Any, like: Any) -> Any:
    """Return a value with the order of members that it had, new ones in their own order."""
    if isinstance(value, dict) and isinstance(like, dict):
        names = [name for name in like if name in value]
        names += [name for name in value if name not in like]
        return {name: _in_order(value[name], like.get(name)) for name in names}
    return value


if __name__ == "__main__":
    examples = Examples()
    Maker(examples).make()
    examples.write()
