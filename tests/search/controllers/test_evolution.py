from collections import Counter

from nascompiler.search.controllers.evolution import RegularisedEvolution
from tests.search.synthetic import space, worths

FOUND = space()


def differing(one, other):
    existing = [FOUND.decode(vector) for vector in (one, other)]
    return {name for name in existing[0].keys() & existing[1].keys() if existing[0][name] != existing[1][name]}


def test_children_come_from_the_best_of_those_alive():
    evolution = RegularisedEvolution(FOUND, seed=2, population=5, sample=5)
    told = []
    for _ in range(60):
        vector = evolution.ask()
        if len(told) >= 5:
            parent = max(told[-5:], key=lambda v: worths()[v][0])
            assert len(differing(vector, parent)) == 1
        evolution.tell(vector, worths()[vector][0])
        told.append(vector)


def test_the_oldest_dies_even_if_it_is_the_best():
    evolution = RegularisedEvolution(FOUND, seed=2, population=3, sample=3)
    vectors = [evolution.ask() for _ in range(3)]
    evolution.tell(vectors[0], 100.0)
    for vector in vectors[1:]:
        evolution.tell(vector, 0.0)
    evolution.tell(evolution.ask(), 1.0)
    assert 100.0 not in [reward for _, reward in evolution.state()["population"]]


def test_nothing_twice_when_only_what_is_unseen_is_wanted():
    evolution = RegularisedEvolution(FOUND, seed=2, population=10, sample=5, unseen=True)
    vectors = []
    for _ in range(300):
        vectors.append(evolution.ask())
        evolution.tell(vectors[-1], worths()[vectors[-1]][0])
    assert max(Counter(vectors).values()) == 1


def test_a_space_that_is_used_up_does_not_stop_it():
    evolution = RegularisedEvolution(FOUND, seed=2, population=10, sample=5, unseen=True, patience=4)
    vectors = []
    for _ in range(2 * FOUND.size):
        vectors.append(evolution.ask())
        evolution.tell(vectors[-1], 1.0)
    assert len(set(vectors)) > 0.9 * FOUND.size
