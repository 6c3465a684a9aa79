"""Machines are data; figures can be overridden, impossible ones are refused."""

from fractions import Fraction

import pytest

from nascompiler.backends.tpu.machine import describe_machine, machine_names, parse_machine
from nascompiler.ir.errors import UsageError


def test_v1_is_the_papers_machine() -> None:
    v1 = parse_machine("tpu:v1")
    assert v1.peak_macs_per_s * 2 == pytest.approx(91.75e12, rel=1e-4)
    assert v1.unified_buffer_bytes // v1.array == 98304
    assert v1.weight_cycles_per_byte * v1.tile_bytes == Fraction(65536 * 7, 340)
    assert v1.extensions == {"elementwise"}
    assert v1.power is not None
    assert v1.power.busy_w == 40


def test_prime_differs_in_its_weight_memory_only() -> None:
    v1, prime = parse_machine("tpu:v1"), parse_machine("tpu:prime")
    ridge = prime.peak_macs_per_s / prime.weight_bandwidth_bytes_per_s
    assert ridge == pytest.approx(250, rel=0.05)
    assert prime.unified_buffer_bytes == v1.unified_buffer_bytes
    assert prime.assumed is not None
    assert set(v1.assumed or {}) <= set(prime.assumed)


def test_every_file_says_what_is_assumed() -> None:
    assert machine_names() == ["tpu:edge", "tpu:prime", "tpu:tiny", "tpu:v1"]
    for name in machine_names():
        assert parse_machine(name).name == name
        assert describe_machine(name)["assumed"]


def test_overrides() -> None:
    machine = parse_machine("tpu:v1{clock=1050MHz, extensions=partial-tiles+depthwise}")
    assert machine.clock_hz == 1_050_000_000
    assert machine.extensions == {"partial-tiles", "depthwise"}
    assert str(machine) == "tpu:v1{clock=1050MHz,extensions=partial-tiles+depthwise}"
    assert parse_machine(str(machine)) == machine
    wider = machine.with_options(array=512, weight_bandwidth="unlimited", clock="1.4GHz")
    assert (wider.array, wider.weight_cycles_per_byte, wider.clock_hz) == (512, 0, 1_400_000_000)
    assert parse_machine("tpu:v1{extensions=none,overlap=false}").extensions == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpu", "cannot read target"),
        ("tpu:v2", "did you mean tpu:v1"),
        ("tpu:v1{array=0,fifo=0}", "array is 0; it must be from 2 to 512; fifo is 0"),
        ("tpu:v1{array=1024}", "array is 1024"),
        ("tpu:v1{accumulators=0}", "accumulators is 0"),
        ("tpu:v1{unified-buffer=100}", "unified-buffer is 100"),
        ("tpu:v1{parameter-memory=1KiB}", "parameter-memory is 1024"),
        ("tpu:v1{clock=fast}", "a quantity such as 700MHz"),
        ("tpu:v1{clock=700MB}", "a quantity such as 700MHz"),
        ("tpu:v1{weight-bandwidth=0GB/s}", "nothing would ever arrive"),
        ("tpu:v1{array=-3}", "a whole number"),
        ("tpu:v1{overlap=maybe}", "true or false"),
        ("tpu:v1{speed=3}", "unknown option of a TPU"),
        ("tpu:v1{clock=}", "no value"),
        ("tpu:v1{extensions=everything}", "unknown extension"),
    ],
)
def test_bad_targets(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_machine(text)
