"""The simulator: values to the last bit and time to the cycle (docs/tpu.md)."""

from nascompiler.backends.tpu.simulator.counters import Counters
from nascompiler.backends.tpu.simulator.simulate import Simulation, host_memory, host_tensor, simulate

__all__ = ["Counters", "Simulation", "host_memory", "host_tensor", "simulate"]
