"""Mappings that tuning has found for whole networks on a machine, kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.tpu.compiler.mapping import Mapping as Layout
from nascompiler.backends.tpu.compiler.mapping import Shape
from nascompiler.backends.tpu.compiler.work import Network, SumWork
from nascompiler.backends.tpu.machine import Machine

FORMAT = 1
_FOLDER = "tpu-mappings"


def network_key(network: Network, machine: Machine) -> str:
    """A hash of all that the time of a network's mappings depends on: shapes in order, and the machine's figures."""
    layers = [
        (
            work.label,
            repr(Shape.of(work)) if isinstance(work, SumWork) else work.node.op.name,
            repr(work.write.geometry),
        )
        for work in network.work
    ]
    skipped = ("name", "description", "assumed", "power", "options", "extensions")
    figures = [(name, repr(value)) for name, value in sorted(vars(machine).items()) if name not in skipped]
    text = json.dumps([FORMAT, layers, figures, sorted(machine.extensions)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def known_mappings(network: Network, machine: Machine) -> dict[str, Layout]:
    """What tuning has found for this network on this machine, by label; nothing where it has not been tuned."""
    if not (cache_folder() / _FOLDER).is_dir():  # nothing has been tuned here, and keys take a millisecond
        return {}
    path = _path(network, machine)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {label: _layout(entry) for label, entry in data.items()}
    except (OSError, ValueError, KeyError, TypeError):  # none, or one that something has damaged: the default serves
        return {}


def keep_mappings(network: Network, machine: Machine, mappings: Mapping[str, Layout]) -> None:
    """Keep the mappings of a network; the file appears whole or not at all."""
    path = _path(network, machine)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({label: asdict(mapping) for label, mapping in mappings.items()}, indent=1) + "\n"
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        temporary = Path(folder) / path.name
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)


def _path(network: Network, machine: Machine) -> Path:
    return cache_folder() / _FOLDER / f"{network_key(network, machine)}.json"


def _layout(entry: dict[str, Any]) -> Layout:
    height, width = (int(size) for size in entry["patch"])
    return Layout(
        int(entry["side"]), (height, width), int(entry["groups"]), int(entry["features"]), bool(entry["vector"])
    )
