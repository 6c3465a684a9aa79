"""Pipelines as text: round trips, errors, contracts."""

import contextlib
import dataclasses
import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascompiler.ir import Builder, UsageError
from nascompiler.passes import PASSES, Fixpoint, Pass, Pipeline, Step, register_pass


@dataclasses.dataclass(frozen=True)
class WithOptions(Pass):
    """Every kind of option there is."""

    name = "test-with-options"
    count: int = 3
    ratio: float = 0.5
    enabled: bool = False
    path: str = ""
    mode: Literal["fast", "none", "true"] = "fast"
    limit: int | None = None
    sizes: tuple[int, ...] = ()
    pair: tuple[str, float] = ("a", 1.0)
    either: str | int = 0

    def run(self, graph, context): ...


@dataclasses.dataclass(frozen=True)
class Required(Pass):
    name = "test-required"
    count: int

    def __post_init__(self):
        if self.count < 0:
            raise ValueError("count must not be negative")

    def run(self, graph, context): ...


def contracts(name, **facts):
    body = {"name": name, "run": lambda self, graph, context: None, **facts}
    return dataclasses.dataclass(frozen=True)(type(name.title().replace("-", ""), (Pass,), body))


@pytest.fixture
def passes(registry):
    for cls in (
        WithOptions,
        Required,
        contracts("test-expand", requires_level=("arch",), ensures_level="nn"),
        contracts("test-quantize", requires_level=("nn",), ensures_level="qnn"),
        contracts("test-close", ensures=frozenset({"closed"})),
        contracts("test-needs-closed", requires=frozenset({"closed"})),
    ):
        register_pass(cls)


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
OPTIONS = st.builds(
    WithOptions,
    count=st.integers(-(10**18), 10**18),
    ratio=st.floats(allow_nan=False),
    enabled=st.booleans(),
    path=WORDS | st.sampled_from(["none", "true", "inf", "1", "1e5", "a b", 'q"\\', "x=1x2,y=3", "[", "fast"]),
    mode=st.sampled_from(["fast", "none", "true"]),
    limit=st.none() | st.integers(-5, 5),
    sizes=st.lists(st.integers(-9, 9), max_size=3).map(tuple),
    pair=st.tuples(WORDS, st.floats(allow_nan=False)),
    either=st.integers(-5, 5) | WORDS,
)
PLAIN = st.sampled_from(["canonicalize", "eliminate-dead-code", "fold-constants"])


def steps(depth=2):
    single = OPTIONS.map(Step) | PLAIN.map(lambda name: Step(PASSES[name]()))
    if depth == 0:
        return st.lists(single, min_size=1, max_size=3)
    inner = steps(depth - 1).map(lambda found: Fixpoint(tuple(found)))
    return st.lists(single | inner, min_size=1, max_size=3)


@pytest.fixture(scope="module")
def options_registered():
    """Once for all examples; hypothesis does not allow a fixture for each."""
    PASSES.load()
    PASSES._passes["test-with-options"] = WithOptions
    yield
    del PASSES._passes["test-with-options"]


@given(steps().map(lambda found: Pipeline(tuple(found))))
def test_text_round_trips(options_registered, pipeline):
    text = str(pipeline)
    assert Pipeline.parse(text) == pipeline
    assert str(Pipeline.parse(text)) == text


@given(st.text(max_size=40) | st.text('abc-{}()[]=,"\\ 0123456789.eE-fixpoint', max_size=60))
def test_any_text_parses_or_is_a_usage_error(options_registered, text):
    with contextlib.suppress(UsageError):
        Pipeline.parse(text)


@given(st.text('{}()[]=," 01.e-tcn', max_size=30))
def test_any_options_parse_or_are_a_usage_error(options_registered, text):
    with contextlib.suppress(UsageError):
        Pipeline.parse(f"test-with-options{{{text}")


def test_normal_form(passes):
    text = " canonicalize ,\n fixpoint( fold-constants{max_bytes=5,} ) , test-with-options{count=3, ratio=1} "
    assert (
        str(Pipeline.parse(text)) == "canonicalize,fixpoint(fold-constants{max-bytes=5}),test-with-options{ratio=1.0}"
    )
    assert Pipeline.parse("") == Pipeline(())
    assert str(Pipeline.parse("")) == ""


def test_every_registered_pass_with_defaults_round_trips():
    for name, cls in PASSES.items():
        if all(field.default is not dataclasses.MISSING for field in dataclasses.fields(cls)):
            assert str(Pipeline.parse(name)) == name


