"""What a search knows of latencies: tables of kernel calls, predictions and their error, networks timed whole."""

from nascompiler.search.latency.providers import LatencyProvider, latency_source, provider
from nascompiler.search.latency.top import Candidate, Ranked, measure_top

__all__ = ["Candidate", "LatencyProvider", "Ranked", "latency_source", "measure_top", "provider"]
