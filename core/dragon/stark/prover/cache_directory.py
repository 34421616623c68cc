"""Where compiled kernels are kept. Imports neither numba nor numpy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SUFFIX: Final = ".kernel"  # of the files with compiled kernels


def directory() -> Path:
    """The cache directory: `NUMBA_CACHE_DIR`, by default `~/.cache/datadragon`."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) if chosen else Path.home() / ".cache" / "datadragon"
