"""torch is an extra: without it there is nothing to test here."""

from importlib.util import find_spec

import pytest

HAS_TORCH = find_spec("torch") is not None
collect_ignore_glob = [] if HAS_TORCH else ["test_*.py"]


@pytest.fixture(autouse=True)
def _reproducible():
    """One seed for each test; one thread, since several wait for each other where cores are shared."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
