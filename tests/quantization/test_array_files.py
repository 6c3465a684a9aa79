"""Arrays are read from files an entry at a time, and damaged files are errors of ours."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from nascompiler.ir.errors import UsageError
from nascompiler.quantization.array_files import stored_array, stored_arrays

DATA = np.random.default_rng(0).standard_normal((9, 4, 5)).astype(np.float32)


def saved(folder, save, *, order="C"):
    path = folder / f"d.{'npy' if save is np.save else 'npz'}"
    array = np.asarray(DATA, order=order)
    if save is np.save:
        np.save(path, array)
        return stored_array(path)
    save(path, a=array, b=array[:, 0])
    return stored_arrays(path)["a"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
@pytest.mark.parametrize("chosen", [list(range(9)), [0, 3, 8], [7]])
def test_entries(tmp_path, save, order, chosen):
    stored = saved(tmp_path, save, order=order)
    assert (stored.shape, stored.dtype) == (DATA.shape, DATA.dtype)
    assert np.array_equal(np.stack(list(stored.entries(chosen))), DATA[chosen])


def test_byte_orders_of_other_machines(tmp_path):
    np.save(tmp_path / "d.npy", DATA.astype(">f4"))
    assert np.array_equal(np.stack(list(stored_array(tmp_path / "d.npy").entries([2]))), DATA[[2]])


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_memory_does_not_grow_with_the_file(tmp_path, save):
    entry, count = 1 << 16, 200
    path = tmp_path / ("d.npy" if save is np.save else "d.npz")
    array = np.zeros((count, entry // 4), np.float32)
    save(path, array) if save is np.save else save(path, a=array)
    stored = stored_array(path) if save is np.save else stored_arrays(path)["a"]
    del array
    tracemalloc.start()
    try:
        assert sum(1 for _ in stored.entries(range(count))) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * entry


def test_python_objects_are_not_read(tmp_path):
    objects = np.array([{"a": 1}, None], object)
    np.save(tmp_path / "d.npy", objects, allow_pickle=True)
    with pytest.raises(UsageError) as caught:
        stored_array(tmp_path / "d.npy")
    assert str(caught.value) == (
        f"{tmp_path / 'd.npy'} holds Python objects, which are not read: save it as an array of numbers"
    )
    np.savez(tmp_path / "d.npz", x=objects, allow_pickle=True)
    with pytest.raises(UsageError, match=r"d.npz: 'x' holds Python objects"):
        stored_arrays(tmp_path / "d.npz")


@pytest.mark.parametrize("shape, message", [((), "is a single number"), ((0, 3), "is 0x3: it holds no samples")])
def test_arrays_without_samples(tmp_path, shape, message):
    np.save(tmp_path / "d.npy", np.zeros(shape))
    with pytest.raises(UsageError, match=message):
        stored_array(tmp_path / "d.npy")


def test_files_that_are_none(tmp_path):
    for name, read in (("d.npy", stored_array), ("d.npz", stored_arrays)):
        path = tmp_path / name
        with pytest.raises(UsageError, match=f"cannot read .*{name}: No such file or directory"):
            read(path)
        path.write_bytes(b"PK, but not really")
        with pytest.raises(UsageError, match=f"cannot read .*{name}: "):
            read(path)
    with zipfile.ZipFile(tmp_path / "empty.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(UsageError, match=r"empty.npz holds no arrays"):
        stored_arrays(tmp_path / "empty.npz")


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_a_file_that_ends_too_early(tmp_path, save):
    stored = saved(tmp_path, save)
    buffer = io.BytesIO()
    np.save(buffer, DATA)
    short = buffer.getvalue()[:-100]
    if save is np.save:
        stored.path.write_bytes(short)
    else:
        with zipfile.ZipFile(stored.path, "w") as archive:
            archive.writestr("a.npy", short)
    with pytest.raises(UsageError, match="cannot read"):
        list(stored.entries(range(9)))
