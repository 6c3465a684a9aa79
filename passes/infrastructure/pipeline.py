"""Pipelines as text: `fix-shapes{shapes="x=1x3x48x192"},fixpoint(canonicalize,fold-constants)`.

`str(Pipeline.parse(text))` is the text in normal form; it parses to an equal pipeline.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.ir.graph import Graph
from nascompiler.passes.infrastructure.base import FACTS, Pass
from nascompiler.passes.infrastructure.registry import PASSES

LEVELS = ("arch", "nn", "qnn")
MAX_FIXPOINT_ROUNDS = 50


@dataclass(frozen=True)
class Step:
    """One pass with its options."""

    step: Pass

    def __str__(self) -> str:
        options = []
        for field in dataclasses.fields(self.step):
            value = getattr(self.step, field.name)
            if value != _default(field):
                options.append(f"{field.name.replace('_', '-')}={_format(value)}")
        return self.step.name + (f"{{{', '.join(options)}}}" if options else "")


@dataclass(frozen=True)
class Fixpoint:
    """Steps repeated until none of them changes the graph any more."""

    steps: tuple[Step | Fixpoint, ...]

    def __str__(self) -> str:
        return f"fixpoint({','.join(map(str, self.steps))})"


@dataclass(frozen=True)
class Pipeline:
    """A sequence of steps."""

    steps: tuple[Step | Fixpoint, ...]

    @classmethod
    def parse(cls, text: str, *, start: Graph | str | None = None) -> Pipeline:
        """Read a pipeline and check its contracts.

        `start` is the graph, or the level, that it will begin with, if known. Raises UsageError that says where the
        text is wrong, which passes or options exist, or which pass is missing before which.
        """
        pipeline = cls(_parsed(text, PASSES.version))
        pipeline.check(start)
        return pipeline

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))

    def passes(self) -> Iterator[Pass]:
        """Every pass, in order, those inside fixpoints once."""
        yield from _passes(self.steps)

    def check(self, start: Graph | str | None = None) -> None:
        """Check the contracts of the passes in sequence; raises UsageError for the first one broken."""
        level = start.level if isinstance(start, Graph) else start
        facts = {name: test(start) for name, test in FACTS.items()} if isinstance(start, Graph) else {}
        for step in _unrolled(self.steps):
            if step.requires_level and level is not None and level not in step.requires_level:
                raise UsageError(_wrong_level(step, level))
            for fact in sorted(step.requires):
                if facts.get(fact) is False:
                    hint = _hint(name for name, cls in PASSES.items() if fact in cls.ensures | cls.may_ensure)
                    raise UsageError(f"{step.name} needs {fact}, which does not hold there{hint}")
                facts[fact] = True
            if step.ensures_level is not None:
                level = step.ensures_level
            elif level is None and len(step.requires_level) == 1:
                level = step.requires_level[0]
            for fact in step.may_ensure:
                facts.pop(fact, None)
            facts.update(dict.fromkeys(step.ensures, True))


def _passes(steps: tuple[Step | Fixpoint, ...]) -> Iterator[Pass]:
    for step in steps:
        if isinstance(step, Step):
            yield step.step
        else:
            yield from _passes(step.steps)


def _unrolled(steps: tuple[Step | Fixpoint, ...]) -> Iterator[Pass]:
    """Every pass in the order of execution, fixpoints twice: a pass may not bear what the first round leaves."""
    for step in steps:
        if isinstance(step, Step):
            yield step.step
        else:
            yield from _unrolled(step.steps)
            yield from _unrolled(step.steps)


def _wrong_level(step: Pass, level: str) -> str:
    wanted = choices_text(step.requires_level)
    if level in LEVELS and all(w in LEVELS and LEVELS.index(w) < LEVELS.index(level) for w in step.requires_level):
        return f"{step.name} needs {wanted}; the pipeline is already at {level} there: put it earlier"
    hint = _hint(name for name, cls in PASSES.items() if cls.ensures_level in step.requires_level)
    return f"{step.name} needs {wanted}; the pipeline is still at {level}{hint}"


def _hint(providers: Iterable[str]) -> str:
    names = list(providers)
    return f": add {choices_text(names)}" if names else ""


def make_pass(name: str, options: dict[str, Any]) -> Pass:
    """The pass of that name with options given as values or text; raises UsageError for unknown or ill-typed ones."""
    cls = PASSES.find(name)
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    given: dict[str, Any] = {}
    for option, value in options.items():
        key = option.replace("-", "_")
        if key not in fields:
            accepted = choices_text(f.replace("_", "-") for f in fields)
            raise UsageError(f"pass {name} has no option {option!r}; accepted: {accepted}")
        given[key] = _convert(value, hints[key], f"option {option} of pass {name}")
    missing = [f.replace("_", "-") for f, field in fields.items() if f not in given and _default(field) is _MISSING]
    if missing:
        raise UsageError(f"pass {name} needs the option {choices_text(missing)}")
    try:
        return cls(**given)
    except (ValueError, TypeError) as error:
        raise UsageError(f"pass {name}: {error}") from None


_MISSING = dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _convert(value: Any, hint: Any, what: str) -> Any:
    """`value`, as read from text, as the annotated type of a field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        if type(value) in arguments:
            return value
        for member in arguments:
            try:
                return _convert(value, member, what)
            except UsageError:
                continue
    elif origin is Literal:
        for argument in arguments:
            if value == argument or _format(value) == argument:  # a bare none or true may be a word that is meant
                return argument
        raise UsageError(f"{what} is {value!r}; accepted: {choices_text(arguments)}")
    elif origin is tuple or hint is tuple:
        items = value if isinstance(value, tuple) else (value,)
        if not arguments:
            return items
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(item, arguments[0], what) for item in items)
        if len(items) == len(arguments):
            return tuple(_convert(i, a, what) for i, a in zip(items, arguments, strict=True))
    elif hint is float and type(value) in (int, float):
        return float(value)
    elif hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    words = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise UsageError(f"{what} is {_format(value)}; accepted: {words}")


