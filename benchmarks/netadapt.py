"""NetAdapt against the width multiplier: two networks on glyphs-62 at 0.6x of their measured latency, three seeds.

    python benchmarks/netadapt.py widths FOLDER                      # latencies of the multipliers, measured
    python benchmarks/netadapt.py train FOLDER NETWORK SEED          # an adaptation, resumable
    python benchmarks/netadapt.py multiplier FOLDER NETWORK SEED W   # one of the two multipliers
    python benchmarks/netadapt.py measure FOLDER                     # all that was trained, whole and in turns
    python benchmarks/netadapt.py table FOLDER

A network is trained, shrunk to 0.6x and trained on; the multipliers just above and below that latency are trained from
the beginning for as many steps in total. Accuracies are on the test images, which nothing else looks at. The
multiplier's accuracy is interpolated between its two networks at the latency that the adapted network was measured at.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler.data.dataset import Dataset
from nascompiler.data.load import load_dataset
from nascompiler.ir import Graph, files
from nascompiler.ir.text import parse
from nascompiler.netadapt.budgets import parse_budgets
from nascompiler.netadapt.loop import Progress
from nascompiler.netadapt.run import adapt
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.netadapt.tuning import ProposalTrainer, short_recipe
from nascompiler.passes import run_pipeline
from nascompiler.search.children import Proxy, proxy_dataset
from nascompiler.search.executors import InProcess
from nascompiler.search.fitting import fitted_graph
from nascompiler.search.latency import Candidate, measure_top
from nascompiler.training.recipe import Recipe
from nascompiler.transfer.training import train_longer

FACTOR = 0.6
SEEDS = (0, 1, 2)
SIZE = 20
PROXY = Proxy(resolution=SIZE, crop=12, colour="contrast", train_images=20000, held_out_images=5000)
"""The middle 40x40 pixels at half their size, in contrast; all 62 classes."""

RECIPE = Recipe(batch_size=64, learning_rate=4e-3, shift=1, weight_decay=0.02, label_smoothing=0.05, fused=True)
BEFORE, AFTER = 3, 9
"""Epochs before and after the adaptation."""

SHORT = {"learning_rate": 0.03, "shift": 1, "fused": True}
SHORT_STEPS = 40
STEP, DECAY = 0.06, 0.98
MULTIPLE = {"mobilenet-v3": 8, "mobilenet-v1": 16}
"""Of numbers of channels: what the multiplier rounds to where there are few, the lanes of a vector register else."""

WIDTHS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)

NETWORKS = {
    "mobilenet-v3": """nir 1
graph @v3(%image: f32[1,64,64,3]) {family=mobilenet-v3} {
  %stem = arch.conv(%image) {filters=16, stride=2, activation=hard_swish}
  %bneck1 = arch.block(%stem) {expansion=1.0, filters=16, stride=2, se_ratio=0.25}
  %bneck2 = arch.block(%bneck1) {expansion=4.5, filters=16}
  %bneck3 = arch.block(%bneck2) {expansion=4.0, filters=16}
  %bneck4 = arch.block(%bneck3) {kernel=5, expansion=4.0, filters=24, se_ratio=0.25, activation=hard_swish}
  %bneck5 = arch.block(%bneck4) {kernel=5, expansion=6.0, filters=24, se_ratio=0.25, activation=hard_swish}
  %bneck6 = arch.block(%bneck5) {kernel=5, expansion=6.0, filters=48, stride=2, se_ratio=0.25, activation=hard_swish}
  %bneck7 = arch.block(%bneck6) {kernel=5, expansion=6.0, filters=48, se_ratio=0.25, activation=hard_swish}
  %last = arch.conv(%bneck7) {filters=288, kernel=1, activation=hard_swish}
  %logits = arch.classifier(%last) {classes=62, hidden=512, activation=hard_swish}
  return logits=%logits
}
""",
    "mobilenet-v1": """nir 1
