"""Calibration of graphs: what is found, that portions do not matter, and what is refused."""

import weakref
from math import inf

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, ModelError, TensorType, UsageError
from nascompiler.passes.quantization.calibration import METHODS, Range, calibrate

CHANNELS = 3


def network(samples="n"):
    """relu(x * w + b) beside its parts: element by element, so that batches do not change a bit of it."""
    builder = Builder("net")
    x = builder.input("x", TensorType((samples, 4, CHANNELS)))
    scaled = builder.nn.mul(x, builder.constant(np.array([1, 2, -3], np.float32), "w"), name="scaled")
    relu = builder.nn.relu(scaled, name="relu")
    return builder.outputs(y=relu)


def named(graph, *names):
    values = {v.name: v for n in graph.nodes for v in n.results} | {v.name: v for v in graph.inputs}
    return [values[name] for name in names]


def samples(count=12, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 4, CHANNELS)).astype(np.float32)


def batches(data, size=1):
    return [{"x": data[i : i + size]} for i in range(0, len(data), size)]


def test_ranges_and_means_of_inputs_and_results():
    graph, data = network(), samples()
    x, scaled, relu = named(graph, "x", "scaled", "relu")
    found = calibrate(graph, batches(data, 5), {relu, x, scaled}, method="min-max")
    expected = data * np.array([1, 2, -3], np.float32)
    assert list(found.ranges) == [x, scaled, relu]
    assert found.ranges[x] == Range(float(data.min()), float(data.max()))
    assert found.ranges[scaled] == Range(float(expected.min()), float(expected.max()))
    assert found.ranges[relu] == Range(0, float(expected.max()))
    assert found.means[scaled] == pytest.approx(expected.mean(axis=(0, 1)), rel=1e-5, abs=1e-6)
    assert found.means[relu] == pytest.approx(np.maximum(expected, 0).mean(axis=(0, 1)), rel=1e-5)
    assert found.means[x].dtype == np.float32
    assert (found.images, found.constant, found.warnings) == (12, (), [])


@pytest.mark.parametrize("method", [m for m in METHODS if m != "moving-average"])
@pytest.mark.parametrize("size", [5, 12])
def test_how_samples_are_batched_does_not_matter(method, size):
    graph, data = network(), samples()
    values = named(graph, "x", "scaled", "relu")
    assert_same(
        calibrate(graph, batches(data), values, method=method),
        calibrate(graph, batches(data, size), values, method=method),
    )


def assert_same(one, other):
    assert one.ranges == other.ranges
    assert all(np.array_equal(one.means[v], other.means[v]) for v in one.means)


def test_a_group_gets_one_range_for_the_numbers_of_all():
    graph, data = network(), samples()
    x, scaled, relu = named(graph, "x", "scaled", "relu")
    found = calibrate(graph, batches(data), [x, scaled, relu], method="min-max", groups=[(x, scaled), (relu,)])
    alone = calibrate(graph, batches(data), [x, scaled, relu], method="min-max")
    assert found.ranges[x] is found.ranges[scaled]
    assert found.ranges[x] == alone.ranges[x].union(alone.ranges[scaled])
    assert found.ranges[relu] == alone.ranges[relu]


def test_numbers_beyond_the_limits_count_as_the_limit():
    graph, data = network(), samples()
    (x,) = named(graph, "x")
    found = calibrate(graph, batches(data), [x], method="min-max", limits={x: (-0.5, inf)})
    assert found.ranges[x] == Range(-0.5, float(data.max()))
    assert found.means[x] == pytest.approx(data.mean(axis=(0, 1)), rel=1e-5, abs=1e-6)


def test_limits_keep_a_tail_out_of_the_error():
    """A long tail that nobody tells apart would otherwise widen the range."""
    graph, data = network(), samples(200)
    data[::7] -= 30
    (x,) = named(graph, "x")
    free = calibrate(graph, batches(data, 10), [x]).ranges[x]
    limited = calibrate(graph, batches(data, 10), [x], limits={x: (-3.0, inf)}).ranges[x]
    assert free.low < -20
    assert limited.low == pytest.approx(-3, abs=0.05)


def test_types_may_differ_by_value():
    graph, data = network(), samples(2000)
    data[0, 0] = 40
    x, scaled = named(graph, "x", "scaled")
    found = calibrate(graph, batches(data, 100), [x, scaled], method="entropy", dtype={x: DType.I8, scaled: DType.I16})
    assert found.ranges[x].high < 40
    assert found.ranges[scaled] == Range(-120, 80)
    assert found.range_for(x, DType.I8) == found.ranges[x]
    assert found.range_for(x, DType.I16).high == 40


