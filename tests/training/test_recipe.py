"""The schedule of the learning rate, and values that no recipe can have."""

import pytest

from nascompiler.ir import UsageError
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


def test_the_exponential_schedule_falls_in_steps():
    recipe = Recipe(epochs=10, learning_rate=1.0, warm_up_epochs=1, schedule="exponential", decay=0.9, decay_epochs=2)
    rates = [recipe.learning_rate_at(epoch / 10) for epoch in (0.5, 1.5, 2.5, 3.9, 4.1, 10)]
    assert rates == pytest.approx([0.5, 1.0, 0.9, 0.9, 0.81, 0.9**5])


def test_json_round_trip():
    recipe = Recipe(optimizer="sgd", average=0.99, shift=0)
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("data", [{"optimiser": "sgd"}, {"optimizer": "adam"}, {"epochs": "many"}, {"decay": 2.0}])
def test_json_that_is_no_recipe(data):
    with pytest.raises(UsageError, match="recipe"):
        Recipe.from_json(data)


def test_the_text_of_a_recipe_has_the_later_settings_only_where_they_differ():
    """Names of trained networks in the cache are made of it."""
    assert repr(Recipe()) == (
        "Recipe(epochs=9, batch_size=128, learning_rate=0.004, warm_up_epochs=0.5, weight_decay=0.02, "
        "label_smoothing=0.05, shift=4, recolour=False, threads=1)"
    )
    assert repr(Recipe(average=0.9)).endswith("threads=1, average=0.9)")
