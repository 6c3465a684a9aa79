"""How well int8 agrees with float32 on many images: `python -m benchmarks.peers.agreement [--images 256]`.

The eight images of the harness leave top-1 agreement to chance: two of eight have a standard error of 15 points. Here
the same int8 networks, calibrated with the same images, answer many more of the same kind; none of them calibrates.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.peers.__main__ import names, positive
from benchmarks.peers.accuracy import Logits, accuracy
from benchmarks.peers.images import images
from benchmarks.peers.measure import command
from benchmarks.peers.prepare import MODELS, prepare
from benchmarks.peers.results import OURS
from nascompiler.bench.turns import Worker
from nascompiler.cli.common import table

SEED = 71
PEERS = (OURS, "onnxruntime", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=names(MODELS), default=MODELS, metavar="NAMES", help=", ".join(MODELS))
    parser.add_argument("--images", type=positive, default=256, metavar="N")
    parser.add_argument("--folder", type=Path, default=Path("out/peers"), help="with the models (out/peers)")
    arguments = parser.parse_args()
    drawn = images(arguments.images, SEED)
    rows = []
    for model in arguments.models:
        folder = arguments.folder / "models" / model
        for peer, dtype in (("reference", "fp32"), *((peer, "int8") for peer in PEERS if peer != OURS)):
            if reason := prepare(model, peer, dtype, folder):
                raise SystemExit(f"{model}: {reason}")
        with tempfile.TemporaryDirectory(prefix="agreement-") as scratch:
            inside = Path(scratch)
            for path in folder.iterdir():
                (inside / path.name).symlink_to(path.resolve())
            (inside / "input.npy").unlink()
            np.save(inside / "input.npy", drawn)
            reference = _answers("onnxruntime", "fp32", inside)
            for peer in PEERS:
                found = accuracy(_answers(peer, "int8", inside), reference)
                error = (found.top1 * (1 - found.top1) / len(drawn)) ** 0.5
                cosines = f"{found.cosine:.4f}", f"{found.difference_cosine:.4f}"
                rows.append((model, peer, f"{found.top1:.1%} ± {error:.1%}", *cosines))
    table(("network", "runtime", ">same best class", ">cosine", ">of differences"), rows)


def _answers(peer: str, dtype: str, folder: Path) -> Logits:
    """What a runtime answers to the images of a folder, one by one."""
    path = folder / f"{peer}-{dtype}.npy"
    worker = Worker(peer, command(peer, dtype, 1, folder, path), 1)
    try:
        worker.start()
    finally:
        worker.end()
    logits: Logits = np.load(path)
    return logits


if __name__ == "__main__":
    main()
