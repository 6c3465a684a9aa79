"""The recorded table: what is in it belongs to the space, says what a child of now would, and is read as written."""

import random

import pytest

from nascompiler import spaces
from nascompiler.search.evaluator import size
from nascompiler.search.recorded import benchmark, load, table
from nascompiler.search.trial import TrialSpec


def test_every_row_is_an_architecture_of_the_space() -> None:
    space = spaces.load(benchmark.SPACE)
    rows = load()
    assert set(rows) <= {space.encode(decisions) for decisions in space.enumerate()}
    assert all(0 < row.accuracy < 1 and row.accuracy == row.curve[-1] for row in rows.values())
    assert {len(row.curve) for row in rows.values()} == {benchmark.PROXY.recipe.epochs}
    for vector in random.Random(0).sample(sorted(rows), 3):
        assert size(space.architecture(vector)) == (rows[vector].parameters, rows[vector].macs)


def test_a_table_is_read_as_it_was_written() -> None:
    rows = list(load().values())[:20]
    measured = [table.Row(rows[0].vector, 0.5, (0.25, 0.5), 10, 20, 1234.0, 5.0), *rows[1:]]
    assert list(table.read(table.write(measured))) == measured
    assert table.packed(measured) == table.packed(measured)


@pytest.mark.slow  # glyphs-62 are drawn where they are not in the cache yet
def test_a_child_trained_now_is_as_accurate_as_the_table_says() -> None:
    pytest.importorskip("torch")
    from nascompiler.search.children.source import TrainedAccuracy

    space, rows = spaces.load(benchmark.SPACE), load()
    source = TrainedAccuracy(benchmark.DATA, benchmark.PROXY)
    for vector in random.Random(1).sample(sorted(rows), 3):
        found = source.accuracy(TrialSpec(0, vector, space.architecture(vector), seed=0))
        # Other processors sum in another order; on a machine of the same kind the two are equal.
        assert found.value == pytest.approx(rows[vector].accuracy, abs=0.1)
