"""How far a stream has come, in a small file beside its segments.

Segments alone cannot tell a lost end from an end that never was. So this file keeps lower bounds:
which chunks were acknowledged, how many windows were closed, and which chunks the retention has
deleted. It is written in place, without a disk sync: the kernel keeps it after `kill -9`, and after
a power failure it may be some seconds old, which is still a lower bound.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dragon_stream.damage import Damaged

NAME: Final = "acknowledged"
_MAGIC: Final = b"dragon/1"
_FIELDS: Final = struct.Struct(">8sQQQ")  # format, kept, chunks, windows
_CHECK: Final = struct.Struct(">I")  # CRC-32 of the fields
_SIZE: Final = _FIELDS.size + _CHECK.size  # far below a disk sector, which is written as a whole


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Lower bounds. All chunks from `kept` to `chunks` must be on disk."""

    kept: int = 0  # the first chunk that the retention has not deleted
    chunks: int = 0  # all chunks before this one were acknowledged
    windows: int = 0  # closed windows


class AcknowledgedFile:
    """The file of one stream. Several threads may use it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._lock = threading.Lock()  # guards the following attributes
        self._file: int | None = None
        self.value = Acknowledged()

    def load(self) -> Acknowledged | None:
        """Read the file. Returns None if there is none: an earlier release wrote the segments.

        Raises Damaged: the file does not have its checksum.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Damaged(NAME, 0, None, f"cannot be read: {error.strerror}") from None
        whole = len(raw) == _SIZE and raw[_FIELDS.size :] == _checksum(raw[: _FIELDS.size])
        if not whole or not raw.startswith(_MAGIC):
            raise Damaged(NAME, 0, None, "does not have its checksum")
        _, kept, chunks, windows = _FIELDS.unpack_from(raw)
        with self._lock:
            self.value = Acknowledged(kept, chunks, windows)
        return self.value

    def raise_to(
        self,
        *,
        kept: int = 0,
        chunks: int = 0,
        windows: int = 0,
        sync: bool = False,
    ) -> None:
        """Raise some of the bounds; `sync` waits for the disk. Raises OSError."""
        with self._lock:
            old = self.value
            value = replace(
                old,
                kept=max(kept, old.kept),
                chunks=max(chunks, old.chunks),
                windows=max(windows, old.windows),
            )
            if value == old and not sync:
                return
            file = self._open()
            fields = _FIELDS.pack(_MAGIC, value.kept, value.chunks, value.windows)
            os.pwrite(file, fields + _checksum(fields), 0)
            if sync:
                os.fsync(file)
            self.value = value

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def _open(self) -> int:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file


def _checksum(fields: bytes) -> bytes:
    return _CHECK.pack(zlib.crc32(fields))
