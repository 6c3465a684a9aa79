"""`nascompiler device calibrate`: the constants of a core's model from measurements on a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nascompiler.cli.common import JsonOption, duration, print_json, say, table
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from nascompiler.backends.arm.estimate.calibration import Calibration


def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: networks and their latencies on the board.")],
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="The core whose model it is about.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the new core: targets arm:NAME.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it. [NAME.toml]")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FILE", help="Estimates are there, not in the user's cache.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fit what misses and wrong branches cost to measurements; tells the error that is left. Nothing else is fitted."""
    from nascompiler.backends.arm.estimate.calibration import CONSTANTS, core_file
    from nascompiler.backends.store import Measurements, Store
    from nascompiler.calibration import calibrate_target, read_measurements
    from nascompiler.ir.files import write_text

    place = output or Path(f"{name}.toml")
    if place.exists():
        raise UsageError(f"{place} exists; remove it, or name another with --output")
    measured = read_measurements(file)
    known = Measurements((Store(store),)) if store else None
    result = calibrate_target(target, measured, known=known, report=lambda network: say(f"estimating {network} ..."))
    errors = {which: result.mean_error(which) for which in ("before", "after", "left_out")}
    words = (
        f"{result.core.model.origin} Constants calibrated with {len(measured)} measurements: mean error "
        f"{errors['before']:.1%} before, {errors['after']:.1%} after, {errors['left_out']:.1%} for networks left out."
    )
    write_text(place, core_file(result.core, name, words))
    if json:
        constants = {constant: getattr(result.core.model, constant) for constant in CONSTANTS}
        rows = [vars(residual) for residual in result.residuals]
        print_json({"core": name, "file": str(place), "constants": constants, "mean_error": errors, "networks": rows})
    else:
        _show(result, len(measured))
    say(f"wrote {place}; put it into a folder of $NASCOMPILER_TARGETS or ~/.config/nascompiler/targets for arm:{name}")


def _show(result: Calibration, count: int) -> None:
    from nascompiler.backends.arm.estimate.calibration import CONSTANTS

    table(
        ("network", ">measured", ">before", ">error", ">after", ">error", ">left out", ">error"),
        [
            (
                residual.name,
                duration(residual.measured_ns),
                *(
                    cell
                    for time in (residual.before_ns, residual.after_ns, residual.left_out_ns)
                    for cell in (duration(time), f"{time / residual.measured_ns - 1:+.1%}")
                ),
            )
            for residual in result.residuals
        ],
    )
    table(("constant", ">cycles"), [(name, f"{getattr(result.core.model, name):g}") for name in CONSTANTS])
    means = [f"{result.mean_error(which):.1%}" for which in ("before", "after", "left_out")]
    say(f"mean error: {means[0]} before, {means[1]} after, {means[2]} for a network that was left out")
    if count <= len(CONSTANTS):
        say(f"warning: {count} measurements for up to {len(CONSTANTS)} constants: go by the error of what was left out")
