"""Signatures of webhooks, held to published examples and to the reference library."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from dragon_explorer.alerts.channels import headers, secret_text, signature
from dragon_explorer.alerts.config import read

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "webhooks" / "signatures.json").read_text()
)
PRESENT, FORMER, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))
BODY = b'{"type":"node_down.begun","data":{"title":"\xc3\xbc"}}'


def decoded(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["source"]))
def test_published_examples(vector: dict[str, Any]) -> None:
    secret = decoded(vector["secret"])
    body = vector["body"].encode()

    assert signature(secret, vector["id"], vector["timestamp"], body) == vector["signature"]
    assert secret_text(secret) == vector["secret"]
    moment = datetime.fromtimestamp(vector["timestamp"], UTC)
    assert (
        Webhook(vector["secret"]).sign(vector["id"], moment, vector["body"]) == vector["signature"]
    )


@given(
    secret=st.binary(min_size=24, max_size=64),
    identity=st.from_regex(r"msg_[0-9a-f]{32}", fullmatch=True),
    timestamp=st.integers(1, 2**33),
    body=st.text(),
)
def test_the_library_makes_the_same_signatures(
    secret: bytes, identity: str, timestamp: int, body: str
) -> None:
    by_library = Webhook(secret_text(secret)).sign(
        identity, datetime.fromtimestamp(timestamp, UTC), body
    )

    assert signature(secret, identity, timestamp, body.encode()) == by_library


def test_the_library_verifies_a_request() -> None:
    made = headers("msg_1", int(time.time()), BODY, (PRESENT,))

    assert Webhook(secret_text(PRESENT)).verify(BODY, made) == json.loads(BODY)


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp", "secret", "time"])
def test_the_library_refuses_an_altered_request(change: str) -> None:
    sent_at = int(time.time()) - (301 if change == "time" else 0)
    made = headers("msg_1", sent_at, BODY, (PRESENT,))
    altered = {"webhook-id": "msg_2", "webhook-timestamp": str(sent_at + 1)}
    made |= {name: value for name, value in altered.items() if name == change}
    receiver = Webhook(secret_text(OTHER if change == "secret" else PRESENT))

    with pytest.raises(WebhookVerificationError):
        receiver.verify(BODY + (b" " if change == "body" else b""), made)


def test_while_a_secret_is_replaced_receivers_with_either_one_accept(tmp_path: Path) -> None:
    """The file has the present secret and the former one, a line each."""
    (tmp_path / "secret").write_text(f"{secret_text(PRESENT)}\n{secret_text(FORMER)}\n")
    (tmp_path / "alerts.toml").write_text(
        '[routes.team]\ntype = "webhook"\nurl = "https://example.org"\nsecret_file = "secret"\n'
        '[[rules]]\nname = "nodes"\non = ["node_down"]\nroutes = ["team"]\n'
    )
    config, mistakes = read(tmp_path / "alerts.toml", None)
    made = headers("msg_1", int(time.time()), BODY, config.routes["team"].secrets)

    assert mistakes == []
    for secret in (PRESENT, FORMER):
        Webhook(secret_text(secret)).verify(BODY, made)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(OTHER)).verify(BODY, made)


def test_a_request_without_a_secret_has_no_signature() -> None:
    assert "webhook-signature" not in headers("msg_1", 5, b"", ())
