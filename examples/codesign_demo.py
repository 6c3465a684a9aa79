"""A small codesign, end to end: search, train, shrink, train for good, quantise, compile, verify, measure.

The space `mnasnet-glyphs` is searched for networks that tell handwritten digits; the best may take no longer than the
first architecture of the space does on this machine, so that there is something to gain everywhere. On a machine that
others slow down meanwhile it may come out slower all the same: that is said, and no failure of the demonstration.
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
MISSED = 4
"""The exit code of a latency that was asked for and missed."""


def main() -> str | int | None:
    space = fitted_space(load(SPACE), load_dataset(DATA), resolution=RESOLUTION)
    with closing(MeasuredLatency("cpu")) as source:
        reference = source.of(space.architecture(space.sample(0)))
    latency = duration_text(float(f"{reference.ns:.3g}"))
    say(f"an architecture of {SPACE} takes {duration(reference.ns)}; looking for a better one that is as fast")
    with tempfile.TemporaryDirectory() as folder:
        try:
            nascompiler(
                [
                    "codesign",
                    *("--space", SPACE, "--data", DATA, "--resolution", str(RESOLUTION), "--latency", latency),
                    *("--trials", "16", "--slack", "1.3", "--first-epochs", "12", "--epochs", "12"),
                    *("--step", "0.15", "--decay", "1", "--fine-tune", "15", "--proposals", "mobilenet-v3"),
                    *("-o", str(Path(folder) / "out")),
                ]
            )
        except SystemExit as end:
            return 0 if end.code == MISSED else end.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
