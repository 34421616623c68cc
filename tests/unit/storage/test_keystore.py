"""A key comes out of its own keystore under its own password, and nothing comes out otherwise."""

from __future__ import annotations

import copy
import hashlib
import json
import stat
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import AES

from dragon.errors import KeystoreError
from dragon.protocol import bls
from dragon.storage import keystore

pytestmark = pytest.mark.usefixtures("computed_anew")

VECTORS = Path(__file__).parents[2] / "vectors" / "eip2335"
PASSWORD = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑"
SECRET = 0x000000000019D6689C085AE165831E934FF763AE46A2A6C172B3F1B60A8CE26F

KEY = bls.SecretKey.generate(b"keystore".ljust(32, b"."))


def official(kdf: str) -> str:
    return (VECTORS / f"{kdf}.json").read_text()


def seal_lightly(secret: bytes, password: str, **members: object) -> str:
    """A keystore as the standard describes it, by hand, and quick to open: two iterations."""
    salt, iv = bytes(range(32)), bytes(range(16))
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 2)
    message = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(secret)
    checksum = hashlib.sha256(derived[16:32] + message).hexdigest()
    params = {"dklen": 32, "c": 2, "prf": "hmac-sha256", "salt": salt.hex()}
    crypto = {
        "kdf": {"function": "pbkdf2", "params": params, "message": ""},
        "checksum": {"function": "sha256", "params": {}, "message": checksum},
        "cipher": {
            "function": "aes-128-ctr",
            "params": {"iv": iv.hex()},
            "message": message.hex(),
        },
    }
    return json.dumps({"crypto": crypto, "path": "", "uuid": "", "version": 4, **members})


@cache
def sealed() -> str:
    return seal_lightly(KEY.encode(), "correct horse", pubkey=KEY.public_key().raw.hex())


def spoilt(*path: str, value: object) -> str:
    """A keystore with one member replaced, or taken out where the value is `...`."""
    whole: dict[str, Any] = copy.deepcopy(json.loads(sealed()))
    inner: dict[str, Any] = whole
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(whole)


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_the_official_vectors_open(kdf: str) -> None:
    assert keystore.unseal(official(kdf), PASSWORD) == bls.SecretKey(SECRET)


@pytest.mark.parametrize(
    "password",
    [PASSWORD, "testpassword🔑", "test\x00pass\x1fword\x7f🔑\x80\x9f\n", "ｔｅｓｔpassword🔑"],
)
def test_a_password_is_normalised_as_the_standard_has_it(password: str) -> None:
    assert keystore.normalise(password).hex() == "7465737470617373776f7264f09f9491"


def test_normalising_keeps_spaces_and_takes_letters_apart() -> None:
    assert keystore.normalise(" Å ") == " A\u030a ".encode()


def test_a_keystore_made_by_the_letter_of_the_standard_opens() -> None:
    assert keystore.unseal(sealed(), "correct horse") == KEY


def test_what_we_seal_opens_again_and_is_dear_to_guess() -> None:
    text = keystore.seal(KEY, PASSWORD)

    value = json.loads(text)
    assert value["version"] == 4
    assert value["crypto"]["kdf"]["function"] == "pbkdf2"
    assert value["crypto"]["kdf"]["params"]["c"] >= 262_144
    assert value["pubkey"] == KEY.public_key().raw.hex()
    assert keystore.unseal(text, "testpassword🔑") == KEY
    assert KEY.encode().hex() not in text


@pytest.mark.parametrize("password", ["", "Correct horse", "correct horse ", "correct", PASSWORD])
def test_another_password_opens_nothing(password: str) -> None:
    with pytest.raises(KeystoreError):
        keystore.unseal(sealed(), password)


def test_a_keystore_that_holds_another_key_than_it_says_is_refused() -> None:
    other = bls.SecretKey(7).public_key().raw.hex()

    with pytest.raises(KeystoreError, match="another key"):
        keystore.unseal(spoilt("pubkey", value=other), "correct horse")


@pytest.mark.parametrize("value", [..., ""])
def test_a_keystore_need_not_state_its_public_key(value: object) -> None:
    assert keystore.unseal(spoilt("pubkey", value=value), "correct horse") == KEY


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[]", "null", "7", '"keystore"', "\ud800", "[" * 60_000, '{"version": 4}'],
    ids=ascii,
)
def test_what_is_no_keystore_is_refused(text: str) -> None:
    with pytest.raises(KeystoreError):
        keystore.unseal(text, "correct horse")


MEMBERS = [
    ("version",),
    ("crypto",),
    ("crypto", "kdf"),
    ("crypto", "kdf", "function"),
    ("crypto", "kdf", "params"),
    ("crypto", "kdf", "params", "c"),
    ("crypto", "kdf", "params", "prf"),
    ("crypto", "kdf", "params", "salt"),
    ("crypto", "checksum"),
    ("crypto", "checksum", "function"),
    ("crypto", "checksum", "message"),
    ("crypto", "cipher"),
    ("crypto", "cipher", "function"),
    ("crypto", "cipher", "params"),
    ("crypto", "cipher", "params", "iv"),
    ("crypto", "cipher", "message"),
]


