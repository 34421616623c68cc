"""Where the migrations of the log's own tables are."""

from __future__ import annotations

from typing import Final

LOG_SCHEMA: Final = "dragon.log:migrations"
