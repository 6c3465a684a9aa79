"""A small codesign, end to end: search, train, shrink, train for good, quantise, compile, verify, measure.

The space `mnasnet-glyphs` is searched for networks that tell handwritten digits; what the best may take is said as a
part of what the first architecture of the space takes on this machine, so that there is something to gain everywhere.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

from nascompiler.cli import main as nascompiler
from nascompiler.cli.common import duration, say
from nascompiler.data.load import load_dataset
from nascompiler.search.fitting import fitted_space
from nascompiler.search.latency.measured import MeasuredLatency
from nascompiler.search.units import duration_text
from nascompiler.spaces import load

SPACE, DATA, RESOLUTION = "mnasnet-glyphs", "digits", 32
PART = 0.5


def main() -> None:
    space = fitted_space(load(SPACE), load_dataset(DATA), resolution=RESOLUTION)
    with closing(MeasuredLatency("cpu")) as source:
        reference = source.of(space.architecture(space.sample(0)))
    latency = duration_text(float(f"{PART * reference.ns:.3g}"))
    say(f"an architecture of {SPACE} takes {duration(reference.ns)}; looking for one that takes {latency}")
    with tempfile.TemporaryDirectory() as folder:
        nascompiler(
            [
                "codesign",
                *("--space", SPACE, "--data", DATA, "--resolution", str(RESOLUTION), "--latency", latency),
                *("--trials", "5", "--slack", "1.3", "--first-epochs", "4", "--epochs", "4"),
                *("--step", "0.15", "--decay", "1", "--fine-tune", "15", "--proposals", "mobilenet-v3"),
                *("-o", str(Path(folder) / "out")),
            ]
        )


if __name__ == "__main__":
    sys.exit(main())
