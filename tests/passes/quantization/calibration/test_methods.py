"""Methods by name."""

import pytest

from nascompiler.ir.errors import UsageError
from nascompiler.passes.quantization.calibration import METHODS, collector_maker
from nascompiler.passes.quantization.calibration.collectors import Percentile


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_its_collector(name):
    assert type(collector_maker(name)()) is METHODS[name]
    assert METHODS[name].summary


def test_percentile_takes_an_option():
    made = collector_maker("percentile:99.5")()
    assert isinstance(made, Percentile)
    assert made.percentile == 99.5


@pytest.mark.parametrize(
    "method, message",
    [
        ("minmax", r"unknown calibration method 'minmax' \(did you mean min-max\?\); accepted: entropy, min-max"),
        ("mse:3", "the calibration method mse has no option"),
        ("percentile:lots", "'lots' is no number; accepted: above 50, up to 100"),
        ("percentile:12", "the percentile 12 is not accepted: above 50, up to 100"),
    ],
)
def test_unknown_methods_say_what_is_accepted(method, message):
    with pytest.raises(UsageError, match=message):
        collector_maker(method)