@pytest.mark.parametrize(
    "text, message",
    [
        ("canonicalise", r"unknown pass 'canonicalise' \(did you mean canonicalize\?\)"),
        ("fold-constants{bytes=3}", r"pass fold-constants has no option 'bytes'; accepted: max-bytes"),
        ("canonicalize{x=1}", r"pass canonicalize has no option 'x'; accepted: nothing"),
        ("fold-constants{max-bytes=many}", r"option max-bytes of pass fold-constants is many; accepted: int"),
        ("fold-constants{max-bytes=1.5}", r"option max-bytes of pass fold-constants is 1.5; accepted: int"),
        ("fold-constants{max-bytes=true}", r"is true; accepted: int"),
        ("fold-constants{max-bytes=1, max-bytes=2}", r"column \d+, near .*option max-bytes is given twice"),
        ("fold-constants{max-bytes=1", r"expected '}', found 'the end'"),
        ("fold-constants{max-bytes", r"expected '=', found 'the end'"),
        ("fold-constants{=1}", r"expected the name of an option, found '='"),
        ("fixpoint(canonicalize", r"expected '\)', found 'the end'"),
        ("fixpoint()", r"expected the name of a pass"),
        ("canonicalize canonicalize", r"column 14.*expected ',', found 'canonicalize'"),
        ("canonicalize,", r"expected the name of a pass, found 'the end'"),
        ("canonicalize}", r"expected ',', found '}'"),
        ("canonicalize;fold-constants", r"column 13.*unexpected ';'"),
        ("fixpoint(" * 20 + "canonicalize" + ")" * 20, r"nested deeper than 8"),
        ("test-with-options{sizes=" + "[" * 20 + "]" * 20 + "}", r"nested deeper than 8"),
        ("test-with-options{sizes=[1, a]}", r"option sizes of pass test-with-options is a; accepted: int"),
        ("test-with-options{pair=[a]}", r"accepted: tuple\[str, float\]"),
        ("test-with-options{mode=slow}", r"is 'slow'; accepted: fast, none or true"),
        ("test-with-options{count=" + "9" * 5000 + "}", r"a number of more than 40 characters"),
        ('test-with-options{path="\\x"}', r"invalid string"),
        ("test-required", r"pass test-required needs the option count"),
        ("test-required{count=-1}", r"pass test-required: count must not be negative"),
    ],
)
def test_errors_say_what_is_wrong_and_where(passes, text, message):
    with pytest.raises(UsageError, match=message):
        Pipeline.parse(text)


def test_options_are_converted_to_their_types(passes):
    (step,) = Pipeline.parse(
        "test-with-options{ratio=-inf, path=5, mode=none, limit=none, sizes=4, either=7, enabled=true}"
    ).passes()
    expected = WithOptions(ratio=-math.inf, path="5", mode="none", sizes=(4,), either=7, enabled=True)
    assert step == expected


def test_contracts_are_checked_when_the_text_is_read(passes):
    with pytest.raises(UsageError, match=r"test-quantize needs nn; the pipeline is still at arch: add .*test-expand"):
        Pipeline.parse("test-quantize", start="arch")
    Pipeline.parse("test-expand,test-quantize", start="arch")
    Pipeline.parse("test-quantize")  # where it starts is not known yet


def test_levels_are_followed_through_the_pipeline(passes):
    with pytest.raises(
        UsageError, match="test-quantize needs nn; the pipeline is already at qnn there: put it earlier"
    ):
        Pipeline.parse("test-quantize,canonicalize,test-quantize")
    with pytest.raises(UsageError, match="test-expand needs arch; the pipeline is already at nn there"):
        Pipeline.parse("test-expand,test-expand", start="arch")


def test_a_fixpoint_has_to_bear_its_own_result(passes):
    with pytest.raises(UsageError, match="test-quantize needs nn; the pipeline is already at qnn there"):
        Pipeline.parse("fixpoint(test-quantize)")


def test_facts_are_required_and_ensured(passes):
    builder = Builder()
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", (2,))))
    Pipeline.parse("test-needs-closed", start=graph)
    from nascompiler.ir import Choice

    graph.choices["c"] = Choice("c", (1, 2))
    with pytest.raises(
        UsageError, match=r"test-needs-closed needs closed, which does not hold there: add .*test-close"
    ):
        Pipeline.parse("test-needs-closed", start=graph)
    Pipeline.parse("test-close,test-needs-closed", start=graph)


def test_passes_are_listed_once(passes):
    pipeline = Pipeline.parse("fixpoint(canonicalize,fixpoint(fold-constants)),test-required{count=1}")
    assert [step.name for step in pipeline.passes()] == ["canonicalize", "fold-constants", "test-required"]


def test_a_pass_that_is_registered_again_is_found_under_its_name(monkeypatch):
    monkeypatch.setattr(PASSES, "_passes", dict(PASSES._passes))

    def define(number):
        class Reloaded(Pass):
            """A pass of a script."""

            def run(self, graph, context):
                pass

        Reloaded.number = number
        return PASSES.register(Reloaded)

    for number in (1, 2):
        define(number)
        (step,) = Pipeline.parse("reloaded").passes()
        assert step.number == number
