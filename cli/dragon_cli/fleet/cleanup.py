"""Leave nothing behind when a folder cannot be written completely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dragon.errors import DragonError, KeystoreError
from dragon.net.causes import find_cause
from dragon_cli.errors import UnusableFile
from dragon_cli.files import cannot


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """Delete what the block has created in `folder`, and the folder if it is new, if it fails.

    Nothing that existed before is deleted. Raises UnusableFile: the disk refused to write.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    before = set(folder.rglob("*"))
    try:
        yield
    except BaseException as error:
        _delete(set(folder.rglob("*")) - before, missing)
        if isinstance(error, (OSError, UnusableFile, KeystoreError)) and (cause := _disk(error)):
            raise cannot("create", folder, cause) from None
        raise


def _disk(error: OSError | DragonError) -> OSError | None:
    """Return what the system said about the disk, if that is why something could not be written."""
    cause = find_cause(error, OSError)
    return None if isinstance(cause, FileExistsError) else cause


def _delete(created: set[Path], folders: list[Path]) -> None:
    with suppress(OSError):  # the first error is the one to report
        for path in sorted(created, reverse=True):  # the content of a folder before the folder
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        for folder in folders:
            folder.rmdir()
