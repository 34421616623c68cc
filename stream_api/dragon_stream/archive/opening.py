"""Opens the archive that the settings name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Final

from dragon.errors import SettingsError
from dragon_stream.archive.objects import NoStore, ObjectStore
from dragon_stream.archive.settings import ArchiveSettings

LIBRARY: Final = "obstore"  # of the extra `archive`


def open_store(settings: ArchiveSettings | None) -> ObjectStore:
    """The bucket; without settings a store that explains why nothing can be read.

    Raises SettingsError: the library is not installed.
    """
    if settings is None:
        return NoStore()
    if find_spec(LIBRARY) is None:
        message = (
            f"the setting STREAM_ARCHIVE needs the library {LIBRARY}, which this installation "
            "lacks: install datadragon[archive]"
        )
        raise SettingsError(message, setting="STREAM_ARCHIVE")
    store: ObjectStore = import_module("dragon_stream.archive.s3").S3ObjectStore(settings)
    return store
