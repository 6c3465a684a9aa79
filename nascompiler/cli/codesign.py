"""`nascompiler codesign`: from a search space, a target and data to a measured artifact, in one command."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, duration, print_json, say, table
from nascompiler.cli.netadapt import (
    DecayOption,
    FineTuneOption,
    MultipleOption,
    ProposalsOption,
    StepOption,
    fine_tune_of,
    show_progress,
    show_training,
)
from nascompiler.cli.train import EpochsOption, ImageSizeOption, RecipeOption, SetOption, chosen_recipe, images_of
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from nascompiler.codesign.result import CodesignResult
    from nascompiler.codesign.settings import CodesignSettings


def codesign(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for everything.")],
    space: Annotated[str | None, typer.Option("--space", metavar="SPACE", help="See `nascompiler spaces`.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="DATA", help="A data set, NAME or NAME:FOLDER.")] = None,
    latency: Annotated[
        str | None, typer.Option("--latency", metavar="TIME", help="What the artifact may take, as 18ms.")
    ] = None,
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`.")] = "cpu",
    slack: Annotated[
        float, typer.Option("--slack", metavar="F", help="The search aims at F times the latency; NetAdapt cuts it.")
    ] = 1.25,
    trials: Annotated[int, typer.Option("--trials", metavar="N", min=1, help="Architectures to try.")] = 100,
    controller: Annotated[
        str, typer.Option("--controller", metavar="NAME", help="evolution, ppo, random, or a plugin's.")
    ] = "evolution",
    objective: Annotated[str, typer.Option("--objective", metavar="W", help="As for `search`.")] = "soft",
    predict: Annotated[
        bool, typer.Option("--predict/--measure", help="Latencies of trials from the latency table.")
    ] = False,
    proxy: Annotated[
        str | None, typer.Option("--proxy", metavar="K=V,...|FILE.json", help="How children are trained.")
    ] = None,
    step: StepOption = None,
    decay: DecayOption = None,
    fine_tune: FineTuneOption = None,
    proposals: ProposalsOption = None,
    multiple: MultipleOption = None,
    recipe: RecipeOption = "default",
    first_epochs: Annotated[
        int | None, typer.Option("--first-epochs", metavar="N", min=1, help="Of the winner, before it shrinks.")
    ] = None,
    epochs: EpochsOption = None,
    settings: SetOption = None,
    max_drop: Annotated[
        float | None, typer.Option("--max-drop", metavar="POINTS", help="Accuracy that int8 may lose.")
    ] = None,
    resolution: ImageSizeOption = None,
    parallel: Annotated[int, typer.Option("--parallel", metavar="N", min=1, help="Trials and proposals at once.")] = 1,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of everything that is drawn.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with DIR; settings are those of the beginning.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Search, train, shrink, train for good, quantise, compile, verify and measure, with a table of all stages.

    Exits with 4 when the latency is missed, and with 130 when interrupted: --resume goes on.
    """
    from nascompiler.cli.progress import stages
    from nascompiler.cli.search import _proxy as proxy_settings
    from nascompiler.cli.search_live import shown
    from nascompiler.codesign.run import STAGES, kept_settings
    from nascompiler.codesign.run import codesign as run_codesign
    from nascompiler.codesign.settings import CodesignSettings
    from nascompiler.codesign.stages import Context
    from nascompiler.search.units import parse_duration_ns

    if resume:
        if space or data or latency:
            raise UsageError("--resume takes its settings from the folder; leave out --space, --data and --latency")
        asked = kept_settings(output)
        images = images_of(asked.data, asked.resolution)
    else:
        given = {"--space": space, "--data": data, "--latency": latency}
        missing = [name for name, value in given.items() if value is None]
        if space is None or data is None or latency is None:
            raise UsageError(f"codesign needs {', '.join(missing)}, or --resume")
        images = images_of(data, resolution)
        long = chosen_recipe(recipe, images, epochs, settings)
        first = long if first_epochs is None else replace(long, epochs=first_epochs)
        adapt: dict[str, Any] = {"step": step, "decay": decay, "proposals": proposals, "multiple": multiple}
        adapt |= {} if fine_tune is None else fine_tune_of(fine_tune)
        asked = CodesignSettings(
            space,
            data,
            target,
            parse_duration_ns(latency),
            first.to_json(),
            long.to_json(),
            slack,
            max_drop,
            resolution,
            seed,
            parallel,
            {
                "trials": trials,
                "controller": controller,
                "objective": objective,
                "measure": not predict,
                "proxy": proxy_settings(data, proxy or ""),
            },
            {name: value for name, value in adapt.items() if value is not None},
        )
    with ExitStack() as stack:
        context = Context(
            asked,
            output,
            images,
            on_trial=_once(stack, lambda: shown(_trials(asked), (asked.target,))),
            on_iteration=show_progress,
            on_epoch=show_training,
            on_quantize=_once(stack, stages),
            say=say,
        )
        try:
            result = run_codesign(
                context,
                resume=resume,
                on_stage=lambda name: say(f"stage {STAGES.index(name) + 1} of {len(STAGES)}: {name}"),
            )
        except KeyboardInterrupt:
            say(f"what was found is in {output}: `nascompiler codesign -o {output} --resume` goes on")
            raise
    if json:
        print_json(result.to_json())
    else:
        show(result)
    say(f"wrote {output}")
    result.check()


def _trials(settings: CodesignSettings) -> int:
    return settings.search_settings().trials


def _once(stack: ExitStack, open_it: Any) -> Any:
    """A listener that is opened when it is told something first: only one display may be on at a time."""
    opened: list[Any] = []

    def tell(*arguments: Any) -> None:
        if not opened:
            opened.append(stack.enter_context(open_it()))
        opened[0](*arguments)

    return tell


def show(result: CodesignResult) -> None:
    """Print accuracy and latency after each stage."""
    rows = [
        (
            stage.name,
            None if stage.held_out is None else f"{stage.held_out:.2%}",
            None if stage.test is None else f"{stage.test:.2%}",
            None if stage.latency is None else duration(stage.latency.ns),
            "" if stage.latency is None else stage.latency.kind.value,
            duration(stage.duration_s * 1e9),
            stage.note,
        )
        for stage in result.stages
    ]
    table(("stage", ">held-out", ">test", ">latency", "", ">took", ""), rows)
    verdict = "met" if result.meets_latency else "missed"
    taken = None if result.latency is None else result.latency.ns
    print(f"{duration(taken)} on {result.settings.target}, asked for {duration(result.settings.latency_ns)}: {verdict}")
