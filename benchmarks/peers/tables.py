"""The results as tables: latency and our lead, the accuracy of int8, memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.peers.results import OURS, Failure, Lead, Result, geometric_mean, lead

Item = TypeVar("Item")


@dataclass(frozen=True)
class Table:
    """Cells as text; columns that start with `>` are aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(results: Sequence[Result]) -> list[Table]:
    """Everything that was measured; nothing for no results."""
    named = settings(results)
    int8 = [r for r in results if r.case.dtype == "int8"]
    return [
        *(latency_table(title, group) for title, group in named.items()),
        *([accuracy_table(int8)] if int8 else []),
        *(memory_table(title, group) for title, group in named.items()),
    ]


def latency_table(title: str, results: Sequence[Result]) -> Table:
    """Medians with their spread, and our lead over the best; all of one dtype and number of threads."""
    models, peers = axes(results)
    rows, leads = [], []
    for model in models:
        group = {r.case.peer: r for r in results if r.case.model == model}
        ahead = lead(group.values())
        leads += [ahead] if ahead else []
        rows.append((model, *(_latency(group.get(peer)) for peer in peers), *_lead(ahead)))
    if leads:
        mean = geometric_mean([ahead.ratio for ahead in leads])
        rows.append(("geometric mean", *("" for _ in peers), "", f"{mean:.2f}"))
    columns = ("network", *(f">{peer}" for peer in peers), "best other", ">its time / ours")
    return Table(f"{title}: median ms ± median absolute deviation of the rounds", columns, tuple(rows))


def accuracy_table(results: Sequence[Result]) -> Table:
    """Every entry, against torch in float32; the number of threads makes no difference, so the first counts."""
    models, peers = axes(results)
    rows = []
    for model in models:
        for peer in peers:
            entry = next((r for r in results if (r.case.model, r.case.peer) == (model, peer)), None)
            if entry is not None:
                found = entry.accuracy
                rows.append((model, peer, f"{found.cosine:.5f}", f"{found.difference_cosine:.5f}", f"{found.top1:.1%}"))
    columns = ("network", "runtime", ">cosine", ">cosine of differences", ">same top-1")
    return Table("int8 against float32: cosine of the centred logits", columns, tuple(rows))


def memory_table(title: str, results: Sequence[Result]) -> Table:
    models, peers = axes(results)
    held = {(r.case.model, r.case.peer): r.peak_bytes for r in results}
    rows = tuple((model, *(_mebibytes(held.get((model, peer))) for peer in peers)) for model in models)
    columns = ("network", *(f">{peer}" for peer in peers))
    return Table(f"{title}: peak memory while serving, above the start, MiB", columns, rows)


def failure_lines(failures: Iterable[Failure]) -> list[str]:
    """A line for each runtime, dtype and reason, with the networks and threads that it holds for."""
    kinds = unique((f.case.peer, f.case.dtype, f.reason) for f in failures)
    lines = []
    for peer, dtype, reason in kinds:
        cases = [f.case for f in failures if (f.case.peer, f.case.dtype, f.reason) == (peer, dtype, reason)]
        models = ", ".join(unique(case.model for case in cases))
        threads = " and ".join(str(number) for number in unique(case.threads for case in cases))
        lines.append(f"not measured: {peer} {dtype}, {threads} thread(s), {models}: {reason}")
    return lines


def settings(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results by dtype and number of threads, under a title."""
    keys = unique((r.case.dtype, r.case.threads) for r in results)
    return {
        f"{dtype}, {threads} thread(s)": [r for r in results if (r.case.dtype, r.case.threads) == (dtype, threads)]
        for dtype, threads in keys
    }


def axes(results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """Networks and runtimes, ours first, in the order in which they came."""
    peers = unique(r.case.peer for r in results)
    peers.sort(key=lambda peer: peer != OURS)
    return unique(r.case.model for r in results), peers


def unique(values: Iterable[Item]) -> list[Item]:
    """Each value once, in the order in which they came."""
    return list(dict.fromkeys(values))


def _latency(result: Result | None) -> str:
    return "-" if result is None else f"{result.median_ms:.2f} ±{result.spread_ms:.2f}"


def _lead(ahead: Lead | None) -> tuple[str, str]:
    return ("-", "-") if ahead is None else (ahead.best, f"{ahead.ratio:.2f} ±{ahead.spread:.2f}")


def _mebibytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**20:.1f}"
