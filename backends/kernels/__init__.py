"""Kernels for processors: functions over a small vector-IR emitter, compiled by Numba.

A kernel is written once, for any instruction set, and takes its sizes when it runs. It has two faces: an object without
Python that is linked into artifacts, and a function that users' own `@njit` code calls.
"""
