"""The archive in a bucket of an S3-compatible service, through the library `obstore`.

The library is in the extra `archive`, and is loaded only if STREAM_ARCHIVE is set. What a server
answers is shown nowhere: only its status and the code of its error are. Nor are the names of bucket
and prefix, because everybody may read these messages, in `/readyz` and in answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any, Final

from dragon.errors import ArchiveUnavailable
from dragon_stream.archive.objects import PIECE_BYTES, Body, ObjectDiffers, ObjectMissing
from dragon_stream.archive.settings import ArchiveSettings

CONNECT_SECONDS: Final = 3  # for a connection to the store
READ_SECONDS: Final = 5  # for a part of an object that a reader waits for
TRANSFER_SECONDS: Final = 60  # for a whole object
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w{1,40})</Code>")
_DENIED: Final = ("401", "403")


class S3ObjectStore:
    """An `ObjectStore` in a bucket."""

    def __init__(
        self,
        settings: ArchiveSettings,
        *,
        read_seconds: float = READ_SECONDS,
        transfer_seconds: float = TRANSFER_SECONDS,
    ) -> None:
        self._failures = (import_module("obstore.exceptions").BaseError, OSError, ValueError)
        self._prefix = settings.prefix
        self._reads = _connect(settings, read_seconds)
        self._transfers = _connect(settings, transfer_seconds)

    def put(self, name: str, data: bytes) -> None:
        with self._failing(name):
            self._transfers.put(self._prefix + name, data, use_multipart=False)

    def get(self, name: str, start: int = 0, length: int | None = None) -> Body:
        with self._failing(name):
            path = self._prefix + name
            if length is None:
                found = self._transfers.get(path)
            else:
                found = self._reads.get(path, options={"range": (start, start + length)})
            stream = iter(found.stream(min_chunk_size=PIECE_BYTES))
            return Body(int(found.meta["size"]), self._pieces(name, stream))

    def size(self, name: str) -> int:
        with self._failing(name):
            return int(self._reads.head(self._prefix + name)["size"])

    def delete(self, name: str) -> None:
        try:
            with self._failing(name):
                self._reads.delete(self._prefix + name)
        except ObjectMissing:
            return

    def names(self, prefix: str) -> Iterator[str]:
        with self._failing(prefix):
            for page in self._transfers.list(self._prefix + prefix):
                yield from (str(each["path"]).removeprefix(self._prefix) for each in page)

    def _pieces(self, name: str, stream: Iterator[Any]) -> Iterator[bytes]:
        while True:
            with self._failing(name):
                piece = next(stream, None)
            if piece is None:
                return
            yield bytes(piece)

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except self._failures as error:
            text = str(error)
            status, code = _STATUS.search(text), _CODE.search(text)
            if code is not None and code[1] == "NoSuchBucket":
                raise ArchiveUnavailable(
                    "the archive's bucket does not exist (NoSuchBucket)"
                ) from None
            if isinstance(error, FileNotFoundError):
                raise ObjectMissing(name) from None
            if status is not None and status[1] == "416":
                raise ObjectDiffers("ends before the requested bytes") from None
            raise ArchiveUnavailable(_sentence(text, status, code)) from None


def _sentence(text: str, status: re.Match[str] | None, code: re.Match[str] | None) -> str:
    what = f" ({code[1]})" if code else ""
    if status is not None and status[1] in _DENIED:
        return f"the archive refuses the access key: status {status[1]}{what}"
    if status is not None:
        return f"the archive answers with status {status[1]}{what}"
    if "timed out" in text or "Timeout" in text or "TimedOut" in text:
        return "the archive does not answer in time"
    if "ConnectError" in text or "kind: Connect" in text:
        return "the archive cannot be reached: no connection"
    return "the archive gives no usable answer"


def _connect(settings: ArchiveSettings, seconds: float) -> Any:
    """A client without retries: the callers know better when to try again."""
    given = {
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret_key,
        "session_token": settings.session_token,
        "endpoint": settings.endpoint or "",
    }
    options: dict[str, object] = {
        "timeout": timedelta(seconds=seconds),
        "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, seconds)),
        "allow_http": bool(settings.endpoint and settings.endpoint.startswith("http:")),
    }
    if settings.ca is not None:
        options["root_certificate"] = settings.ca
    return import_module("obstore.store").S3Store(
        settings.bucket,
        config={
            "region": settings.region,
            "virtual_hosted_style_request": False,
            **{name: value for name, value in given.items() if value},
        },
        client_options=options,
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=seconds)},
    )
