"""A disk cache of compiled kernels, one file per kernel.

numba's own cache depends on the modification time of one source file, and stops the program when a
file is damaged or the directory is not writable. Here, the name of a file is a hash of all kernel
sources, the versions of Python, numba and LLVM, the processor (model and features) and the
signature. After an update, or on another kind of machine, no file has the new name, and the kernel
is compiled. A damaged or unreadable file counts as missing. A kernel that cannot be written is
compiled again at the next start.

Anyone who can write to the directory can run code in this process. It is created with access for
its owner only.
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

from dragon.stark.prover.cache_directory import SUFFIX, directory

DIGEST_BYTES: Final = 32
MAX_FILES_PER_KERNEL: Final = 8  # older files are deleted
_LOCK_RETRY_SECONDS: Final = 0.05
_LOCK_ATTEMPTS: Final = 1200  # about a minute
_STARK_DIRECTORY: Final = Path(__file__).parents[1]
CONSTANT_MODULES: Final = ("extension", "field", "rescue")  # kernels import constants from them


def is_private() -> bool:
    """Whether only this user can write to the directory. True if it does not exist yet."""
    try:
        found = directory().stat()
    except (OSError, RuntimeError):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & stat.S_IWOTH


@contextmanager
def compiling_alone() -> Iterator[None]:
    """Let one process compile at a time; the others wait and then read its files.

    Waiting ends after a minute. Without a usable directory there is no waiting.
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
                break  # the file system has no locks
        yield


@lru_cache(maxsize=1)
def _sources_digest() -> bytes:
    """A hash of all modules that kernels are compiled from, and of the compiler's versions."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__} {llvmlite.__version__}".encode())
    constants = [_STARK_DIRECTORY / f"{name}.py" for name in CONSTANT_MODULES]
    for source in (*sorted((_STARK_DIRECTORY / "prover" / "kernels").glob("*.py")), *constants):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.digest()


class DiskCache:
    """The cache of one kernel. It has the interface of numba's cache, and replaces it."""

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
        """Do nothing: there is no in-memory state."""

    def has(self, sig: object, target_context: Any) -> bool:
        """Whether there is a file of the compiled kernel."""
        try:
            return self._path(sig, target_context.codegen()).exists()
        except (OSError, RuntimeError):
            return False

    def load_overload(self, sig: object, target_context: Any) -> Any:
        """The compiled kernel, or None if there is no usable file."""
        target_context.refresh()
        if not is_private():
            return None
        try:
            raw = self._path(sig, target_context.codegen()).read_bytes()
            if hashlib.sha256(raw[DIGEST_BYTES:]).digest() != raw[:DIGEST_BYTES]:
                return None
            kept = pickle.loads(raw[DIGEST_BYTES:])  # noqa: S301  # only we can write it
            return CompileResult._rebuild(target_context, *kept)
        except Exception:
            # A damaged file can raise anything. The kernel is then compiled.
            return None

    def save_overload(self, sig: object, data: Any) -> None:
        """Write the compiled kernel `data`, if the directory allows it."""
        if not self._enabled or data.library.has_dynamic_globals:
            return
        payload = dumps(data._reduce())
        try:
            _replace(self._path(sig, data.codegen), hashlib.sha256(payload).digest() + payload)
            self._delete_old_files()
        except (OSError, RuntimeError):
            return

    def _delete_old_files(self) -> None:
        """Keep only the latest files; other releases and machines may share the directory."""
        kept = directory().glob(f"{self._name}-*{SUFFIX}")
        for path in sorted(kept, key=lambda path: path.stat().st_mtime)[:-MAX_FILES_PER_KERNEL]:
            path.unlink(missing_ok=True)

    def _path(self, sig: object, codegen: Any) -> Path:
        described = repr((self._name, sig, codegen.magic_tuple())).encode()
        key = hashlib.sha256(_sources_digest() + described).hexdigest()
        return directory() / f"{self._name}-{key[:32]}{SUFFIX}"


def _replace(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
