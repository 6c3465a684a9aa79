"""Benchmarks: our artifacts and other runtimes, each in a process of its own, measured in turns."""

from nascompiler.bench.session import BenchResult, Entry, bench_artifact

__all__ = ["BenchResult", "Entry", "bench_artifact"]
