"""The format of EIP-2335 keystores (version 4): key derivation, cipher, checksum, JSON.

Source: https://eips.ethereum.org/EIPS/eip-2335. `dragon.keystore` opens them with what a person
has, files and passwords, and turns what goes wrong into sentences.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
import uuid
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from dragon import errors
from dragon.encoding import Members, parse

DERIVED_BYTES: Final = 32
MAX_DERIVED_BYTES: Final = 1024  # of `dklen` in a file
# Bounds on what a file may ask for: about 20 s, and 1 GiB with scrypt's own overhead.
MAX_PBKDF2_ITERATIONS: Final = 1 << 24
MAX_SCRYPT_WORK: Final = 1 << 25  # n · r · p; 2^21 with the parameters of staking tools
MAX_SCRYPT_BYTES: Final = (1 << 30) + (1 << 20)
_CONTROL: Final = frozenset([*range(0x20), *range(0x7F, 0xA0)])


def normalise(password: str) -> bytes:
    """NFKD, control characters removed, UTF-8: the password as EIP-2335 defines it."""
    decomposed = unicodedata.normalize("NFKD", password)
    return "".join(c for c in decomposed if ord(c) not in _CONTROL).encode()


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    function: ClassVar = "pbkdf2"
    salt: bytes
    iterations: int

    @classmethod
    def read(cls, params: Members) -> Self:
        params.word("prf", ["hmac-sha256"])
        iterations = params.integer("c", least=1, most=MAX_PBKDF2_ITERATIONS)
        return cls(_bytes(params, "salt"), iterations)

    def params(self) -> dict[str, object]:
        salt = self.salt.hex()
        return {"c": self.iterations, "dklen": DERIVED_BYTES, "prf": "hmac-sha256", "salt": salt}

    def derive(self, password: bytes) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", password, self.salt, self.iterations, DERIVED_BYTES)


@dataclass(frozen=True, slots=True)
class Scrypt:
    function: ClassVar = "scrypt"
    salt: bytes
    n: int
    r: int
    p: int

    @classmethod
    def read(cls, params: Members) -> Self:
        n, r, p = (params.integer(name, least=1, most=MAX_SCRYPT_WORK) for name in "nrp")
        kdf = cls(_bytes(params, "salt"), n, r, p)
        # RFC 7914, section 2: n is a power of two below 2^(128 r / 8). OpenSSL computes no other.
        if n < 2 or n & (n - 1) or n.bit_length() - 1 >= 16 * r:
            raise errors.UnknownValue("n must be a power of two below 2^(16 r)", member="n")
        if n * r * p > MAX_SCRYPT_WORK or kdf.memory > MAX_SCRYPT_BYTES:
            raise errors.UnknownValue("n * r * p costs more than 2^25", member="n")
        return kdf

    def params(self) -> dict[str, object]:
        cost = {"n": self.n, "r": self.r, "p": self.p}
        return {"dklen": DERIVED_BYTES, **cost, "salt": self.salt.hex()}

    @property
    def memory(self) -> int:
        """Bytes, as OpenSSL counts what RFC 7914 needs."""
        return 128 * self.r * (self.n + self.p + 2)

    def derive(self, password: bytes) -> bytes:
        """Raises MemoryError, ValueError: there is not enough memory."""
        cost = {"n": self.n, "r": self.r, "p": self.p, "maxmem": self.memory + (1 << 20)}
        return hashlib.scrypt(password, salt=self.salt, dklen=DERIVED_BYTES, **cost)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a keystore consists of."""

    kdf: Pbkdf2 | Scrypt
    checksum: bytes
    iv: bytes
    message: bytes  # the secret key, encrypted
    public_key: str  # lower-case hexadecimal digits as the file states them, unchecked; or ""

    @classmethod
    def make(
        cls, kdf: Pbkdf2 | Scrypt, password: bytes, iv: bytes, secret: bytes, public_key: str
    ) -> Self:
        derived = kdf.derive(password)
        message = _aes_ctr(derived, iv, secret)
        return cls(kdf, _checksum(derived, message), iv, message, public_key)

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises InvalidEncoding: another format or version, or parameters out of bounds."""
        whole = Members(parse(text), "keystore")
        whole.integer("version", least=4, most=4)
        crypto = _inner(whole, "crypto")
        kdf, checksum, cipher = (_inner(crypto, name) for name in ("kdf", "checksum", "cipher"))
        checksum.word("function", ["sha256"])
        cipher.word("function", ["aes-128-ctr"])
        return cls(
            _kdf(kdf),
            _bytes(checksum, "message", size=32),
            _bytes(_inner(cipher, "params"), "iv", size=16),
            _bytes(cipher, "message", size=32),
            _public_key(whole),
        )

    def decrypt(self, derived: bytes) -> bytes | None:
        """The secret key; None under another password, or if the file is damaged."""
        if not hmac.compare_digest(_checksum(derived, self.message), self.checksum):
            return None
        return _aes_ctr(derived, self.iv, self.message)

    def write(self) -> str:
        """The text of the file."""
        function, params = self.kdf.function, self.kdf.params()
        checksum, cipher = self.checksum.hex(), {"iv": self.iv.hex()}
        crypto = {
            "kdf": {"function": function, "params": params, "message": ""},
            "checksum": {"function": "sha256", "params": {}, "message": checksum},
            "cipher": {"function": "aes-128-ctr", "params": cipher, "message": self.message.hex()},
        }
        about = {
            "description": "",
            "pubkey": self.public_key,
            "path": "",
            "uuid": str(uuid.uuid4()),
        }
        return json.dumps({"crypto": crypto, **about, "version": 4}, indent=2)


def _kdf(members: Members) -> Pbkdf2 | Scrypt:
    function, params = (
        members.word("function", [Pbkdf2.function, Scrypt.function]),
        _inner(members, "params"),
    )
    # Only the first 32 bytes are used; they are the same for every larger dklen.
    params.integer("dklen", least=DERIVED_BYTES, most=MAX_DERIVED_BYTES)
    return Pbkdf2.read(params) if function == Pbkdf2.function else Scrypt.read(params)


def _inner(members: Members, name: str) -> Members:
    return Members(dict(members.object(name)), name)


def _bytes(members: Members, name: str, *, size: int | None = None) -> bytes:
    """Hexadecimal digits in either case, with or without 0x."""
    value = members.take(name)
    try:
        raw = bytes.fromhex(_digits(value)) if isinstance(value, str) else b""
    except ValueError:
        raw = b""
    if not raw or (size is not None and len(raw) != size):
        raise errors.InvalidHex(f"{name} is not hexadecimal", member=name)
    return raw


def _digits(text: str) -> str:
    return text.lower().removeprefix("0x")


def _public_key(members: Members) -> str:
    value = members.take("pubkey") if "pubkey" in members else ""
    if not isinstance(value, str | None):
        raise errors.WrongType("pubkey is a text", member="pubkey")
    return _digits(value or "")


def _checksum(derived: bytes, message: bytes) -> bytes:
    return hashlib.sha256(derived[16:32] + message).digest()


def _aes_ctr(derived: bytes, iv: bytes, message: bytes) -> bytes:
    """Encrypts, and decrypts what it encrypted."""
    encryptor = Cipher(algorithms.AES(derived[:16]), modes.CTR(iv)).encryptor()
    return encryptor.update(message) + encryptor.finalize()