graph @v1(%image: f32[1,64,64,3]) {family=mobilenet-v1} {
  %stem = arch.conv(%image) {filters=24, stride=2, activation=relu6}
  %block1 = arch.block(%stem) {op=depthwise_separable, filters=64, stride=2, skip=none, activation=relu6}
  %block2 = arch.block(%block1) {op=depthwise_separable, filters=128, repeats=2, skip=none, activation=relu6}
  %block3 = arch.block(%block2) {op=depthwise_separable, filters=224, stride=2, repeats=3, skip=none, activation=relu6}
  %logits = arch.classifier(%block3) {classes=62}
  return logits=%logits
}
""",
}


def images() -> Dataset:
    """What is trained on and held out, reduced, and the test images as well."""
    whole = load_dataset("glyphs-62")
    reduced = proxy_dataset(whole, PROXY)
    test = proxy_dataset(replace(whole, held_out=whole.test), replace(PROXY, held_out_images=0)).held_out
    return replace(reduced, test=test)


def architecture(name: str, width: float = 1.0) -> Graph:
    graph = fitted_graph(parse(NETWORKS[name]), f"{SIZE}x{SIZE}", 3, 62)
    return graph if width == 1 else run_pipeline(graph, f"scale-width{{multiplier={width}}}")


def widths(folder: Path) -> None:
    """Measure the multipliers, and choose the two about the latency that is aimed for."""
    found = {}
    for name in NETWORKS:
        candidates = [Candidate(str(width), architecture(name, width)) for width in (1.0, *WIDTHS)]
        rows = {float(row.name): row.measured.ns for row in measure_top(candidates, "cpu", rounds=4) if row.measured}
        goal = FACTOR * rows[1.0]
        below = max((w for w in WIDTHS if rows[w] <= goal), default=min(WIDTHS))
        above = min(w for w in (*WIDTHS, 1.0) if rows[w] > goal and w > below)
        found[name] = {"latencies_ns": rows, "chosen": [below, above]}
        print(name, {w: f"{ns / rows[1.0]:.3f}" for w, ns in sorted(rows.items())}, found[name]["chosen"], flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "widths.json", json.dumps(found, indent=1))


def train(folder: Path, name: str, seed: int) -> None:
    """The adaptation; what is there already is not done again."""
    data = images()
    place = folder / f"{name}-{seed}"
    recipe = replace(RECIPE, epochs=BEFORE)
    settings = AdaptSettings(
        name,
        "glyphs-62",
        ("cpu",),
        parse_budgets([f"{FACTOR}x"], [], ["cpu"]),
        step=STEP,
        decay=DECAY,
        multiple=MULTIPLE[name],
        steps=SHORT_STEPS,
        fine_tune=SHORT,
        train=replace(RECIPE, epochs=AFTER).to_json(),
        seed=seed,
    )

    def begin() -> Graph:
        return train_longer(architecture(name), data, recipe, seed=seed).graph

    trainer = ProposalTrainer(place, data, short_recipe(SHORT), SHORT_STEPS)
    result = adapt(
        settings, begin, data, place, InProcess(trainer), resume=(place / "netadapt.study").exists(), listener=_tell
    )
    assert result.final is not None
    steps = result.last.number * SHORT_STEPS
    row: dict[str, Any] = {"test": result.final.test_accuracy, "iterations": result.last.number, "short_steps": steps}
    files.write_text(place / "adapted.json", json.dumps(row))
    print(name, seed, json.dumps(row), flush=True)


def multiplier(folder: Path, name: str, seed: int, width: float) -> None:
    """A multiplier's network, trained as long as an adapted one: the steps between count as a whole epoch."""
    path = folder / f"{name}-{seed}" / f"width-{width}.nir"
    if path.exists():
        return
    recipe = replace(RECIPE, epochs=BEFORE + 1 + AFTER)
    trained = train_longer(architecture(name, width), images(), recipe, seed=seed)
    files.write_text(path.with_suffix(".json"), json.dumps({"test": trained.test_accuracy, "epochs": recipe.epochs}))
    files.save(trained.graph, path)
    print(name, seed, width, trained.test_accuracy, flush=True)


