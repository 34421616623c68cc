"""`docs/protocol.md` cannot lie: each of its examples and tables is held against the code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from dragon import bls, errors, event, merkle
from dragon.certificate import Certificate
from dragon.claim import Status, StatusAnswer, StatusClaim, Suspicion
from dragon.committee import Committee, Rounds, byzantine_faults, quorum_of
from dragon.encoding import Json, Members, canonical, parse, to_hex

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(?P<head>.*)\n(?P<body>(?:.*\n)*?)```$", re.MULTILINE)
EXAMPLES = {found["head"].split()[-1]: found["body"].strip("\n") for found in FENCED.finditer(PAGE)}


def example(name: str) -> str:
    return EXAMPLES[name]


def raw(name: str) -> bytes:
    text = example(name)
    return bytes.fromhex(text.removeprefix("0x"))


def rows(name: str) -> list[list[str]]:
    """The columns of an example, which stand two blanks apart."""
    return [re.split(r" {2,}", line.strip()) for line in example(name).splitlines()]


def section(title: str) -> str:
    """The text from a heading to the next one of its rank."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def refusals_in(text: str) -> list[str]:
    """The names in the tables of refusals, in order."""
    return re.findall(r"^\| `([A-Z]\w+)` \|", text, re.MULTILINE)


def leaves_of(base: type[errors.DragonError]) -> list[str]:
    return [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    ]


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee.load(example("committee").encode())


@pytest.fixture(scope="module")
def secrets() -> dict[str, bls.SecretKey]:
    return {
        name: bls.SecretKey.decode(bytes.fromhex(secret[2:]))
        for name, secret, _ in rows("example-keys")
    }


@pytest.fixture(scope="module")
def outage() -> Certificate:
    return Certificate.from_json(parse(example("certificate")))


# -- encoding ------------------------------------------------------------------------------------


def test_the_page_lists_the_refusals_of_encoding() -> None:
    assert refusals_in(section("1. Encoding")) == leaves_of(errors.InvalidEncoding)


def test_texts_are_refused_as_the_page_says() -> None:
    for text, refusal in rows("refused-texts"):
        with pytest.raises(errors.InvalidEncoding) as refused:
            parse(text)

        assert type(refused.value).__name__ == refusal, text


def take(value: Json) -> None:
    members = Members(value, "the example")
    members.id("id")
    members.integer("integer", least=1, most=9)
    members.hex("bytes", size=2)
    members.end()


def test_members_are_refused_as_the_page_says() -> None:
    valid = re.search(r"should have been `(\{.*?\})`", PAGE)
    assert valid is not None
    take(parse(valid[1]))

    for text, refusal in rows("refused-members"):
        with pytest.raises(errors.InvalidEncoding) as refused:
            take(parse(text))

        assert type(refused.value).__name__ == refusal, text


def test_members_stand_in_the_order_of_the_page() -> None:
    text = example("canonical")

    assert canonical(parse(text)) == text.encode()
    assert list(json.loads(text)) != sorted(json.loads(text))


# -- keys ----------------------------------------------------------------------------------------


def test_the_tags_are_those_of_the_page() -> None:
    stated = re.findall(r"`(BLS_\w+_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_)`", PAGE)

    assert [tag.encode() for tag in stated] == [bls.SIGNATURE_DST, bls.POSSESSION_DST]


def test_keys_are_made_as_the_page_says() -> None:
    for name, secret, public in rows("example-keys"):
        made = bls.SecretKey.generate(name.encode("ascii").ljust(32, b"."))

        assert to_hex(made.encode()) == secret
        assert to_hex(made.public_key().raw) == public


# -- committee -----------------------------------------------------------------------------------


def test_the_committee_of_the_page_is_one(
    committee: Committee, secrets: dict[str, bls.SecretKey]
) -> None:
    assert canonical(committee.to_json()) == canonical(parse(example("committee")))
    for operator in committee.operators:
        secret = secrets[operator.id]
        assert operator.public_key == secret.public_key()
        assert operator.proof_of_possession == secret.prove_possession()


def test_the_committee_has_the_id_of_the_page(committee: Committee) -> None:
    covered = example("committee-id-input")
    file = json.loads(example("committee"))
    del file["aggregators"]
    for operator in file["operators"]:
        del operator["url"]

    assert canonical(file).decode() == covered
    assert hashlib.sha256(covered.encode()).digest() == raw("committee-id") == committee.id


