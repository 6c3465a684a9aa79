"""`nascompiler train`: an architecture trained for good on a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, print_json, say, table
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascompiler.data.dataset import Dataset
    from nascompiler.training.recipe import Recipe
    from nascompiler.training.trainer import Epoch
    from nascompiler.transfer.training import Options

ArchitectureArgument = Annotated[
    str,
    typer.Argument(metavar="ARCH", help="An architecture file (.nir) as `search` writes it, or a name (`zoo`)."),
]
DataOption = Annotated[
    str,
    typer.Option("--data", metavar="DATA", help="digits, mnist-5k, glyphs-62, cifar-10:FOLDER or imagenet:FOLDER."),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe", metavar="NAME", help="default (for the data), nasnet-cifar, nasnet-imagenet or mnasnet (papers)."
    ),
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", metavar="N", min=1, help="Instead of the recipe's.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the recipe, such as batch_size=64; repeat."),
]
ImageSizeOption = Annotated[
    int | None,
    typer.Option("--resolution", metavar="R", min=1, help="Bring the images to this size; default: theirs."),
]
DropPathOption = Annotated[
    float,
    typer.Option("--drop-path", metavar="KEEP", help="ScheduledDropPath: the last cell keeps a path with this chance."),
]
AuxiliaryOption = Annotated[bool, typer.Option("--auxiliary", help="Train with a second classifier, then drop it.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE.nir", help="Begin with what this trained network has too.")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of everything that is drawn.")]


def train(
    architecture: ArchitectureArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT.nir", help="Graph file to write.")],
    recipe: RecipeOption = "default",
    epochs: EpochsOption = None,
    settings: SetOption = None,
    resolution: ImageSizeOption = None,
    drop_path: DropPathOption = 1.0,
    auxiliary: AuxiliaryOption = False,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Train an architecture on a data set; writes the network with its weights, and prints what it reached."""
    from nascompiler import api
    from nascompiler.ir.files import SUFFIX
    from nascompiler.transfer.training import train_longer

    if output.suffix != SUFFIX:
        raise UsageError(f"a graph file ends in {SUFFIX}: {output}")
    graph = api.load(architecture)
    images = images_of(data, resolution)
    chosen = chosen_recipe(recipe, images, epochs, settings)
    trained = train_longer(
        graph,
        images,
        chosen,
        options_of(drop_path, auxiliary, weights, device),
        seed=seed,
        progress=lambda epoch: show_epoch(epoch, chosen.epochs),
    )
    api.save(trained.graph, output)
    if json:
        print_json(trained.to_json())
    else:
        accuracies: list[tuple[str, Any]] = [("held out", f"{trained.held_out_accuracy:.2%}")]
        if trained.test_accuracy is not None:
            accuracies.append(("test", f"{trained.test_accuracy:.2%}"))
        table(("images", ">accuracy"), accuracies)
    say(f"wrote {output}")


def show_epoch(epoch: Epoch, total: int) -> None:
    """A line for each epoch, with the time that is left."""
    left = (total - epoch.number) * epoch.duration_s
    say(
        f"epoch {epoch.number} of {total}: loss {epoch.loss:.3f}, held-out accuracy {epoch.held_out_accuracy:.2%}"
        + (f", about {left / 60:.0f} min left" if left >= 60 else f", about {left:.0f} s left" if left else "")
    )


def images_of(data: str, resolution: int | None) -> Dataset:
    """The data set by name, at its own size or another."""
    from nascompiler.data.load import load_dataset
    from nascompiler.data.resizing import resized_dataset

    images = load_dataset(data)
    return images if resolution is None else resized_dataset(images, resolution)


def chosen_recipe(name: str, data: Dataset, epochs: int | None, settings: Sequence[str] | None) -> Recipe:
    """The recipe of that name for the data with what the options change; raises UsageError."""
    from nascompiler.training.presets import recipe_for
    from nascompiler.training.recipe import Recipe

    changed = {**recipe_for(name, data).to_json(), **dict(_setting(text) for text in settings or ())}
    made = Recipe.from_json(changed)
    return made if epochs is None else replace(made, epochs=epochs)


def options_of(drop_path: float, auxiliary: bool, weights: Path | None, device: str) -> Options:
    """What training adds, from the options of a command."""
    from nascompiler import api
    from nascompiler.training.devices import training_device
    from nascompiler.transfer.training import Options

    parent = None if weights is None else api.load(weights)
    return Options(drop_path, auxiliary, parent, training_device(device))


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text!r}: write NAME=VALUE, for example batch_size=64")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
