"""The model zoo: `zoo.names()`, `zoo.load("mobilenet-v2")`, `zoo.entry("mobilenet-v2").source`."""

from nascompiler.zoo.catalogue import Entry, entry, load, names

__all__ = ["Entry", "entry", "load", "names"]
