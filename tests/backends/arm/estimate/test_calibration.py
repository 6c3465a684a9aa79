from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nascompiler.backends.arm.estimate.calibration import CONSTANTS, Sample, calibrate, core_file
from nascompiler.backends.arm.estimate.cost import Events
from nascompiler.backends.cores import VARIABLE, find_core
from nascompiler.backends.target import parse_target
from nascompiler.ir.errors import UsageError

A76 = find_core("arm", "cortex-a76")


def samples(core, count=12, noise=0.0):
    """Networks with random events, and the times that they take on a core."""
    generator = np.random.default_rng(3)
    made = []
    for number in range(count):
        draw = generator.integers(0, 100_000, 6).tolist()
        events = Events(0, float(generator.integers(10_000, 1_000_000)), int(generator.integers(0, 5000)), *draw)
        sample = Sample(f"n{number}", ((events, 2),), 1.0)
        factor = float(np.exp(noise * generator.standard_normal()))
        made.append(replace(sample, measured_ns=sample.estimated_ns(core) * factor))
    return made


def board(**changed):
    return replace(A76, model=replace(A76.model, **changed))


def test_constants_that_explain_the_measurements_are_found():
    real = board(memory_random_cycles=90.0, memory_stream_cycles=48.0)
    found = calibrate(A76, samples(real))
    assert found.core.model.memory_random_cycles == pytest.approx(90, rel=0.1)
    assert found.core.model.memory_stream_cycles == pytest.approx(48, rel=0.1)
    assert found.mean_error("before") > 0.15
    assert found.mean_error("after") < 0.02
    assert found.mean_error("left_out") < 0.05


def test_what_is_right_already_stays():
    found = calibrate(A76, samples(A76))
    for name in CONSTANTS:
        assert getattr(found.core.model, name) == pytest.approx(getattr(A76.model, name), rel=0.02)
    assert found.core.clock_hz == A76.clock_hz


def test_noise_is_left_as_residual_error():
    found = calibrate(A76, samples(A76, noise=0.1))
    assert 0.02 < found.mean_error("after") < 0.12
    assert found.mean_error("left_out") >= found.mean_error("after")


def test_one_measurement_is_not_enough():
    with pytest.raises(UsageError, match="two measurements or more, not 1"):
        calibrate(A76, samples(A76, 1))


@pytest.mark.parametrize("name", ["cortex-a53", "cortex-a76", "rk3588-big"])
def test_a_calibrated_core_is_a_target_of_its_own(tmp_path, monkeypatch, name):
    core = find_core("arm", name)
    changed = replace(core, model=replace(core.model, memory_stream_cycles=17.25))
    (tmp_path / "mine.toml").write_text(core_file(changed, "mine", 'said "so"'))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    made = parse_target("arm:mine").core
    assert made is not None
    assert made.model == replace(changed.model, origin='said "so"')
    assert (made.l1_data, made.l2, made.l3, made.cpus) == (core.l1_data, core.l2, core.l3, core.cpus)
    assert parse_target("arm:mine").timing_fingerprint != parse_target(f"arm:{name}").timing_fingerprint
