from __future__ import annotations

import json

import pytest

from nascompiler.backends.errors import DeviceError
from nascompiler.calibration import calibrate_target, read_measurements
from nascompiler.ir.errors import UsageError


def written(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_file_of_measurements(tmp_path):
    data = {"measurements": [{"model": "mobilenet-v2", "width": 0.5, "median_ns": 2}, {"model": "x", "median_ns": 3.5}]}
    first, second = read_measurements(written(tmp_path / "m.json", data))
    assert (first.name, first.options, first.median_ns) == ("mobilenet-v2 width=0.5", {"width": 0.5}, 2.0)
    assert (second.name, second.median_ns) == ("x", 3.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "cannot read .*accepted: "),
        ({}, "has no measurements; accepted: "),
        ({"measurements": [1]}, "measurement 1: 1 is no object"),
        (
            {"measurements": [{"model": "x", "median_ns": 1, "colour": 2}, {"model": 3, "median_ns": -1}]},
            "measurement 1: unknown 'colour'.*measurement 2: model is 3.*measurement 2: median_ns is -1",
        ),
    ],
)
def test_bad_files_are_one_error_with_all_faults(tmp_path, data, message):
    with pytest.raises(UsageError, match=message):
        read_measurements(written(tmp_path / "m.json", data))


def test_what_has_no_model_cannot_be_calibrated(tmp_path):
    measured = read_measurements(written(tmp_path / "m.json", {"measurements": [{"model": "x", "median_ns": 1}]}))
    with pytest.raises(DeviceError, match="cycles on cpu cannot be estimated"):
        calibrate_target("cpu", measured)
    with pytest.raises(UsageError, match="without device="):
        calibrate_target("arm:cortex-a72{device=127.0.0.1:9090}", measured)
