"""The loop on `cpu` by its table, and on a target that a package brings: it asks both by the measuring interface."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from nascompiler.backends.cache import VARIABLE
from nascompiler.backends.measure import Kind
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.lease import VARIABLE as LEASES
from nascompiler.backends.store import Measurements, Store
from nascompiler.ir import UsageError
from nascompiler.netadapt.budgets import parse_budgets
from nascompiler.netadapt.run import adapt, measure_whole
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.search.executors import InProcess
from nascompiler.search.latency import latency_source
from nascompiler.search.latency.predicted import PredictedLatency
from tests.netadapt.parts import Judged, adaptation, network
from tests.search.latency.conftest import KERNEL_WORKER

PLUGIN = """
from nascompiler.backends.measure import Kind
from nascompiler.ir import graph_cost
from nascompiler.ir.errors import UsageError
from nascompiler.search.evaluation import TargetLatency


class Abacus:
    kinds = frozenset({KINDS})

    def source(self, target, kind, *, space=None):
        if target != "abacus:wood":
            raise UsageError(f"there is no {target}")
        return Beads(target, kind)


class Beads:
    def __init__(self, target, kind):
        self.target, self.kind = target, kind

    def latency(self, trial):
        cost = graph_cost(trial.graph)
        return TargetLatency(1e6 + cost.macs + 10 * cost.params, self.kind)
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """`plugin("Kind.SIMULATED")`: an installed package with the target `abacus:wood`."""

    def install(kinds: str) -> None:
        folder = tmp_path / "site"
        info = folder / "abacus-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[nascompiler.latency_providers]\nabacus = abacus_target:Abacus\n")
        (folder / "abacus_target.py").write_text(PLUGIN.replace("KINDS", kinds))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "abacus_target", raising=False)

    return install


def adapted(folder: Path, target: str, latency: str = "0.75x"):
    settings = AdaptSettings(
        "small", "digits", (target,), parse_budgets([latency], [], [target]), step=0.06, decay=1.0, multiple=4
    )
    return adapt(settings, network, None, folder, InProcess(Judged(folder)))


@pytest.mark.parametrize("kind", ["SIMULATED", "ESTIMATED", "PREDICTED"])
def test_a_target_of_a_package(tmp_path, plugin, monkeypatch, kind):
    plugin(f"Kind.{kind}")
    monkeypatch.setattr("nascompiler.netadapt.run._begin", _put_network)
    result = adapted(tmp_path / "out", "abacus:wood", "1.02ms")
    result.check()
    assert result.last.values["abacus:wood"] <= 1.02e6
    whole = kind != "PREDICTED"  # a prediction is nothing to end with, the others are all there is of such targets
    assert bool(result.last.measured) == whole
    if whole:
        assert result.last.measured["abacus:wood"].kind is Kind[kind]
    assert bool(measure_whole({"a": network()}, "abacus:wood")) == whole


def _put_network(settings, graph, data, place, on_epoch, say):
    from nascompiler.ir import files

    files.save(graph, place.network(0))


def test_targets_that_there_are_not(plugin):
    plugin("Kind.SIMULATED")
    with pytest.raises(UsageError, match="there is no abacus:iron"):
        latency_source("abacus:iron")
    with pytest.raises(UsageError, match="unknown target with latencies 'sundial'"):
        latency_source("sundial")


def test_cpu_by_its_table(tmp_path, monkeypatch):
    """Kernel calls are made up; what the loop does with them is not. Each is measured once."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(LEASES, str(tmp_path / "leases"))
    worker = tmp_path / "kernel_worker.py"
    worker.write_text(f"BROKEN, DETAIL = '', ''\n{KERNEL_WORKER}")
    known = Measurements((Store(tmp_path / "measurements.sqlite"),))
    measurer = partial(KernelMeasurer, command=[sys.executable, str(worker)])
    source = PredictedLatency("cpu", known=known, measurer=measurer)
    settings = AdaptSettings("small", "digits", ("cpu",), parse_budgets(["0.85x"], [], ["cpu"]), 0.08, 1.0, multiple=4)
    found = adaptation(tmp_path / "out", settings, source=source)
    assert found[-1].values["cpu"] <= 0.85 * found[0].values["cpu"]

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    again = PredictedLatency("cpu", known=known, measurer=never)  # type: ignore[arg-type]
    warm = adaptation(tmp_path / "again", settings, source=again)
    assert [i.channels for i in warm] == [i.channels for i in found]
