"""Controllers: what proposes the next architecture. PPO of an LSTM policy, regularised evolution, random search."""

from nascompiler.search.controllers.catalogue import create, names, presets, random_draws, restore

__all__ = ["create", "names", "presets", "random_draws", "restore"]