def test_progress_counts_samples():
    graph, seen = network(), []
    calibrate(graph, batches(samples(), 5), named(graph, "x"), progress=seen.append)
    assert seen == [5, 10, 12]


def test_memory_does_not_grow_with_the_samples():
    """While a batch is made, no other than the one before it is alive."""
    graph, made = network(), []

    def stream():
        for seed in range(5):
            assert [array() for array in made[:-1]] == [None] * len(made[:-1])
            array = samples(3, seed)
            made.append(weakref.ref(array))
            batch = {"x": array}
            del array
            yield batch
            del batch

    assert calibrate(graph, stream(), named(graph, "x", "relu")).images == 15


def test_constants_are_calibrated_by_what_they_hold():
    graph = network()
    (weight,) = graph.constants
    found = calibrate(graph, batches(samples()), [weight], method="min-max")
    assert found.ranges[weight] == Range(-3, 2)
    assert found.means[weight].tolist() == [1, 2, -3]
    assert found.constant == ()


def test_one_sample_works_with_a_warning():
    graph = network()
    found = calibrate(graph, batches(samples(1)), named(graph, "x"))
    assert found.warnings == [
        "calibrated on a single sample: ranges from so little are guesses; some hundred are better"
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [0.0, 2.0])
def test_constant_data_gives_warnings_and_usable_ranges(method, number):
    graph = network()
    x, relu = named(graph, "x", "relu")
    found = calibrate(graph, batches(np.full((4, 4, CHANNELS), number, np.float32)), [x, relu], method=method)
    assert x in found.constant
    assert found.warnings[0].startswith("never changed during calibration: %x")
    assert found.ranges[x] == Range(number, number)


def test_no_samples():
    graph = network()
    with pytest.raises(UsageError, match="no calibration data: at least one sample is needed"):
        calibrate(graph, [], named(graph, "x"))


@pytest.mark.parametrize("method", METHODS)
def test_empty_batches_count_for_nothing(method):
    graph, data = network(), samples()
    values = named(graph, "x", "relu")
    empty = {"x": data[:0]}
    with pytest.raises(UsageError, match="no calibration data"):
        calibrate(graph, [empty], values, method=method)
    assert_same(
        calibrate(graph, [empty, *batches(data), empty], values, method=method),
        calibrate(graph, batches(data), values, method=method),
    )


@pytest.mark.parametrize("number, word", [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("size", [1, 5])
def test_data_that_is_not_finite_names_input_and_sample(number, word, size):
    graph, data = network(), samples()
    data[7, 2, 1] = number
    with pytest.raises(ModelError, match=rf"^input 'x' holds {word} in sample 7 \(the first is 0\)"):
        calibrate(graph, batches(data, size), named(graph, "relu"))


@pytest.mark.parametrize("size", [1, 5])
def test_activations_that_overflow_name_value_and_sample(size):
    graph, data = network(), samples()
    data[3] = 3e38
    with pytest.raises(ModelError, match=r"^%scaled holds infinity in sample 3"):
        calibrate(graph, batches(data, size), named(graph, "scaled"))


def test_batches_that_do_not_fit():
    graph = network()
    with pytest.raises(ModelError, match=r"input 'x'.*is missing"):
        calibrate(graph, [{"image": samples()}], named(graph, "x"))
    with pytest.raises(ModelError, match="it must be"):
        calibrate(graph, [{"x": samples()[..., :2]}], named(graph, "x"))


def test_values_that_cannot_be_calibrated():
    graph, data = network(), batches(samples())
    with pytest.raises(UsageError, match="not of the graph @net: %x"):
        calibrate(graph, data, named(network(), "x"))
    with pytest.raises(UsageError, match="cannot be quantised to i32; accepted: i8, u8 or i16"):
        calibrate(graph, data, named(graph, "x"), dtype=DType.I32)
    builder = Builder("integers")
    x = builder.input("x", TensorType((1,), DType.I64))
    with pytest.raises(UsageError, match="only float values are calibrated"):
        calibrate(builder.outputs(y=builder.nn.reshape(x, shape=(1,))), [], [x])


def test_constants_that_are_not_finite():
    builder = Builder("net")
    x = builder.input("x", TensorType((1,)))
    weight = builder.constant(np.array([np.inf], np.float32), "w")
    graph = builder.outputs(y=builder.nn.add(x, weight))
    with pytest.raises(ModelError, match="the constant @w holds NaN or infinity"):
        calibrate(graph, [], [weight])
