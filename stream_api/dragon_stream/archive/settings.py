"""The settings of the archive, read once from the environment."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from dragon.errors import SettingsError
from dragon.node.settings import Environment
from dragon_stream.archive.room import MEGABYTE

DEFAULT_REGION: Final = "us-east-1"  # what most services that are not Amazon's expect
DEFAULT_LOCAL_MB: Final = 4096  # of data and proofs on the local disk, with an archive
# That the setting may have. The newest segment of a stream is archived only after the next write,
# and a write may have all that a source has credit for: together these must not fill the room.
MIN_LOCAL_MB: Final = 256
MAX_LOCAL_MB: Final = 100_000_000  # that the setting may have
_URL: Final = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[\w.-]+)*)/?"
)
_ENDPOINT: Final = re.compile(r"https?://[^\s/@?#]+/?", re.ASCII)

# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "STREAM_ARCHIVE": (
        "Where closed segments and proofs are moved once they are certified: `s3://BUCKET` or "
        "`s3://BUCKET/PREFIX`. Several services may share it."
    ),
    "STREAM_LOCAL_MB": (
        "Megabytes of data and proofs on the local disk, with an archive. The oldest that the "
        "archive holds are deleted first. If what it does not hold yet fills them, sources wait."
    ),
    "AWS_ACCESS_KEY_ID": "Access key of the archive.",
    "AWS_SECRET_ACCESS_KEY": "Its secret.",
    "AWS_SESSION_TOKEN": "Its session token, if the key is a temporary one.",
    "AWS_SHARED_CREDENTIALS_FILE": (
        "File with the access key and its secret, in the format of `~/.aws/credentials`, if they "
        "are not in the environment. Without either, the role of the machine or container is used."
    ),
    "AWS_PROFILE": "Section of that file.",
    "AWS_REGION": "Region of the bucket; `us-east-1` if neither this nor the next is set.",
    "AWS_DEFAULT_REGION": "The same, if AWS_REGION is not set.",
    "AWS_ENDPOINT_URL": (
        "URL of an S3-compatible service such as `https://minio.example:9000`; without it that of "
        "Amazon S3."
    ),
    "AWS_CA_BUNDLE": "CA certificates in PEM that are trusted for that URL, besides the system's.",
}


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """Where the archive is, and how much stays on the local disk."""

    bucket: str
    prefix: str  # with a slash at its end, or empty
    local_bytes: int
    region: str = DEFAULT_REGION
    endpoint: str | None = None  # None: that of Amazon S3
    ca: bytes | None = field(default=None, repr=False)  # PEM
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """What STREAM_ARCHIVE says."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self | None:
        """Read and check the settings; None if STREAM_ARCHIVE is not set.

        Raises SettingsError: a setting is not valid; the message names it.
        """
        values = Environment(environ)
        if not (where := environ.get("STREAM_ARCHIVE")):
            if "STREAM_LOCAL_MB" in environ:
                message = "the setting STREAM_LOCAL_MB needs STREAM_ARCHIVE, which is missing"
                raise SettingsError(message, setting="STREAM_ARCHIVE")
            return None
        local = values.integer(
            "STREAM_LOCAL_MB", DEFAULT_LOCAL_MB, least=MIN_LOCAL_MB, most=MAX_LOCAL_MB
        )
        if (url := _URL.fullmatch(where)) is None:
            message = "the setting STREAM_ARCHIVE must be s3://BUCKET or s3://BUCKET/PREFIX"
            raise SettingsError(message, setting="STREAM_ARCHIVE")
        prefix = url["prefix"].strip("/")
        return cls(
            url["bucket"],
            f"{prefix}/" if prefix else "",
            local * MEGABYTE,
            environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION,
            _endpoint(environ.get("AWS_ENDPOINT_URL") or None),
            _ca(values.optional_path("AWS_CA_BUNDLE")),
            **_credentials(values),
        )


def _endpoint(url: str | None) -> str | None:
    if url is not None and not _ENDPOINT.fullmatch(url):
        message = (
            "the setting AWS_ENDPOINT_URL must be a URL without path and password, such as "
            "https://minio.example:9000"
        )
        raise SettingsError(message, setting="AWS_ENDPOINT_URL")
    return None if url is None else url.rstrip("/")


def _ca(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        message = f"the file {path} of AWS_CA_BUNDLE cannot be read: {error.strerror}"
        raise SettingsError(message, setting="AWS_CA_BUNDLE") from None


def _credentials(values: Environment) -> dict[str, str]:
    """The access key from the environment, or from the file. Never part of a message."""
    names = {
        "access_key": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
    }
    given = values.values
    found = {
        "access_key": given.get("AWS_ACCESS_KEY_ID", ""),
        "secret_key": given.get("AWS_SECRET_ACCESS_KEY", ""),
        "session_token": given.get("AWS_SESSION_TOKEN", ""),
    }
    path = values.optional_path("AWS_SHARED_CREDENTIALS_FILE")
    if path is not None and not found["access_key"]:
        section = _section(path, values.text("AWS_PROFILE", "default"))
        found = {member: section.get(name.lower(), "") for member, name in names.items()}
    for name, other in (("access_key", "secret_key"), ("secret_key", "access_key")):
        if found[name] and not found[other]:
            message = f"{names[other]} is missing; {names[name]} needs it"
            raise SettingsError(message, setting=names[other])
    return found


def _section(path: Path, profile: str) -> Mapping[str, str]:
    parser = configparser.RawConfigParser()
    setting = "AWS_SHARED_CREDENTIALS_FILE"
    try:
        parser.read_string(path.read_text("utf-8"))
        return parser[profile]
    except OSError as error:
        message = f"the file {path} of {setting} cannot be read: {error.strerror}"
    except (configparser.Error, UnicodeDecodeError):
        message = f"the file {path} of {setting} does not have the format of ~/.aws/credentials"
    except KeyError:
        message = f"the file {path} of {setting} has no section [{profile}]"
    raise SettingsError(message, setting=setting) from None
