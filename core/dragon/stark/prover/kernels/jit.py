"""Typed wrappers around numba's decorators, and a registry of all kernels.

A *kernel* is called from Python. It is compiled once, for the signature that it declares, and its
machine code is cached on disk (`prover.cache`). An *inline* function is called by kernels only. An
*intrinsic* emits LLVM instructions (`lanes`, `blake2s`). Kernels release Python's global lock and
keep no reference to their arguments, so threads can work on parts of the same array.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar, cast

import numba
import numpy as np
from numba.core import sigutils
from numba.extending import intrinsic as _numba_intrinsic
from numpy.typing import NDArray

from dragon.stark.prover.cache import DiskCache, compiling_alone

Words = NDArray[np.uint64]  # field elements: Montgomery form, flat, below p unless said otherwise
Words32 = NDArray[np.uint32]  # words of BLAKE2s, flat
Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]
# One field element, or eight in lanes. numba infers which from the use.
Number: TypeAlias = Any

P = ParamSpec("P")
R = TypeVar("R")

# No division can be by zero, so none is checked. Only kernels are called from Python.
_INLINE: Final[dict[str, Any]] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_KERNEL: Final = _INLINE | {"no_cpython_wrapper": False}
_LOCK: Final = threading.Lock()


class Kernel:
    """A function that is read from the cache or compiled at its first call, or by `prepare`."""

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        self.name = function.__name__
        self.module = function.__module__
        self._signature = signature
        self._dispatcher: Any = numba.njit(**_KERNEL)(function)
        self._cache = self._dispatcher._cache = DiskCache(self.name)
        self._call: Callable[..., Any] = self._first_call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def is_cached(self) -> bool:
        """Whether the cache has a file of the compiled kernel, which may be damaged."""
        arguments = sigutils.normalize_signature(self._signature)[0]
        return self._cache.has(arguments, self._dispatcher.targetctx)

    def prepare(self) -> None:
        """Read the kernel from the cache, or compile it (0.5 to 3 seconds)."""
        with _LOCK:
            if self._call != self._dispatcher:
                with compiling_alone():
                    self._dispatcher.compile(sigutils.normalize_signature(self._signature)[0])
                self._dispatcher.disable_compile()
                self._call = self._dispatcher

    def _first_call(self, *arguments: Any) -> Any:
        self.prepare()
        return self._dispatcher(*arguments)


KERNELS: Final[list[Kernel]] = []


def kernel(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a function as a kernel with this numba signature."""

    def register(function: Callable[P, R]) -> Callable[P, R]:
        KERNELS.append(Kernel(function, signature))
        return cast(Callable[P, R], KERNELS[-1])

    return register


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that only kernels call."""
    return cast(Callable[P, R], numba.njit(**_INLINE)(function))


def intrinsic(build: Callable[..., Any]) -> Callable[..., Any]:
    """Define a function by its LLVM instructions, which `build` emits."""
    return cast(Callable[..., Any], _numba_intrinsic(build))
