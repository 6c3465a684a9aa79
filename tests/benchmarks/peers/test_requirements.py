from __future__ import annotations

import re
from pathlib import Path

import benchmarks.peers
from tests.test_repository import ROOT


def names(path: Path) -> dict[str, str]:
    """Package -> version of the pins of a file, names as pip compares them."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in (line.split("==") for line in lines)}


def test_pins_are_exact_and_none_is_pinned_twice() -> None:
    (folder,) = benchmarks.peers.__path__
    ours = names(ROOT / "constraints.txt")
    assert not ours.keys() & names(Path(folder) / "requirements.txt").keys()
