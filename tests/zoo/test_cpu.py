"""Networks of the zoo through the target cpu: compiled, run, and verified against the reference evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from nascompiler import api, zoo

SMALL = [("mobilenet-v3-small", 64), ("mnasnet-small", 64), ("mlp1", None)]
LARGE = [name for name in zoo.names() if name != "cnn1"]
"""cnn1 makes 174 G multiply-adds a call: eight references of it take the NumPy evaluator many minutes."""


@pytest.mark.parametrize(("name", "resolution"), SMALL)
def test_small_networks(name: str, resolution: int | None, tmp_path: Path) -> None:
    graph = api.load(name, resolution=resolution)
    api.compile(graph, "cpu", tmp_path / "artifact", verify=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_every_network_as_published(name: str, tmp_path: Path) -> None:
    api.compile(api.load(name), "cpu", tmp_path / "artifact", verify=True)
