"""What tests of backends share: a cache of kernels of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nascompiler.backends.cache import VARIABLE


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels are compiled for these tests, and shared among them, but not with the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
