"""Going first, where the system allows it, and counting what others take."""

from __future__ import annotations

import os
import threading
import time

from nascompiler.backends.measure.priority import Waits, first_in_line, on_one_cpu


def test_the_class_of_the_thread_is_as_before_afterwards():
    before = os.sched_getscheduler(0)
    with first_in_line() as allowed:
        assert os.sched_getscheduler(0) == (os.SCHED_FIFO if allowed else before)
    assert os.sched_getscheduler(0) == before


def test_a_thread_is_bound_to_one_cpu_for_a_while():
    before = os.sched_getaffinity(0)
    with on_one_cpu():
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before


def test_waiting_behind_another_thread_on_the_same_cpu_is_counted():
    cpus = os.sched_getaffinity(0)
    ended = threading.Event()
    ready = threading.Barrier(2)

    def occupy() -> None:
        os.sched_setaffinity(0, {min(cpus)})
        ready.wait()
        while not ended.is_set():
            sum(range(10000))

    thread = threading.Thread(target=occupy)
    thread.start()
    os.sched_setaffinity(0, {min(cpus)})
    try:
        waits = Waits()
        before = waits.ns()
        ready.wait()
        deadline = time.monotonic() + 30
        while not waits.since(before) and waits.ns() >= 0 and time.monotonic() < deadline:
            pass
        assert waits.since(before) or before == 0
    finally:
        ended.set()
        thread.join()
        os.sched_setaffinity(0, cpus)
