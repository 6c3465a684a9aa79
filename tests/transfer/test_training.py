"""Architectures trained for good: fitted to the data, with what training adds, which is gone in the end."""

from dataclasses import replace
from pathlib import Path

import pytest

from nascompiler import spaces
from nascompiler.data.load import load_dataset
from nascompiler.ir import UsageError, files

pytest.importorskip("torch")

from nascompiler.training.presets import PAPERS, recipe_for
from nascompiler.transfer.training import Options, train_longer

CELLS = Path(__file__).with_name("tiny-cells.nir")


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits")
    return replace(data, train=data.train.head(240), held_out=data.held_out.head(100), test=data.test.head(50))


def test_an_architecture_is_fitted_and_what_training_adds_is_gone(digits):
    recipe = replace(recipe_for("default", digits), epochs=1)
    options = Options(keep_paths=0.5, auxiliary_head=True)
    first, same = (train_longer(files.load(CELLS), digits, recipe, options, seed=3) for _ in range(2))
    assert first.graph.inputs[0].type.shape == (1, 8, 8, 3)
    assert first.graph.output_names == ["logits"]
    assert first.held_out_accuracy == same.held_out_accuracy
    assert first.test_accuracy == same.test_accuracy
    keeps = [node["keep_probability"] for node in first.graph.nodes if node.op.name == "nn.drop_path"]
    assert min(keeps) == 0.5

    longer = train_longer(first.graph, digits, recipe, seed=4)
    assert longer.held_out_accuracy > first.held_out_accuracy
    heir = train_longer(files.load(CELLS), digits, recipe, Options(weights=longer.graph), seed=5)
    assert heir.inherited == 1
    assert heir.epochs[0].loss < first.epochs[0].loss


def test_what_is_no_architecture_for_the_data(digits):
    recipe = recipe_for("default", digits)
    with pytest.raises(UsageError, match="open choices; close them first"):
        train_longer(spaces.load_graph("mnasnet-glyphs"), digits, recipe)
    small = spaces.load("mnasnet-glyphs")
    with pytest.raises(UsageError, match="size is 8x8; accepted"):
        train_longer(small.architecture(small.sample(0)), digits, recipe)


def test_recipes_by_name(digits):
    assert recipe_for("nasnet-cifar", digits) is PAPERS["nasnet-cifar"]
    assert recipe_for("default", digits).shift == 0
    assert recipe_for("default", load_dataset("digits")).batch_size == 16
    with pytest.raises(UsageError, match="unknown recipe"):
        recipe_for("imagenet", digits)
