"""Controllers: what proposes the next architecture. PPO of an LSTM policy, regularised evolution, random search."""

from nascompiler.search.controllers.catalogue import create, names, presets, restore

__all__ = ["create", "names", "presets", "restore"]
