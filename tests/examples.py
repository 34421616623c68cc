"""How many examples property tests try: few in `make test`, all in `make thorough`."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

USUAL: Final = "usual"
THOROUGH: Final = "thorough"
PART: Final = 3  # one example of this number is tried usually


def register() -> None:
    """Define both profiles, and choose the usual one. `--hypothesis-profile` chooses another."""
    # A busy machine is no fault of a test: no example has a time limit.
    thorough = settings(settings.get_profile("default"), deadline=None)
    settings.register_profile(THOROUGH, thorough)
    settings.register_profile(USUAL, thorough, max_examples=thorough.max_examples // PART)
    settings.load_profile(USUAL)


def examples(thorough: int, *, usual: int | None = None) -> int:
    """The number of examples for a test that tries `thorough` ones in `make thorough`.

    `usual`: how many are tried otherwise; by default a third of them, but at least eight.
    """
    if settings.get_current_profile_name() == THOROUGH:
        return thorough
    return max(8, thorough // PART) if usual is None else usual
