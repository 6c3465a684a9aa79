"""One call from cells to a measured artifact; what is in the way shows before anything is trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from nascompiler import api
from nascompiler.data.load import load_dataset
from nascompiler.ir import UsageError, files

pytest.importorskip("torch")

from nascompiler.training.presets import recipe_for
from nascompiler.transfer.deployment import transfer
from nascompiler.transfer.stacking import Stacking

CELLS = Path(__file__).with_name("tiny-cells.nir")


@pytest.mark.slow  # two artifacts are compiled and timed
def test_from_cells_to_a_measured_artifact(tmp_path):
    data = load_dataset("digits")
    recipe = replace(recipe_for("default", data), epochs=1)
    found = transfer(files.load(CELLS), data, recipe, tmp_path / "out", stacking=Stacking("cifar", 1, 6))
    assert found.deployed in ("float", "int8")
    assert found.verification.passed
    assert found.bench.ours.latency.median_ns > 0
    score = found.quantization.report.score
    assert score is not None
    assert score.samples == len(data.held_out)
    assert score.floating == pytest.approx(found.trained.held_out_accuracy, abs=0.01)
    architecture = files.load(tmp_path / "out" / "architecture.nir")
    assert architecture.level == "arch"
    assert api.load_artifact(tmp_path / "out" / "artifact").folder.is_dir()
    with pytest.raises(UsageError, match=r"already has architecture\.nir, float\.nir, int8\.nir, artifact"):
        transfer(files.load(CELLS), data, recipe, tmp_path / "out")


def test_what_does_not_fit_shows_before_anything_is_written(tmp_path):
    data = load_dataset("digits")
    with pytest.raises(UsageError, match="not made of cells"):
        transfer(api.load("mnasnet-a1"), data, recipe_for("default", data), tmp_path, stacking=Stacking("mobile"))
    with pytest.raises(UsageError, match="size is 8x8"):
        transfer(api.load("mnasnet-a1"), data, recipe_for("default", data), tmp_path)
    assert not list(tmp_path.iterdir())
