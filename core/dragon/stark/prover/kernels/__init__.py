"""Kernels: functions that numba compiles to machine code, over flat arrays of numbers."""
