"""A process that archives the streams in a folder until their room is free again.

python archive_process.py FOLDER URL BYTES
"""

from __future__ import annotations

import sys
from pathlib import Path

from dragon_stream.archive.s3 import S3ObjectStore
from dragon_stream.archive.settings import ArchiveSettings
from object_stores import ArchivedStreams
from s3_server import ACCESS_KEY, SECRET_KEY


def store_at(url: str) -> S3ObjectStore:
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    settings = ArchiveSettings("bucket", "", 0, endpoint=url, **keys)
    return S3ObjectStore(settings, read_seconds=30.0, transfer_seconds=30.0)


def opened(folder: Path, url: str, local_bytes: int) -> ArchivedStreams:
    """The streams, ten minutes later, so that few proofs are archived too."""
    streams = ArchivedStreams(folder, store_at(url), local_bytes=local_bytes)
    streams.now_ms += 10_000_000
    return streams


if __name__ == "__main__":
    made = opened(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    while made.room.excess:
        made.archiver.step()
    made.close()
