"""Runs instructions with the compiled kernel."""

from __future__ import annotations

import ctypes
import struct
import sys
from array import array
from collections.abc import Iterable
from typing import Any, Final

import llvmlite.binding as llvm

from dragon_sequencer.machine.instructions import Instruction
from dragon_sequencer.machine.kernel import SOURCE

_SPEED_LEVEL: Final = 2
_WORD: Final = struct.Struct("<4H")


class Processor:
    """The kernel, compiled for this processor. Threads may share it.

    Running releases Python's global lock. Nothing is checked: the calls must be of `code`, and name
    registers that exist.
    """

    def __init__(self) -> None:
        """Compile the kernel: less than a tenth of a second.

        Raises:
            RuntimeError: the processor is not one of 64 bits with the lowest byte first, or LLVM
                cannot make code for it.
            OSError: the process may not make memory executable.
        """
        if sys.byteorder != "little" or sys.maxsize < 1 << 62:
            raise RuntimeError("compiled pairings need a 64-bit little-endian processor")
        llvm.check_jit_execution()  # otherwise the first call would end the process
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=_SPEED_LEVEL,
            jit=True,
            codemodel="jitdefault",
        )
        module = llvm.parse_assembly(SOURCE)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=_SPEED_LEVEL)
        passes = llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
        self._engine: Any = llvm.create_mcjit_compiler(module, machine)  # owns the code
        self._engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p
        )
        self._run = prototype(self._engine.get_function_address("run"))

    def run(self, code: array[int], calls: array[int], registers: bytearray) -> None:
        """Run `calls`, which are starts, ends and bases, on `registers`."""
        shared = (ctypes.c_char * len(registers)).from_buffer(registers)
        code_at, calls_at = code.buffer_info()[0], calls.buffer_info()[0]
        self._run(code_at, calls_at, len(calls) // 3, ctypes.addressof(shared))


def encoded(instructions: Iterable[Instruction]) -> array[int]:
    """The instructions as `Processor.run` reads them, one word each."""
    words = (_WORD.pack(each.operation, each.target, each.a, each.b) for each in instructions)
    return array("Q", b"".join(words))
