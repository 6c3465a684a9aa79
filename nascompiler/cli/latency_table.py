"""`nascompiler latency-table`: what the kernel calls of a search space take on a target, and how well they add up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nascompiler.cli.common import JsonOption, ResolutionOption, duration, print_json, say, table
from nascompiler.cli.tune import parse_duration

if TYPE_CHECKING:
    from nascompiler.backends.store import Measurements
    from nascompiler.backends.target import Target
    from nascompiler.search.latency.build import BuildProgress
    from nascompiler.search.latency.check import Pair
    from nascompiler.search.latency.collection import Collection
    from nascompiler.spaces import SearchSpace

app = typer.Typer(
    help="Latency tables of search spaces: build, show, check.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SpaceOption = Annotated[
    str, typer.Option("--space", metavar="SPACE", help="A search space by name (`nascompiler spaces`), or a .nir file.")
]
TargetOption = Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`.")]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="D", help="Fit the space to a data set, as `search --data` does.")
]
StoreOption = Annotated[
    Path | None, typer.Option("--store", metavar="FILE", help="Measurements are there, not in the user's cache.")
]

_KEEP_EVERY = 20
_STOP_BELOW = 0.002


@app.command()
def build(
    space: SpaceOption,
    target: TargetOption,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="No measurement begins after: 90s, 5m, 1h.")
    ] = "10m",
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=1, help="Look at no more architectures of a large space.")
    ] = 1000,
    all_variants: Annotated[
        bool, typer.Option("--all-variants", help="Measure every variant of a call: tunes the whole space.")
    ] = False,
    disturbed: Annotated[
        bool, typer.Option("--disturbed", help="Measure again what was measured while others kept the machine busy.")
    ] = False,
    data: DataOption = None,
    resolution: ResolutionOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Collect the kernel calls of a space and measure those that are not known. Ctrl-C loses nothing; run it again."""
    from nascompiler.search.latency.build import build_table
    from nascompiler.search.latency.collection import Collection
    from nascompiler.search.latency.table import LatencyTable

    budget_s = parse_duration(budget)
    began = time.monotonic()
    chosen, parsed = _space(space, data, resolution), _target(target)
    collection = Collection.begin(chosen, parsed)

    def looked(found: Collection) -> bool:
        if found.sampled % _KEEP_EVERY == 0:
            found.keep()
            say(f"{found.sampled} architectures make {len(found.calls)} calls; {found.unseen:.1%} of them still new")
        return time.monotonic() - began < budget_s

    try:
        collection.extend(chosen, parsed, samples=samples, stop_below=_STOP_BELOW, report=looked)
    finally:
        collection.keep()
    left_s = max(budget_s - (time.monotonic() - began), 0.0)
    filled = LatencyTable(collection, parsed, _known(store))
    kept = 0

    def show_progress(progress: BuildProgress) -> None:
        nonlocal kept
        kept = progress.done
        row = next(iter(progress.tuning.measured.values()), None)
        found = "failed" if row is None else f"{duration(row.median_ns)} by {row.variant}"
        left = duration(progress.left_s * 1e9)
        say(f"{progress.done}/{progress.total}, {left} left: {progress.call.op} {progress.call.results[0]}: {found}")

    try:
        result = build_table(
            filled,
            budget_s=left_s,
            all_variants=all_variants,
            again_disturbed=disturbed,
            report=show_progress,
        )
    except KeyboardInterrupt:
        say(f"{kept} calls were measured and are kept; the same command goes on from there")
        raise
    figures = {
        "space": collection.space,
        "target": str(parsed),
        "architectures": collection.sampled,
        "complete": collection.complete,
        "unseen": collection.unseen,
        "calls": len(collection.calls),
        "measured": result.measured,
        "known": result.known,
        "failed": sorted({call for call, _ in result.failed}),
        "left": result.left,
    }
    if json:
        print_json(figures)
        return
    say(
        f"{len(collection.calls)} calls of {collection.sampled} architectures"
        + (", which are all" if collection.complete else f"; {collection.unseen:.1%} of another's calls would be new")
    )
    say(f"{result.measured} calls measured now, {result.known} known before, {result.left} left")
    for call, row in result.failed:
        say(f"  failed: {call}: {row.variant}: {row.outcome.value}: {row.detail}")


