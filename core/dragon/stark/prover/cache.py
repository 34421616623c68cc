"""Compiled kernels on disk: one file a kernel, named by everything its code depends on.

numba's own cache follows the date of one source file, and stops the program when a file is damaged
or no directory can be written. Here the name of a file is the hash of all kernel sources, of the
versions of Python, numba and LLVM, of the processor (model and features) and of the signature: a
machine of another kind, or a newer release, finds nothing under its names and compiles. What cannot
be read, or was cut short, counts as not there; what cannot be written is compiled again next time.

Whoever can write into the directory can run code as us: it is made for its owner alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import llvmlite
import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

DIGEST_BYTES: Final = 32
SUFFIX: Final = ".kernel"
MAX_FILES_PER_KERNEL: Final = 8  # files a kernel may have
_LOCK_RETRY_SECONDS: Final = 0.05  # seconds between two attempts to take the lock
_LOCK_ATTEMPTS: Final = 1200
_STARK_DIRECTORY: Final = Path(__file__).parents[1]
CONSTANT_MODULES: Final = ("extension", "field", "rescue")  # modules that kernels import


def directory() -> Path:
    """Where compiled kernels are kept: `NUMBA_CACHE_DIR`, or the user's cache directory."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) if chosen else Path.home() / ".cache" / "datadragon"


def is_private() -> bool:
    """Whether nobody else can have put anything there, or could not before it is made."""
    try:
        found = directory().stat()
    except (OSError, RuntimeError):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & stat.S_IWOTH


@contextmanager
def compiling_alone() -> Iterator[None]:
    """One process at a time compiles; the others wait and then find its work on disk.

    After a minute, or where there is no directory to agree in, nobody waits.
    """
    try:
        directory().mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory() / "lock").open("a")
    except (OSError, RuntimeError):
        yield
        return
    with lock:
        for _ in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_LOCK_RETRY_SECONDS)
            except OSError:
                break  # a file system without locks
        yield


@lru_cache(maxsize=1)
def _sources_digest() -> bytes:
    """Of every module that kernels are made from, and of what makes them."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__} {llvmlite.__version__}".encode())
    constants = [_STARK_DIRECTORY / f"{name}.py" for name in CONSTANT_MODULES]
    for source in (*sorted((_STARK_DIRECTORY / "prover" / "kernels").glob("*.py")), *constants):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.digest()


class DiskCache:
    """The cache of one kernel, in the place of numba's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(directory())

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Nothing is kept in memory."""

    def load_overload(self, sig: object, target_context: Any) -> Any:
        """The compiled kernel, or None where there is none that could be used."""
        target_context.refresh()
        if not is_private():
            return None
        try:
            raw = self._path(sig, target_context.codegen()).read_bytes()
            if hashlib.sha256(raw[DIGEST_BYTES:]).digest() != raw[:DIGEST_BYTES]:
                return None
            kept = pickle.loads(raw[DIGEST_BYTES:])  # noqa: S301  # ours alone to write
            return CompileResult._rebuild(target_context, *kept)
        except Exception:
            # Whatever a damaged file or a home without a directory makes of this: we can compile.
            return None

    def save_overload(self, sig: object, data: Any) -> None:
        """Keep the compiled kernel `data` if there is a place where it can be kept."""
        if not self._enabled or data.library.has_dynamic_globals:
            return
        payload = dumps(data._reduce())
        try:
            _replace(self._path(sig, data.codegen), hashlib.sha256(payload).digest() + payload)
            self._delete_old_files()
        except (OSError, RuntimeError):
            return

    def _delete_old_files(self) -> None:
        """Keep the latest of this kernel, made by other releases or machines on one volume."""
        kept = directory().glob(f"{self._name}-*{SUFFIX}")
        for path in sorted(kept, key=lambda path: path.stat().st_mtime)[:-MAX_FILES_PER_KERNEL]:
            path.unlink(missing_ok=True)

    def _path(self, sig: object, codegen: Any) -> Path:
        described = repr((self._name, sig, codegen.magic_tuple())).encode()
        key = hashlib.sha256(_sources_digest() + described).hexdigest()
        return directory() / f"{self._name}-{key[:32]}{SUFFIX}"


def _replace(path: Path, content: bytes) -> None:
    """Write a file that others see whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
