"""`dragon key` shows and verifies keystores and never prints the secret key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import run_dragon
from committees import make_members, secret
from dragon.encoding import to_hex
from dragon.storage import keystore

MEMBERS = make_members()
OPERATOR = "operator_2"
SECRET = MEMBERS.secrets[OPERATOR]
PUBLIC = to_hex(SECRET.public_key().raw)
PASSWORD = "correct horse"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def sealed() -> str:
    return keystore.seal(SECRET, PASSWORD)


@pytest.fixture
def folder(tmp_path: Path, sealed: str) -> Path:
    """A keystore, its password, and the committee it belongs to."""
    (tmp_path / "key.json").write_text(sealed)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "committee.json").write_text(json.dumps(MEMBERS.committee.to_json()))
    return tmp_path


@pytest.fixture
def key(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dragon key …` and check that its output never contains the secret key."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run_dragon(capsys, "key", *arguments)
        for text in (SECRET.encode().hex(), str(SECRET.scalar), PASSWORD):
            assert text not in (out + err).lower()
        return code, out, err

    return run


def spoilt(folder: Path, **changes: Any) -> Path:
    value = json.loads((folder / "key.json").read_text()) | changes
    (folder / "spoilt.json").write_text(json.dumps(value))
    return folder / "spoilt.json"


def verify(key: Run, folder: Path, *options: object, file: Path | None = None) -> Any:
    chosen = file or folder / "key.json"
    return key("verify", chosen, "--password-file", folder / "password", *options)


def test_keys_of_a_stream_service_are_made_once(key: Run, tmp_path: Path) -> None:
    def files() -> dict[str, str]:
        found = (path for path in (tmp_path / "home").rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / "home")): path.read_text() for path in found}

    assert key("stream-service", "--home", tmp_path / "home")[0] == 0
    made = files()
    code, out, _ = key("stream-service", "--home", tmp_path / "home", "--json")

    assert (code, files()) == (0, made)
    assert json.loads(out)["folders"][0] == str(tmp_path / "home" / "keys" / "stream_api")
    assert set(made) == {
        *(f"keys/stream_api/{name}" for name in ("keystore.json", "password", "token")),
        "keys/stream_api/prover-token",
        "keys/sources/token",
        "keys/zkp_api/token",
    }
    assert made["keys/stream_api/prover-token"] == made["keys/zkp_api/token"]


def test_a_keystore_is_shown_without_its_password(key: Run, folder: Path) -> None:
    file = spoilt(folder, path="m/12381/60/0/0", description="the second")

    code, out, err = key("show", file)
    _, told, _ = key("show", file, "--json")

    assert (code, err) == (0, "")
    for shown in (PUBLIC, "m/12381/60/0/0", "the second", "version      4", "pbkdf2"):
        assert shown in out
    assert json.loads(told) == {
        "public_key": PUBLIC,
        "path": "m/12381/60/0/0",
        "description": "the second",
        "version": 4,
        "kdf": "pbkdf2",
    }


def test_a_keystore_without_a_stated_key_is_shown(key: Run, folder: Path) -> None:
    code, out, _ = key("show", spoilt(folder, pubkey="", description="\x1b[2J[red]"))

    assert code == 0
    assert "public key   –" in out
    assert "description  �[2J[red]" in out


def test_a_valid_keystore_is_verified(key: Run, folder: Path) -> None:
    code, out, err = verify(key, folder)

    assert (code, err) == (0, "")
    assert out == f"verified: the keystore holds the key {PUBLIC}\n"


def test_the_owner_of_a_key_is_found_in_the_committee(key: Run, folder: Path) -> None:
    options = ("--committee", folder / "committee.json")

    code, out, _ = verify(key, folder, *options)
    _, told, _ = verify(key, folder, *options, "--json")

    assert code == 0
    assert f"The key belongs to operator {OPERATOR} of the committee test." in out
    assert json.loads(told) == {
        "verdict": "verified",
        "public_key": PUBLIC,
        "role": "operator",
        "id": OPERATOR,
    }


def test_a_key_of_no_member_is_refused(key: Run, folder: Path) -> None:
    (folder / "key.json").write_text(keystore.seal(secret("stranger"), PASSWORD))

    code, out, err = verify(key, folder, "--committee", folder / "committee.json")

    assert (code, out) == (1, "")
    assert err.startswith("dragon: refused: not_a_member: ")
    assert "\nhint: " in err


def test_a_wrong_password_is_refused(key: Run, folder: Path) -> None:
    (folder / "password").write_text("battery staple\n")

    code, out, err = verify(key, folder, "--json")

    assert code == 1
    assert json.loads(out)["reason"] == "keystore_refused"
    assert err.startswith("dragon: refused: keystore_refused: ")


def test_a_keystore_with_another_key_than_stated_is_refused(key: Run, folder: Path) -> None:
    other = MEMBERS.secrets["operator_1"].public_key().raw.hex()

    code, _, err = verify(key, folder, file=spoilt(folder, pubkey=other))

    assert code == 1
    assert f"keystore_refused: Cannot use keystore {folder / 'spoilt.json'}: the public key" in err


@pytest.mark.parametrize("stated", [PUBLIC, PUBLIC.upper(), PUBLIC[2:].upper(), ""])
def test_a_public_key_is_read_as_other_tools_write_it(key: Run, folder: Path, stated: str) -> None:
    file = spoilt(folder, pubkey=stated)

    code, out, _ = key("show", file)

    assert code == 0
    assert f"public key   {PUBLIC if stated else '–'}" in out
    assert verify(key, folder, file=file)[0] == 0


SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({"version": 3}, "keystore_refused"),
    "no version": ({"version": "4"}, "wrong_type"),
    "no crypto": ({"crypto": None}, "wrong_type"),
    "empty crypto": ({"crypto": {}}, "missing_member"),
    "a key cut short": ({"pubkey": "00"}, "invalid_hex"),
    "a key that is no point": ({"pubkey": "ff" * 48}, "invalid_point"),
    "a key that is no hex": ({"pubkey": "[red]\x1b"}, "invalid_hex"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_invalid_keystores_are_refused_by_name(key: Run, folder: Path, what: str) -> None:
    changes, reason = SPOILT[what]
    file = spoilt(folder, **changes)

    for code, out, err in (key("show", file), verify(key, folder, file=file)):
        assert (code, out) == (1, "")
        assert err.startswith(f"dragon: refused: {reason}: ")


@pytest.mark.parametrize("content", ["", "{", "[" * 5000, "null", "[]", '{"version": 4.0}'])
def test_invalid_json_is_refused(key: Run, folder: Path, content: str) -> None:
    (folder / "key.json").write_text(content)

    for code, out, err in (key("show", folder / "key.json"), verify(key, folder)):
        assert (code, out) == (1, "")
        assert err.startswith("dragon: refused: ")


def test_unreadable_files_end_with_2(key: Run, folder: Path) -> None:
    assert key("show", folder / "none.json")[0] == 2
    assert key("verify", folder / "key.json")[0] == 2
    assert verify(key, folder, "--committee", folder / "none.json")[0] == 2
    (folder / "key.json").write_bytes(b"\xff\xfe")
    assert verify(key, folder)[0] == 2
