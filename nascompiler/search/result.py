"""What a search has found, and the files that it leaves beside its study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nascompiler.backends.errors import GateError
from nascompiler.backends.measure import Kind
from nascompiler.ir import Graph, files
from nascompiler.ir.errors import choices_text
from nascompiler.ir.text import parse
from nascompiler.search.objective import Objective
from nascompiler.search.ranking import Candidate, candidates, dominated_volume, front
from nascompiler.search.settings import SearchSettings
from nascompiler.search.study import FinalRecord, SessionRecord, Study, TrialRecord
from nascompiler.search.units import duration_text
from nascompiler.spaces import SearchSpace


@dataclass(frozen=True)
class SearchResult:
    """A study as it stands."""

    path: Path
    settings: SearchSettings
    space: SearchSpace
    trials: Sequence[TrialRecord]
    finals: Sequence[FinalRecord]
    sessions: Sequence[SessionRecord] = ()

    @classmethod
    def of(cls, study: Study, trials: Sequence[TrialRecord] | None = None) -> SearchResult:
        """All that the file of a study says, `trials` where they were read already.

        Raises StudyError where it cannot be read.
        """
        settings = SearchSettings.from_json(study.settings)
        space = SearchSpace(parse(study.space))
        read = study.trials() if trials is None else trials
        return cls(study.path, settings, space, read, study.finals(), study.sessions())

    @cached_property
    def objective(self) -> Objective:
        return self.settings.objective_of()

    @cached_property
    def candidates(self) -> list[Candidate]:
        """What meets the constraints, the best first, by measured latencies where there are any."""
        return candidates(self.trials, self.objective, self.finals)

    @property
    def winner(self) -> Candidate | None:
        return self.candidates[0] if self.candidates else None

    @cached_property
    def front(self) -> list[Candidate]:
        return front(self.candidates)

    @cached_property
    def volume(self) -> float:
        """The part of what is thinkable that the front dominates; see `dominated_volume`."""
        return dominated_volume(self.candidates)

    @property
    def kinds_of_finals(self) -> str:
        """How the latencies of the best came about in the end: `measured`, or what the target can say instead."""
        kinds = dict.fromkeys(final.measured.kind.value for final in self.finals if final.measured)
        return choices_text(kinds) or Kind.MEASURED.value

    @property
    def failures(self) -> Counter[str]:
        """Failed trials by class."""
        return Counter(trial.failure.failure_class.value for trial in self.trials if trial.failure is not None)

    def architecture(self, candidate: Candidate) -> Graph:
        """The closed graph of a candidate, at the arch level."""
        graph = self.space.architecture(candidate.trial.vector)
        graph.name = f"{self.settings.space}-trial-{candidate.number}"
        return graph

    @property
    def winner_path(self) -> Path:
        return self.path.with_name(f"{self.path.stem}-winner{files.SUFFIX}")

    @property
    def front_folder(self) -> Path:
        return self.path.with_name(f"{self.path.stem}-front")

    def front_path(self, candidate: Candidate) -> Path:
        return self.front_folder / f"trial-{candidate.number}{files.SUFFIX}"

    def write_architectures(self) -> list[Path]:
        """The winner and the Pareto front as graph files; those of a front that is no longer one are removed."""
        written = []
        if self.winner is not None:
            files.save(self.architecture(self.winner), self.winner_path)
            written.append(self.winner_path)
        for candidate in self.front:
            self.front_folder.mkdir(exist_ok=True)
            files.save(self.architecture(candidate), self.front_path(candidate))
            written.append(self.front_path(candidate))
        for old in self.front_folder.glob(f"trial-*{files.SUFFIX}"):
            if old not in written:
                old.unlink()
        return written

    def check(self) -> None:
        """Raises GateError when nothing meets the constraints, or the winner misses a latency that was asked for."""
        if self.winner is None:
            asked = ", ".join(map(str, self.objective.constraints)) or "none"
            raise GateError(f"no architecture of {len(self.trials)} trials meets the constraints ({asked})")
        slower = self.objective.slower_than_wanted(self.winner.evaluation)
        if slower:
            found = self.winner.evaluation.latencies
            missed = ", ".join(
                f"{duration_text(found[t].ns)} on {t} ({found[t].kind.value}), asked for "
                f"{duration_text(self.objective.targets_ns[t])}"
                for t in slower
            )
            raise GateError(f"the latency was missed: the winner, trial {self.winner.number}, takes {missed}")

    def to_json(self, *, trials: bool = False) -> dict[str, Any]:
        """The figures as plain data; times in ns."""
        data: dict[str, Any] = {
            "study": str(self.path),
            "settings": self.settings.to_json(),
            "space_size": self.space.size,
            "trials": len(self.trials),
            "ended": sum(trial.told is not None for trial in self.trials),
            "failures": dict(self.failures),
            "winner": None if self.winner is None else self._described(self.winner, self.winner_path),
            "front": [self._described(candidate, self.front_path(candidate)) for candidate in self.front],
            "dominated_volume": self.volume,
            "sessions": [
                {"number": s.number, "began_at": s.began_at, "versions": dict(s.versions)} for s in self.sessions
            ],
        }
        return data | ({"all_trials": [trial.to_json() for trial in self.trials]} if trials else {})

    def _described(self, candidate: Candidate, path: Path) -> dict[str, Any]:
        evaluation = candidate.evaluation
        return {
            "trial": candidate.number,
            "file": str(path) if path.exists() else None,
            "reward": candidate.reward,
            "accuracy": evaluation.accuracy,
            "parameters": evaluation.parameters,
            "macs": evaluation.macs,
            "latencies": {target: latency.to_json() for target, latency in evaluation.latencies.items()},
            "meets_latency": candidate.meets_latency,
            "measured_at_the_end": [final.to_json() for final in candidate.measured],
            "decisions": self.space.decode(candidate.trial.vector),
        }
