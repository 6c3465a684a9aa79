"""Kernel calls timed through RPC. The server here is an emulated core, whose times mean nothing."""

from __future__ import annotations

import pytest

from nascompiler.backends.cores import find_core
from nascompiler.backends.cpu.choice import TEMPLATE, variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.devices.serving import served
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.measure import Kind
from nascompiler.backends.measure.timing import kernel_measurer, new_session
from nascompiler.backends.target import parse_target
from tests.backends.arm.estimate.conftest import missing_tools
from tests.backends.arm.estimate.test_estimator import only_call, pointwise

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"{', '.join(missing_tools())} missing")

KEY = "a-key"


def test_variants_are_checked_and_timed_on_a_device():
    graph = pointwise(8, 16, 16)
    call = KernelCall.of(only_call(graph))
    core = find_core("arm", "cortex-a72")
    with served(core, address="127.0.0.1", port=0, key=KEY, threads=1) as (port, _):
        target = parse_target(f"arm:cortex-a72{{device=127.0.0.1:{port}/{KEY}}}")
        default = next(iter(variants(call, target)))
        session = new_session(target)
        assert session.kind is Kind.MEASURED
        assert session.environment["device"] == f"127.0.0.1:{port}/{KEY}"
        with kernel_measurer(graph, target) as measurer:
            tuning = measurer.measure(call.key, 0.1, only=[default, TEMPLATE])
            assert set(tuning.measured) == {default, TEMPLATE}
            assert tuning.kind is Kind.MEASURED
            assert tuning.measured[default].gain == 1.0
            assert all(row.median_ns > 0 and row.repeats > 1 for row in tuning.measured.values())
    with kernel_measurer(graph, target) as measurer, pytest.raises(DeviceError, match="there is no device at"):
        measurer.measure(call.key, 0.1, only=[default])


def test_a_board_that_is_not_there_is_said_at_once():
    with pytest.raises(DeviceError, match=r"there is no device at 127\.0\.0\.1:9"):
        new_session(parse_target("arm:cortex-a72{device=127.0.0.1:9}"))
