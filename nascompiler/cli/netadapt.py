"""`nascompiler netadapt`: channels of a trained network shrink until its measured latency fits."""

from __future__ import annotations

import json as json_text
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, check_report, count, duration, print_json, say, table
from nascompiler.cli.train import EpochsOption, ImageSizeOption, SetOption, chosen_recipe, show_epoch
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from nascompiler.data.dataset import Dataset
    from nascompiler.netadapt.loop import Progress
    from nascompiler.netadapt.records import Iteration
    from nascompiler.netadapt.result import AdaptResult
    from nascompiler.netadapt.settings import AdaptSettings
    from nascompiler.training.trainer import Epoch

NO_TRAINING = "none"
"""In place of a recipe: the networks are only trained a little, on the way."""

FineTuneOption = Annotated[
    str | None,
    typer.Option(
        "--fine-tune",
        metavar="N,K=V,...",
        help="Steps that each proposal is trained for, and settings of their recipe, as 100,learning_rate=0.01. [100]",
    ),
]
StepOption = Annotated[
    float | None, typer.Option("--step", metavar="PART", help="Of the latency that the first step takes. [0.025]")
]
DecayOption = Annotated[
    float | None, typer.Option("--decay", metavar="D", help="Each step is so many times the one before. [0.96]")
]
ProposalsOption = Annotated[
    str | None,
    typer.Option("--proposals", metavar="SORTS", help="all, mobilenet-v3 (expansions, bottlenecks) or layers. [all]"),
]
RuleOption = Annotated[
    str | None,
    typer.Option("--rule", metavar="RULE", help="Choose by ratio (accuracy for latency saved) or accuracy. [ratio]"),
]
CriterionOption = Annotated[
    str | None,
    typer.Option("--criterion", metavar="C", help="Channels that stay: l2, l1, normalized, or a script's. [l2]"),
]
MultipleOption = Annotated[
    int | None, typer.Option("--multiple", metavar="N", min=1, help="Numbers of channels are multiples of it. [8]")
]
TargetsOption = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`; repeatable. [cpu]"),
]
LatenciesOption = Annotated[
    list[str] | None,
    typer.Option("--latency", metavar="[TARGET=]18ms|0.6x", help="What it may take; 0.6x: of what it takes now."),
]


def netadapt(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for all networks.")],
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A trained network (.nir), or an architecture, which is trained first."),
    ] = None,
    target: TargetsOption = None,
    latency: LatenciesOption = None,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", metavar="B", help="Of sizes: params<=1M, macs<=0.5x; repeatable, all must hold."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="DATA", help="A data set, NAME or NAME:FOLDER.")] = None,
    step: StepOption = None,
    decay: DecayOption = None,
    fine_tune: FineTuneOption = None,
    proposals: ProposalsOption = None,
    rule: RuleOption = None,
    criterion: CriterionOption = None,
    multiple: MultipleOption = None,
    measure: Annotated[
        bool | None, typer.Option("--measure/--predict", help="Time each proposal whole, not by the table. [predict]")
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="Of the long training, as for `train`; none: leave it out.")
    ] = "default",
    epochs: EpochsOption = None,
    settings: SetOption = None,
    from_scratch: Annotated[
        bool | None, typer.Option("--from-scratch", help="The long training begins with new weights (MobileNetV3).")
    ] = None,
    resolution: ImageSizeOption = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Of everything drawn. [0]")] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", min=1, help="Proposals at once, in processes. [1]")
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="Train proposals on a Ray cluster that shares DIR.")
    ] = None,
    load: Annotated[
        list[Path] | None, typer.Option("--load", metavar="FILE.py", help="Script that registers criteria; repeat.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with DIR; settings need not be given.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with everything on it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Shrink a network's channels, step by step, until it meets its latency; then train it longer.

    Exits with 4 when the budget is missed, and with 130 when interrupted: --resume goes on.
    """
    from nascompiler import api
    from nascompiler.netadapt.run import adapt, executor_of
    from nascompiler.passes import load_script

    check_report(report)
    for script in load or ():
        load_script(script)
    short = {} if fine_tune is None else fine_tune_of(fine_tune)
    given = {
        "model": model,
        "data": data,
        "targets": None if target is None else tuple(target),
        "step": step,
        "decay": decay,
        "proposals": proposals,
        "rule": rule,
        "criterion": criterion,
        "multiple": multiple,
        "measure": measure,
        "from_scratch": from_scratch,
        "resolution": resolution,
        "seed": seed,
        "parallel": parallel,
        **short,
    }
    if resume:
        asked, images = _resumed(output, given, latency, budget)
    else:
        asked, images = _begun(given, latency, budget, recipe, epochs, settings)
    with closing(executor_of(asked, output, images, ray)) as executor:
        try:
            result = adapt(
                asked,
                lambda: api.load(asked.model),
                images,
                output,
                executor,
                resume=resume,
                listener=show_progress,
                on_epoch=show_training,
                say=say,
            )
        except KeyboardInterrupt:
            say(f"what was found is in {output}: `nascompiler netadapt -o {output} --resume` goes on")
            raise
    if report is not None:
        from nascompiler.netadapt.report import save_report

        save_report(result, report)
    if json:
        print_json(result.to_json())
    else:
        show(result)
    say(f"wrote {result.path}" + (f", {report}" if report else ""))
    result.check()


def _begun(
    given: dict[str, Any],
    latency: list[str] | None,
    budget: list[str] | None,
    recipe: str,
    epochs: int | None,
    settings: list[str] | None,
) -> tuple[AdaptSettings, Dataset]:
    from nascompiler.netadapt.budgets import parse_budgets
    from nascompiler.netadapt.settings import AdaptSettings
    from nascompiler.netadapt.tuning import images

    missing = [words for name, words in (("model", "MODEL"), ("data", "--data")) if given[name] is None]
    if missing:
        raise UsageError(f"netadapt needs {' and '.join(missing)}, or --resume")
    given = {"targets": ("cpu",), **{name: value for name, value in given.items() if value is not None}}
    budgets = parse_budgets(latency or (), budget or (), given["targets"])
    found = images(given["data"], given.get("resolution"))
    long = None if recipe == NO_TRAINING else chosen_recipe(recipe, found, epochs, settings).to_json()
    return AdaptSettings(budgets=budgets, train=long, **given), found


def _resumed(
    folder: Path, given: dict[str, Any], latency: list[str] | None, budget: list[str] | None
) -> tuple[AdaptSettings, Dataset]:
    from nascompiler.netadapt.budgets import parse_budgets
    from nascompiler.netadapt.folder import Folder
    from nascompiler.netadapt.settings import AdaptSettings
    from nascompiler.netadapt.tuning import images
    from nascompiler.search.study import Study

    with Study.read(Folder(folder).study) as study:
        kept = AdaptSettings.from_json(study.settings)
    if latency or budget:
        given = {**given, "budgets": parse_budgets(latency or (), budget or (), kept.targets)}
    asked = kept.resumed_with(given)
    return asked, images(asked.data, asked.resolution)


def fine_tune_of(text: str) -> dict[str, Any]:
    """`100,learning_rate=0.01` -> steps and settings of the recipe; raises UsageError."""
    from nascompiler.netadapt.tuning import short_recipe

    steps: int | None = None
    recipe: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals and name.isdigit():
            steps = int(name)
        elif equals and name == "steps" and value.isdigit():
            steps = int(value)
        elif equals and value:
            try:
                recipe[name] = json_text.loads(value)
            except ValueError:
                recipe[name] = value
        else:
            raise UsageError(
                f"--fine-tune has {part.strip()!r}; accepted: a number of steps, or NAME=VALUE of a recipe"
            )
    short_recipe(recipe)
    found: dict[str, Any] = {"fine_tune": recipe} if recipe else {}
    return found if steps is None else {**found, "steps": steps}


def show_progress(progress: Progress) -> None:
    """A line for each iteration, with the time that is left."""
    now = progress.iterations[-1]
    taken = ", ".join(f"{_amount(name, now.values[name])} of {name}" for name in progress.start.bounds)
    parts = [f"{now.name}", taken, f"held-out accuracy {now.accuracy:.2%}"]
    several = "s" if now.proposals > 1 else ""
    parts += [f"{now.proposals} proposal{several} in {now.duration_s:.0f} s"] if now.proposals else []
    left = f"about {progress.left} left" if progress.left else "the budget is met"
    left += f", {duration(progress.left_s * 1e9)}" if progress.left and progress.left_s else ""
    say(f"iteration {now.number} ({left}): {'; '.join(parts)}")


def show_training(what: str, epoch: Epoch, total: int) -> None:
    """A line for each epoch of the long trainings."""
    if epoch.number == 1:
        say(f"{what}:")
    show_epoch(epoch, total)


def show(result: AdaptResult) -> None:
    """Print the iterations, the channels before and after, and what came of it last."""
    names = list(result.start.bounds)
    table(
        (">iteration", "shrunk", *(f">{name}" for name in names), "", ">held-out", ">params", ">multiply-adds"),
        [_row(iteration, names) for iteration in result.iterations],
        title="iterations",
    )
    shrunk = [width for width in result.widths if width.after < width.before]
    rows = [(width.name, width.before, width.after, f"{width.after / width.before:.2f}") for width in shrunk]
    kept = len(result.widths) - len(shrunk)
    table(("channels", ">before", ">after", ">ratio"), rows, title=f"what became narrower ({kept} others stayed)")
    for name, bound in result.start.bounds.items():
        verdict = "met" if result.last.values[name] <= bound else "missed"
        print(f"{name}: {result.latency_text(result.last, name)}, asked for {_amount(name, bound)}: {verdict}")
    if result.final is not None:
        test = "" if result.final.test_accuracy is None else f", {result.final.test_accuracy:.2%} on test images"
        before = f"before all this {result.iterations[0].accuracy:.2%}"
        print(f"accuracy: {result.final.held_out_accuracy:.2%} on held-out images{test} ({before})")


def _row(iteration: Iteration, names: list[str]) -> tuple[Any, ...]:
    kinds = ", ".join(dict.fromkeys(latency.kind.value for latency in iteration.measured.values()))
    return (
        iteration.number,
        iteration.name,
        *(_amount(name, iteration.values[name]) for name in names),
        kinds,
        f"{iteration.accuracy:.2%}",
        count(iteration.parameters),
        count(iteration.macs),
    )


def _amount(resource: str, value: float) -> str:
    from nascompiler.netadapt.budgets import SIZES

    return count(round(value)) if resource in SIZES else duration(value)
