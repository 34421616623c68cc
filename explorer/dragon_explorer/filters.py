"""How pages write times, durations, numbers and identifiers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from flask import Flask, request

from dragon.protocol.claims.base import utc as utc_text
from dragon_explorer import drawing
from dragon_explorer.public_page import PublicPage, is_listed
from dragon_explorer.rendering import TICK_SECONDS
from dragon_explorer.sources import Sources
from dragon_explorer.views.maintenance import in_words
from dragon_explorer.views.rounds import SIGNED, AnswerRow

FRAGMENT: Final = "fragment"
HEAD_CHARS, TAIL_CHARS = 10, 4  # of a shortened identifier
UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
LONG_HEX: Final = re.compile("0x[0-9a-f]{40,}")


def install(app: Flask, sources: Sources) -> None:
    """Make the filters and what every page needs known to the templates."""
    texts = (utc, iso, day, clock, ago, span, period, percent, size, count)
    names = (short, abridged, words, indented, notable, maintenance)
    drawings = (drawing.bar_paths, drawing.bar_days, drawing.announced_path, drawing.spark)
    grid = (
        drawing.plot,
        drawing.round_paths,
        drawing.round_faults,
        drawing.rounds_text,
        drawing.fault_letters,
    )
    functions: tuple[Callable[..., object], ...] = (*texts, *names, *drawings, *grid)
    app.jinja_env.filters.update({each.__name__: each for each in functions})
    app.jinja_env.globals["fragment_url"] = fragment_url
    app.context_processor(lambda: _site(sources.committee.name, sources.public))


def _site(committee_name: str, public: PublicPage) -> dict[str, object]:
    """The names of the site. At a host name of the public page, no page shows internals."""
    is_public = is_listed(request.host, public.hosts)
    name = public.title if is_public else committee_name
    return {
        "committee_name": committee_name,
        "is_public": is_public,
        "is_public_host": is_public,
        "site_name": name,
    }


def fragment_url() -> str:
    """The address from which the part of this page that changes is read again."""
    query = request.query_string.decode("ascii", "replace")
    if FRAGMENT in request.args:
        return f"{request.path}?{query}"
    return f"{request.path}?{query}&{FRAGMENT}" if query else f"{request.path}?{FRAGMENT}"


def notable(answers: Sequence[AnswerRow], most: int) -> list[AnswerRow]:
    """Return the answers that say most: no signature first, then the latest signatures."""
    found = sorted(answers, key=lambda each: (each.answer == SIGNED, -(each.latency_ms or 0)))
    return found[:most] if len(found) > most else list(answers)


def utc(time: float) -> str:
    """Return Unix seconds as a date and time in UTC."""
    return utc_text(int(time))


def iso(time: float) -> str:
    """Return Unix seconds for programs: RFC 3339."""
    return _formatted(time, "%Y-%m-%dT%H:%M:%SZ")


def day(time: float) -> str:
    """Return the UTC date of Unix seconds."""
    return _formatted(time, "%Y-%m-%d")


def _formatted(time: float, form: str) -> str:
    """A time that has no date, such as one of the year 300,000, stays a number."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime(form)
    except (OverflowError, OSError, ValueError):
        return str(int(time))


def clock(time: float) -> str:
    """Return the UTC time of day of Unix seconds."""
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M:%S")


def ago(time: float, now: float) -> str:
    """Return how long before (or after) `now` a time is, in one unit.

    Pages are made for moments that lie up to `TICK_SECONDS` back, so a new answer may be later.
    """
    seconds = int(now - time)
    if -TICK_SECONDS <= seconds < 1:
        return "now"
    unit, length = next(each for each in UNITS if abs(seconds) >= each[1])
    number = abs(seconds) // length
    return f"{number} {unit} ago" if seconds > 0 else f"in {number} {unit}"


def span(seconds: float) -> str:
    """Return a duration with at most two units."""
    left, parts = int(seconds), []
    for unit, length in UNITS:
        number, left = divmod(left, length)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def maintenance(seconds: int, total: int) -> str:
    """Return how many of the seconds down were announced maintenance; empty if none."""
    return in_words(seconds, total, span(seconds))


def period(name: str) -> str:
    """Return the name of a period with a space before its unit: "24 h"."""
    return f"{name[:-1]} {name[-1]}"


def percent(value: float | None, digits: int = 3) -> str:
    """Return a percentage that is already rounded down; a dash if nothing is known."""
    return "–" if value is None else f"{value:.{digits}f} %"


def size(number: int) -> str:
    """Return a number of bytes in the largest decimal unit that gives at least one."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def count(number: int) -> str:
    """Return a number with separated thousands."""
    return f"{number:,}"


def short(value: str) -> str:
    """Return the two ends of a long identifier."""
    if len(value) <= HEAD_CHARS + TAIL_CHARS + 1:
        return value
    return f"{value[:HEAD_CHARS]}…{value[-TAIL_CHARS:]}"


def abridged(text: str) -> str:
    """Return a sentence with short identifiers, for lists that link to the whole value."""
    return LONG_HEX.sub(lambda found: short(found.group()), text)


def words(name: str) -> str:
    """Return a name of a reason or a kind as words."""
    return name.replace("_", " ")


def indented(value: object) -> str:
    """Return a value as JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False)
