"""Where an adaptation keeps its networks: the last good one is always on disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from nascompiler.ir import Graph, files

STUDY, FINAL, REPORT = "netadapt.study", "final.nir", "report.html"


@dataclass(frozen=True)
class Folder:
    """`netadapt.study`, `networks/N.nir` (the network after N iterations, 0: as it was given), and in the end
    `final.nir`. Proposals of the iteration under way lie in `proposals/`."""

    path: Path

    @property
    def study(self) -> Path:
        return self.path / STUDY

    @property
    def final(self) -> Path:
        return self.path / FINAL

    def network(self, iteration: int) -> Path:
        return self.path / "networks" / f"{iteration}{files.SUFFIX}"

    def proposal(self, trial: int) -> Path:
        return self.path / "proposals" / f"{trial}{files.SUFFIX}"

    def load(self, iteration: int) -> Graph:
        return files.load(self.network(iteration))

    def keep(self, trial: int, iteration: int) -> None:
        """Let the trained proposal be the network after so many iterations; both parts appear whole, weights first."""
        source, kept = self.proposal(trial), self.network(iteration)
        if source.exists():
            files.save(files.load(source), kept)

    def forget_proposals(self) -> None:
        shutil.rmtree(self.path / "proposals", ignore_errors=True)
