"""How many examples property tests try: few in `make test`, all in `make thorough`."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

USUAL: Final = "usual"
THOROUGH: Final = "thorough"
PART: Final = 3  # one example of this number is tried usually


def register() -> None:
    """Define both profiles, and choose the usual one. `--hypothesis-profile` chooses another."""
    thorough = settings.get_profile("default")
    settings.register_profile(THOROUGH, thorough)
    settings.register_profile(USUAL, thorough, max_examples=thorough.max_examples // PART)
    settings.load_profile(USUAL)


def examples(thorough: int, *, least: int = 8) -> int:
    """The number of examples for a test that tries `thorough` ones in `make thorough`.

    `least`: how many are tried usually, if a third of `thorough` are fewer.
    """
    is_thorough = settings.get_current_profile_name() == THOROUGH
    return thorough if is_thorough else max(least, thorough // PART)