def _tell(progress: Progress) -> None:
    now = progress.iterations[-1]
    print(
        f"  {now.number}: {now.name}, {now.values['cpu'] / 1000:.1f} µs, held-out {now.accuracy:.2%}, "
        f"{now.proposals} proposals, {now.duration_s:.0f} s",
        file=sys.stderr,
        flush=True,
    )


def measure(folder: Path) -> None:
    """Everything that was trained, each network with its seeds in turns."""
    for name in NETWORKS:
        candidates = []
        for seed in SEEDS:
            place = folder / f"{name}-{seed}"
            if (place / "final.nir").exists():
                candidates.append(Candidate(f"adapted {seed}", files.load(place / "final.nir")))
        if not candidates:
            continue
        chosen = json.loads((folder / "widths.json").read_text())[name]["chosen"]
        candidates += [Candidate(str(width), architecture(name, width)) for width in chosen]
        candidates.append(Candidate("1.0", architecture(name)))
        rows = {row.name: row.measured.ns for row in measure_top(candidates, "cpu") if row.measured}
        files.write_text(folder / f"{name}-latencies.json", json.dumps(rows, indent=1))
        print(name, {key: f"{ns / rows['1.0']:.3f}" for key, ns in rows.items()}, flush=True)


def table(folder: Path) -> None:
    """The comparison, in points of accuracy."""
    print("network | seed | original µs | adapted µs | of it | adapted | multiplier at this latency | gain")
    for name in NETWORKS:
        path = folder / f"{name}-latencies.json"
        if not path.exists():
            continue
        latencies = json.loads(path.read_text())
        adapted, interpolated = [], []
        for seed in SEEDS:
            place = folder / f"{name}-{seed}"
            notes = {path.stem.removeprefix("width-"): path for path in place.glob("width-*.json")}
            if len(notes) < 2 or f"adapted {seed}" not in latencies:
                continue
            points = sorted((latencies[width], _test_accuracy(path)) for width, path in notes.items())
            ns = latencies[f"adapted {seed}"]
            other = float(np.interp(ns, *zip(*points, strict=True)))
            adapted.append(100 * _test_accuracy(place / "adapted.json"))
            interpolated.append(100 * other)
            whole = latencies["1.0"]
            print(
                f"{name} | {seed} | {whole / 1000:.1f} | {ns / 1000:.1f} | {ns / whole:.3f} | {adapted[-1]:.2f} | "
                f"{interpolated[-1]:.2f} | {adapted[-1] - interpolated[-1]:+.2f}"
            )
        if len(adapted) > 1:
            gains = np.subtract(adapted, interpolated)
            spreads = (float(np.std(values, ddof=1)) for values in (adapted, interpolated, gains))
            print(
                f"{name}: mean {np.mean(adapted):.2f} and {np.mean(interpolated):.2f}, gain {gains.mean():+.2f}; "
                "standard deviations over the seeds: adapted {:.2f}, multiplier {:.2f}, gain {:.2f}".format(*spreads)
            )


def _test_accuracy(path: Path) -> float:
    return float(json.loads(path.read_text())["test"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("widths", "train", "multiplier", "measure", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("network", nargs="?", choices=tuple(NETWORKS))
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("width", nargs="?", type=float, default=0.5)
    arguments = parser.parse_args()
    if arguments.command in ("train", "multiplier"):
        if arguments.network is None:
            parser.error(f"{arguments.command} needs a network")
        if arguments.command == "train":
            train(arguments.folder, arguments.network, arguments.seed)
        else:
            multiplier(arguments.folder, arguments.network, arguments.seed, arguments.width)
    else:
        {"widths": widths, "measure": measure, "table": table}[arguments.command](arguments.folder)


if __name__ == "__main__":
    main()
