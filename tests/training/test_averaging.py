"""Averages of weights: what they are, and that a module has its own again after they were looked at."""

import pytest

torch = pytest.importorskip("torch")

from nascompiler.training.averaging import WeightAverage  # noqa: E402


def test_the_average_follows_with_its_decay():
    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
        average = WeightAverage(module, 0.5)
        expected = 0.0
        for step in range(1, 31):
            module.weight.fill_(float(step))
            average.update()
            decay = min(0.5, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert float(module.weight.detach()) == pytest.approx(expected)
    assert float(module.weight.detach()) == 30.0
    average.assign()
    assert float(module.weight.detach()) == pytest.approx(expected)


def test_statistics_are_averaged_and_counters_are_not():
    module = torch.nn.BatchNorm1d(2)
    average = WeightAverage(module, 0.9)
    module(torch.randn(16, 2) + 5)
    average.update()
    with average.applied():
        assert 0 < float(module.running_mean[0]) < 1
        assert int(module.num_batches_tracked) == 1
