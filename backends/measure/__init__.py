"""Latencies that say how they came about, and the conditions they were taken under."""

from nascompiler.backends.measure.environment import Environment, environment
from nascompiler.backends.measure.latency import Kind, Latency, LayerTime

__all__ = ["Environment", "Kind", "Latency", "LayerTime", "environment"]
