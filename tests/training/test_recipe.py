"""The schedule of the learning rate, and values that no recipe can have."""

import pytest

pytest.importorskip("torch")

from nascompiler.training.recipe import Recipe


def test_the_learning_rate_rises_and_falls():
    recipe = Recipe(epochs=10, learning_rate=0.1, warm_up_epochs=1)
    assert recipe.learning_rate_at(0) == 0
    assert recipe.learning_rate_at(0.05) == pytest.approx(0.05)
    assert recipe.learning_rate_at(0.1) == pytest.approx(0.1)
    assert recipe.learning_rate_at(0.55) == pytest.approx(0.05)
    assert recipe.learning_rate_at(1) == pytest.approx(0)


@pytest.mark.parametrize("warm_up", [0, 3, 5])
def test_a_warm_up_may_be_missing_or_as_long_as_the_training(warm_up):
    recipe = Recipe(epochs=3, learning_rate=0.1, warm_up_epochs=warm_up)
    rates = [recipe.learning_rate_at(step / 30) for step in range(31)]
    assert all(0 <= rate <= 0.1 for rate in rates)


@pytest.mark.parametrize(
    "option",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"threads": 0},
        {"shift": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"warm_up_epochs": -1.0},
        {"weight_decay": -0.1},
        {"label_smoothing": 1.0},
    ],
)
def test_impossible_values_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        Recipe(**option)
