"""Queues of batches: what theory says, and what a limit on response time costs."""

import pytest

from nascompiler.ir import UsageError
from nascompiler.tpu.serving import ServiceTimes, best_rate, largest_batch, serve, serving_table

ONE = ServiceTimes((1,), (1e-3,))
MANY = ServiceTimes((1, 8, 64), (1e-3, 1.2e-3, 4e-3))


def test_a_queue_without_batches_is_that_of_the_textbook() -> None:
    # M/D/1: the mean wait at a load of one half is half the service time; its median response is below that mean.
    run = serve(ONE, 500.0, requests=100_000)
    assert run.busy_share == pytest.approx(0.5, rel=0.02)
    assert run.mean_batch == 1
    assert 1e-3 <= run.p50_s <= 1.5e-3
    # Waiting longer than t in M/D/1 at half load: about 4.5 service times at 99 per cent of response.
    assert 3.5e-3 < run.p99_s < 5.5e-3


def test_a_slow_rate_is_served_one_by_one() -> None:
    run = serve(MANY, 1.0, requests=2000)
    assert run.mean_batch == pytest.approx(1.0, abs=0.01)
    assert run.p50_s == pytest.approx(1e-3)


def test_the_same_seed_serves_the_same() -> None:
    assert serve(MANY, 3000.0, requests=2000, seed=4) == serve(MANY, 3000.0, requests=2000, seed=4)
    assert serve(MANY, 3000.0, requests=2000, seed=4) != serve(MANY, 3000.0, requests=2000, seed=5)


def test_larger_batches_serve_more_within_a_limit() -> None:
    rows = serving_table(MANY, 9e-3, requests=5000)
    rates = [row.rate_per_s for row in rows]
    assert rates == sorted(rates)
    for row in rows:
        assert row.run is not None
        assert row.run.p99_s <= 9e-3
        assert row.rate_per_s < row.full_rate_per_s
    assert largest_batch(rows, 9e-3) == 64
    assert largest_batch(rows, 2e-3) == 8


def test_a_tighter_limit_serves_less() -> None:
    rates = [best_rate(MANY, limit, requests=5000).rate_per_s for limit in (5e-3, 7e-3, 20e-3)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_an_impossible_limit_serves_nothing() -> None:
    row = best_rate(ONE, 0.5e-3, requests=2000)
    assert row.run is None
    assert row.rate_per_s == 0
    assert largest_batch([row], 0.5e-3) is None


@pytest.mark.parametrize(("batches", "seconds"), [((), ()), ((2, 1), (1.0, 1.0)), ((0,), (1.0,)), ((1,), (0.0,))])
def test_bad_times(batches: tuple[int, ...], seconds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        ServiceTimes(batches, seconds)
