"""Runs an adaptation in children that are killed (SIGKILL): `python -m tests.netadapt.killed FOLDER KILLS SEED`."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.netadapt.parts import adaptation
from tests.search.killed_search import killed_after

MOST_STEPS, MOST_S = 3000, 1.0


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    points = random.Random(seed)
    killed = 0
    for number in range(kills + 1):
        by_steps = points.random() < 0.5
        steps, seconds = points.randrange(1, MOST_STEPS), points.uniform(0.01, MOST_S)
        child = os.fork()
        if child == 0:
            if number < kills and by_steps:
                killed_after(steps)
            adaptation(folder)
            os._exit(0)
        if number < kills and not by_steps:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status):
            sys.exit(f"child {number} failed with {os.WEXITSTATUS(status)}")
    print(killed)


if __name__ == "__main__":
    main()
