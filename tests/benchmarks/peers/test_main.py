from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import __main__ as program
from benchmarks.peers.results import OURS, Case, Failure, Result
from tests.benchmarks.peers.samples import result


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--models", "alexnet"], "--models: alexnet; accepted: mobilenet_v1"),
        (["--peers", "onnxruntime,abacus"], "--peers: abacus; accepted: nascompiler, onnxruntime"),
        (["--dtype", ","], "--dtype: nothing; accepted: fp32, int8"),
        (["--threads", "1,0"], "--threads: '0'; accepted: an integer of at least 1"),
        (["--rounds", "few"], "--rounds: 'few'; accepted: an integer of at least 1"),
    ],
)
def test_bad_options_say_what_is_accepted(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(arguments)
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_options_have_lists() -> None:
    given = program.parser().parse_args(["--models", "nasnet_mobile, mobilenet_v1", "--threads", "1,2,1"])
    assert given.models == ("nasnet_mobile", "mobilenet_v1")
    assert given.threads == (1, 2)
    assert given.peers[0] == OURS


def test_a_run_leaves_lines_tables_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(model: str, peers: tuple[str, ...], dtype: str, threads: int, *_: Any, **__: Any) -> list[Any]:
        lines: list[Result | Failure] = [
            result(OURS, 10.0, model=model, dtype=dtype, threads=threads),
            result("onnxruntime", 19.0, model=model, dtype=dtype, threads=threads),
            Failure(Case(model, "ncnn", dtype, threads), "not installed"),
        ]
        return lines

    monkeypatch.setattr(program, "measure", measured)
    program.main(["--models", "mobilenet_v1", "--dtype", "fp32,int8", "--folder", str(tmp_path)])
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["dtype"], line["peer"]) for line in lines] == [
        (dtype, peer) for dtype in ("fp32", "int8") for peer in (OURS, "onnxruntime", "ncnn")
    ]
    assert (tmp_path / "latency.png").exists()
    shown = capsys.readouterr().out
    assert "1.90 ±0.00" in shown
    assert "not measured: ncnn fp32, 1 thread(s), mobilenet_v1: not installed" in shown