@app.command()
def show(
    space: SpaceOption,
    target: TargetOption,
    data: DataOption = None,
    resolution: ResolutionOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """List what is known of the kernel calls of a space, those of most architectures first."""
    from nascompiler.search.latency.check import kept_check
    from nascompiler.search.latency.collection import Collection
    from nascompiler.search.latency.table import LatencyTable

    parsed = _target(target)
    collection = Collection.begin(_space(space, data, resolution), parsed)
    found = LatencyTable(collection, parsed, _known(store))
    rows, missing = list(found.rows()), found.missing()
    checked = kept_check(collection.space, parsed)
    if json:
        print_json(
            {
                "space": collection.space,
                "target": str(parsed),
                "architectures": collection.sampled,
                "complete": collection.complete,
                "unseen": collection.unseen,
                "rows": [row.to_json() for row in rows],
                "missing": missing,
                "check": None if checked is None else checked.to_json(),
            }
        )
        return
    table(
        ("op", "result", ">architectures", ">median", ">spread", ">runs", "kind", "variant"),
        [
            (
                row.op,
                row.call.rpartition("-> ")[2],
                row.architectures,
                duration(row.median),
                duration(row.spread),
                row.count,
                row.kind + (", disturbed" if row.disturbed else "") + ("" if row.fresh else ", earlier kernels"),
                row.variant,
            )
            for row in rows
        ],
        title=f"kernel calls of {collection.space} on {parsed}" + (f", {rows[0].device}" if rows else ""),
    )
    say(f"{len(rows)} calls known, {len(missing)} to be measured; {collection.sampled} architectures looked at")
    if checked is not None:
        say(
            f"sums against {len(checked.pairs)} architectures measured end to end: mean error {checked.mean_error:.1%},"
            f" rank correlation {checked.rank_correlation:.3f}"
        )


@app.command()
def check(
    space: SpaceOption,
    target: TargetOption,
    architectures: Annotated[
        int, typer.Option("--architectures", "-n", metavar="N", min=2, help="How many, drawn at random.")
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Of the first; the others follow.")] = 1000000,
    data: DataOption = None,
    resolution: ResolutionOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Measure random architectures end to end beside their predictions; from then on these state their error."""
    from nascompiler.search.latency.check import check_predictions, keep_check
    from nascompiler.search.latency.end_to_end import NetworkTimer
    from nascompiler.search.latency.predicted import PredictedLatency

    parsed, chosen = _target(target, whole=True), _space(space, data, resolution)
    done = 0
    began = time.monotonic()

    def show_pair(pair: Pair) -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - began) / done * (architectures - done)
        noted = " (disturbed)" if pair.disturbed else ""
        say(
            f"{done}/{architectures}, {duration(left * 1e9)} left: predicted {duration(pair.predicted_ns)}, "
            f"measured {duration(pair.measured_ns)}{noted}: {pair.error:+.1%}"
        )

    predicted = PredictedLatency(target, known=_known(store))
    numbers = range(seed, seed + architectures)
    with NetworkTimer(parsed) as timer:
        found = check_predictions(chosen, parsed, numbers, predicted=predicted, timer=timer, report=show_pair)
    keep_check(found, parsed)
    if json:
        print_json(found.to_json())
        return
    say(
        f"mean error {found.mean_error:.1%} (bias {found.bias:+.1%}), rank correlation {found.rank_correlation:.3f} "
        f"over {len(found.pairs)} architectures"
    )
    say(
        f"the machine takes {found.slowdown:.2f} times as long as when the table was made; with that in it the mean "
        f"error is {found.unanchored_error:.1%}"
    )


def _space(name: str, data: str | None, resolution: str | None) -> SearchSpace:
    from nascompiler import spaces
    from nascompiler.ir import files
    from nascompiler.ir.errors import UsageError
    from nascompiler.passes import run_pipeline
    from nascompiler.passes.infrastructure.pipeline import Pipeline, Step, make_pass

    graph = files.load(name) if name.endswith(files.SUFFIX) else spaces.load_graph(name)
    if not graph.choices:
        raise UsageError(f"{name} has no choices left open: it is an architecture, not a search space")
    if data is not None:
        from nascompiler.data.load import load_dataset
        from nascompiler.search.fitting import fitted_space

        if resolution is not None and not resolution.isdigit():
            raise UsageError(f"--resolution {resolution!r} with --data: write a number of pixels, such as 64")
        size = None if resolution is None else int(resolution)
        return fitted_space(spaces.SearchSpace(graph), load_dataset(data), resolution=size)
    if resolution is not None:
        graph = run_pipeline(graph, Pipeline((Step(make_pass("set-resolution", {"size": resolution})),)))
    return spaces.SearchSpace(graph)


def _target(text: str, *, whole: bool = False) -> Target:
    """A target whose kernel calls can be timed or estimated here, or, `whole`, networks; raises UsageError else."""
    from nascompiler.backends.target import parse_target
    from nascompiler.ir.errors import UsageError
    from nascompiler.search.latency import provider

    provider(text)
    parsed = parse_target(text)
    if parsed.kind not in ("cpu", "arm"):
        raise UsageError(f"kernels for {text} cannot be timed on this machine; accepted: cpu, arm:CORE")
    if whole and parsed.kind != "cpu":
        raise UsageError(f"predictions for {text} cannot be checked here: networks are timed whole on cpu only")
    return parsed


def _known(store: Path | None) -> Measurements:
    from nascompiler.backends.store import Measurements, Store, known_measurements

    return known_measurements() if store is None else Measurements((Store(store),))