def _format(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_format, value)) + "]"
    if isinstance(value, str):
        bare = re.fullmatch(r"[A-Za-z_][\w.:\-/@]*", value) and value not in ("true", "false", "none", "inf", "nan")
        return value if bare else json.dumps(value)
    return repr(value)


_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[A-Za-z_][\w.:\-/@]*)'
    r"|(?P<number>-?(?:inf\b|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.]))|(?P<mark>[(){}\[\],=])|(?P<end>$)|(?P<bad>.))",
    re.DOTALL,
)


@lru_cache(maxsize=64)
def _parsed(text: str, version: int) -> tuple[Step | Fixpoint, ...]:
    """Passes are frozen, so that all who run the same text can share them, as long as the names stand for the same."""
    return _Parser(text).pipeline()


_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None, "inf": float("inf"), "nan": float("nan")}


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while True:
            match = _TOKEN.match(text, at)
            assert match is not None
            assert match.lastgroup is not None
            self.tokens.append((match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
            if match.lastgroup == "bad":
                self.at = len(self.tokens) - 1
                raise self.error(f"unexpected {match.group('bad')!r}")
            if match.lastgroup == "end":
                break
            at = match.end()
        self.at = 0

    def error(self, message: str) -> UsageError:
        column = self.tokens[self.at][2]
        shown = self.text[max(0, column - 30) : column + 20]
        return UsageError(f"in the pipeline, column {column + 1}, near {shown!r}: {message}")

    def accept(self, mark: str) -> bool:
        if self.tokens[self.at][:2] == ("mark", mark):
            self.at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            raise self.error(f"expected {mark!r}, found {self.tokens[self.at][1] or 'the end'!r}")

    def word(self, what: str) -> str:
        kind, text, _ = self.tokens[self.at]
        if kind != "word":
            raise self.error(f"expected {what}, found {text or 'the end'!r}")
        self.at += 1
        return text

    def pipeline(self) -> tuple[Step | Fixpoint, ...]:
        if self.tokens[self.at][0] == "end":
            return ()
        steps = self.steps(0)
        if self.tokens[self.at][0] != "end":
            raise self.error(f"expected ',', found {self.tokens[self.at][1]!r}")
        return steps

    def steps(self, depth: int) -> tuple[Step | Fixpoint, ...]:
        if depth > 8:
            raise self.error("fixpoints nested deeper than 8")
        steps = [self.step(depth)]
        while self.accept(","):
            steps.append(self.step(depth))
        return tuple(steps)

    def step(self, depth: int) -> Step | Fixpoint:
        name = self.word("the name of a pass")
        if name == "fixpoint" and self.accept("("):
            inner = self.steps(depth + 1)
            self.expect(")")
            return Fixpoint(inner)
        options: dict[str, Any] = {}
        if self.accept("{"):
            while not self.accept("}"):
                option = self.word("the name of an option")
                if option in options:
                    raise self.error(f"option {option} is given twice")
                self.expect("=")
                options[option] = self.value()
                if not self.accept(","):
                    self.expect("}")
                    break
        return Step(make_pass(name, options))

    def value(self, depth: int = 0) -> Any:
        kind, text, _ = self.tokens[self.at]
        if depth > 8:
            raise self.error("lists nested deeper than 8")
        self.at += 1
        if kind == "string":
            try:
                return json.loads(text)
            except ValueError:
                self.at -= 1
                raise self.error(f"invalid string {text}") from None
        if kind == "number":
            if len(text) > 40:
                self.at -= 1
                raise self.error("a number of more than 40 characters")
            return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
        if kind == "word":
            return _WORDS.get(text, text)
        if text == "[":
            items = []
            while not self.accept("]"):
                items.append(self.value(depth + 1))
                if not self.accept(","):
                    self.expect("]")
                    break
            return tuple(items)
        self.at -= 1
        raise self.error(f"expected a value, found {text or 'the end'!r}")
