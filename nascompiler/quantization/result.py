"""What a quantisation gives: the graph, everything that was made on the way, and a report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isinf
from pathlib import Path
from typing import Any

from nascompiler.backends.errors import GateError
from nascompiler.ir import Graph
from nascompiler.passes.quantization.quantizer import Quantized
from nascompiler.quantization.fallback import Attempt
from nascompiler.quantization.placement import LayerPlacement, integer_share
from nascompiler.quantization.score import Score
from nascompiler.quantization.sensitivity import LayerSensitivity
from nascompiler.quantization.verdict import Verdict


@dataclass(frozen=True)
class ActivationRange:
    """How a value is quantised: real = scale * (integer - zero_point), and the range that calibration found."""

    value: str
    dtype: str
    low: float
    high: float
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Report:
    """Everything there is to say about a quantised network. `layers` are in order, `sensitivity` worst first."""

    model: str
    target: str
    settings: dict[str, Any]
    data: str
    generated: bool
    samples: int
    evaluation: str
    ranges: tuple[ActivationRange, ...]
    layers: tuple[LayerPlacement, ...]
    sensitivity: tuple[LayerSensitivity, ...]
    sensitivity_samples: int
    first_score: Score | None
    """Before any layer fell back."""
    attempts: tuple[Attempt, ...]
    verdict: Verdict
    fingerprint: str
    warnings: tuple[str, ...]

    @property
    def score(self) -> Score | None:
        """That of the network as it is returned."""
        return self.verdict.score

    @property
    def integer_share(self) -> float:
        """The part of the multiply-adds, 0 to 1, that integers do."""
        return integer_share(list(self.layers))

    def to_json(self) -> dict[str, Any]:
        """Plain data; decibels are null where nothing differs."""
        verdict = self.verdict
        return {
            "model": self.model,
            "target": self.target,
            "settings": self.settings,
            "data": {"description": self.data, "generated": self.generated, "samples": self.samples},
            "evaluation": self.evaluation,
            "max_drop_points": verdict.max_drop,
            "score": None if verdict.score is None else verdict.score.to_json(),
            "score_before_fallback": None if self.first_score is None else self.first_score.to_json(),
            "fallback": [_plain(asdict(attempt)) for attempt in self.attempts],
            "integer_share_of_macs": self.integer_share,
            "layers": [asdict(row) for row in self.layers],
            "sensitivity": {
                "samples": self.sensitivity_samples,
                "layers": [_plain(asdict(row)) for row in self.sensitivity],
            },
            "ranges": [asdict(row) for row in self.ranges],
            "latency": verdict.latency.to_json(),
            "verdict": verdict.to_json(),
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
        }

    def to_html(self) -> str:
        """One page that needs nothing else; UsageError when Jinja2 or matplotlib is missing."""
        from nascompiler.quantization.report_page import page

        return page(self)

    def save(self, path: str | Path) -> None:
        """Write the page; it appears whole or not at all."""
        from nascompiler.ir.files import write_text

        write_text(path, self.to_html())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and isinf(value) else value for key, value in row.items()}


@dataclass(frozen=True)
class QuantizationResult:
    """A quantised network. `graph` is integer or mixed, with the float network's inputs and outputs."""

    graph: Graph
    report: Report
    quantized: Quantized

    @property
    def met(self) -> bool:
        """Whether the drop is at most what was asked for; true if nothing was."""
        return self.report.verdict.accurate

    def check(self) -> None:
        """Raise GateError when the network is not as good as asked: it is the best that was found all the same."""
        score, max_drop = self.report.score, self.report.verdict.max_drop
        if self.met or score is None:
            return
        tried = len(self.report.attempts)
        best = f"the best of {tried} attempts with layers in float or 16 bits: " if tried else ""
        raise GateError(
            f"{self.report.model} loses more than {max_drop:g} points; {best}{score}. Accept more, give more "
            "calibration data, try another method or adaptive rounding, or fine-tune it"
        )
