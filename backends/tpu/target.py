"""A TPU as a target: its machine, and the host that computes the rest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from nascompiler.backends.target import Target
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.ir.verify import Legality

KIND = "tpu"
LEGAL = Legality(dialects=frozenset({"tpu", "host", "cpu", "nn", "qnn"}), static=True, closed=True)


@dataclass(frozen=True)
class TpuTarget(Target):
    """A machine beside a host, which is a target of its own: `cpu` as it is on this computer."""

    machine: Machine = field(kw_only=True)
    host_target: Target = field(kw_only=True)

    @property
    def fingerprint(self) -> str:
        """A hash of the machine's figures and of the host's."""
        m = self.machine
        facts = [value for name, value in sorted(vars(m).items()) if name not in ("description", "assumed", "power")]
        facts = [sorted(v) if isinstance(v, frozenset) else v for v in facts]
        return hashlib.sha256(repr([facts, self.host_target.fingerprint]).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return str(self.machine)


def parse_tpu(text: str, host_target: Target) -> TpuTarget:
    """The target of a string such as `tpu:v1{clock=1050MHz}`; raises UsageError as `parse_machine` does."""
    machine = parse_machine(text)
    return TpuTarget(
        name=machine.name,
        kind=KIND,
        options={"threads": host_target.threads},
        legality=LEGAL,
        isa=host_target.isa,
        host=host_target.host,
        machine=machine,
        host_target=host_target,
    )
