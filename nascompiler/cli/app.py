"""The application: its commands, and how errors leave it."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

import typer

from nascompiler.cli import (
    bench,
    codesign,
    compile,
    device,
    doctor,
    export,
    import_,
    inspect,
    latency_table,
    netadapt,
    opt,
    passes,
    quantize,
    run,
    search,
    serve_sim,
    spaces,
    study,
    targets,
    tpu_listing,
    tpu_what_if,
    tpu_workloads,
    train,
    transfer,
    tune,
    zoo,
)
from nascompiler.ir import Error

INTERRUPTED = 130

app = typer.Typer(
    name="nascompiler",
    help="From architecture search to the fastest code on its target.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "import": import_.import_,
    "export": export.export,
    "inspect": inspect.inspect,
    "opt": opt.opt,
    "quantize": quantize.quantize,
    "compile": compile.compile,
    "run": run.run,
    "tune": tune.tune,
    "bench": bench.bench,
    "targets": targets.targets,
    "tpu-workloads": tpu_workloads.tpu_workloads,
    "tpu-what-if": tpu_what_if.tpu_what_if,
    "tpu-listing": tpu_listing.tpu_listing,
    "serve-sim": serve_sim.serve_sim,
    "search": search.search,
    "study": study.study,
    "netadapt": netadapt.netadapt,
    "codesign": codesign.codesign,
    "train": train.train,
    "transfer": transfer.transfer,
    "spaces": spaces.spaces,
    "zoo": zoo.zoo,
    "passes": passes.passes,
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(latency_table.app, name="latency-table")
app.add_typer(device.app, name="device")


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Show the lines of compilers and linkers."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of errors (also NASCOMPILER_DEBUG=1)."),
) -> None:
    """From architecture search to the fastest code on its target."""
    if verbose:
        logger = logging.getLogger("nascompiler.toolchain")
        logger.setLevel(logging.INFO)
        logger.addHandler(logging.StreamHandler())
    if version:
        from nascompiler import __version__

        print(f"nascompiler {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code: 0, or what `Error.exit_code` of the error says."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = os.environ.get("NASCOMPILER_DEBUG", "") not in ("", "0")
    if "--debug" in given:
        given.remove("--debug")
        debug = True
    sys.exit(_run(given, debug))


def _run(arguments: Sequence[str], debug: bool) -> int:
    try:
        result = typer.main.get_command(app).main(list(arguments), prog_name="nascompiler", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        print(f"error: {error.format_message()}{hint}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; do not fail at exit too
        return 0
    except Error as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            words = f"internal error: {type(error).__name__}: {error}"
            print(f"{words}\nThis is a fault of ours; run again with --debug for the traceback.", file=sys.stderr)
        return Error.exit_code
