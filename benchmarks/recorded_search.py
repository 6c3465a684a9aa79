"""Train every architecture of the recorded benchmark: `python benchmarks/recorded_search.py train FILE [--part 0/2]`.

Each child is trained as `nascompiler search` trains it, by `TrainedAccuracy`, on the proxy of the benchmark. A row is
appended to FILE as soon as it is known; called again, the script goes on where it was. Architectures come in an order
drawn at random, so that any beginning of the file is a sample of the whole. With `--repeats N` some are trained with
seeds 1 and 2 as well, which tells how much the seed matters. `join` makes the table that ships of such files.
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
from nascompiler.search.failures import TrialFailure
from nascompiler.search.recorded import benchmark
from nascompiler.search.trial import TrialSpec

FIELDS = ("vector", "seed", "accuracy", "curve", "training_s")
REPEATED_SEEDS = (1, 2)


def train(path: Path, part: int, parts: int, repeats: int) -> None:
    """Append the rows of architectures part, part + parts, ... in the order drawn, those that are not there yet."""
    space = spaces.load(benchmark.SPACE)
    vectors = [space.encode(decisions) for decisions in space.enumerate()]
    order = np.random.default_rng(0).permutation(len(vectors))
    wanted = [(vectors[i], 0) for i in order]
    wanted[2 * repeats : 2 * repeats] = [(vectors[i], seed) for i in order[:repeats] for seed in REPEATED_SEEDS]
    mine = wanted[part::parts]
    done = {(row["vector"], int(row["seed"])) for row in rows(path)}
    source = TrainedAccuracy(benchmark.DATA, benchmark.proxy())
    began, made = time.monotonic(), 0
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(FIELDS)
        for number, (vector, seed) in enumerate(mine):
            text = benchmark.vector_text(vector)
            if (text, seed) in done:
                continue
            try:
                found = source.accuracy(TrialSpec(number, vector, space.architecture(vector), seed))
            except TrialFailure as failure:
                print(f"{text} seed {seed}: {failure.failure_class.value}: {failure}", file=sys.stderr, flush=True)
                continue
            curve = " ".join(f"{accuracy:.6f}" for accuracy in found.curve)
            writer.writerow([text, seed, f"{found.value:.6f}", curve, f"{found.details['training_s']:.2f}"])
            file.flush()
            made += 1
            if made % 20 == 0:
                each = (time.monotonic() - began) / made
                left = (len(mine) - number) * each / 60
                print(
                    f"{number + 1} of {len(mine)}, {each:.2f} s each, {left:.0f} min left", file=sys.stderr, flush=True
                )


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file, without a last one that was cut off."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return list(csv.DictReader(whole.splitlines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["train"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--part", default="0/1", metavar="K/N")
    parser.add_argument("--repeats", type=int, default=60)
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    train(arguments.file, part, parts, arguments.repeats)


if __name__ == "__main__":
    main()
