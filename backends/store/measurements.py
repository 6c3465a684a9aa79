"""What is known about calls: measurements of this machine's overlay before those of the base that ships."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.store.generator import generator_hash
from nascompiler.backends.store.rows import Tuning
from nascompiler.backends.store.store import Store


def base_path() -> Path:
    """The file that ships with the package; it need not exist."""
    return Path(__file__).with_name("base.sqlite.gz")


def overlay_path() -> Path:
    """The user's file, which tuning writes to."""
    return cache_folder() / "measurements.sqlite"


@dataclass(frozen=True)
class Measurements:
    """Several stores seen as one: the first that knows a call counts, fresh measurements before older ones.

    What is found in a store that is only read is `shipped`.
    """

    stores: tuple[Store, ...]

    def tunings(self, calls: Collection[str], target: str) -> dict[str, Tuning]:
        """What is known of each call, by its key, on the target of that fingerprint."""
        found: dict[str, Tuning] = {}
        for store in self.stores:
            for call, tuning in store.tunings(calls, target, generator_hash()).items():
                if call not in found or (tuning.fresh and not found[call].fresh):
                    found[call] = replace(tuning, shipped=store.read_only)
        return found


def known_measurements() -> Measurements:
    """The overlay and the base."""
    return Measurements((Store(overlay_path()), Store(base_path(), read_only=True)))
