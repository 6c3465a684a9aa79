"""nascompiler and other runtimes, side by side; README.md says how to set up and how to read the result."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers.measure import measure
from benchmarks.peers.plot import plot
from benchmarks.peers.prepare import MODELS
from benchmarks.peers.results import OURS, Failure, Result
from benchmarks.peers.runtimes import RUNTIMES
from benchmarks.peers.tables import failure_lines, tables, unique
from nascompiler.cli.common import say, table

PEERS = (OURS, *RUNTIMES)
DTYPES = ("fp32", "int8")


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    lines: list[Result | Failure] = []
    groups = [(m, d, t) for m in given.models for d in given.dtype for t in given.threads]
    with open(given.folder / "results.jsonl", "w", encoding="utf-8") as file:
        for number, (model, dtype, threads) in enumerate(groups, 1):
            say(f"[{number}/{len(groups)}] {model}, {dtype}, {threads} thread(s)")
            folder = given.folder / "models" / model
            peers = given.peers
            found = measure(
                model, peers, dtype, threads, folder, rounds=given.rounds, burst_ms=given.burst_ms, nice=given.nice
            )
            lines += found
            for line in found:
                print(line.to_json(), file=file, flush=True)
    results = [line for line in lines if isinstance(line, Result)]
    for drawn in tables(results):
        print(drawn.title)
        table(drawn.columns, drawn.rows)
        print()
    for text in failure_lines([line for line in lines if isinstance(line, Failure)]):
        print(text)
    if results:
        plot(results, given.folder / "latency.png")
    say(f"written: {given.folder}/results.jsonl" + (" and latency.png" if results else ""))


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    options.add_argument("--models", type=names(MODELS), default=MODELS, metavar="NAMES", help=", ".join(MODELS))
    options.add_argument("--peers", type=names(PEERS), default=PEERS, metavar="NAMES", help=", ".join(PEERS))
    options.add_argument("--dtype", type=names(DTYPES), default=DTYPES, metavar="NAMES", help=", ".join(DTYPES))
    options.add_argument(
        "--threads", type=thread_counts, default=(1,), metavar="N,...", help="1, or 1,2 for one after the other"
    )
    options.add_argument("--rounds", type=positive, default=12, metavar="N", help="bursts of each runtime (12)")
    options.add_argument("--burst-ms", type=positive, default=600, metavar="MS", help="length of a burst (600)")
    options.add_argument(
        "--nice", type=int, default=0, metavar="N", help="priority while measured, -20 to 19; below 0 needs root (0)"
    )
    options.add_argument(
        "--folder", type=Path, default=Path("out/peers"), help="for models, results and plot (out/peers)"
    )
    return options


def names(accepted: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A reader of names with commas between them."""

    def read(text: str) -> tuple[str, ...]:
        given = unique(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in given if name not in accepted]
        if unknown or not given:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'}; accepted: {', '.join(accepted)}")
        return tuple(given)

    return read


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted: an integer of at least 1")
    return int(text)


def thread_counts(text: str) -> tuple[int, ...]:
    return tuple(unique(positive(number.strip()) for number in text.split(",")))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not at once, so that the workers end with us
    main()
