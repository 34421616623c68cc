"""Time zones on the command line, and the nights on which their clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

MAX_NAME_CHARACTERS: Final = 64


class LocalTimeError(ValueError):
    """The clock of a time zone shows a time twice or never, because it is changed."""


class ZoneType(click.ParamType[tzinfo]):
    """A time zone of the IANA database."""

    name = "zone"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tzinfo:
        """Return the zone. Raises BadParameter."""
        if isinstance(value, tzinfo):
            return value
        try:
            return ZoneInfo(str(value)[:MAX_NAME_CHARACTERS])
        except (OSError, ValueError, LookupError):  # a folder, `../`, or no such zone
            message = f"{value!a} is not a time zone; expected a name such as Europe/Berlin or UTC."
            raise click.BadParameter(message, ctx, param) from None


def exact(read: datetime, zone: tzinfo) -> float:
    """Return a time in Unix seconds.

    Args: `zone`, of a time without an offset.

    Raises LocalTimeError: the clock of the zone shows this time twice, or never.
    """
    if read.tzinfo is not None:
        return read.timestamp()
    local = read.replace(tzinfo=zone)
    if exists(local) and local.utcoffset() == local.replace(fold=1).utcoffset():
        return local.timestamp()
    shown = read.isoformat(sep=" ", timespec="minutes")
    if not exists(local):
        message = f"the clock of {zone} never shows {shown}, because it is put forward then"
        raise LocalTimeError(f"{message}; name a later time, or UTC.")
    first, second = (_offset(local.replace(fold=fold)) for fold in (0, 1))
    message = f"the clock of {zone} shows {shown} twice, because it is put back then"
    raise LocalTimeError(f"{message}; add the offset, {first} or {second}.")


def exists(local: datetime) -> bool:
    """Return whether the clock of its zone ever shows a time."""
    return local.astimezone(UTC).astimezone(local.tzinfo) == local


def _offset(local: datetime) -> str:
    return local.isoformat()[-6:]