def test_every_member_of_the_committee_is_described(committee: Committee) -> None:
    described = re.findall(r"^\| `(\w+)` \| ", section("3. Committee"), re.MULTILINE)
    described = [name for name in described if name.islower()]

    assert set(described) == set(committee.to_json())
    for part in ("operators", "experts", "targets", "aggregators", "sequencer"):
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{part}` |"))
        value: Any = committee.to_json()[part]
        for item in value if isinstance(value, list) else [value]:
            assert all(f"`{name}`" in line for name in item)


def test_the_page_lists_the_refusals_of_a_committee() -> None:
    assert refusals_in(section("3. Committee")) == leaves_of(errors.InvalidCommittee)


def test_the_quorums_are_those_of_the_page() -> None:
    for n, *stated in rows("quorums")[1:]:
        computed = (
            byzantine_faults(int(n)),
            quorum_of("byzantine", int(n)),
            quorum_of("majority", int(n)),
        )

        assert [int(number) for number in stated] == list(computed)


def test_the_timers_are_those_of_the_page() -> None:
    for seconds, max_age, early in rows("timers")[1:]:
        rounds = Rounds(0, int(seconds))

        assert (rounds.max_age, rounds.early) == (int(max_age), int(early))


# -- claims --------------------------------------------------------------------------------------

TYPES: dict[str, type[StatusClaim | StatusAnswer | Suspicion]] = {
    "status": StatusClaim,
    "status-answer": StatusAnswer,
    "suspicion": Suspicion,
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_claim_has_the_root_of_the_page(kind: str, committee: Committee) -> None:
    text, hashed = example(f"{kind}-members"), raw(f"{kind}-input")
    members = Members(parse(text), kind)
    claim = TYPES[kind].take(members)
    members.end()

    domain = b"datadragon/" + kind.encode() + b"/v1" + b"\x00"
    assert hashed == domain + committee.id + text.encode()
    assert raw(f"{kind}-root") == hashlib.sha256(hashed).digest() == claim.root(committee.id)
    assert kind == claim.KIND


def test_the_signature_on_the_root_is_that_of_the_page(
    secrets: dict[str, bls.SecretKey],
) -> None:
    assert secrets["operator_1"].sign(raw("status-root")) == raw("status-signature")


def test_a_claim_with_its_kind_has_the_form_of_the_page() -> None:
    text = example("status-claim")

    claim = StatusClaim.from_json(parse(text))

    assert canonical(claim.to_json()) == text.encode()
    assert canonical(claim.members()) == example("status-members").encode()


# -- certificates --------------------------------------------------------------------------------


def test_the_certificate_of_the_page_proves_its_claim(
    outage: Certificate, committee: Committee, secrets: dict[str, bls.SecretKey]
) -> None:
    outage.verify(committee)

    assert canonical(outage.claim.members()) == example("status-members").encode()
    signatures = [secrets[signer].sign(raw("status-root")) for signer in outage.signers]
    assert outage.signature == bls.aggregate_signatures(signatures)


def test_every_member_of_a_certificate_is_described(outage: Certificate) -> None:
    table = re.findall(r"^\| (`[a-z_`, ]+`) \| ", section("5. Certificates"), re.MULTILINE)

    described = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]

    assert set(described) == set(outage.to_json())


def test_the_page_lists_the_refusals_of_verification_in_their_order() -> None:
    steps = re.findall(
        r"^\| (\d+) \| .* \| `(\w+)`[^|]*\|$", section("5. Certificates"), re.MULTILINE
    )

    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert [refusal for _, refusal in steps] == leaves_of(errors.CertificateError)


# -- leaves and tree -----------------------------------------------------------------------------


def leaves() -> Iterator[bytes]:
    for number in (0, 1):
        yield example(f"leaf-{number}").encode()


def test_the_leaves_are_those_of_the_page(outage: Certificate, committee: Committee) -> None:
    for number, leaf in enumerate(leaves()):
        value = cast("dict[str, Any]", parse(leaf))
        applied = event.decode(value["event"])

        applied.verify(committee)
        assert event.leaf(applied, value["ledger_index"], value["ledger_time"]) == leaf
        assert raw(f"leaf-{number}-hash") == hashlib.sha256(b"\x00" + leaf).digest()
    first, second = (event.decode(cast("Any", parse(leaf))["event"]) for leaf in leaves())
    assert first == outage
    assert second.claim.status is Status.UP
    assert second.claim.timestamp - first.claim.timestamp == 55
    assert second.signers == tuple(committee.keys)


def test_the_roots_and_proofs_are_those_of_the_page() -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves()]
    tree = merkle.Tree(hashes)
    stated = {int(size): bytes.fromhex(root[2:]) for size, root in rows("roots")}
    path, proof = raw("inclusion-path"), raw("consistency-proof")

    assert stated == {size: tree.root(size) for size in range(3)}
    merkle.verify_inclusion(hashes[0], 0, 2, [path], stated[2])
    merkle.verify_consistency(1, stated[1], 2, stated[2], [proof])


def test_the_tree_of_five_leaves_is_that_of_the_page() -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith("The five leaves"))
    hashes = [
        merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in re.findall(r"`0x([0-9a-f]*)`", line)
    ]
    path = [bytes.fromhex(hashed[2:]) for hashed in example("five-leaves-path").splitlines()]

    assert len(hashes) == 5
    assert merkle.Tree(hashes).root() == raw("five-leaves-root")
    assert merkle.Tree(hashes).inclusion(3) == path
    merkle.verify_inclusion(hashes[3], 3, 5, path, raw("five-leaves-root"))


# -- all of them ---------------------------------------------------------------------------------


def test_every_example_of_the_page_is_checked_here() -> None:
    used = set(re.findall(r'(?:example|raw|rows)\("([a-z0-9-]+)"\)', Path(__file__).read_text()))
    used |= {f"{kind}-{part}" for kind in TYPES for part in ("members", "input", "root")}
    used |= {f"leaf-{number}{part}" for number in (0, 1) for part in ("", "-hash")}

    assert used == set(EXAMPLES)


def test_every_example_has_a_name_of_its_own() -> None:
    heads = [found["head"].split() for found in FENCED.finditer(PAGE)]

    assert all(len(head) == 2 for head in heads)
    assert len(EXAMPLES) == len(heads) == PAGE.count("\n```") / 2
