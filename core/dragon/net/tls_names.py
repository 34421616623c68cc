"""The names of the TLS settings. Imports no TLS library: every command has the option `--ca`."""

from __future__ import annotations

from typing import Final

CERTFILE: Final = "DRAGON_TLS_CERTFILE"
KEYFILE: Final = "DRAGON_TLS_KEYFILE"
CA: Final = "DRAGON_TLS_CA"
