"""Whether an artifact computes what its graph means, on inputs whose results really differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.artifact import Artifact
from nascompiler.backends.errors import GateError
from nascompiler.ir.errors import UsageError
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Graph
from nascompiler.ir.random_values import random_array
from nascompiler.ir.types import Array

Arrays = Mapping[str, Array]
Runner = Callable[[Arrays], Arrays]
"""Computes outputs by name from inputs by name."""

TOLERANCE = 1e-4
"""Largest difference accepted, relative to the largest value of the reference."""

FEWEST_IMAGES = 8

DISTINCT = 1e-3
"""How much, relative to the largest value, the references of any two images must differ at least."""


@dataclass(frozen=True)
class Comparison:
    """An output against one reference over all images. Differences are relative to the largest value of the reference.

    `distinct` is the smallest difference between the references of any two images.
    """

    output: str
    reference: str
    difference: float
    distinct: float

    @property
    def fault(self) -> str | None:
        """What does not agree, or None."""
        if not self.distinct > DISTINCT:
            return (
                f"output {self.output!r} of {self.reference} hardly changes from image to image (by "
                f"{self.distinct:.1e} of its largest value), so that comparing it shows nothing; give other images"
            )
        if not self.difference <= TOLERANCE:
            return (
                f"output {self.output!r} differs from {self.reference} by {self.difference:.2e} of its largest value; "
                f"accepted: {TOLERANCE:.0e}"
            )
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
    runners: dict[str, Runner] = {"the reference evaluation": lambda inputs: evaluate(source, inputs)}
    runners.update(references or {})
    results = [artifact.run(inputs) for inputs in images]
    comparisons: list[Comparison] = []
    for name, runner in runners.items():
        expected = [runner(inputs) for inputs in images]
        comparisons += [_compare(spec.name, name, results, expected) for spec in artifact.outputs]
    return Verification(len(images), tuple(comparisons))


def random_images(artifact: Artifact, count: int = FEWEST_IMAGES, *, seed: int = 0) -> list[dict[str, Array]]:
    """Inputs to verify with: standard normal values of growing spread; integers from 0 to 3."""
    generator = np.random.default_rng(seed)
    return [
        {spec.name: random_array(spec.type, generator, 0.5 + index / count) for spec in artifact.inputs}
        for index in range(count)
    ]


def _compare(output: str, reference: str, results: Sequence[Arrays], expected: Sequence[Arrays]) -> Comparison:
    wanted = np.stack([np.asarray(e[output], np.float64).reshape(-1) for e in expected])
    got = np.stack([np.asarray(r[output], np.float64).reshape(-1) for r in results])
    if wanted.shape != got.shape:
        return Comparison(output, reference, float("inf"), float("inf"))
    finite = np.isfinite(wanted)
    scale = float(np.abs(wanted[finite]).max(initial=0.0)) or 1.0
    same = np.array_equal(wanted[~finite], got[~finite], equal_nan=True) and bool(np.isfinite(got[finite]).all())
    difference = float(np.abs(wanted[finite] - got[finite]).max(initial=0.0)) / scale if same else float("inf")
    clean = np.nan_to_num(wanted)
    distinct = min(
        (float(np.abs(clean[i] - clean[j]).max(initial=0.0)) for i in range(len(clean)) for j in range(i)), default=0.0
    )
    return Comparison(output, reference, difference, distinct / scale)
