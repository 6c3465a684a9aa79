from __future__ import annotations

import json
from typing import Any


def test_targets_are_listed_with_options_and_words(cli: Any) -> None:
    result = cli("targets")
    assert result.code == 0
    assert "cpu" in result.out
    assert "threads=1" in result.out
    assert "processor" in result.out


def test_json_is_the_data_file(cli: Any) -> None:
    assert json.loads(cli("targets", "--json").out)["cpu"]["kind"] == "cpu"


def test_doctor_knows_what_compiling_needs(cli: Any) -> None:
    result = cli("doctor", "--json")
    findings = {finding["piece"]: finding for finding in json.loads(result.out)}
    assert findings["apache-tvm-ffi"]["needed"]
    assert result.code == (5 if any(f["needed"] and f["state"] != "ok" for f in findings.values()) else 0)
    assert all(f["remedy"] for f in findings.values() if f["state"] != "ok")


def test_doctor_names_a_clash_and_its_remedy(cli: Any, monkeypatch: Any) -> None:
    from nascompiler import doctor

    versions = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.15.post2"}
    monkeypatch.setattr(doctor, "installed_versions", lambda: versions)
    result = cli("doctor")
    assert result.code == 5
    assert "clash" in result.out
    assert "apache-tvm-ffi==" in result.out
