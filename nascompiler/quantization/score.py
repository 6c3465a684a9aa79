"""How good a quantised network is: accuracy with labels, agreement with the float network, or signal-to-noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, Graph, UsageError
from nascompiler.quantization.batching import fitting_batch
from nascompiler.quantization.noise import OutputNoise, decibels_text
from nascompiler.quantization.running import Runner, float_runner, integer_runner

NOISE_SAMPLES = 64
"""Samples that signal-to-noise is measured on, whose float outputs are kept: it settles quickly."""

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a stage, how much of it is done, and of how much, where that is known."""


class Measure(Enum):
    """What is compared."""

    ACCURACY = "accuracy"
    AGREEMENT = "agreement"
    NOISE = "signal-to-noise"


@dataclass(frozen=True)
class Score:
    """A quantised network against its float network, on `samples` samples.

    accuracy: `quantized` and `floating` are the shares, 0 to 1, of samples whose largest score is that of their label;
    `drop` is the difference in points.
    agreement: `quantized` is the share of samples with the same prediction as in float, `drop` the others in percent. A
    prediction is the index of the largest score along the last axis; those of a sequence must all be the same.
    signal-to-noise: `quantized` is the ratio in decibels at the output, the worst of several; `drop` the energy of the
    noise in percent of the signal's, so that 20 dB are 1 point.
    """

    measure: Measure
    samples: int
    quantized: float
    floating: float | None
    drop: float
    float_by: str
    quantized_by: str

    def __str__(self) -> str:
        drop, change = f"{self.drop:.2f} points", f"{-self.drop:+.2f} points"
        if self.measure is Measure.ACCURACY:
            return f"accuracy {self.quantized:.2%}, float {self.floating:.2%} ({change}) on {self.samples} samples"
        if self.measure is Measure.AGREEMENT:
            return f"{self.quantized:.2%} of {self.samples} predictions as in float ({change})"
        noise = decibels_text(self.quantized)
        return f"signal-to-noise {noise} at the output ({drop} of its energy) on {self.samples} samples"

    def to_json(self) -> dict[str, Any]:
        return {
            "measure": self.measure.value,
            "samples": self.samples,
            "quantized": None if abs(self.quantized) == inf else self.quantized,
            "float": self.floating,
            "drop_points": None if self.drop == inf else self.drop,
            "float_by": self.float_by,
            "quantized_by": self.quantized_by,
        }


def measure_of(graph: Graph, labelled: bool) -> Measure:
    """What can be compared of a network: predictions where its only output is scores, f32 [N, C] or [N, T, C].

    Raises UsageError for labels of a network without class scores.
    """
    types = [v.type for v in graph.outputs]
    shape = types[0].shape if len(types) == 1 and types[0].dtype.is_float else None
    classes = shape[-1] if shape and len(shape) in (2, 3) else None
    scores = isinstance(classes, int) and classes > 1
    if labelled and not (scores and shape is not None and len(shape) == 2):
        listed = ", ".join(f"{n}: {t}" for n, t in zip(graph.output_names, types, strict=True))
        raise UsageError(f"labels need a network whose only output is class scores, f32[N, classes]; it has {listed}")
    if labelled:
        return Measure.ACCURACY
    return Measure.AGREEMENT if scores else Measure.NOISE


class Judge:
    """Scores quantised versions of one float network on the same samples; the float network is run once.

    `samples` are inputs by name with the graph's own batch, and can be iterated again; `labels` has a class index for
    each of them. `target` names what the float network may be compiled for (None: never).
    """

    def __init__(
        self,
        graph: Graph,
        samples: Iterable[Mapping[str, Array]],
        *,
        count: int,
        labels: NDArray[np.int64] | None = None,
        target: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.measure = measure_of(graph, labels is not None)
        self.count = min(count, NOISE_SAMPLES) if self.measure is Measure.NOISE else count
        self._samples, self._target, self._progress = samples, target, progress
        self._labels = None if labels is None else labels[: self.count]
        runner = float_runner(graph, self.count, target)
        self.float_by = runner.by
        self._expected = [self._kept(outputs) for outputs in self._run(runner, "accuracy of the float network")]
        if not self._expected:
            raise UsageError("there are no samples to measure the quantised network on")
        self._predicted = None if self.measure is Measure.NOISE else _rows(self._expected)
        self._float_accuracy = None if self._labels is None else self._accuracy(_rows(self._expected))

    def score(self, quantized: Graph, *, runner: Runner | None = None) -> Score:
        """The score of a quantised version, run by `runner` (default: the reference evaluation or compiled code).

        Integer ops are defined to the last bit, so that it does not matter who runs them.
        """
        if runner is None:
            first = list(islice(self._samples, min(self.count, fitting_batch(quantized))))
            runner = integer_runner(quantized, first, self.count, self._target)
        found = (self._kept(outputs) for outputs in self._run(runner, "accuracy of the quantised network"))
        if self.measure is Measure.NOISE:
            return self._noise(found, runner)
        rows = _rows(list(found))
        if self._float_accuracy is not None:
            accuracy = self._accuracy(rows)
            drop = round(100 * (self._float_accuracy - accuracy), 9)  # 3 of 1000 are 0.3 points, not more
            return Score(self.measure, len(rows), accuracy, self._float_accuracy, drop, self.float_by, runner.by)
        assert self._predicted is not None
        same = float((rows == self._predicted).all(axis=1).mean())
        return Score(self.measure, len(rows), same, None, round(100 * (1 - same), 9), self.float_by, runner.by)

    def _run(self, runner: Runner, stage: str) -> Iterator[dict[str, Array]]:
        done = 0
        for number, outputs in runner.run(islice(self._samples, self.count)):
            done += number
            if self._progress is not None:
                self._progress(stage, done, self.count)
            yield outputs

    def _kept(self, outputs: dict[str, Array]) -> dict[str, Array]:
        """Outputs as they are, or just the predictions [N, ...] that they make."""
        if self.measure is Measure.NOISE:
            return outputs
        return {name: np.asarray(array).argmax(axis=-1) for name, array in outputs.items()}

    def _accuracy(self, rows: Array) -> float:
        assert self._labels is not None
        return float((rows[:, 0] == self._labels[: len(rows)]).mean())

    def _noise(self, found: Iterable[dict[str, Array]], runner: Runner) -> Score:
        noise = OutputNoise()
        flat = _unstacked(self._expected)
        samples = 0
        for outputs in _unstacked(found):
            noise.add(next(flat), outputs)
            samples += 1
        ratio = noise.decibels
        drop = 0.0 if ratio == inf else inf if ratio == -inf else 100 * 10 ** (-ratio / 10)
        return Score(self.measure, samples, ratio, None, drop, self.float_by, runner.by)


def _rows(predictions: list[dict[str, Array]]) -> Array:
    """Predictions of all samples, [N, positions]."""
    arrays = [next(iter(p.values())) for p in predictions]
    return np.concatenate([a.reshape(len(a), -1) for a in arrays])


def _unstacked(batches: Iterable[dict[str, Array]]) -> Iterator[dict[str, Array]]:
    """Outputs sample by sample; a network whose outputs do not count samples is taken whole."""
    for outputs in batches:
        counts = {len(a) if a.ndim else 0 for a in outputs.values()}
        if len(counts) != 1 or 0 in counts:
            yield outputs
            continue
        for number in range(counts.pop()):
            yield {name: array[number] for name, array in outputs.items()}
