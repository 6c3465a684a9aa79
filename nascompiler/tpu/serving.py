"""Response time: requests that arrive at random, served in batches by one machine.

The paper's other claim (its table 4): a limit on the 99th percentile of response time decides how large a batch may be,
and so how much of its throughput a machine can use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.ir import UsageError

REQUESTS = 20_000
"""Requests of one simulated run: 200 of them lie beyond the 99th percentile."""
BATCHES = 500
"""Largest batches that a run has at least, for queues that are too fast for their machine to show it."""
STEPS = 12
"""Halvings in the search for the highest rate: it is known to about a 4,000th then."""


@dataclass(frozen=True)
class ServiceTimes:
    """Seconds that batches of certain sizes take; a batch between two sizes is padded to the larger."""

    batches: tuple[int, ...]
    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.batches or list(self.batches) != sorted(set(self.batches)) or self.batches[0] < 1:
            raise UsageError(f"batches are {list(self.batches)}; accepted: sizes of at least 1, rising")
        if len(self.seconds) != len(self.batches) or min(self.seconds) <= 0:
            raise UsageError("every batch needs a time above 0")

    def of(self, count: int) -> float:
        """Seconds of a batch of `count` requests."""
        return self.seconds[int(np.searchsorted(self.batches, count))]

    def up_to(self, batch: int) -> ServiceTimes:
        """The same without batches larger than one."""
        kept = [i for i, size in enumerate(self.batches) if size <= batch]
        return ServiceTimes(tuple(self.batches[i] for i in kept), tuple(self.seconds[i] for i in kept))


@dataclass(frozen=True)
class QueueRun:
    """Requests served at a rate: response times in seconds, from arrival to the end of the batch."""

    rate_per_s: float
    p50_s: float
    p99_s: float
    mean_batch: float
    busy_share: float


@dataclass(frozen=True)
class Serving:
    """The most that a machine serves with batches of up to `batch`, its 99th percentile within the limit.

    `full_rate_per_s` is what it would serve with always full batches, whatever the response time. `run` is None where
    even a lone request misses the limit.
    """

    batch: int
    batch_s: float
    full_rate_per_s: float
    run: QueueRun | None

    @property
    def rate_per_s(self) -> float:
        """Requests a second within the limit."""
        return 0.0 if self.run is None else self.run.rate_per_s


def serve(times: ServiceTimes, rate_per_s: float, *, requests: int = REQUESTS, seed: int = 0) -> QueueRun:
    """Poisson arrivals at a rate, one machine, first come first served: whenever it is free it takes what waits, up to
    the largest batch, and does not wait for more."""
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate_per_s, requests))
    largest = times.batches[-1]
    ends = np.empty(requests)
    free, busy, first, batches = 0.0, 0.0, 0, 0
    while first < requests:
        begin = max(free, float(arrivals[first]))
        last = min(int(np.searchsorted(arrivals, begin, side="right")), first + largest)
        seconds = times.of(last - first)
        free = begin + seconds
        ends[first:last] = free
        busy += seconds
        batches += 1
        first = last
    response = ends - arrivals
    p50, p99 = np.percentile(response, (50, 99))
    return QueueRun(rate_per_s, float(p50), float(p99), requests / batches, busy / float(ends[-1] - arrivals[0]))


def best_rate(times: ServiceTimes, limit_s: float, *, requests: int = REQUESTS, seed: int = 0) -> Serving:
    """The highest rate, by halving, at which 99 per cent of requests are answered within `limit_s`."""
    batch, seconds = times.batches[-1], times.seconds[-1]
    full = max(size / time for size, time in zip(times.batches, times.seconds, strict=True))
    requests = max(requests, BATCHES * batch)
    low, high, found = 0.0, full, None
    for _ in range(STEPS):
        middle = (low + high) / 2
        run = serve(times, middle, requests=requests, seed=seed)
        if run.p99_s <= limit_s:
            low, found = middle, run
        else:
            high = middle
    return Serving(batch, seconds, full, found)


def serving_table(times: ServiceTimes, limit_s: float, *, requests: int = REQUESTS, seed: int = 0) -> Sequence[Serving]:
    """`best_rate` for every largest batch that there is a time for."""
    return [best_rate(times.up_to(batch), limit_s, requests=requests, seed=seed) for batch in times.batches]


def largest_batch(rows: Sequence[Serving], limit_s: float) -> int | None:
    """The largest batch whose own time leaves a lone request within the limit; None where there is none."""
    fitting = [row.batch for row in rows if row.batch_s <= limit_s]
    return max(fitting, default=None)
