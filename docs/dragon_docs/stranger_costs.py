"""The table of what somebody without a key can cost, with the values of the code."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Final

from dragon_docs import tables
from dragon_docs.bounds import shown

COSTS: Final = Path(__file__).with_suffix(".toml")
CONSTANT: Final = re.compile(r"\{(?P<module>[a-z_.]+):(?P<name>[A-Z_]+(?:\.[a-z_]+)?)\}")


def table(_argument: str) -> str:
    """Every resource and its bound, in the order of the file.

    Raises:
        LookupError: a bound names a constant that does not exist.
    """
    costs = tomllib.loads(COSTS.read_text(encoding="utf-8"))["costs"]
    rows = [(cost["resource"], CONSTANT.sub(_value, cost["bound"])) for cost in costs]
    return tables.table(("resource", "bound"), rows)


def _value(found: re.Match[str]) -> str:
    module, name = found["module"], found["name"]
    try:
        value = attrgetter(name)(import_module(module))
    except AttributeError:
        value = None
    if not isinstance(value, (int, float)):
        raise LookupError(f"there is no number {module}:{name}")
    return shown(value)
