"""Closes open choices: a search space becomes an architecture, or a smaller search space."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Attribute, Choice, Graph, SymbolRef, UsageError, infer_all
from nascompiler.ir.errors import choices_text, unknown
from nascompiler.ir.text.syntax import format_attribute
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass

Decisions = Mapping[str, Attribute]
"""Chosen option by name of the choice."""


@register_pass
@dataclass(frozen=True)
class Decide(Pass):
    """Closes choices by name (`choices="b1.op=conv,b1.kernel=5"`), by a `vector` of option indices, or by a `seed`.

    The vector has one index for every choice still open, in the order of declaration; those of choices whose
    condition does not hold are ignored. A seed decides what the names leave open; without it that stays open. A
    choice whose condition does not hold becomes its first option wherever it is referred to.
    Raises UsageError for unknown choices and options, listing those allowed.
    """

    may_ensure = frozenset({"closed"})
    preserves = Nothing("an open graph has no values")

    choices: str = ""
    vector: tuple[int, ...] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.vector is not None and (self.choices or self.seed is not None):
            raise ValueError("a vector decides everything; give it without choices and seed")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed is {self.seed}; accepted: integers from 0 on")
        _pairs(self.choices)

    def run(self, graph: Graph, context: PassContext) -> None:
        if self.vector is not None:
            decisions = from_vector(graph.choices, self.vector)
        else:
            decisions = by_name(graph.choices, _pairs(self.choices))
            if self.seed is not None:
                decisions = {**at_random(graph.choices, self.seed), **decisions}
        close(graph, decisions, named=_pairs(self.choices))


def from_vector(choices: Mapping[str, Choice], vector: Sequence[int]) -> dict[str, Attribute]:
    """The options that the indices stand for; raises UsageError listing every index that is out of range."""
    if len(vector) != len(choices):
        raise UsageError(f"vector has {len(vector)} indices; accepted: {len(choices)}, one for each choice")
    wrong = [
        f"{index} for {choice.name}; accepted: 0 to {len(choice.options) - 1} ({_options(choice)})"
        for choice, index in zip(choices.values(), vector, strict=True)
        if not 0 <= index < len(choice.options)
    ]
    if wrong:
        raise UsageError(f"vector has {'; '.join(wrong)}")
    return {choice.name: choice.options[index] for choice, index in zip(choices.values(), vector, strict=True)}


def at_random(choices: Mapping[str, Choice], seed: int) -> dict[str, Attribute]:
    """An option for every choice, each as likely as the others; the same for the same seed."""
    generator = np.random.default_rng(seed)
    return {name: choice.options[int(generator.integers(len(choice.options)))] for name, choice in choices.items()}


def by_name(choices: Mapping[str, Choice], named: Mapping[str, str]) -> dict[str, Attribute]:
    """The options that texts stand for; raises UsageError listing every unknown choice and option."""
    decisions: dict[str, Attribute] = {}
    wrong = []
    for name, text in named.items():
        if name not in choices:
            wrong.append(str(unknown("choice", name, choices)))
            continue
        spelled = {format_attribute(option): option for option in choices[name].options}
        spelled |= {str(option): option for option in choices[name].options if isinstance(option, (str, int, float))}
        if text in spelled:
            decisions[name] = spelled[text]
        else:
            wrong.append(f"{name} cannot be {text!r}; accepted: {_options(choices[name])}")
    if wrong:
        raise UsageError("; ".join(wrong))
    return decisions


def close(graph: Graph, decisions: Decisions, *, named: Mapping[str, str] | None = None) -> None:
    """Put the decisions in place everywhere and infer types again.

    Decisions for choices whose condition does not hold are ignored, but refused (UsageError) for those in `named`.
    """
    settled: dict[str, Attribute] = {}
    remaining: dict[str, Choice] = {}
    dropped: set[str] = set()
    for name in conditions_first(graph.choices):
        choice = graph.choices[name]
        held = _condition_holds(choice, settled, dropped)
        if held is False:
            if named and name in named:
                raise UsageError(f"{name} exists only {_condition(choice)}")
            dropped.add(name)
            settled[name] = choice.options[0]
        elif name in decisions:
            settled[name] = decisions[name]
        else:
            remaining[name] = choice if held is None else Choice(name, choice.options)
    if not settled:
        return
    graph.choices = {name: remaining[name] for name in graph.choices if name in remaining}
    graph.attributes.update({name: _substituted(value, settled) for name, value in graph.attributes.items()})
    for body in graph.bodies:
        for node in body.nodes:
            changed = {n: v for n, value in node.attributes.items() if (v := _substituted(value, settled)) is not value}
            if changed:
                body.set_attributes(node, **changed)
        infer_all(body)


def conditions_first(choices: Mapping[str, Choice]) -> list[str]:
    """The choices so that each follows the one that it depends on."""
    ordered: dict[str, None] = {}
    for name in choices:
        chain: dict[str, None] = {}
        while name in choices and name not in ordered and name not in chain:
            chain[name] = None
            condition = choices[name].condition
            if condition is not None:
                name = condition[0]
        ordered.update(dict.fromkeys(reversed(chain)))
    return list(ordered)


def _condition_holds(choice: Choice, settled: Decisions, dropped: set[str]) -> bool | None:
    """None while the choice that it depends on is open."""
    if choice.condition is None:
        return True
    other, options = choice.condition
    if other in dropped:
        return False
    return settled[other] in options if other in settled else None


def _substituted(value: Attribute, settled: Decisions) -> Attribute:
    """`value` itself where nothing in it is settled."""
    if isinstance(value, SymbolRef):
        return settled.get(value.name, value)
    if isinstance(value, tuple):
        items = tuple(_substituted(item, settled) for item in value)
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def _pairs(text: str) -> dict[str, str]:
    """`a=1,b=[2, 3]` -> {"a": "1", "b": "[2, 3]"}; raises UsageError for anything else."""
    pairs: dict[str, str] = {}
    for part in re.split(r",(?![^\[]*\])", text) if text.strip() else []:
        name, equals, value = (field.strip() for field in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"choices has {part.strip()!r}; accepted: NAME=OPTION, several separated by commas")
        name = name.removeprefix("@")
        if name in pairs:
            raise UsageError(f"choices gives {name} twice")
        pairs[name] = value
    return pairs


def _options(choice: Choice) -> str:
    return choices_text(map(format_attribute, choice.options))


def _condition(choice: Choice) -> str:
    assert choice.condition is not None
    other, options = choice.condition
    return f"where {other} is {choices_text(map(format_attribute, options))}"
