"""Train every architecture of the recorded benchmark: `python benchmarks/recorded_search.py train FILE`.

Each child is trained as `nascompiler search` trains it, by `TrainedAccuracy`, on the proxy of the benchmark. A row is
appended to FILE as soon as it is known; called again, the script goes on where it was, and other processes that write
to other files in the same folder share the work. Architectures come in an order drawn at random, so that any beginning
of the work is a sample of the whole. With `--repeats N` some are trained with seeds 1 and 2 as well, which tells how
much the seed matters. `... join FOLDER [--latencies FILE]` makes the table that ships of the files.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np

from nascompiler import spaces
from nascompiler.search.children.source import TrainedAccuracy
from nascompiler.search.evaluator import size
from nascompiler.search.failures import TrialFailure
from nascompiler.search.recorded import Row, benchmark, table
from nascompiler.search.trial import TrialSpec
from nascompiler.spaces import Vector

FIELDS = ("vector", "seed", "accuracy", "curve", "training_s")
REPEATED_SEEDS = (1, 2)


def train(path: Path, part: int, parts: int, repeats: int) -> None:
    """Append the rows that no file beside this one has, beginning at this part of the order that was drawn."""
    space = spaces.load(benchmark.SPACE)
    vectors = [space.encode(decisions) for decisions in space.enumerate()]
    order = np.random.default_rng(0).permutation(len(vectors))
    wanted = [(vectors[i], 0) for i in order]
    wanted[2 * repeats : 2 * repeats] = [(vectors[i], seed) for i in order[:repeats] for seed in REPEATED_SEEDS]
    start = part * len(wanted) // parts
    whole_rows(path)
    source = TrainedAccuracy(benchmark.DATA, benchmark.PROXY)
    began, made = time.monotonic(), 0
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if not path.stat().st_size:
            writer.writerow(FIELDS)
        done = known(path.parent)
        for vector, seed in wanted[start:] + wanted[:start]:
            if (vector, seed) in done or (vector, seed) in (done := known(path.parent)):
                continue
            try:
                found = source.accuracy(TrialSpec(0, vector, space.architecture(vector), seed))
            except TrialFailure as failure:
                print(f"{vector} seed {seed}: {failure.failure_class.value}: {failure}", file=sys.stderr, flush=True)
                continue
            curve = " ".join(f"{accuracy:.6f}" for accuracy in found.curve)
            text = benchmark.vector_text(vector)
            writer.writerow([text, seed, f"{found.value:.6f}", curve, f"{found.details['training_s']:.2f}"])
            file.flush()
            made += 1
            if made % 20 == 0:
                each = (time.monotonic() - began) / made
                print(f"{len(done)} of {len(wanted)}, {each:.2f} s each here", file=sys.stderr, flush=True)


def known(folder: Path) -> set[tuple[Vector, int]]:
    """What all processes have found: vectors and seeds in the files of a folder, rows being written left out."""
    found = set()
    for path in folder.glob("*.csv"):
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]:
            text, seed, *others = line.split(",")
            if line.endswith("\n") and len(others) == len(FIELDS) - 2:
                found.add((benchmark.vector_of(text), int(seed)))
    return found


def whole_rows(path: Path) -> None:
    """Cut off a last row that was not written to its end."""
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")


def join(folder: Path, latencies: Path | None) -> None:
    """Write the table that ships from the rows of a folder and, by vector, latencies: lines of vector,ns,spread,..."""
    children: dict[Vector, dict[int, tuple[float, ...]]] = {}
    for path in sorted(folder.glob("*.csv")):
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            curve = tuple(map(float, row["curve"].split()))
            children.setdefault(benchmark.vector_of(row["vector"]), {})[int(row["seed"])] = curve
    times = {} if latencies is None else read_latencies(latencies)
    space = spaces.load(benchmark.SPACE)
    found = []
    for vector in map(space.encode, space.enumerate()):
        seeds = children.get(vector, {})
        if 0 in seeds:
            found.append(Row(vector, seeds[0][-1], seeds[0], *size(space.architecture(vector)), *times.get(vector, ())))
    (Path(table.__file__).parent / table.FILE).write_bytes(table.packed(found))
    accuracies = [row.accuracy for row in found]
    repeated = [[curve[-1] for curve in seeds.values()] for seeds in children.values() if len(seeds) > 1]
    within = np.sqrt(np.mean([np.var(values, ddof=1) for values in repeated])) if repeated else float("nan")
    print(
        f"{len(found)} of {space.size} architectures, {sum(row.latency_ns is not None for row in found)} with latency\n"
        f"accuracy {min(accuracies):.3f} to {max(accuracies):.3f}, mean {np.mean(accuracies):.3f}\n"
        f"standard deviation between architectures {np.std(accuracies):.4f}, between seeds {within:.4f} "
        f"({len(repeated)} architectures with {len(REPEATED_SEEDS) + 1} seeds)"
    )


def read_latencies(path: Path) -> dict[Vector, tuple[float, float]]:
    """Latency and spread in ns by vector; the last line of a vector counts."""
    lines = (line.split(",") for line in path.read_text(encoding="utf-8").splitlines())
    return {benchmark.vector_of(text): (float(ns), float(spread)) for text, ns, spread, *_ in lines if text.isdigit()}


def _part(text: str) -> tuple[int, int]:
    part, parts = map(int, text.split("/"))
    return part, parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train children and append their rows to a file")
    training.add_argument("file", type=Path)
    training.add_argument("--part", default="0/1", metavar="K/N", help="where in the order to begin")
    training.add_argument("--repeats", type=int, default=40, help="how many to train with three seeds")
    training.set_defaults(run=lambda a: train(a.file, *_part(a.part), a.repeats))
    joining = commands.add_parser("join", help="make the table that ships of the files in a folder")
    joining.add_argument("folder", type=Path)
    joining.add_argument("--latencies", type=Path, metavar="FILE.csv")
    joining.set_defaults(run=lambda a: join(a.folder, a.latencies))
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
