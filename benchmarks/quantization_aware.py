"""What quantisation costs the trained glyph networks, before and after quantisation-aware training.

    python benchmarks/quantization_aware.py [NETWORK ...] [--seeds 0,1,2] [--results FILE] [--wait]

For each network and seed, which draws the calibration images and orders those of fine-tuning: accuracy on the 5,000
test images in float, quantised after training, and fine-tuned. The float network is that of --trained-seed. The
quantised networks are measured as integers, compiled for `cpu`, whose integers are those of the reference; how often
the torch module predicts the same is a column of its own. Each finished row is a line of JSON in the results file, and
is not computed again. Networks are read from the cache: those that are not trained yet are skipped, or waited for with
--wait, or trained with --train.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nascompiler import api
from nascompiler.backends.cache import cache_folder
from nascompiler.cli.common import say, table
from nascompiler.data.dataset import Dataset, Split
from nascompiler.data.load import load_dataset
from nascompiler.ir import Graph
from nascompiler.passes.quantization.quantizer import quantize_graph
from nascompiler.torch_bridge import to_module
from nascompiler.training import module_run
from nascompiler.training.accuracy import predictions
from nascompiler.training.glyph_networks import RECIPES, glyph_network, trained_path
from nascompiler.training.quantization_aware import DISTILLATION, FINE_TUNING, fine_tune
from nascompiler.training.recipe import Recipe

WAIT_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(RECIPES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--trained-seed", type=int, default=0)
    parser.add_argument("--calibration", type=int, default=256, help="images to calibrate with")
    parser.add_argument("--epochs", type=int, default=FINE_TUNING.epochs)
    parser.add_argument("--learning-rate", type=float, default=FINE_TUNING.learning_rate)
    parser.add_argument("--distillation", type=float, default=DISTILLATION)
    parser.add_argument("--results", type=Path, default=cache_folder() / "benchmarks" / "quantization-aware.jsonl")
    parser.add_argument("--wait", action="store_true", help="for networks that another process is training")
    parser.add_argument("--train", action="store_true", help="networks that are not in the cache")
    options = parser.parse_args()
    left = [(name, int(seed)) for seed in options.seeds.split(",") for name in options.networks]
    left = [key for key in left if key not in finished(options.results)]
    data = load_dataset("glyphs-62") if left else None
    while left and data is not None:
        ready = [key for key in left if options.train or trained_path(key[0], options.trained_seed).is_file()]
        if not ready and not options.wait:
            say(f"not trained yet: {', '.join(dict.fromkeys(name for name, _ in left))}")
            break
        if not ready:
            time.sleep(WAIT_S)
            continue
        graph = glyph_network(ready[0][0], options.trained_seed)
        recipe = replace(FINE_TUNING, epochs=options.epochs, learning_rate=options.learning_rate)
        row = measured(*ready[0], graph, data, options.calibration, recipe, options.distillation)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        left.remove(ready[0])
    report(list(finished(options.results).values()))


def finished(results: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The rows in the results file, by network and seed."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    return {(row["network"], row["seed"]): row for row in map(json.loads, lines)}


def measured(
    name: str, seed: int, graph: Graph, data: Dataset, calibration: int, recipe: Recipe, distillation: float
) -> dict[str, Any]:
    """One row: accuracies from 0 to 1, times in seconds."""
    (image,) = (value.name for value in graph.inputs)
    chosen = np.sort(np.random.default_rng(seed).choice(len(data.train), calibration, replace=False))
    calibrating = Split(data.train.images[chosen], data.train.labels[chosen], data.train.normalization)
    began = time.monotonic()
    start = quantize_graph(graph, [{image: x} for x, _ in calibrating.batches(1)])
    quantizing = time.monotonic()
    tuned = fine_tune(start, data, recipe, seed=seed, distillation=distillation)
    tuning = time.monotonic()
    labels = data.test.labels
    float_, module = (predictions(module_run(to_module(g)), data.test) for g in (start.prepared, tuned.quantized.fake))
    after_training, fine_tuned = (integer_predictions(g, data.test) for g in (start.graph, tuned.quantized.graph))
    return {
        "network": name,
        "seed": seed,
        "float": float((float_ == labels).mean()),
        "after_training": float((after_training == labels).mean()),
        "fine_tuned": float((fine_tuned == labels).mean()),
        "after_training_as_float": float((after_training == float_).mean()),
        "fine_tuned_as_float": float((fine_tuned == float_).mean()),
        "module_as_integers": float((module == fine_tuned).mean()),
        "quantize_s": quantizing - began,
        "fine_tune_s": tuning - quantizing,
        "held_out": [tuned.before, *(epoch.held_out_accuracy for epoch in tuned.epochs)],
        "recipe": asdict(recipe),
        "distillation": distillation,
        "torch": torch.__version__,
    }


def integer_predictions(graph: Graph, split: Split) -> NDArray[np.int64]:
    """Of the compiled graph, which takes one image at a time."""
    artifact = api.compile(graph, "cpu", threads=1)
    (image,), (logits,) = (s.name for s in artifact.inputs), (s.name for s in artifact.outputs)
    return predictions(lambda x: artifact.run({image: x})[logits], split, batch_size=1)


def report(rows: list[dict[str, Any]]) -> None:
    """A row for each network: means over its seeds, losses in points with the largest and the smallest."""
    found = []
    for name in RECIPES:
        own = [row for row in rows if row["network"] == name]
        if not own:
            continue
        mean = {key: statistics.fmean(row[key] for row in own) for key, value in own[0].items() if type(value) is float}
        cells = [name, str(len(own)), f"{mean['float']:.2%}"]
        for key in ("after_training", "fine_tuned"):
            losses = [100 * (row["float"] - row[key]) for row in own]
            cells.append(f"{statistics.fmean(losses):+.2f} ({min(losses):+.2f} to {max(losses):+.2f})")
            cells.append(f"{mean[f'{key}_as_float']:.2%}")
        found.append((*cells, f"{mean['module_as_integers']:.2%}", f"{mean['fine_tune_s'] / 60:.1f} min"))
    columns = ("network", ">seeds", ">float", ">lost after training", ">same", ">lost fine-tuned", ">same")
    title = "accuracy on 5,000 glyphs; points lost to float; predictions as in float, and module as integers"
    table((*columns, ">module", ">time"), found, title=title)


if __name__ == "__main__":
    main()
