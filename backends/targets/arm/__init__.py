"""Processor cores for `arm:NAME`, one a file. How a user adds one stands in docs/arm.md."""
