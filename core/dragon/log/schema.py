"""The location of the migrations of the log's tables."""

from __future__ import annotations

from typing import Final

LOG_SCHEMA: Final = "dragon.log:migrations"
