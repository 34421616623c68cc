"""The log messages of a service: one JSON object per line, on standard error.

Modules log an event name with fields: `get_logger(__name__).info("event_sent", sends=2)`. Messages
of libraries use the same format. Keys, passwords, request bodies and nonces are never logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from dragon.errors import DiskError

MAX_REPEATS: Final = 10  # warnings and errors of one kind that are logged in a minute
REPEAT_SECONDS: Final = 60.0
MAX_KINDS: Final = 256  # kinds of messages that are counted; the oldest is forgotten

_EVENT_NAME: Final = re.compile(r"[a-z]+(_[a-z]+)+")


def _to_record(_logger: object, _level: str, fields: MutableMapping[str, Any]) -> dict[str, Any]:
    """Convert an event to arguments of the standard library's logger.

    The fields become one attribute of the record, so that they cannot collide with the others.
    """
    trace = {"exc_info": fields.pop("exc_info")} if "exc_info" in fields else {}
    return {"msg": fields.pop("event"), "extra": {"fields": dict(fields)}, **trace}


# Set on import and not in `configure`: structlog's default prints to standard output, which is for
# the results of the command line.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        _to_record,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
)
get_logger = structlog.stdlib.get_logger


class Lines(logging.Formatter):
    """Formats records as lines of JSON. A field cannot replace one of the common members."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields, event, message = getattr(record, "fields", {}), record.getMessage(), ""
        if not _EVENT_NAME.fullmatch(event):
            event, message = "library_message", event
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat("T", "milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": event,
            "logger": record.name,
        }
        if message:
            line["message"] = message
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({**line, **fields, **line}, default=str)


class Repeats(logging.Filter):
    """Bounds how many warnings and errors of one kind are logged in a minute.

    A fault that meets every request, or a client that causes errors on purpose, would else fill the
    disk with messages and push the others out. Messages of one kind have logger, event and reason
    in common; those of libraries, which may quote a client, the line of code. The first one of the
    next minute has the member `suppressed`: how many were left out.
    The traceback of a full disk is never logged: `Disk` logs the fault itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._seen: dict[tuple[object, ...], tuple[float, int]] = {}  # kind → (begin, messages)

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        if kind is not None and issubclass(kind, DiskError):
            return False
        if record.levelno < logging.WARNING:
            return True
        fields = getattr(record, "fields", {})
        is_event = _EVENT_NAME.fullmatch(str(record.msg))
        event = record.msg if is_event else (record.pathname, record.lineno)
        key = (record.name, event, str(fields.get("reason")), kind)
        with self._lock:
            begin, count = self._seen.pop(key, (record.created, 0))
            fresh = not 0 <= record.created - begin < REPEAT_SECONDS
            if fresh and count > MAX_REPEATS:
                record.fields = {**fields, "suppressed": count - MAX_REPEATS}
            self._seen[key] = (record.created, 1) if fresh else (begin, count + 1)
            if len(self._seen) > MAX_KINDS:
                self._seen.pop(next(iter(self._seen)))
            return self._seen[key][1] <= MAX_REPEATS


def configure(service: str) -> None:
    """Log everything in this process as lines of JSON on standard error.

    Args:
        service: the value of the member `service`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(service))
    handler.addFilter(Repeats())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("alembic", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
