"""Trials on a real Ray cluster of two nodes on this machine, one of which dies under load."""

from __future__ import annotations

import importlib.util
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nascompiler.backends.errors import DeviceError
from nascompiler.ir.errors import UsageError
from nascompiler.ir.text import parse
from nascompiler.search.evaluation import Evaluation
from nascompiler.search.executors.ray_cluster import RayCluster
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.interfaces import EvaluatorRecipe
from nascompiler.search.trial import TrialOutcome, TrialSpec

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra nascompiler[ray]")

GRAPH = parse(
    "nir 1\ngraph @net(%x: f32[1,8,8,3]) {family=plain} {\n  %y = arch.conv(%x) {filters=4}\n  return y=%y\n}\n"
)


def trial(number: int, seed: int = 0) -> TrialSpec:
    return TrialSpec(number, (number, 1), GRAPH, seed)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of two processors each, on the loopback interface and without a dashboard."""
    with pytest.MonkeyPatch.context() as patch:
        here = Path(__file__).parent
        patch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parents[2])]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # see ray_cluster
        import ray
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 2, "object_store_memory": 100 << 20}
        assert not ray.is_initialized()
        made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        made.add_node(**node)
        assert made.address.startswith("127.0.0.1:")
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def recipe(tmp_path: Path) -> EvaluatorRecipe:
    return EvaluatorRecipe("ray_trials:Slow", {"log": str(tmp_path / "log"), "seconds": 1.0})


def drain(executor: RayCluster, count: int) -> list[TrialOutcome]:
    found: list[TrialOutcome] = []
    while len(found) < count:
        found += executor.wait(60)
    return found


@needs_ray
def test_outcomes_of_every_class_come_back_once(cluster, recipe):
    executor = RayCluster(recipe, cluster.address)
    try:
        assert executor.capacity == 4
        assert executor.wait(0.1) == []
        for number, seed in enumerate([0, -1, -2, -3, 0]):
            executor.submit(trial(number, seed))
        outcomes = {outcome.number: outcome.result for outcome in drain(executor, 5)}
        assert executor.wait(0.5) == []
    finally:
        executor.close()
    for number in (0, 4):
        result = outcomes[number]
        assert isinstance(result, Evaluation)
        assert (result.accuracy, result.parameters) == (1 / (1 + number), number)
    failures = {n: r for n, r in outcomes.items() if isinstance(r, TrialFailure)}
    assert {n: f.failure_class for n, f in failures.items()} == {
        1: FailureClass.DIVERGED,
        2: FailureClass.CRASH,
        3: FailureClass.CRASH,
    }
    assert "ZeroDivisionError: a fault of the evaluator" in str(failures[2])


@needs_ray
def test_a_recipe_that_a_node_refuses_is_an_error_of_the_user(cluster):
    executor = RayCluster(EvaluatorRecipe("ray_trials:refuse"), cluster.address)
    try:
        executor.submit(trial(0))
        with pytest.raises(UsageError, match="no such data"):
            drain(executor, 1)
    finally:
        executor.close()


@needs_ray
def test_a_node_that_dies_under_load_loses_nothing_and_nothing_counts_twice(cluster, recipe):
    trials = 16
    executor = RayCluster(recipe, cluster.address)
    counted: Counter[int] = Counter()
    lost = 0
    try:
        for number in range(trials):
            executor.submit(trial(number))
        began = Path(recipe.arguments["log"])
        node = next(iter(cluster.worker_nodes))
        while not began.exists() or node.node_id not in began.read_text():  # it is at work, and others are in the queue
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)
        under_way = trials
        while under_way:
            for outcome in executor.wait(60):
                under_way -= 1
                if isinstance(outcome.result, Evaluation):
                    counted[outcome.number] += 1
                    assert outcome.result.parameters == outcome.number
                else:  # as the search does
                    lost += 1
                    assert outcome.result.failure_class.may_pass, outcome
                    executor.submit(trial(outcome.number))
                    under_way += 1
        deadline = time.monotonic() + 120
        while executor.capacity != 2 and time.monotonic() < deadline:  # the cluster's own count comes later
            time.sleep(0.2)
        assert executor.capacity == 2
    finally:
        executor.close()
    assert counted == Counter(range(trials))
    assert lost >= 1  # what ran on the node that died
    # a trial may be lost before it began, on its way to the node; one that is counted began, and no other began twice
    assert trials <= len(began.read_text().splitlines()) <= trials + lost


@needs_ray
def test_an_address_without_a_cluster_is_an_error_that_names_it(recipe):
    with pytest.raises(DeviceError, match=r"no Ray cluster to be used at '127\.0\.0\.1:1'"):
        RayCluster(recipe, "127.0.0.1:1")


def test_without_ray_the_extra_is_named(recipe, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r"nascompiler\[ray\]"):
        RayCluster(recipe)
