"""From a searched architecture to a measured artifact for other data: stack, train, quantise, compile, verify, time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascompiler import api
from nascompiler.data.dataset import Dataset
from nascompiler.ir import Graph, UsageError, files
from nascompiler.transfer.stacking import AS_IT_IS, Stacking, stacked
from nascompiler.transfer.training import PLAIN, Options, TrainedNetwork, network_for, train_longer

if TYPE_CHECKING:
    from nascompiler.backends.verify_artifact import Verification
    from nascompiler.bench import BenchResult
    from nascompiler.quantization.result import QuantizationResult
    from nascompiler.quantization.score import Progress
    from nascompiler.training.recipe import Recipe
    from nascompiler.training.trainer import Epoch

ARCHITECTURE, FLOAT, INT8, ARTIFACT = "architecture.nir", "float.nir", "int8.nir", "artifact"
"""What is written into the folder of a transfer."""


@dataclass(frozen=True)
class Transferred:
    """Everything that a transfer found. The artifact is that of int8 where it pays, else of float: `deployed`."""

    folder: Path
    trained: TrainedNetwork
    quantization: QuantizationResult
    deployed: str
    verification: Verification
    bench: BenchResult

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "training": self.trained.to_json(),
            "quantization": self.quantization.report.to_json(),
            "deployed": self.deployed,
            "verification": str(self.verification),
            "latency": self.bench.to_json(),
        }


def transfer(
    architecture: Graph,
    data: Dataset,
    recipe: Recipe,
    folder: str | Path,
    *,
    stacking: Stacking = AS_IT_IS,
    options: Options = PLAIN,
    target: str = "cpu",
    max_drop: float | None = None,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_quantize: Progress | None = None,
) -> Transferred:
    """Stack the cells of an architecture for `data`, train the network, quantise it, compile, verify and measure.

    Writes the architecture, the trained network, the quantised one and the artifact into `folder`, which must not
    hold them yet. With `max_drop`, in points, layers fall back until int8 loses no more. Raises UsageError for what
    cannot be stacked or does not fit the data, before anything is trained; GateError when the artifact is not verified.
    """
    folder = Path(folder)
    taken = [name for name in (ARCHITECTURE, FLOAT, INT8, ARTIFACT) if (folder / name).exists()]
    if taken:
        raise UsageError(f"{folder} already has {', '.join(taken)}; accepted: a new or empty folder")
    graph = stacked(architecture, stacking)
    network_for(graph, data, options, seed=seed)  # what does not fit shows before hours of training
    folder.mkdir(parents=True, exist_ok=True)
    files.save(graph, folder / ARCHITECTURE)
    trained = train_longer(graph, data, recipe, options, seed=seed, progress=on_epoch)
    files.save(trained.graph, folder / FLOAT)
    quantization = api.quantize(
        trained.graph,
        calibration=data,
        max_drop=max_drop,
        target=target,
        seed=seed,
        measure=True,
        progress=on_quantize,
    )
    files.save(quantization.graph, folder / INT8)
    pays = quantization.report.verdict.pays is not False
    deployed = quantization.graph if pays else trained.graph
    artifact = api.compile(deployed, target, folder / ARTIFACT)
    verification = api.verify(artifact, seed=seed)
    verification.check()
    bench = api.bench(artifact)
    return Transferred(folder, trained, quantization, "int8" if pays else "float", verification, bench)
