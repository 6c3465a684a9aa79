"""Whether an artifact computes what its graph means, on inputs whose results really differ.

What counts as agreement with the reference evaluation follows from how an output is made (see `exactness`):

- By exact operations only (integers, and what qnn defines to the last bit, dequantised results too): identical.
- By float32 arithmetic: at most `TOLERANCE` of the largest value apart.
- By rounding float32 numbers to integers (a network of which parts stay in float, or fake-quantised): a difference in
  the last bit may move a number over the edge between two steps, rarely; at most `ROUNDED_TOLERANCE` apart anywhere,
  and at most `ROUNDED_SPREAD` in root mean square.

Other references round in their own ways: against them an exact output is held to the third criterion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.artifact import Artifact
from nascompiler.backends.errors import GateError
from nascompiler.backends.exactness import Exactness, exactness
from nascompiler.ir.errors import UsageError
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Graph
from nascompiler.ir.random_values import random_array
from nascompiler.ir.types import Array

Arrays = Mapping[str, Array]
_REFERENCE = "the reference evaluation"

Runner = Callable[[Arrays], Arrays]
"""Computes outputs by name from inputs by name."""

TOLERANCE = 1e-4
"""Largest difference accepted, relative to the largest value of the reference."""

ROUNDED_TOLERANCE = 5e-2
"""The same where float32 numbers were rounded to integers on the way: a few steps of 8 bits."""

ROUNDED_SPREAD = 5e-3
"""And the largest root mean square of such differences: a step in few places."""

FEWEST_IMAGES = 8

DISTINCT = 1e-3
"""How much, relative to the largest value, the references of any two images must differ at least."""


@dataclass(frozen=True)
class Comparison:
    """An output against one reference over all images. Differences are relative to the largest value of the reference.

    `spread` is their root mean square, `distinct` the smallest difference between the references of any two images.
    """

    output: str
    reference: str
    difference: float
    spread: float
    distinct: float
    exactness: Exactness = Exactness.FLOAT

    @property
    def fault(self) -> str | None:
        """What does not agree, or None."""
        if not self.distinct > DISTINCT:
            return (
                f"output {self.output!r} of {self.reference} hardly changes from image to image (by "
                f"{self.distinct:.1e} of its largest value), so that comparing it shows nothing; give other images"
            )
        differs = f"output {self.output!r} differs from {self.reference} by {self.difference:.2e} of its largest value"
        if self.exactness is Exactness.EXACT:
            return None if self.difference == 0 else f"{differs}; it must be identical, being {Exactness.EXACT.value}"
        accepted = TOLERANCE if self.exactness is Exactness.FLOAT else ROUNDED_TOLERANCE
        if not self.difference <= accepted:
            return f"{differs}; accepted: {accepted:.0e}"
        if self.exactness is Exactness.ROUNDED and not self.spread <= ROUNDED_SPREAD:
            return f"{differs}, and by {self.spread:.2e} in root mean square; accepted: {ROUNDED_SPREAD:.0e}"
        return None


@dataclass(frozen=True)
class Verification:
    """All comparisons of an artifact."""

    images: int
    comparisons: tuple[Comparison, ...]

    @property
    def faults(self) -> list[str]:
        return [fault for c in self.comparisons if (fault := c.fault) is not None]

    @property
    def passed(self) -> bool:
        return not self.faults

    @property
    def largest_difference(self) -> float:
        """The largest relative difference of all comparisons."""
        return max((c.difference for c in self.comparisons), default=0.0)

    def check(self) -> None:
        """Raise GateError that lists everything that does not agree, if anything."""
        if not self.passed:
            raise GateError("the artifact is not verified: " + "; ".join(self.faults))

    def __str__(self) -> str:
        references = " and ".join(dict.fromkeys(c.reference for c in self.comparisons))
        verdict = f"at most {self.largest_difference:.1e} of the largest value apart" if self.passed else "FAILED"
        if self.passed and self.largest_difference == 0:
            verdict = "identical"
        return f"verified on {self.images} images against {references}: {verdict}"


def verify_artifact(
    artifact: Artifact,
    images: Sequence[Arrays],
    graph: Graph | None = None,
    *,
    references: Mapping[str, Runner] | None = None,
) -> Verification:
    """Compare an artifact with the reference evaluation of its graph and with further `references` by name.

    `images` are inputs by name, at least eight; `graph` is read from the artifact unless given. Raises UsageError for
    fewer images; what does not agree stands in the report.
    """
    if len(images) < FEWEST_IMAGES:
        raise UsageError(f"{len(images)} images are given; verifying takes at least {FEWEST_IMAGES}")
    source = artifact.source_graph() if graph is None else graph
    runners: dict[str, Runner] = {_REFERENCE: lambda inputs: evaluate(source, inputs)}
    runners.update(references or {})
    classes = exactness(source)
    wanted = {name: classes[value] for name, value in zip(source.output_names, source.outputs, strict=True)}
    quantized = any(node.op.dialect == "qnn" for node in source.nodes)
    elsewhere = dict.fromkeys(wanted, Exactness.ROUNDED if quantized else Exactness.FLOAT)
    results = [artifact.run(inputs) for inputs in images]
    comparisons: list[Comparison] = []
    for name, runner in runners.items():
        expected = [runner(inputs) for inputs in images]
        criteria = wanted if name == _REFERENCE else elsewhere
        comparisons += [_compare(spec.name, name, results, expected, criteria[spec.name]) for spec in artifact.outputs]
    return Verification(len(images), tuple(comparisons))


def random_images(artifact: Artifact, count: int = FEWEST_IMAGES, *, seed: int = 0) -> list[dict[str, Array]]:
    """Inputs to verify with: standard normal values of growing spread; integers as `random_array` does."""
    generator = np.random.default_rng(seed)
    return [
        {spec.name: random_array(spec.type, generator, 0.5 + index / count) for spec in artifact.inputs}
        for index in range(count)
    ]


def _compare(
    output: str, reference: str, results: Sequence[Arrays], expected: Sequence[Arrays], criterion: Exactness
) -> Comparison:
    wanted = np.stack([np.asarray(e[output], np.float64).reshape(-1) for e in expected])
    got = np.stack([np.asarray(r[output], np.float64).reshape(-1) for r in results])
    if wanted.shape != got.shape:
        return Comparison(output, reference, float("inf"), float("inf"), float("inf"), criterion)
    finite = np.isfinite(wanted)
    scale = float(np.abs(wanted[finite]).max(initial=0.0)) or 1.0
    same = np.array_equal(wanted[~finite], got[~finite], equal_nan=True) and bool(np.isfinite(got[finite]).all())
    apart = np.abs(wanted[finite] - got[finite]) / scale
    difference = float(apart.max(initial=0.0)) if same else float("inf")
    spread = float(np.sqrt(np.mean(np.square(apart)))) if apart.size else 0.0
    clean = np.nan_to_num(wanted)
    distinct = min(
        (float(np.abs(clean[i] - clean[j]).max(initial=0.0)) for i in range(len(clean)) for j in range(i)), default=0.0
    )
    return Comparison(output, reference, difference, spread, distinct / scale, criterion)
