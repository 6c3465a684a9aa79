import numpy as np

from nascompiler.search.controllers.decisions import DecisionTable
from tests.search.synthetic import space

FOUND = space()
TABLE = DecisionTable.of(FOUND.choices)


def test_drawn_vectors_are_those_of_the_space():
    generator = np.random.default_rng(0)
    for _ in range(200):
        vector = TABLE.drawn(generator)
        assert FOUND.encode(FOUND.decode(vector)) == vector


def test_draws_reach_every_option():
    generator = np.random.default_rng(0)
    drawn = np.array([TABLE.drawn(generator) for _ in range(500)])
    assert [len(set(column)) for column in drawn.T] == list(TABLE.sizes)


def test_a_mutation_changes_one_decision_and_what_depends_on_it():
    generator = np.random.default_rng(0)
    dependent = {p for p, condition in enumerate(TABLE.conditions) if condition is not None}
    for _ in range(500):
        parent = TABLE.drawn(generator)
        child = TABLE.mutated(parent, generator)
        assert FOUND.encode(FOUND.decode(child)) == child
        assert child != parent
        before, after = TABLE.existing(parent), TABLE.existing(child)
        changed = {p for p in before.keys() & after.keys() if before[p] != after[p]}
        appeared = before.keys() ^ after.keys()
        assert len(changed) == 1
        assert appeared <= dependent
        assert all(TABLE.conditions[p][0] in changed for p in appeared)


def test_each_existing_decision_is_as_likely_to_mutate():
    generator = np.random.default_rng(0)
    parent = TABLE.drawn(generator)
    free = [p for p in TABLE.existing(parent) if TABLE.sizes[p] > 1]
    children = [TABLE.mutated(parent, generator) for _ in range(1000)]
    counts = [sum(child[p] != parent[p] for child in children) for p in free if TABLE.conditions[p] is None]
    assert min(counts) > 0.6 * 1000 / len(free)
