"""The three networks: sizes, names in the cache, training once, reading afterwards."""

import sys

import pytest

pytest.importorskip("torch")

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.glyphs import CLASSES, SPLITS, glyphs
from nascompiler.ir import UsageError, fingerprint, graph_cost
from nascompiler.passes import run_pipeline
from nascompiler.training import glyph_networks
from nascompiler.training.recipe import Recipe


@pytest.mark.parametrize("name", glyph_networks.RECIPES)
def test_every_architecture_takes_glyphs_and_is_small(name):
    graph = run_pipeline(glyph_networks.architecture(name), "expand-cells")
    assert graph.name == name
    assert [value.type.shape for value in graph.inputs] == [(1, 64, 64, 3)]
    assert [value.type.shape for value in graph.outputs] == [(1, 62)]
    assert 2e6 < graph_cost(graph).macs < 6e6


def test_each_kind_of_network_has_what_makes_it_hard_to_quantize():
    ops = {
        name: {node.op.name for node in run_pipeline(glyph_networks.architecture(name), "expand-cells").nodes}
        for name in glyph_networks.RECIPES
    }
    assert {"nn.hard_swish", "nn.squeeze_excite"} <= ops["glyphs-mobilenet-v3"]
    assert {"nn.relu", "nn.squeeze_excite"} <= ops["glyphs-mnasnet"]
    assert {"nn.concat", "nn.average_pool2d", "nn.max_pool2d"} <= ops["glyphs-nasnet"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="glyphs-mobilenet-v3"):
        glyph_networks.glyph_network("glyphs-mobilenet")


def test_the_name_in_the_cache_depends_on_all_that_the_weights_do(monkeypatch, tmp_path):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path))
    name = "glyphs-mnasnet"
    first = glyph_networks.trained_path(name)
    assert first.parent == tmp_path / "trained"
    others = {glyph_networks.trained_path(name, 1), glyph_networks.trained_path("glyphs-nasnet")}
    monkeypatch.setitem(glyph_networks.RECIPES, name, Recipe(epochs=99))
    others.add(glyph_networks.trained_path(name))
    monkeypatch.undo()
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path))
    monkeypatch.setattr(glyph_networks, "TRAINER", 99)
    others.add(glyph_networks.trained_path(name))
    assert len(others | {first}) == 5


def test_a_network_is_trained_once_and_read_afterwards(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path))
    name = "glyphs-mobilenet-v3"
    few = Dataset("few", CLASSES, *(Split(*glyphs(16, split), Normalization()) for split in SPLITS))
    monkeypatch.setattr(glyph_networks, "load_dataset", lambda _: few)
    monkeypatch.setitem(glyph_networks.RECIPES, name, Recipe(epochs=1, batch_size=8))
    trained = glyph_networks.glyph_network(name, seed=3)
    assert "epoch 1 of 1" in capsys.readouterr().err
    monkeypatch.delattr(glyph_networks, "train")
    again = glyph_networks.glyph_network(name, seed=3)
    assert fingerprint(again) == fingerprint(trained)
    report = glyph_networks.report(name, seed=3)
    assert report["seed"] == 3
    assert 0 <= report["test_accuracy"] <= 1


def test_the_command_refuses_an_unknown_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["glyph_networks", "resnet"])
    with pytest.raises(SystemExit) as exit:
        glyph_networks.main()
    assert exit.value.code == 2
    assert capsys.readouterr().err.startswith("error: unknown glyph network 'resnet'")
