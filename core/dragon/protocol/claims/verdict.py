"""What operators and experts find a window to be."""

from __future__ import annotations

import enum


class Verdict(enum.StrEnum):
    VALID = "valid"
    INVALID = "invalid"
