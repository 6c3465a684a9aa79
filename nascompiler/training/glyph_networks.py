"""Three small trained networks for glyphs-62, made from seeds and kept in the cache folder.

`python -m nascompiler.training.glyph_networks [NAME...] [--seed 0]` trains those that are not there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from nascompiler.backends.cache import cache_folder
from nascompiler.data.glyphs import VERSION
from nascompiler.data.load import load_dataset
from nascompiler.ir import Graph, files
from nascompiler.ir.errors import Error, unknown
from nascompiler.passes import run_pipeline
from nascompiler.torch_bridge import to_module
from nascompiler.training.accuracy import evaluate_accuracy
from nascompiler.training.recipe import Recipe
from nascompiler.training.trainer import Epoch, module_run, train

RECIPE = Recipe(recolour=True)
RECIPES = {
    "glyphs-mobilenet-v3": RECIPE,
    "glyphs-mnasnet": RECIPE,
    # Deep and without residuals, so it learns slowly: smaller batches give it more steps.
    "glyphs-nasnet": replace(RECIPE, epochs=12, batch_size=64, learning_rate=3e-3),
}
"""How each is trained; the architecture is the file of the same name here."""

TRAINER = 1
"""Of the trainer: counted up by whoever changes what weights come out of it, so that old ones are not taken for new."""


def architecture(name: str) -> Graph:
    """The architecture of a glyph network, at the arch level; raises UsageError for an unknown name."""
    if name not in RECIPES:
        raise unknown("glyph network", name, RECIPES)
    return files.load(Path(__file__).with_name(f"{name}{files.SUFFIX}"))


def trained_path(name: str, seed: int = 0) -> Path:
    """Where in the cache the trained graph is kept, whether it is there or not.

    The name depends on everything that the weights do, but for the version of torch and the kind of processor.
    """
    source = [str(architecture(name)), repr(RECIPES[name]), VERSION, TRAINER]
    key = hashlib.sha256(json.dumps(source).encode()).hexdigest()[:8]
    return cache_folder() / "trained" / f"{name}-seed{seed}-{key}{files.SUFFIX}"


def glyph_network(name: str, seed: int = 0) -> Graph:
    """The trained network `name`, an `nn` graph: image [1, 64, 64, 3], preprocessed as glyphs-62 is, to 62 logits.

    Read from the cache, or trained, which takes some minutes, and put there. Raises UsageError for an unknown name.
    """
    path = trained_path(name, seed)
    if not path.is_file():
        print(f"training {name} with seed {seed} into {path}", file=sys.stderr, flush=True)
        _train(name, seed, path)
    return files.load(path)


def report(name: str, seed: int = 0) -> dict[str, object]:
    """How a network in the cache was made and what it reached, as `_train` wrote it down."""
    found: dict[str, object] = json.loads(trained_path(name, seed).with_suffix(".json").read_text(encoding="utf-8"))
    return found


def _train(name: str, seed: int, path: Path) -> None:
    data = load_dataset("glyphs-62")
    graph = run_pipeline(architecture(name), f"expand-cells{{seed={seed}}}")
    began = time.monotonic()
    trained = train(graph, data, RECIPES[name], seed=seed, progress=partial(_progress, name))
    seconds = time.monotonic() - began
    rows = {
        "name": name,
        "seed": seed,
        "test_accuracy": evaluate_accuracy(module_run(to_module(trained.graph)), data.test),
        "training_s": seconds,
        "torch": torch.__version__,
        "recipe": asdict(trained.recipe),
        "epochs": [asdict(epoch) for epoch in trained.epochs],
    }
    # The graph comes last: where it is, the rest is too.
    files.write_text(path.with_suffix(".json"), json.dumps(rows, indent=2) + "\n")
    files.save(trained.graph, path)


def _progress(name: str, epoch: Epoch) -> None:
    total, left = RECIPES[name].epochs, RECIPES[name].epochs - epoch.number
    print(
        f"  {name}: epoch {epoch.number} of {total}, loss {epoch.loss:.3f}, held-out accuracy "
        f"{epoch.held_out_accuracy:.2%}, about {left * epoch.duration_s / 60:.0f} min left",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nascompiler.training.glyph_networks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}; all when none is given")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        for name in arguments.names:
            architecture(name)
        for name in arguments.names or RECIPES:
            glyph_network(name, arguments.seed)
            accuracy = report(name, arguments.seed)["test_accuracy"]
            print(f"{name}\t{arguments.seed}\t{trained_path(name, arguments.seed)}\t{accuracy:.4f}", flush=True)
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
