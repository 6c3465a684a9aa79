"""Target strings, the facts about the machine, and what is refused."""

from dataclasses import replace

import pytest

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import Host, detect_host
from nascompiler.backends.target import describe, parse_target, target_names
from nascompiler.ir import UsageError

AVX2 = ["sse2", "avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"]
AVX512 = [*AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]
AMX = [*AVX512, "avx512_vnni", "avx512_vbmi2", "avx512_bitalg", "gfni", "vaes", "avx512_fp16"]
AMX += ["amx_tile", "amx_int8", "amx_bf16"]


def host(*features: str, architecture: str = "x86_64") -> Host:
    return Host(architecture, "test", frozenset(features), cores=2)


def test_cpu_is_there_and_described():
    assert "cpu" in target_names()
    assert describe("cpu")["description"]


def test_options_and_defaults():
    assert parse_target("cpu").threads == 1
    assert parse_target(" cpu{threads=2} ").threads == 2
    assert str(parse_target("cpu{isa=auto, threads=3}")) == "cpu{threads=3,isa=auto}"
    chosen = parse_target("cpu{threads=2}")
    assert parse_target(chosen) is chosen
    assert parse_target(str(chosen)) == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpx", r"unknown target 'cpx' \(did you mean cpu\?\); accepted: .*cpu"),
        ("cpu{thread=2}", r"unknown target option 'thread' \(did you mean threads\?\)"),
        ("cpu{threads=0}", "accepted: an integer >= 1"),
        ("cpu{threads=two}", "accepted: an integer >= 1"),
        ("cpu{threads}", "option threads has no value"),
        ("cpu{threads=2", "cannot read target"),
        ("cpu{isa=avx3}", "unknown instruction set 'avx3'"),
        ("", "cannot read target"),
    ],
)
def test_what_cannot_be_read_says_what_is_accepted(text, message):
    with pytest.raises(UsageError, match=message):
        parse_target(text)


@pytest.mark.parametrize(
    ("features", "isa", "processor"),
    [
        (AMX, "amx", "sapphirerapids"),
        ([*AVX512, "avx512_vnni"], "avx512_vnni", "cascadelake"),
        (AVX512, "avx512", "skylake-avx512"),
        (AVX2, "avx2", "haswell"),
        (["sse2"], "sse2", "x86-64"),
    ],
)
def test_features_choose_the_processor(features, isa, processor):
    chosen = parse_target("cpu", host=host(*features)).isa
    assert (chosen.name, chosen.processor) == (isa, processor)
    assert chosen.features <= set(features)


def test_an_instruction_set_the_machine_lacks_is_refused():
    with pytest.raises(DeviceError, match="lacks avx512"):
        parse_target("cpu{isa=avx512}", host=host(*AVX2))
    assert parse_target("cpu{isa=avx2}", host=host(*AVX512)).isa.name == "avx2"
    assert parse_target("cpu", host=host("asimd", architecture="aarch64")).isa.name == "neon"
    with pytest.raises(DeviceError):
        parse_target("cpu", host=host())


def test_the_fingerprint_follows_what_code_depends_on():
    machine = host(*AVX512)
    base = parse_target("cpu", host=machine).fingerprint
    assert parse_target("cpu{threads=2}", host=machine).fingerprint == base
    assert parse_target("cpu{isa=avx2}", host=machine).fingerprint != base
    assert parse_target("cpu", host=replace(machine, l2_bytes=1 << 21)).fingerprint != base


def test_the_machine_is_known():
    found = detect_host()
    assert found.cores >= 1
    assert found.architecture
    assert found.features
