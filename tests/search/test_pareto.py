import numpy as np
import pytest

from nascompiler.search.pareto import hypervolume, pareto_front


def dominated(costs, index):
    return any((other <= costs[index]).all() and (other < costs[index]).any() for other in costs)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_front_is_what_nothing_dominates(objectives, seed):
    costs = np.random.default_rng(seed).integers(0, 12, size=(60, objectives)).astype(float)
    front = pareto_front(costs)
    assert not any(dominated(costs, index) for index in front)
    points = {tuple(costs[index]) for index in front}
    assert len(points) == len(front)
    assert points == {tuple(point) for index, point in enumerate(costs) if not dominated(costs, index)}
    assert [tuple(costs[index]) for index in front] == sorted(points)


def test_the_first_of_equal_points_is_kept():
    assert pareto_front(np.array([[2.0, 2.0], [1.0, 1.0], [1.0, 1.0]])) == [1]
    assert pareto_front(np.empty((0, 2))) == []


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_hypervolume_is_the_part_of_a_box_that_is_dominated(objectives):
    generator = np.random.default_rng(1)
    costs = generator.uniform(0, 1.2, size=(12, objectives))
    probes = generator.uniform(0, 1, size=(40_000, objectives))
    part = (probes[:, None, :] >= costs[None]).all(axis=2).any(axis=1).mean()
    assert hypervolume(costs, [1.0] * objectives) == pytest.approx(part, abs=0.01)


def test_hypervolume_by_hand():
    assert hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), [3.0, 3.0]) == 3.0
    assert hypervolume(np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]]), [3.0, 3.0, 3.0]) == 9.0
    assert hypervolume(np.array([[4.0, 0.0]]), [3.0, 3.0]) == 0.0
