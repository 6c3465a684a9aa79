from __future__ import annotations

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store import Measurements, Row, Session, Store, Tuning, base_path, known_measurements
from nascompiler.backends.store.generator import generator_hash

MOST_BYTES = 100_000


def add(store: Store, call: str, variant: str, generator: str) -> None:
    rows = (Row(variant, median_ns=1.0, repeats=1, gain=1.0),)
    store.add(call, Session("t", generator, "2026-01-01"), Tuning(rows, 0.01, Kind.MEASURED, True))


def test_the_first_store_counts_but_older_measurements_give_way_to_fresh_ones(tmp_path):
    overlay, base = Store(tmp_path / "overlay.sqlite"), Store(tmp_path / "base.sqlite")
    for store, name in ((overlay, "overlay"), (base, "base")):
        add(store, "both", name, generator_hash())
    add(overlay, "older in the overlay", "overlay", "older")
    add(base, "older in the overlay", "base", generator_hash())
    add(base, "only in the base", "base", "older")
    calls = ("both", "older in the overlay", "only in the base", "nowhere")
    found = Measurements((overlay, Store(base.path, read_only=True))).tunings(calls, "t")
    assert {call: (t.rows[0].variant, t.fresh, t.shipped) for call, t in found.items()} == {
        "both": ("overlay", True, False),
        "older in the overlay": ("base", True, True),
        "only in the base": ("base", False, True),
    }


def test_the_overlay_lies_in_the_cache_and_the_base_in_the_package():
    overlay, base = known_measurements().stores
    assert overlay.path.parent == cache_folder()
    assert not overlay.read_only
    assert base == Store(base_path(), read_only=True)
    base.tunings(["x"], "t", "g")  # can be read, if it ships
    assert not base_path().exists() or base_path().stat().st_size < MOST_BYTES
