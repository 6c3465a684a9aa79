"""`nascompiler device`: what runs code for ARM, here or elsewhere."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nascompiler.cli.common import JsonOption, print_json, say, table
from nascompiler.cli.device_calibrate import calibrate
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from nascompiler.backends.cores import Core
    from nascompiler.backends.target import Target

app = typer.Typer(help="Devices that run code for ARM: emulated ones and boards.", no_args_is_help=True)
app.command()(calibrate)

LOOPBACK = "127.0.0.1"

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="An ARM target: arm:cortex-a72.")]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="emulated, HOST:PORT[/KEY] or tracker:HOST:PORT/KEY; default: the target's."
    ),
]


@app.command()
def serve(
    target: TargetArgument = "arm:cortex-a72",
    address: Annotated[str, typer.Option("--address", metavar="A", help="Address to listen at.")] = LOOPBACK,
    expose: Annotated[bool, typer.Option("--expose", help="Allow an address that other machines reach.")] = False,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0 for any.")] = 9090,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="What clients must know.")] = "",
    tracker: Annotated[
        str, typer.Option("--tracker", metavar="HOST:PORT", help="Offer the device to a tracker, under its --key.")
    ] = "",
) -> None:
    """Run compiled code for others: on this board, or on an emulated core. Ends with Ctrl-C."""
    from nascompiler.backends.devices.address import parse_address
    from nascompiler.backends.devices.serving import Tracker, new_secret, offer_sessions, served

    parsed, core = _arm(target)
    place = parse_address(f"tracker:{tracker}/{key or '-'}") if tracker else None
    if place is not None and not key:
        raise UsageError("--tracker: say by --key what kind of device this is, for example --key pi4")
    if address != LOOPBACK:
        if not expose:
            raise UsageError(f"--address {address}: other machines may reach it; add --expose if that is what you want")
        say(f"warning: whoever reaches {address} and knows the key can run any code here, with your rights")
        if not key:
            raise UsageError("--expose: choose a --key that clients must know")
    secret = new_secret(key) if place is not None else key
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with us
    with served(core, address=address, port=port, key=secret, threads=parsed.threads) as (found, process):
        if place is None:
            say(f"{parsed.name} serves at {address}:{found}{f'/{key}' if key else ''}")
            process.wait()
            raise typer.Exit(5)
        with closing(Tracker(place.host, place.port, key)) as connection:
            say(f"{parsed.name} serves at {address}:{found}, as {key} of the tracker {place.host}:{place.port}")
            offer_sessions(connection, process, address, found, secret, say)
    raise typer.Exit(5)


@app.command("list")
def list_(
    tracker: Annotated[
        str, typer.Option("--tracker", metavar="HOST:PORT", help="A tracker whose devices to list too.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """List the devices there are: cores that can be emulated here, and those of a tracker."""
    from nascompiler.backends.cores import core_names, find_core
    from nascompiler.backends.devices.emulator import missing_pieces

    missing = "; ".join(missing_pieces())
    rows = []
    for name in core_names("arm"):
        core = find_core("arm", name)
        how = f"qemu as {core.emulator.cpu}" if core.emulator.exact else f"qemu as {core.emulator.cpu}, which has more"
        rows.append((f"arm:{name}", "emulated", missing or "ready", how, core.description))
    if tracker:
        from nascompiler.backends.devices.address import parse_address
        from nascompiler.backends.tvm_adapter.rpc_session import tracked_devices

        place = parse_address(f"tracker:{tracker}/any")
        for key, free, waiting in tracked_devices(place.host, place.port):
            state = "ready" if free else "in use"
            rows.append((key, f"tracker:{tracker}/{key}", state, f"{free} free, {waiting} waiting", ""))
    columns = ("device", "address", "state", "how", "what")
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        table(columns, rows)


@app.command()
def doctor(target: TargetArgument = "arm:cortex-a72", device: DeviceOption = "", json: JsonOption = False) -> None:
    """Check a device: is it there, its versions, features and clock, one kernel and one measurement. Exit 5 if not."""
    from nascompiler.backends.devices.address import device_of, parse_address
    from nascompiler.device_doctor import examine_device

    parsed, _ = _arm(target)
    address = parse_address(device) if device else device_of(str(parsed.options["device"]))
    findings = list(examine_device(parsed, address))
    if json:
        print_json([finding.to_json() for finding in findings])
    else:
        table(
            ("piece", "state", "found", "what it gives", "what to do"),
            [(f.piece, f.state.value, f.found, f.gives, f.remedy) for f in findings],
        )
    if any(f.is_fatal for f in findings):
        raise typer.Exit(5)


@app.command()
def setup(
    wheel: Annotated[
        list[Path] | None,
        typer.Option("--wheel", metavar="FILE.whl", help="Wheels that are here already, in place of a download."),
    ] = None,
) -> None:
    """Fetch what a device runs besides compiled code: TVM's runtime for aarch64, out of its pinned wheels."""
    from nascompiler.backends.devices.runtime import fetch_runtime, missing_runtime, runtime_folder

    if not missing_runtime("aarch64") and not wheel:
        say(f"TVM's runtime for aarch64 is in {runtime_folder('aarch64')}")
        return
    say(f"TVM's runtime for aarch64 is now in {fetch_runtime('aarch64', wheel or ())}")


def _arm(text: str) -> tuple[Target, Core]:
    from nascompiler.backends.target import parse_target

    target = parse_target(text)
    if target.core is None:
        raise UsageError(f"target {text} is this machine; devices are for targets such as arm:cortex-a72")
    return target, target.core
