"""The location of this database's migrations."""

from typing import Final

SCHEMA: Final = "dragon_explorer:migrations"
