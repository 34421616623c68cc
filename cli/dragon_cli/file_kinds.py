"""What a file is, as far as its content shows; to explain that it is not the requested kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from dragon.errors import DragonError, InvalidEncoding
from dragon_cli.errors import NotACommittee, WrongFile
from dragon_cli.files import read_beginning
from dragon_cli.hints import with_hint

SQLITE_MAGIC: Final = b"SQLite format 3\0"
BEGINNING_BYTES: Final = 1 << 20  # of a database, to tell what it is
PEM_MAGIC: Final = b"-----BEGIN "
HTML_MAGIC: Final = b"<!doctype html"
CERTIFIED_REPORT_DATA: Final = '<script type="application/json" id="certified-report">'


class FileKind(StrEnum):
    """The kinds of files that commands read, in words."""

    COMMITTEE = "a committee file"
    LINEAGE = "a lineage of committees"
    MEMBER = "a member file"
    NODES = "a node list of a sequencer network"
    SERVICES = "a list of a fleet's services"
    KEYSTORE = "a keystore"
    RECEIPT = "a receipt"
    CERTIFICATE = "a certificate"
    EVIDENCE = "evidence about a node"
    PERIOD = "a period report"
    LEAF = "the proof of one node's part of a period report"
    STREAM_REPORT = "a report on a stream"
    SPOT_CHECK_REQUEST = "the request of a spot check"
    SPOT_CHECK_ANSWER = "the answer to a spot check"
    EVENT = "a log event with its inclusion proof"
    PROOF = "a zero-knowledge proof"
    CERTIFIED_REPORT = "a certified report"
    HTML = "an HTML page without a certificate"
    PROBLEM = "an error message of a service"
    LOG = "a database, such as an operator's log"
    PEM = "a certificate or key for TLS"
    EMPTY = "empty"
    BINARY = "binary data"
    TEXT = "text that is not JSON"
    JSON = "JSON of another kind"


# Members by which a JSON object is recognized; the first entry that fits decides.
_MEMBERS: Final = (
    (FileKind.STREAM_REPORT, {"kind", "descriptor", "mark"}),
    (FileKind.SPOT_CHECK_REQUEST, {"kind", "nonce", "chunks"}),
    (FileKind.SPOT_CHECK_ANSWER, {"kind", "request", "windows"}),
    (FileKind.EVIDENCE, {"node_id", "collected_at", "operators"}),
    (FileKind.COMMITTEE, {"operators", "sequencer"}),
    (FileKind.LINEAGE, {"committees", "handovers"}),
    (FileKind.MEMBER, {"kind", "role", "proof_of_possession"}),
    (FileKind.RECEIPT, {"descriptor", "chunk"}),
    (FileKind.EVENT, {"event", "inclusion"}),
    (FileKind.CERTIFICATE, {"aggregated_signature", "signers"}),
    (FileKind.PERIOD, {"certificate", "leaves"}),
    (FileKind.LEAF, {"certificate", "leaf", "path"}),
    (FileKind.KEYSTORE, {"crypto", "version"}),
    (FileKind.PROBLEM, {"title", "status", "detail"}),
)
_NODE_MEMBERS: Final = {"socket", "stake"}

ORIGINS: Final = {
    FileKind.COMMITTEE: "It is `committee.json` in the folder that `dragon init` creates.",
    FileKind.MEMBER: "`dragon key new` writes one beside the key.",
    FileKind.RECEIPT: "`dragon stream FILE --stream NAME --receipts FOLDER` writes receipts.",
    FileKind.CERTIFICATE: "`dragon downtime NODE --output FILE` writes a certificate.",
    FileKind.CERTIFIED_REPORT: "`dragon report --certified --format html` writes one.",
    FileKind.PERIOD: "`dragon period FROM TO --output FILE` writes a period report.",
    FileKind.STREAM_REPORT: "`dragon stream report STREAM --output FILE` writes one.",
    FileKind.SPOT_CHECK_REQUEST: "`dragon audit request STREAM --output FILE` writes one.",
    FileKind.SPOT_CHECK_ANSWER: "`dragon audit answer REQUEST --output FILE` writes one.",
    FileKind.EVENT: "`dragon logs --event POSITION` prints an event with its inclusion proof.",
    FileKind.EVIDENCE: "`dragon evidence NODE --at TIME` writes it.",
    FileKind.LOG: "An operator's log is `operator.db` in its data folder.",
    FileKind.KEYSTORE: "A keystore is `keystore.json` in the folder of a key.",
    FileKind.NODES: "It is `nodes.json` in the folder of a fleet.",
}

# Which command verifies a file that was given to another one.
VERIFIERS: Final = {
    FileKind.PERIOD: "`dragon verify period FILE` verifies it.",
    FileKind.LEAF: "`dragon verify period FILE` verifies it.",
    FileKind.STREAM_REPORT: "`dragon verify stream-report FILE` verifies it.",
    FileKind.SPOT_CHECK_ANSWER: "`dragon audit verify FILE` verifies it.",
}


def kind_of(raw: bytes) -> FileKind:
    """Return what a file with this content is."""
    if not raw.strip():
        return FileKind.EMPTY
    for magic, kind in ((SQLITE_MAGIC, FileKind.LOG), (PEM_MAGIC, FileKind.PEM)):
        if raw.startswith(magic):
            return kind
    if raw[: len(HTML_MAGIC)].lower() == HTML_MAGIC:
        has_data = CERTIFIED_REPORT_DATA.encode() in raw
        return FileKind.CERTIFIED_REPORT if has_data else FileKind.HTML
    try:
        text = raw.decode("utf-8")
        return _kind_of_json(json.loads(text))
    except UnicodeDecodeError:
        return FileKind.BINARY
    except (ValueError, RecursionError):
        return _kind_of_lines(text)


def _kind_of_lines(text: str) -> FileKind:
    """Return what a text is that is not JSON as a whole, but may have a line of JSON first."""
    try:
        found = _kind_of_json(json.loads(text.split("\n", 1)[0]))
    except (ValueError, RecursionError):
        is_incomplete = text.lstrip().startswith(("{", "["))
        return FileKind.JSON if is_incomplete else FileKind.TEXT
    return found if found is FileKind.STREAM_REPORT else FileKind.JSON


def _kind_of_json(value: object) -> FileKind:
    if not isinstance(value, dict):
        return FileKind.JSON
    for kind, members in _MEMBERS:
        if members <= value.keys():
            return kind
    items = list(value.values())
    if items and all(isinstance(each, dict) and each.keys() >= _NODE_MEMBERS for each in items):
        return FileKind.NODES
    if items and all(isinstance(each, str) and "://" in each for each in items):
        return FileKind.SERVICES
    return FileKind.JSON


@contextmanager
def reading(path: Path, raw: bytes, expected: FileKind, *also: FileKind) -> Iterator[None]:
    """Name the file in errors, and say what it is if it is not of an expected kind.

    Args:
        raw: the content of the file.
        expected: the kind of file that is requested.
        also: other kinds that contain what is requested.

    Raises NotACommittee, WrongFile; any other DragonError of the block, with the path.
    """
    try:
        yield
    except DragonError as error:
        found = kind_of(raw)
        wrong = isinstance(error, InvalidEncoding) and found not in (expected, *also)
        if wrong and found is not FileKind.JSON:
            kind = NotACommittee if expected is FileKind.COMMITTEE else WrongFile
            message = f"{path} is not {expected}: it is {found}."
            hint = VERIFIERS.get(found, ORIGINS[expected])
            raise with_hint(kind(message, found=str(found)), hint) from None
        if str(path) not in str(error):
            error.args = (f"{path}: {error}",)
        raise


def check_is_log(path: Path) -> None:
    """Raise WrongFile if a file is clearly no database, UnusableFile if it cannot be read."""
    raw = read_beginning(path, BEGINNING_BYTES)
    if not raw.startswith(SQLITE_MAGIC):
        found = kind_of(raw)
        message = f"{path} is not an operator's log: it is {found}."
        raise with_hint(WrongFile(message, found=str(found)), ORIGINS[FileKind.LOG])
