"""Energy, modelled: the power that the paper measured of whole dies, times simulated time.

No part of a die is modelled. A TPU draws almost the same whatever it computes: table 2 of Jouppi et al. 2017 has 28 W
idle and 40 W busy, and section 6 88 per cent (CNN0) and 94 per cent (LSTM1) of full-load power at 10 per cent load.
"""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator import Counters
from nascompiler.ir.errors import UsageError

TENTH_LOAD_SHARE = 0.88
"""Power at a tenth of the load over that at full load: the paper's CNN0, the lower of the two it gives."""

MODELLED = "modelled: the paper's power of a busy die, times simulated time"


@dataclass(frozen=True)
class Energy:
    """Joules of one run on one die, and with the die's share of its server; `how` says where they come from."""

    die_j: float
    server_share_j: float
    how: str = MODELLED


def energy(counters: Counters, machine: Machine) -> Energy | None:
    """Energy of a run on a die that does nothing else; None for machines whose power nobody stated."""
    power = machine.power
    if power is None:
        return None
    seconds = machine.seconds(counters.cycles)
    return Energy(power.busy_w * seconds, power.server_busy_w / power.dies * seconds)


def die_power_w(machine: Machine, load: float) -> float:
    """Power of a die that is busy for a share `load` of the time, straight lines between the paper's points.

    Raises UsageError for machines without power figures.
    """
    power = machine.power
    if power is None:
        raise UsageError(f"{machine.name} has no power figures: none were ever measured")
    tenth = TENTH_LOAD_SHARE * power.busy_w
    if load <= 0.1:
        return power.idle_w + (tenth - power.idle_w) * load / 0.1
    return tenth + (power.busy_w - tenth) * (min(load, 1.0) - 0.1) / 0.9
