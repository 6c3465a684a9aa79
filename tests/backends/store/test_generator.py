from __future__ import annotations

from nascompiler.backends.store import generator
from nascompiler.backends.store.generator import generator_hash


def test_the_hash_changes_with_sources_and_versions(tmp_path, monkeypatch):
    def fresh() -> str:
        generator_hash.cache_clear()
        return generator_hash()

    ours = fresh()
    assert fresh() == ours
    assert all(list(generator._BACKENDS.glob(pattern)) for pattern in generator.SOURCES)
    (tmp_path / "kernels").mkdir()
    source = tmp_path / "kernels" / "gemm.py"
    monkeypatch.setattr(generator, "_BACKENDS", tmp_path)
    hashes = {ours, fresh()}
    for text in ("a", "b"):
        source.write_text(text)
        hashes.add(fresh())
    monkeypatch.setattr(generator, "generator_versions", lambda: {"numba": "another"})
    hashes.add(fresh())
    assert len(hashes) == 5
    monkeypatch.undo()
    assert fresh() == ours
