"""From the words of options and files to the member `readings` of a stream's descriptor.

Bounds are decimal numbers in the unit; the descriptor has integers, scaled by a power of ten. What
does not scale to an integer is refused and never rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from dragon.encoding import Json
from dragon_cli.errors import WrongReadings
from dragon_cli.hints import with_hint

WORDS: Final = (
    "form", "pointer", "scale", "unit", "rounding", "length",
    "low", "high", "fall", "rise", "sum", "carry", "most",
)  # fmt: skip
REQUIRED: Final = ("scale", "unit", "low", "high")
MAX_SCALE: Final = 18
DEFAULT_MOST: Final = 63  # commitments in a window's statement
PLAIN_LENGTH: Final = 16  # default of `length`, in bytes
JSON_LENGTH: Final = 256

_NUMBER: Final = re.compile(r"(-?)([0-9]{1,24})(?:\.([0-9]{1,24}))?", re.ASCII)


def readings_member(words: Mapping[str, Any]) -> dict[str, Json]:
    """Return the member `readings` of a descriptor.

    `carry` is set whenever a bound on steps is given: without it, every large step could be put
    between two windows. A bound on steps that the range implies is none.

    Args: `words`, the given ones of `WORDS`; bounds as texts of decimal numbers in the unit.

    Raises WrongReadings: a word is missing, or is not a number of that scale.
    """
    if missing := [name for name in REQUIRED if words.get(name) is None]:
        *others, last = (f"`{name}`" for name in missing)
        named = f"{', '.join(others)} and {last}" if others else last
        raise WrongReadings(f"Readings need {named}.", missing=missing)
    scale = int(words["scale"])
    low, high = (scaled(name, words[name], scale) for name in ("low", "high"))
    if low > high:
        message = f"`low` ({words['low']}) must not exceed `high` ({words['high']})."
        raise with_hint(WrongReadings(message), "")
    width = high - low
    fall, rise = (_step(name, words, scale, width) for name in ("fall", "rise"))
    is_json = words.get("pointer") is not None or words.get("form") == "json"
    return {
        **_form(words, is_json=is_json),
        "scale": scale,
        "rounding": words.get("rounding") or "exact",
        "unit": words["unit"],
        "length": words.get("length") or (JSON_LENGTH if is_json else PLAIN_LENGTH),
        "low": str(low),
        "high": str(high),
        "fall": str(fall),
        "rise": str(rise),
        "sum": _sum(words.get("sum") or "none", scale),
        "carry": bool(words.get("carry")) or (fall, rise) != (width, width),
        "most": words.get("most") or DEFAULT_MOST,
    }


def scaled(name: str, text: object, scale: int) -> int:
    """Return a decimal number times 10^scale. Args: `name`, of the word, for messages.

    Raises WrongReadings: not a decimal number, or with more decimals than the scale has.
    """
    if not (match := _NUMBER.fullmatch(str(text))):
        message = f"`{name}` is {str(text)[:40]!a}, not a decimal number such as -2.5."
        raise with_hint(WrongReadings(message, word=name), "")
    sign, whole, decimals = match[1], match[2], (match[3] or "").rstrip("0")
    if len(decimals) > scale:
        message = f"`{name}` {text} has more than {scale} decimals (`scale`), and is not rounded."
        hint = f"Use `--scale {len(decimals)}`, or a number with fewer decimals."
        raise with_hint(WrongReadings(message, word=name), hint)
    return int(f"{sign}{whole}{decimals.ljust(scale, '0')}")


def _form(words: Mapping[str, Any], *, is_json: bool) -> dict[str, Json]:
    if not is_json:
        return {"form": "plain"}
    if words.get("form") == "plain":
        message = "`pointer` leads to a number in JSON, and `form` is plain."
        raise with_hint(WrongReadings(message), "Use `--form json`, or omit the pointer.")
    if words.get("pointer") is None:
        message = "`form` json needs `pointer`, the place of the number in a message."
        raise with_hint(WrongReadings(message), "`--pointer /temp` reads the member `temp`.")
    return {"form": "json", "pointer": str(words["pointer"])}


def _step(name: str, words: Mapping[str, Any], scale: int, width: int) -> int:
    """The largest step up or down; at most the width of the range, which nothing exceeds."""
    text = words.get(name)
    return width if text is None else min(width, scaled(name, text, scale))


def _sum(text: str, scale: int) -> dict[str, Json]:
    """Raises WrongReadings: not one of the four kinds."""
    kind, *numbers = text.split(":")
    match kind, numbers:
        case "none", []:
            return {"kind": kind}
        case (("total" | "mean"), [low, high]):
            first, last = (scaled(f"sum {kind}", each, scale) for each in (low, high))
            return {"kind": kind, "low": str(first), "high": str(last)}
        case "stated", [width]:
            return {"kind": kind, "width": str(scaled("sum stated", width, scale))}
        case _:
            message = f"`sum` is {text[:40]!a}."
            hint = "Use none, total:LOW:HIGH, mean:LOW:HIGH or stated:WIDTH."
            raise with_hint(WrongReadings(message, word="sum"), hint)
