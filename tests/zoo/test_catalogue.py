"""The zoo's files: readable, canonical, and of exactly the counts they claim."""

import pytest

from nascompiler import zoo
from nascompiler.ir import UsageError, graph_cost, print_graph, verify
from nascompiler.passes import run_pipeline
from nascompiler.zoo.catalogue import FOLDER

EXACT = {  # recomputed from the papers' tables by an independent counter
    "mobilenet-v1": (4_231_976, 568.7),
    "mobilenet-v2": (3_504_872, 300.8),
    "mobilenet-v3-large": (5_483_032, 216.6),
    "mobilenet-v3-small": (2_542_856, 56.5),
    "mobilenet-v3-large-minimalistic": (3_924_288, 209.1),
    "mobilenet-v3-small-minimalistic": (2_044_736, 52.3),
    "mnasnet-a1": (3_887_038, 311.6),
    "mnasnet-b1": (4_383_312, 314.4),
    "mnasnet-small": (2_030_264, 68.3),
    "resnet-50": (25_557_032, 4089),
    "nasnet-a-mobile": (5_289_978, 563.6),
    "nasnet-a-large": (88_753_150, 23783),
    "nasnet-a-cifar": (3_346_538, None),
}


@pytest.mark.parametrize("name", zoo.names())
def test_counts_are_exact(name):
    cost = graph_cost(run_pipeline(zoo.load(name), "expand-cells"))
    entry = zoo.entry(name)
    assert (cost.params, cost.macs) == (entry.params, entry.macs)
    if name in EXACT:
        params, millions = EXACT[name]
        assert cost.params == params
        assert millions is None or cost.macs / 1e6 == pytest.approx(millions, abs=0.5 if millions > 4000 else 0.05)


@pytest.mark.parametrize("name", zoo.names())
def test_files_are_architectures_in_few_lines_and_in_canonical_form(name):
    graph = zoo.load(name)
    verify(graph)
    assert graph.level == "arch"
    assert graph.name == name
    text = (FOLDER / f"{name}.nir").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.strip().startswith("#")]
    assert "\n".join(lines) + "\n" == print_graph(graph)
    assert len(lines) <= 50


def test_every_entry_says_where_it_comes_from():
    assert all(zoo.entry(name).source for name in zoo.names())
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(zoo.names())


def test_an_unknown_name():
    with pytest.raises(UsageError, match=r"unknown model 'mobilenet-v3' .*accepted: .*mobilenet-v3-large"):
        zoo.load("mobilenet-v3")
