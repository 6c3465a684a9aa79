"""Benchmarks of estimates for ARM cores."""
