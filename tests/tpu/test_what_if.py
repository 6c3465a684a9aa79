"""Scaled machines, recompiled and simulated."""

import pytest

from nascompiler.ir import UsageError
from nascompiler.tpu.what_if import what_if
from nascompiler.tpu.workloads import SHARES, WORKLOADS, workload_structure


def test_the_mix_covers_all_workloads() -> None:
    assert set(SHARES) == set(WORKLOADS)


def test_weights_bound_networks_follow_the_memory() -> None:
    rows = {(row.kind, row.factor): row for row in what_if(workloads=("mlp1",), factors=(0.5, 1.0, 4.0))}
    for (_, factor), row in rows.items():
        if factor == 1:
            assert row.speedups == {"mlp1": 1.0}
    assert rows["memory", 0.5].speedups["mlp1"] == pytest.approx(0.6, abs=0.15)
    memory = rows["memory", 4.0].weighted_mean
    clock = rows["clock+", 4.0].weighted_mean
    assert memory is not None
    assert clock is not None
    # A network that waits for its weights gains from memory, and next to nothing from the clock.
    assert memory > 1.8
    assert clock < 1.5
    assert ("matrix", 4.0) not in rows, "no array of 1024"
    assert rows["gddr5", 180 / 34].target == "tpu:v1{weight-bandwidth=180000000000B/s}"


def test_another_batch() -> None:
    assert workload_structure("mlp1", batch=3).inputs[0].type.static_shape[0] == 3
    assert workload_structure("lstm0", batch=3).inputs[1].type.static_shape == (4, 3, 1024)
    with pytest.raises(UsageError, match="batch is 0"):
        workload_structure("mlp1", batch=0)
    with pytest.raises(UsageError, match="unknown workload"):
        workload_structure("resnet-50")
