from __future__ import annotations

from benchmarks.peers.results import OURS, Case, Failure
from benchmarks.peers.tables import failure_lines, tables
from tests.benchmarks.peers.samples import result


def test_latencies_with_our_lead_and_its_geometric_mean() -> None:
    latency, memory = tables(
        [
            result("fast", 20.0),
            result(OURS, 10.0),
            result("fast", 16.0, model="nasnet_mobile"),
            result(OURS, 2.0, model="nasnet_mobile"),
            result("late", 40.0, model="nasnet_mobile", peak_bytes=None),
        ]
    )
    assert latency.columns == ("network", ">nascompiler", ">fast", ">late", "best other", ">its time / ours")
    assert latency.rows == (
        ("mobilenet_v1", "10.00 ±0.00", "20.00 ±0.00", "-", "fast", "2.00 ±0.00"),
        ("nasnet_mobile", "2.00 ±0.00", "16.00 ±0.00", "40.00 ±0.00", "fast", "8.00 ±0.00"),
        ("geometric mean", "", "", "", "", "4.00"),
    )
    assert memory.rows == (("mobilenet_v1", "3.0", "3.0", "-"), ("nasnet_mobile", "3.0", "3.0", "-"))


def test_without_ours_there_is_no_ratio() -> None:
    latency, _ = tables([result("fast", 20.0)])
    assert latency.rows == (("mobilenet_v1", "20.00 ±0.00", "-", "-"),)


def test_dtypes_and_threads_have_tables_of_their_own() -> None:
    found = tables(
        [result("fast", 20.0), result("fast", 9.0, dtype="int8"), result("fast", 5.0, dtype="int8", threads=2)]
    )
    titles = [table.title.partition(":")[0] for table in found]
    latency = ["fp32, 1 thread(s)", "int8, 1 thread(s)", "int8, 2 thread(s)"]
    assert titles == [*latency, "int8 against float32", *latency]
    assert found[3].rows == (("mobilenet_v1", "fast", "0.99000", "0.95000", "87.5%"),)


def test_nothing_measured_is_no_table() -> None:
    assert tables([]) == []


def test_failures_of_one_reason_share_a_line() -> None:
    lines = failure_lines(
        [
            Failure(Case(model, "ncnn", "int8", threads), "serves no int8")
            for model in ("mobilenet_v1", "mobilenet_v2")
            for threads in (1, 2)
        ]
        + [Failure(Case("mobilenet_v1", "mnn", "int8", 1), "aborted")]
    )
    assert lines == [
        "not measured: ncnn int8, 1 and 2 thread(s), mobilenet_v1, mobilenet_v2: serves no int8",
        "not measured: mnn int8, 1 thread(s), mobilenet_v1: aborted",
    ]
