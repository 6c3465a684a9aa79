"""What holds for every controller."""

import json

import numpy as np
import pytest

from nascompiler.ir import UsageError
from nascompiler.search import controllers
from tests.search.synthetic import space, worths

FOUND = space()
SETTINGS = [(name, preset) for name in ("ppo", "evolution", "random") for preset in ("small", "paper")]


def run(controller, trials, *, in_flight=1, begun=()):
    """Ask and tell so that `in_flight` are asked for before the first is told; the vectors, and those not told yet."""
    asked = list(begun)
    vectors = []
    for _ in range(trials):
        while len(asked) < in_flight:
            asked.append(controller.ask())
        vector = asked.pop(0)
        controller.tell(vector, worths()[vector][0])
        vectors.append(vector)
    return vectors, asked


def test_there_are_three():
    assert controllers.names() == ["evolution", "ppo", "random"]


@pytest.mark.parametrize("name, preset", SETTINGS)
@pytest.mark.parametrize("in_flight", [1, 4])
def test_the_same_seed_gives_the_same_proposals(name, preset, in_flight):
    first, second, other = (
        run(controllers.create(name, FOUND, seed=seed, preset=preset), 60, in_flight=in_flight)[0] for seed in (3, 3, 4)
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize("name, preset", SETTINGS)
@pytest.mark.parametrize("after", [0, 7, 43])
def test_a_restored_controller_goes_on_as_the_other(name, preset, after):
    controller = controllers.create(name, FOUND, seed=5, preset=preset)
    _, asked = run(controller, after, in_flight=3)
    restored = controllers.restore(name, FOUND, json.loads(json.dumps(controller.state())))
    assert run(restored, 60, in_flight=3, begun=asked) == run(controller, 60, in_flight=3, begun=asked)


@pytest.mark.parametrize("name, preset", SETTINGS)
def test_proposals_are_in_the_space(name, preset):
    for vector in run(controllers.create(name, FOUND, seed=1, preset=preset), 60)[0]:
        assert FOUND.encode(FOUND.decode(vector)) == vector


@pytest.mark.parametrize("name", ["ppo", "evolution"])
def test_learning_beats_luck(name):
    learned, drawn = (run(controllers.create(n, FOUND, seed=9), 300)[0] for n in (name, "random"))
    accuracies = [np.mean([worths()[v][0] for v in vectors[-60:]]) for vectors in (learned, drawn)]
    everything = [accuracy for accuracy, _ in worths().values()]
    assert accuracies[0] > np.percentile(everything, 75) > accuracies[1]


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("nothing", {}, "unknown controller 'nothing'.*accepted: evolution, ppo or random"),
        ("ppo", {"preset": "big"}, "unknown preset of ppo 'big'.*paper or small"),
        ("ppo", {"unit": 3}, "cannot be made.*unit"),
        ("ppo", {"minibatch": 0}, "minibatch is 0"),
        ("ppo", {"learning_rate": -1.0}, "learning_rate is -1.0"),
        ("evolution", {"population": 5, "sample": 6}, "sample is 6; accepted: 1 to 5"),
    ],
)
def test_bad_settings(name, settings, message):
    with pytest.raises(UsageError, match=message):
        controllers.create(name, FOUND, **settings)
