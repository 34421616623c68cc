"""A key comes out of its own keystore under its own password, and nothing comes out otherwise."""

from __future__ import annotations

import copy
import hashlib
import json
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from dragon.errors import KeystoreError, NotEnoughMemory
from dragon.protocol import bls
from dragon.storage import keystore
from dragon.storage.eip2335 import Scrypt, Sealed, normalise

pytestmark = pytest.mark.usefixtures("computed_anew")

VECTORS = Path(__file__).parents[2] / "vectors" / "eip2335"
PASSWORD = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑"
SECRET = 0x000000000019D6689C085AE165831E934FF763AE46A2A6C172B3F1B60A8CE26F

KEY = bls.SecretKey.generate(b"keystore".ljust(32, b"."))


def official(kdf: str) -> str:
    return (VECTORS / f"{kdf}.json").read_text()


def aes_ctr(key: bytes, iv: bytes, message: bytes) -> bytes:
    """Counter mode by its definition: each encrypted counter hides a block."""
    block, counter = Cipher(algorithms.AES(key), modes.ECB()).encryptor(), int.from_bytes(iv)
    blocks = len(message) // 16
    stream = b"".join(block.update((counter + i).to_bytes(16)) for i in range(blocks))
    return bytes(a ^ b for a, b in zip(stream, message, strict=True))


def seal_lightly(secret: bytes, password: str, **members: object) -> str:
    """A keystore as the standard describes it, by hand, and quick to open: two iterations."""
    salt, iv = bytes(range(32)), bytes(range(16))
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 2)
    message = aes_ctr(derived[:16], iv, secret)
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
    assert normalise(password).hex() == "7465737470617373776f7264f09f9491"


def test_normalising_keeps_spaces_and_takes_letters_apart() -> None:
    assert normalise(" Å ") == " A\u030a ".encode()


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
    with pytest.raises(KeystoreError) as refused:
        keystore.unseal(sealed(), password, source="keystore keys/operator_1/keystore.json")

    assert str(refused.value) == (
        "Cannot decrypt keystore keys/operator_1/keystore.json: "
        "wrong password, or the file is damaged."
    )


def test_a_keystore_that_holds_another_key_than_it_says_is_refused() -> None:
    other = bls.SecretKey(7).public_key().raw.hex()

    for stated in (other, "0x" + other, "zz", other[:-2]):
        with pytest.raises(KeystoreError, match="belongs to another key"):
            keystore.unseal(spoilt("pubkey", value=stated), "correct horse")


@pytest.mark.parametrize("value", [..., "", None])
def test_a_keystore_need_not_state_its_public_key(value: object) -> None:
    assert keystore.unseal(spoilt("pubkey", value=value), "correct horse") == KEY


@pytest.mark.parametrize("prefix", ["", "0x", "0X"])
@pytest.mark.parametrize("case", [str.lower, str.upper], ids=["lower", "upper"])
def test_a_public_key_may_be_in_either_case_and_have_a_prefix(
    prefix: str, case: Callable[[str], str]
) -> None:
    stated = prefix + case(KEY.public_key().raw.hex())

    assert keystore.unseal(spoilt("pubkey", value=stated), "correct horse") == KEY


@pytest.mark.parametrize(
    ("member", "value"),
    [
        (("uuid",), ...),
        (("uuid",), "1D85AE20-35C5-4611-98E8-AA14A633906F"),
        (("path",), ...),
        (("path",), "m/12381/3600/0/0/0"),
        (("description",), None),
        (("description",), "Schlüssel № 1"),
        (("name",), "a member of one tool's own"),
        (("crypto", "kdf", "message"), ...),
        (("crypto", "checksum", "params"), ...),
        (("crypto", "kdf", "params", "salt"), "0x" + bytes(range(32)).hex().upper()),
        (("crypto", "cipher", "params", "iv"), bytes(range(16)).hex().upper()),
    ],
    ids=str,
)
def test_what_other_tools_write_differently_opens(member: tuple[str, ...], value: object) -> None:
    assert keystore.unseal(spoilt(*member, value=value), "correct horse") == KEY


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_a_longer_derived_key_than_is_used_changes_nothing(kdf: str) -> None:
    value = json.loads(official(kdf))
    value["crypto"]["kdf"]["params"]["dklen"] = 64

    assert keystore.unseal(json.dumps(value), PASSWORD) == bls.SecretKey(SECRET)


def test_scrypt_with_small_parameters_opens() -> None:
    kdf = Scrypt(bytes(range(32)), n=16, r=8, p=2)
    text = Sealed.make(kdf, normalise(PASSWORD), bytes(16), KEY.encode(), "").write()

    assert json.loads(text)["crypto"]["kdf"]["function"] == "scrypt"
    assert keystore.unseal(text, PASSWORD) == KEY


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
    with pytest.raises(KeystoreError) as refused:
        keystore.unseal(spoilt(*path, value=value), "correct horse")

    assert str(refused.value).startswith("Cannot ")


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


# What a file may ask for

