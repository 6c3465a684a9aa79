"""`nascompiler transfer`: what a search has found, for another data set, as far as a measured artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, duration, print_json, say, table
from nascompiler.cli.train import (
    ArchitectureArgument,
    AuxiliaryOption,
    DataOption,
    DeviceOption,
    DropPathOption,
    EpochsOption,
    ImageSizeOption,
    RecipeOption,
    SeedOption,
    SetOption,
    chosen_recipe,
    images_of,
    options_of,
    show_epoch,
)

if TYPE_CHECKING:
    from nascompiler.transfer.deployment import Transferred


def transfer(
    architecture: ArchitectureArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write into.")],
    skeleton: Annotated[
        str, typer.Option("--skeleton", metavar="NAME", help="cifar, mobile or large; default: the architecture's own.")
    ] = "",
    cells: Annotated[int, typer.Option("--cells", metavar="N", min=0, help="Cells in each stack.")] = 0,
    filters: Annotated[
        int, typer.Option("--filters", metavar="F", min=0, help="Filters in the first stack; the others follow.")
    ] = 0,
    width: Annotated[
        float, typer.Option("--width", metavar="W", help="Width multiplier, for architectures without cells.")
    ] = 1.0,
    recipe: RecipeOption = "default",
    epochs: EpochsOption = None,
    settings: SetOption = None,
    resolution: ImageSizeOption = None,
    drop_path: DropPathOption = 1.0,
    auxiliary: AuxiliaryOption = False,
    device: DeviceOption = "auto",
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`.")] = "cpu",
    max_drop: Annotated[
        float | None,
        typer.Option("--max-drop", metavar="POINTS", help="Accuracy that int8 may lose; layers that hurt fall back."),
    ] = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Stack the cells of an architecture for a data set, train, quantise, compile, verify and measure the network."""
    from nascompiler import api
    from nascompiler.cli.progress import stages
    from nascompiler.transfer.deployment import transfer as transfer_architecture
    from nascompiler.transfer.stacking import Stacking

    graph = api.load(architecture)
    images = images_of(data, resolution)
    chosen = chosen_recipe(recipe, images, epochs, settings)
    with stages() as progress:
        found = transfer_architecture(
            graph,
            images,
            chosen,
            output,
            stacking=Stacking(skeleton, cells, filters, width),
            options=options_of(drop_path, auxiliary, None, device),
            target=target,
            max_drop=max_drop,
            seed=seed,
            on_epoch=lambda epoch: show_epoch(epoch, chosen.epochs),
            on_quantize=progress,
        )
    if json:
        print_json(found.to_json())
    else:
        show(found)
    say(f"wrote {output}")
    found.quantization.check()


def show(found: Transferred) -> None:
    """Print what a transfer found: accuracies, latency, what was compiled and why."""
    trained, report = found.trained, found.quantization.report
    latency = found.bench.ours.latency
    rows: list[tuple[str, Any]] = [("held-out accuracy, float", f"{trained.held_out_accuracy:.2%}")]
    if trained.test_accuracy is not None:
        rows.append(("test accuracy, float", f"{trained.test_accuracy:.2%}"))
    if report.score is not None:
        rows.append(("held-out accuracy, int8", f"{report.score.quantized:.2%}"))
    spread = f"{duration(latency.median_ns)} ± {duration(latency.mad_ns)}"
    rows.append((f"latency on {found.bench.target}, {found.deployed}, {latency.kind.value}", spread))
    table(("", ">"), rows)
    say(str(found.verification))
    print(report.verdict)
