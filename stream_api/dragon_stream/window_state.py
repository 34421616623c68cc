"""How far a window has come."""

from __future__ import annotations

import enum


class WindowState(enum.StrEnum):
    """The progress of a window. A refuted proof takes it from PROVEN back to CLOSED."""

    CLOSED = "closed"  # header and signature are on disk
    PROVEN = "proven"  # the proof is on disk
    CERTIFIED = "certified"  # the log contains its certificate
    INVALID = "invalid"  # the log contains a certificate against it; the stream has stopped