@pytest.mark.parametrize("path", MEMBERS, ids=".".join)
@pytest.mark.parametrize("value", [..., None, True, -1, 3, 1.5, "zz", "", [], {}], ids=ascii)
def test_a_keystore_with_one_member_spoilt_is_refused(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(KeystoreError):
        keystore.unseal(spoilt(*path, value=value), "correct horse")


def test_a_wallet_of_version_three_is_no_keystore_of_ours() -> None:
    """The official vector of version 3, whose secret is no key of BLS."""
    wallet = {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144,
                "dklen": 32,
                "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        },
        "version": 3,
    }

    with pytest.raises(KeystoreError):
        keystore.unseal(json.dumps(wallet), "testpassword")


@pytest.mark.parametrize("scalar", [0, bls.ORDER, 2**256 - 1])
def test_a_secret_that_is_no_key_does_not_come_out(scalar: int) -> None:
    with pytest.raises(KeystoreError):
        keystore.unseal(seal_lightly(scalar.to_bytes(32), "correct horse"), "correct horse")


def test_opening_a_keystore_leaves_the_recursion_limit_alone() -> None:
    before = sys.getrecursionlimit()

    keystore.unseal(sealed(), "correct horse")

    assert sys.getrecursionlimit() == before


def test_neither_secret_nor_password_is_in_an_error_or_a_representation() -> None:
    digits = KEY.encode().hex()
    shown = [repr(KEY), str(KEY), f"{KEY}"]
    for text in (
        spoilt("pubkey", value=bls.SecretKey(7).public_key().raw.hex()),
        spoilt("version", value=digits),
        digits,
        f'{{"version": 4, "crypto": "{digits}"}}',
    ):
        with pytest.raises(KeystoreError) as refused:
            keystore.unseal(text, "correct horse")
        error = refused.value
        shown += [str(error), repr(error), str(error.facts)]
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None

    for private in (digits, str(KEY.scalar), "horse"):
        assert private not in "".join(shown)


# Files


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A keystore and its password, as `dragon init` writes them."""
    store, password = tmp_path / "operator_1.json", tmp_path / "operator_1.password"
    keystore.write_private(store, sealed())
    keystore.write_private(password, "correct horse\n")
    return store, password


def test_a_key_is_loaded_from_its_two_files(files: tuple[Path, Path]) -> None:
    assert keystore.load(*files) == KEY


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_end_of_the_passwords_line_is_no_part_of_it(
    files: tuple[Path, Path], ending: str
) -> None:
    store, password = files
    password.write_bytes(f"correct horse{ending}".encode())

    assert keystore.load(store, password) == KEY


@pytest.mark.parametrize("which", [0, 1], ids=["keystore", "password"])
def test_a_file_that_cannot_be_read_is_named(files: tuple[Path, Path], which: int) -> None:
    files[which].unlink()

    with pytest.raises(KeystoreError) as missing:
        keystore.load(*files)
    files[which].mkdir()
    with pytest.raises(KeystoreError) as folder:
        keystore.load(*files)

    for refused in (missing, folder):
        assert str(files[which]) in str(refused.value)


@pytest.mark.parametrize("which", [0, 1], ids=["keystore", "password"])
def test_an_oversized_file_is_refused_by_name(files: tuple[Path, Path], which: int) -> None:
    files[which].write_bytes(b" " * (keystore.MAX_BYTES + 1))

    with pytest.raises(KeystoreError, match=f"{files[which].name} is too large"):
        keystore.load(*files)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b" " * keystore.MAX_BYTES)

    assert len(keystore.read_private(path)) == keystore.MAX_BYTES


def test_a_file_that_is_no_text_is_refused(files: tuple[Path, Path]) -> None:
    store, password = files
    password.write_bytes(b"\xff\xfe")

    with pytest.raises(KeystoreError, match="no text"):
        keystore.load(store, password)


def test_only_its_owner_can_read_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "operator_1.json"

    keystore.write_private(path, "secret")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text() == "secret"


def test_a_private_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "operator_1.json"
    keystore.write_private(path, "the first")

    with pytest.raises(KeystoreError, match="not overwritten"):
        keystore.write_private(path, "the second")

    assert path.read_text() == "the first"


def test_a_private_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere", tmp_path / "operator_1.json"
    link.symlink_to(target)

    with pytest.raises(KeystoreError):
        keystore.write_private(link, "secret")

    assert not target.exists()


def test_a_private_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder belongs")

    with pytest.raises(KeystoreError, match="keys"):
        keystore.write_private(tmp_path / "keys" / "operator_1.json", "secret")
