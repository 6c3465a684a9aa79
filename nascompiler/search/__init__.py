"""Searching a space for architectures that are accurate and fast on a target."""
