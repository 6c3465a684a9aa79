"""The machine taken literally: every multiplier, register and byte in every cycle (docs/tpu.md, decision 0015).

Slow, short, and written on its own from the manual: what the simulator is held against, on arrays of up to 16x16.
"""

from nascompiler.backends.tpu.reference.machine import ReferenceRun, run_reference

__all__ = ["ReferenceRun", "run_reference"]
