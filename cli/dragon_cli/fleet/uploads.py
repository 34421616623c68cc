"""Records of uploads: which file went to which stream, and from which byte of the stream on.

A record is written before the first byte is sent, so that the same command continues an interrupted
upload and recognizes a finished one. How much of the file is stored is not recorded: the service
knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from dragon.encoding import Json, Members, parse
from dragon.errors import InvalidEncoding
from dragon_cli.errors import UnusableFile
from dragon_cli.files import PRIVATE_MODE, make_folder, read_bytes, write_whole
from dragon_cli.hints import with_hint

BESIDE_RECEIPTS: Final = "progress.json"  # name of a record in a folder of receipts
MAX_RECORD_BYTES: Final = 16_384
MAX_RECORDS: Final = 256  # in a state folder
MAX_RECORD_AGE_SECONDS: Final = 180 * 86_400
MAX_PATH_CHARS: Final = 4096


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One upload of a file to a stream."""

    stream: str  # id, 0x…
    file: str  # absolute path
    size: int  # bytes of the file
    modified_us: int  # modification time of the file, in Unix microseconds
    base: int  # bytes of the stream before the file's data
    first: int  # sequence of the first chunk of the file's data
    began: int  # Unix seconds
    receipts: str = ""  # folder of the receipts, an absolute path; empty for none

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a record strictly. Raises InvalidEncoding."""
        members = Members(value, "the record")
        record = cls(
            members.text("stream"),
            members.text("file", longest=MAX_PATH_CHARS),
            members.integer("size"),
            members.integer("modified_us"),
            members.integer("base"),
            members.integer("first"),
            members.integer("began"),
            members.text("receipts", longest=MAX_PATH_CHARS) if "receipts" in members else "",
        )
        members.end()
        return record

    def encode(self) -> str:
        """Return the record as JSON."""
        return json.dumps({name: item for name, item in asdict(self).items() if item != ""}) + "\n"


class UploadRecords:
    """The records in one folder, and where the record of one upload is kept."""

    def __init__(
        self,
        folder: Path,
        *,
        beside_receipts: Path | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            folder: the state folder.
            beside_receipts: the folder of receipts that holds new records instead.
            wall: the time in Unix seconds.
        """
        self.folder = folder
        self._beside = beside_receipts / BESIDE_RECEIPTS if beside_receipts else None
        self._wall = wall

    def load(self, stream: str, file: Path) -> UploadRecord | None:
        """Return the record of this upload, or None.

        Raises UnusableFile: the folder of receipts belongs to another stream, or a record is
        damaged.
        """
        if self._beside and (record := _read(self._beside)):
            if record.stream != stream:
                message = f"{self._beside.parent} holds the receipts of another stream."
                hint = "Choose another folder with `--receipts`."
                raise with_hint(UnusableFile(message), hint)
            return record
        return _read(self._path(stream, file))

    def save(self, record: UploadRecord, file: Path) -> None:
        """Write the record of this file, and delete old ones. Raises UnusableFile."""
        path = self._beside or self._path(record.stream, file)
        try:
            make_folder(path.parent)
            write_whole(path, record.encode(), mode=PRIVATE_MODE)
        except UnusableFile as error:
            raise with_hint(
                error, "Choose another folder for the progress with `--state`."
            ) from None
        if path != self._beside:
            self._prune(keep=path)

    def _path(self, stream: str, file: Path) -> Path:
        key = hashlib.sha256(stream.encode() + b"\0" + os.fsencode(file)).hexdigest()
        return self.folder / f"upload-{key[:32]}.json"

    def _prune(self, keep: Path) -> None:
        """Delete records that are too old or too many, the oldest first."""
        oldest = self._wall() - MAX_RECORD_AGE_SECONDS
        with suppress(OSError):
            found = [(path.stat().st_mtime, path) for path in self.folder.glob("upload-*.json")]
            found.sort(reverse=True)
            for index, (written, path) in enumerate(found):
                if path != keep and (index >= MAX_RECORDS or written < oldest):
                    path.unlink(missing_ok=True)


def _read(path: Path) -> UploadRecord | None:
    """Return the record in a file, None if there is no file. Raises UnusableFile: damaged."""
    if not path.exists():
        return None
    try:
        return UploadRecord.from_json(parse(read_bytes(path, most=MAX_RECORD_BYTES)))
    except InvalidEncoding as error:
        message = f"{path} is not the record of an upload: {error}"
        hint = (
            "Move the file away; the command then compares the file with the data that the stream "
            "has."
        )
        raise with_hint(UnusableFile(message), hint) from None


def state_folder(
    environ: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    home: Callable[[], Path] = Path.home,
) -> Path:
    """Return the folder in which this user's programs keep their state.

    `$XDG_STATE_HOME` if it is an absolute path; otherwise the platform's convention. Raises
    UnusableFile: the user has no home folder.
    """
    named = Path(environ.get("XDG_STATE_HOME", ""))
    if named.is_absolute():
        return named / "datadragon"
    if platform == "win32" and (local := environ.get("LOCALAPPDATA")):
        return Path(local) / "datadragon"
    try:
        base = home()
    except RuntimeError:
        message = "This user has no home folder, so that the progress cannot be kept there."
        hint = "Choose a folder for the progress with `--state`."
        raise with_hint(UnusableFile(message), hint) from None
    if platform == "darwin":
        return base / "Library" / "Application Support" / "datadragon"
    return base / ".local" / "state" / "datadragon"
