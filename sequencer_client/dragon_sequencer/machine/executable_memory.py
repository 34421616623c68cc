"""Whether a process may make memory executable, as compiled code needs it.

systemd (`MemoryDenyWriteExecute=`), SELinux and the kernel (`PR_SET_MDWE`) can forbid it. LLVM does
not notice that, and the first call of its code would then end the process.
"""

from __future__ import annotations

import ctypes
import mmap
import os


def check_executable_memory() -> None:
    """Make one page executable, as LLVM does it. Raises RuntimeError: that is forbidden."""
    with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        page = (ctypes.c_char * mmap.PAGESIZE).from_buffer(memory)
        library = ctypes.CDLL(None, use_errno=True)
        place, size = ctypes.c_void_p(ctypes.addressof(page)), ctypes.c_size_t(mmap.PAGESIZE)
        failed = library.mprotect(place, size, mmap.PROT_READ | mmap.PROT_EXEC)
        del page  # which would keep the memory
    if failed:
        reason = os.strerror(ctypes.get_errno())
        raise RuntimeError(f"this process may not make memory executable: {reason}")
