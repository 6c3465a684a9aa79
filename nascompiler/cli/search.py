"""`nascompiler search`: from a search space, a target and data to the architectures that are worth having."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, check_report, print_json, say
from nascompiler.ir.errors import UsageError, choices_text

if TYPE_CHECKING:
    from nascompiler.search.failures import FailureClass
    from nascompiler.search.settings import SearchSettings

NO_TARGET = "none"
"""In place of a target: accuracy and size are all that counts."""

DEFAULTS: Mapping[str, Any] = {"targets": ("cpu",), "trials": 100, "controller": "evolution"}


def search(
    study: Annotated[Path, typer.Option("--study", metavar="FILE", help="What is found goes into this file.")],
    space: Annotated[
        str | None, typer.Option("--space", metavar="SPACE", help="See `nascompiler spaces`.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="Data set by name, NAME:FOLDER where it is yours.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="TARGET",
            help="See `nascompiler targets`; repeatable; none: no latencies. [cpu]",
        ),
    ] = None,
    latency: Annotated[
        list[str] | None,
        typer.Option(
            "--latency",
            metavar="[TARGET=]TIME",
            help="Latency to aim for, as 25ms; for each target its own, if wanted.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            metavar="W",
            help="w in accuracy x (latency / aim)^w: soft (-0.07), hard (0 below the aim, -1 above), steep (-0.15), "
            "accuracy, or numbers as -0.1 or 0,-1. [soft]",
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            "--constraint",
            metavar="C",
            help="What must hold: latency<=25ms, params<=3M, macs<=300M, accuracy>=0.7; may be repeated.",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", min=1, help="Architectures to try. [100]")
    ] = None,
    controller: Annotated[
        str | None,
        typer.Option("--controller", metavar="NAME", help="evolution, ppo, random, or a plugin's. [evolution]"),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="P", help="Of the controller: small, for hundreds of trials, or paper. [small]"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Of everything drawn. [0]")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study; its settings need not be given.")
    ] = False,
    retry: Annotated[
        str | None,
        typer.Option("--retry", metavar="CLASS,...", help="Run trials once more that failed so; `all` for any class."),
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", min=1, help="Trials at once, each in a process. [1]")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="Run trials on a Ray cluster: HOST:PORT, auto, local."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="A trial that takes longer is ended, as 600s.")
    ] = None,
    predict: Annotated[
        bool | None,
        typer.Option("--predict/--measure", help="Latencies of trials from the latency table. [measured]"),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option("--proxy", metavar="K=V,...|FILE.json", help="How children are trained, over the data's default."),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option("--resolution", metavar="PIXELS", min=1, help="Of images. [the data's]")
    ] = None,
    give_up: Annotated[
        float | None,
        typer.Option("--give-up", metavar="Q", help="Stop children below this quantile of the earlier ones. [0: none]"),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="K", min=1, help="The best, measured end to end at the end. [5]")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with everything on it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Search a space for accurate and fast networks; writes the winner and the Pareto front beside the study.

    Exits with 4 when the winner misses the latency, and with 130 when interrupted: --resume goes on.
    """
    from nascompiler.cli.search_live import shown
    from nascompiler.cli.study import show
    from nascompiler.search.latency import measure_top
    from nascompiler.search.prepare import executor_of, prepare
    from nascompiler.search.run import run_search

    check_report(report)
    given = {
        "space": space,
        "data": data,
        "targets": None if target is None else tuple(name for name in target if name != NO_TARGET),
        "objective": objective,
        "constraints": None if constraint is None else tuple(constraint),
        "trials": trials,
        "controller": controller,
        "preset": preset,
        "seed": seed,
        "resolution": resolution,
        "parallel": parallel,
        "timeout_s": None if timeout is None else _seconds(timeout),
        "measure": None if predict is None else not predict,
        "give_up": give_up,
        "top": top,
    }
    settings = _settings(given, study, latency=latency, proxy=proxy, resume=resume)
    classes = _classes(retry)
    found, recipe = prepare(settings)
    with shown(settings.trials, settings.targets) as listener, closing(executor_of(settings, recipe, ray)) as executor:
        try:
            result = run_search(
                settings,
                study,
                found,
                executor,
                resume=resume,
                retry=classes,
                measure_top=measure_top,
                listener=listener,
                say=say,
            )
        except KeyboardInterrupt:
            say(f"what was found is in {study}: `nascompiler search --study {study} --resume` goes on")
            raise
    if report is not None:
        from nascompiler.search.report import save_report

        save_report(result, report)
    if json:
        print_json(result.to_json())
    else:
        show(result)
    written = [result.winner_path] if result.winner else []
    written += [result.front_folder] if result.front else []
    say(f"wrote {', '.join(map(str, [study, *written, *([report] if report else [])]))}")
    result.check()


