"""Cycles of kernel calls on ARM cores that are not there: an execution profile, and a model of the core.

A call runs in an emulator, whose plugin counts what is executed and simulates the caches. LLVM's model of the core's
pipeline tells the cycles of each piece of straight code; what memory adds is counted apart. See docs/arm.md.
"""