COSTLY = [
    ("pbkdf2", {"c": 2**24 + 1}),
    ("pbkdf2", {"c": 2**53}),
    ("pbkdf2", {"c": 10**30}),
    ("pbkdf2", {"c": 0}),
    ("pbkdf2", {"dklen": 2**30}),
    ("pbkdf2", {"prf": "hmac-sha512"}),
    ("scrypt", {"n": 2**21}),
    ("scrypt", {"n": 2**50}),
    ("scrypt", {"n": 3}),
    ("scrypt", {"n": 1}),
    ("scrypt", {"n": 0}),
    ("scrypt", {"n": -2}),
    ("scrypt", {"r": 2**20}),
    ("scrypt", {"r": 0}),
    ("scrypt", {"p": 17}),
    ("scrypt", {"p": 0}),
    ("scrypt", {"n": 2, "r": 1, "p": 2**26}),
    ("scrypt", {"n": 2**16, "r": 1, "p": 1}),  # beyond RFC 7914: n < 2^(16 r)
    ("scrypt", {"n": True}),
    ("scrypt", {"n": "262144"}),
]


@pytest.mark.parametrize(("kdf", "changes"), COSTLY, ids=str)
def test_hostile_parameters_are_refused_at_once(kdf: str, changes: dict[str, object]) -> None:
    value = json.loads(official(kdf))
    value["crypto"]["kdf"]["params"] |= changes

    def nothing_is_derived() -> int | None:
        raise AssertionError

    with pytest.raises(KeystoreError, match="Cannot read this keystore"):
        keystore.unseal(json.dumps(value), PASSWORD, available=nothing_is_derived)


def test_scrypt_is_not_tried_where_its_memory_is_not_available() -> None:
    with pytest.raises(NotEnoughMemory) as refused:
        keystore.unseal(
            official("scrypt"), PASSWORD, source="keystore a.json", available=lambda: 200 << 20
        )

    assert str(refused.value) == (
        "Cannot decrypt keystore a.json: scrypt (n=262144, r=8, p=1) needs 264 MiB of memory, "
        "and 200 MiB are available."
    )


def test_what_scrypt_needs_is_what_is_asked_for() -> None:
    needed = (256 << 20) + 128 * 8 * 3 + keystore.HEADROOM_BYTES

    with pytest.raises(NotEnoughMemory):
        keystore.unseal(official("scrypt"), PASSWORD, available=lambda: needed - 1)
    assert keystore.unseal(official("scrypt"), PASSWORD, available=lambda: needed).scalar == SECRET


def test_pbkdf2_asks_for_no_memory() -> None:
    assert keystore.unseal(official("pbkdf2"), PASSWORD, available=lambda: 0).scalar == SECRET


def test_a_limit_of_the_process_itself_is_an_error_too(tmp_path: Path) -> None:
    """`ulimit -v`, which the figures of the system do not show; code 2 from the command."""
    store, password = tmp_path / "key.json", tmp_path / "password"
    store.write_text(official("scrypt"))
    password.write_text(PASSWORD)
    command = [sys.executable, "-m", "dragon_cli.main", "key", "verify", str(store)]

    done = subprocess.run(
        [*command, "--password-file", str(password)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (250 << 20, 250 << 20)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert f"Cannot decrypt keystore {store}: scrypt (n=262144, r=8, p=1) needs" in done.stderr
    assert "hint: Raise the memory limit" in done.stderr
    assert "Traceback" not in done.stderr


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


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n", "\r"])
def test_the_end_of_the_passwords_line_is_no_part_of_it(
    files: tuple[Path, Path], ending: str
) -> None:
    store, password = files
    password.write_bytes(f"correct horse{ending}".encode())

    assert keystore.load(store, password) == KEY


def test_a_byte_order_mark_is_no_part_of_a_password_or_a_keystore(
    files: tuple[Path, Path],
) -> None:
    for file in files:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())

    assert keystore.load(*files) == KEY


def test_a_keystore_that_was_sealed_with_the_byte_order_mark_opens(
    files: tuple[Path, Path],
) -> None:
    """Version 0.1 took the mark for the first character of the password."""
    store, password = files
    store.write_text(seal_lightly(KEY.encode(), "\ufeffcorrect horse"))
    password.write_bytes(b"\xef\xbb\xbfcorrect horse")

    assert keystore.load(store, password) == KEY

    password.write_bytes(b"\xef\xbb\xbfcorrect mule")
    with pytest.raises(KeystoreError, match="wrong password"):
        keystore.load(store, password)


def test_a_password_file_of_several_lines_is_refused(files: tuple[Path, Path]) -> None:
    store, password = files
    password.write_text("correct horse\nbattery staple\n")

    with pytest.raises(KeystoreError, match=f"{password} has more than one line") as refused:
        keystore.load(store, password)

    assert "horse" not in str(refused.value)


def test_the_keystore_that_does_not_open_is_named(files: tuple[Path, Path]) -> None:
    store, password = files
    password.write_text("battery staple\n")

    with pytest.raises(KeystoreError, match=f"Cannot decrypt keystore {store}: wrong password"):
        keystore.load(store, password)


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
    for encoded in ("correct horse\n".encode("utf-16"), b"\xff\xfe"):
        password.write_bytes(encoded)
        with pytest.raises(KeystoreError, match=f"{password} is not UTF-8 text; save it again"):
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
