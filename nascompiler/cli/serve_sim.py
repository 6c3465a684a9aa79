"""`nascompiler serve-sim`: response time against throughput, the TPU simulated, this machine measured beside it."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, print_json, say, table
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from nascompiler.tpu.serving import Serving

NetworkArgument = Annotated[str, typer.Argument(metavar="NETWORK", help="An architecture of the zoo, such as mlp0.")]


def serve_sim(
    network: NetworkArgument = "mlp0",
    target: Annotated[str, typer.Option("--target", metavar="TPU", help="The TPU, such as tpu:v1.")] = "tpu:v1",
    limit: Annotated[str, typer.Option("--limit", metavar="TIME", help="Of the 99th percentile: 7ms.")] = "7ms",
    batches: Annotated[str, typer.Option("--batches", metavar="N,N,...", help="Largest batches to try.")] = (
        "1,2,4,8,16,32,64,128,200,256"
    ),
    cpu_batches: Annotated[
        str, typer.Option("--cpu-batches", metavar="N,N,...", help="The same for this machine; none leaves it out.")
    ] = "1,4,16,64",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of this machine.")] = 1,
    requests: Annotated[int, typer.Option("--requests", min=1000, help="Requests of one simulated run.")] = 20_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the arrivals.")] = 0,
    json: JsonOption = False,
) -> None:
    """Serve requests that arrive at random in batches: how many a second with 99 per cent of them within a limit?

    Arrivals are a Poisson process. A free machine takes all that waits, up to the largest batch. The TPU's times are
    simulated, this machine's measured; performance per watt is modelled from the paper's power figures.
    """
    from nascompiler.backends.tpu.energy import die_power_w
    from nascompiler.backends.tpu.machine import parse_machine
    from nascompiler.tpu.service_times import CPU_POWER, cpu_power_w, measured_times, simulated_times
    from nascompiler.tpu.serving import largest_batch, serving_table

    machine = parse_machine(target)
    limit_s = _seconds(limit)
    progress = None if json else say
    found: list[tuple[str, str, str, list[Serving], Any]] = []
    times = simulated_times(network, target, _sizes("--batches", batches), progress)
    rows = list(serving_table(times, limit_s, requests=requests, seed=seed))
    if machine.power is not None:
        how = "modelled: the paper's power of a die at this load"
        found.append((str(machine), "simulated", how, rows, lambda load: die_power_w(machine, load)))
    else:
        found.append((str(machine), "simulated", "no power figures", rows, None))
    if cpu_batches != "none":
        measured = measured_times(network, _sizes("--cpu-batches", cpu_batches), threads=threads, progress=progress)
        rows = list(serving_table(measured, limit_s, requests=requests, seed=seed))
        name = f"cpu, {threads} thread{'s' * (threads > 1)}"
        found.append((name, "measured", CPU_POWER, rows, lambda load: cpu_power_w(threads)))
    machines = [
        {
            "machine": name,
            "kind": kind,
            "power": how,
            "largest_batch": largest_batch(rows, limit_s),
            "rows": [_row(row, watts) for row in rows],
        }
        for name, kind, how, rows, watts in found
    ]
    if json:
        print_json({"network": network, "limit_ms": 1e3 * limit_s, "requests": requests, "machines": machines})
        return
    for entry in machines:
        _print(entry, limit)


def _row(row: Serving, watts: Any) -> dict[str, Any]:
    power = watts(row.run.busy_share) if watts is not None and row.run is not None else None
    return {
        "batch": row.batch,
        "batch_ms": 1e3 * row.batch_s,
        "per_second": row.rate_per_s,
        "share_of_full": row.rate_per_s / row.full_rate_per_s,
        "run": None if row.run is None else asdict(row.run),
        "watts": power,
        "per_second_per_watt": row.rate_per_s / power if power else None,
    }


def _print(entry: dict[str, Any], limit: str) -> None:
    columns = (">batch", ">takes", ">a second", ">of its most", ">p50", ">p99", ">mean batch", ">busy", ">W", ">/s/W")
    rows = []
    for row in entry["rows"]:
        run = row["run"]
        rows.append(
            (
                row["batch"],
                f"{row['batch_ms']:.3g} ms",
                f"{row['per_second']:,.0f}",
                f"{100 * row['share_of_full']:.0f} %",
                None if run is None else f"{1e3 * run['p50_s']:.3g} ms",
                None if run is None else f"{1e3 * run['p99_s']:.3g} ms",
                None if run is None else f"{run['mean_batch']:.1f}",
                None if run is None else f"{100 * run['busy_share']:.0f} %",
                None if row["watts"] is None else f"{row['watts']:.1f}",
                None if row["per_second_per_watt"] is None else f"{row['per_second_per_watt']:,.0f}",
            )
        )
    title = f"{entry['machine']}, {entry['kind']}; p99 within {limit}; largest batch {entry['largest_batch'] or '-'}"
    table(columns, rows, title=title)
    print(f"W: {entry['power']}.\n")


def _sizes(option: str, text: str) -> list[int]:
    if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", text):
        raise UsageError(f"{option} is {text!r}; accepted: sizes such as 1,8,64")
    sizes = sorted({int(size) for size in text.split(",")})
    if sizes[0] < 1:
        raise UsageError(f"{option} is {text!r}; a batch has at least one request")
    return sizes


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s)", text)
    if match is None or float(match[1]) == 0:
        raise UsageError(f"--limit is {text!r}; accepted: a time such as 7ms")
    return float(match[1]) * {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[match[2]]
