"""What is known of blocks of code: their cycles by a core's model, kept between processes in the cache."""

from __future__ import annotations

import hashlib
import sqlite3
from array import array
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.errors import StoreError

_BUSY_TIMEOUT_S = 60.0


class BlockCycles:
    """The cycles of blocks on one processor by one version of LLVM; a file that is lost costs only time."""

    def __init__(self, processor: str, version: int) -> None:
        self.path = cache_folder() / "arm" / f"blocks-{processor}-llvm{version}-{_method()}.sqlite"
        self._known: dict[tuple[int, ...], float] = {}

    def of(self, blocks: Collection[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        """The cycles of those blocks that are known, by their instructions."""
        unseen = [block for block in dict.fromkeys(blocks) if block not in self._known]
        if unseen and self.path.exists():
            with self._open() as db:
                for block in unseen:
                    row = db.execute("SELECT cycles FROM block WHERE words = ?", (_bytes(block),)).fetchone()
                    if row is not None:
                        self._known[block] = row[0]
        return {block: self._known[block] for block in blocks if block in self._known}

    def add(self, cycles: Mapping[tuple[int, ...], float]) -> None:
        """Keep the cycles of some blocks."""
        self._known |= cycles
        with self._open() as db:
            rows = [(_bytes(block), value) for block, value in cycles.items()]
            db.executemany("INSERT OR REPLACE INTO block VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S)) as db, db:
                db.execute("CREATE TABLE IF NOT EXISTS block (words BLOB PRIMARY KEY, cycles REAL) WITHOUT ROWID")
                yield db
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot use the cycles of blocks in {self.path}: {error}; remove the file") from None


def _bytes(block: tuple[int, ...]) -> bytes:
    return array("I", block).tobytes()


@lru_cache(maxsize=1)
def _method() -> str:
    """A hash of what asks the model."""
    return hashlib.sha256(Path(__file__).with_name("pipeline.py").read_bytes()).hexdigest()[:12]
