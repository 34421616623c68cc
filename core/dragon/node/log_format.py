"""The log messages of a service: one JSON object per line, on standard error.

Modules log an event name with fields: `get_logger(__name__).info("event_sent", sends=2)`. Messages
of libraries use the same format. Keys, passwords, request bodies and nonces are never logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

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


def configure(service: str) -> None:
    """Log everything in this process as lines of JSON on standard error.

    Args:
        service: the value of the member `service`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(service))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("alembic", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
