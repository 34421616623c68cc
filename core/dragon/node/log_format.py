"""What a service says while it runs: one JSON object a line, on standard error.

Modules log a name with fields, `structlog.get_logger(__name__).info("event_sent", sends=2)`; what
libraries log goes through the same formatter. Nobody logs a key, a password, a body or a nonce.
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

_NAME: Final = re.compile(r"[a-z]+(_[a-z]+)+")


def _to_record(_logger: object, _level: str, fields: MutableMapping[str, Any]) -> dict[str, Any]:
    """Hand a line over to the standard library. Its records have attributes of their own, so the
    fields travel together, as one more."""
    trace = {"exc_info": fields.pop("exc_info")} if "exc_info" in fields else {}
    return {"msg": fields.pop("event"), "extra": {"fields": dict(fields)}, **trace}


# Here and not in `configure`, so that importing our web half is enough: structlog's own default
# prints to standard output, where a command line's answers belong.
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
    """Records as lines of JSON. A field cannot replace what every line has."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields, event, message = getattr(record, "fields", {}), record.getMessage(), ""
        if not _NAME.fullmatch(event):
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
    """From here on, everything that this process logs is a line of JSON on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(service))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("alembic", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
