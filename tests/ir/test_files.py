"""Graphs on disk: round trips, damage, atomic writes."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nascompiler.ir import Builder, Error, ModelError, ParseError, evaluate, files, structurally_equal, verify
from nascompiler.ir.files import load, read_constants, replacing, save, weights_path, write_text


def network():
    builder = Builder("net")
    generator = np.random.default_rng(0)
    weight = builder.constant(generator.random((4, 5), np.float32), "w")
    small = builder.constant(np.float32([1, 2, 3, 4, 5]), "b")
    return builder.outputs(y=builder.nn.linear(builder.input("x", (2, 4)), weight, small))


X = {"x": np.ones((2, 4), np.float32)}


def test_saved_and_loaded(tmp_path):
    graph = network()
    save(graph, tmp_path / "deep" / "net.nir")
    again = load(tmp_path / "deep" / "net.nir")
    assert structurally_equal(again, graph)
    assert np.array_equal(evaluate(again, X)["y"], evaluate(graph, X)["y"])
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["net.nir", "net.safetensors"]


def test_only_what_the_text_does_not_spell_out_is_stored_once(tmp_path):
    graph = network()
    graph.cells["net2"] = network()
    graph.cells["net2"].name = "net2"
    save(graph, tmp_path / "net.nir")
    assert len(load_file(weights_path(tmp_path / "net.nir"))) == 1


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
def test_every_element_type_is_stored(tmp_path, dtype):
    builder = Builder()
    graph = builder.outputs(y=builder.constant(np.arange(20).reshape(4, 5).astype(dtype)))
    save(graph, tmp_path / "c.nir")
    (value,) = load(tmp_path / "c.nir").outputs
    assert np.array_equal(value.array, graph.outputs[0].array)
    assert value.array.dtype == np.dtype(dtype)


def test_without_weights_there_are_placeholders(tmp_path):
    save(network(), tmp_path / "net.nir")
    for again in (
        load(tmp_path / "net.nir", weights=False),
        (weights_path(tmp_path / "net.nir").unlink(), load(tmp_path / "net.nir"))[1],
    ):
        verify(again)
        assert structurally_equal(again, network())
        with pytest.raises(ModelError, match="are not loaded: give the weights file"):
            evaluate(again, X)


def test_loaded_constants_are_read_only(tmp_path):
    save(network(), tmp_path / "net.nir")
    for value in load(tmp_path / "net.nir").constants:
        with pytest.raises(ValueError, match="read-only"):
            value.array[0] = 1


def test_weights_that_belie_their_hash(tmp_path):
    path = tmp_path / "net.nir"
    save(network(), path)
    arrays = load_file(weights_path(path))
    (digest,) = arrays
    arrays[digest][0, 0] += 1
    save_file(arrays, weights_path(path))
    with pytest.raises(ModelError, match=rf"the tensor {digest} does not match its hash; the file is damaged"):
        load(path)


def test_one_flipped_byte_of_the_weights_is_found(tmp_path):
    path = tmp_path / "net.nir"
    save(network(), path)
    content = bytearray(weights_path(path).read_bytes())
    content[-3] ^= 0x10
    weights_path(path).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 100, b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_weights_that_are_none(tmp_path, content):
    path = tmp_path / "net.nir"
    save(network(), path)
    weights_path(path).write_bytes(content)
    with pytest.raises(ModelError, match="cannot read the weights in"):
        load(path)


def test_truncated_weights(tmp_path):
    path = tmp_path / "net.nir"
    save(network(), path)
    content = weights_path(path).read_bytes()
    for length in range(0, len(content), 7):
        weights_path(path).write_bytes(content[:length])
        with pytest.raises(ModelError):
            load(path)


def test_files_that_are_not_ours(tmp_path):
    (tmp_path / "binary.nir").write_bytes(bytes(range(256)))
    with pytest.raises(ParseError, match=r"binary.nir:1:1: not a text file"):
        load(tmp_path / "binary.nir")
    (tmp_path / "empty.nir").write_text("")
    with pytest.raises(ParseError, match=r"empty.nir:1:1: this is not a file of ours"):
        load(tmp_path / "empty.nir")
    with pytest.raises(ModelError, match=r"cannot read .*none.nir: No such file"):
        load(tmp_path / "none.nir")
    with pytest.raises(ModelError, match=r"cannot read .*: Is a directory"):
        load(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    save(network(), path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(ModelError, match=r"cannot write .*: No space left on device"):
        save(network(), path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_block_that_raises_leaves_nothing(tmp_path):
    def write_half():
        with replacing(tmp_path / "out.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write"):
        write_text(tmp_path / "file" / "out.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="cannot write"):
        write_text(tmp_path / "folder", "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_reading_constants_by_hash(tmp_path):
    save(network(), tmp_path / "net.nir")
    ((digest, array),) = read_constants(tmp_path / "net.safetensors").items()
    assert len(digest) == 32
    assert not array.flags.writeable
    with pytest.raises(Error, match="cannot read the weights"):
        read_constants(tmp_path / "none.safetensors")