def _settings(
    given: dict[str, Any], path: Path, *, latency: Sequence[str] | None, proxy: str | None, resume: bool
) -> SearchSettings:
    """From the options, over those of the study when it is resumed."""
    from nascompiler.search.prepare import latencies_of
    from nascompiler.search.settings import SearchSettings
    from nascompiler.search.study import Study

    if resume:
        with Study.read(path) as study:
            kept = SearchSettings.from_json(study.settings)
        if latency is not None:
            given["latency_ns"] = latencies_of(latency, kept.targets)
        if proxy is not None:
            given["proxy"] = _proxy(kept.data, proxy)
        return kept.resumed_with(given)
    missing = [f"--{name}" for name in ("space", "data") if given[name] is None]
    if missing:
        raise UsageError(f"a search needs {choices_text(missing).replace(' or ', ' and ')}, or --resume")
    given = {**DEFAULTS, **{name: value for name, value in given.items() if value is not None}}
    given["latency_ns"] = latencies_of(latency or (), given["targets"])
    if not given["latency_ns"]:
        if given.setdefault("objective", "accuracy") != "accuracy":
            raise UsageError(f"the objective {given['objective']!r} needs a --latency to aim for")
        say("no --latency: the reward is the accuracy alone")
    given["proxy"] = _proxy(given["data"], proxy or "")
    return SearchSettings(**given)


def _seconds(text: str) -> float:
    from nascompiler.search.units import parse_duration_ns

    return parse_duration_ns(text) / 1e9


def _classes(text: str | None) -> list[FailureClass]:
    """Raises UsageError for classes that there are not."""
    from nascompiler.search.failures import FailureClass

    if text is None:
        return []
    known = {kind.value: kind for kind in FailureClass}
    names = list(known) if text.strip() == "all" else [name.strip() for name in text.split(",")]
    wrong = [name for name in names if name not in known]
    if wrong:
        raise UsageError(f"--retry {', '.join(wrong)}: unknown class; accepted: all, {choices_text(known)}")
    return [known[name] for name in names]


def _proxy(data: str, text: str) -> dict[str, Any]:
    """The settings of children: the default for the data, with what a file or `key=value,...` changes.

    Settings of the training are given as `recipe.epochs=3`. Raises UsageError for unknown ones.
    """
    from nascompiler.search.children import Proxy, default_proxy

    settings = default_proxy(data).to_json()
    for name, value in _pairs(text):
        place, _, key = name.rpartition(".")
        if place not in ("", "recipe"):
            raise UsageError(f"--proxy {name}: accepted: NAME or recipe.NAME")
        (settings["recipe"] if place else settings)[key] = value
    return Proxy.from_json(settings).to_json()


def _pairs(text: str) -> list[tuple[str, Any]]:
    if text.endswith(".json"):
        try:
            read = json_text.loads(Path(text).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"--proxy {text}: cannot be read: {error}") from None
        if not isinstance(read, dict):
            raise UsageError(f"--proxy {text}: accepted: an object with settings")
        recipe = read.pop("recipe", {})
        return [*read.items(), *((f"recipe.{name}", value) for name, value in recipe.items())]
    found = []
    for part in text.split(",") if text.strip() else []:
        name, equals, value = (field.strip() for field in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"--proxy has {part.strip()!r}; accepted: NAME=VALUE, several with commas between")
        try:
            found.append((name, json_text.loads(value)))
        except ValueError:
            found.append((name, value))
    return found
