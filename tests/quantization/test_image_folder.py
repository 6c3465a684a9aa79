"""Images in folders: which files, in which order, and how they come to the size of the input."""

import numpy as np
import pytest

from nascompiler.ir.errors import UsageError
from nascompiler.quantization.image_folder import class_folders, image_files, read_pixels
from nascompiler.quantization.network_inputs import image_input
from tests.quantization.networks import graph_of

Image = pytest.importorskip("PIL.Image")


def save(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(path)
    return path


def size(shape):
    return image_input(graph_of(x=shape))


def test_images_are_found_sorted_also_in_folders_within(tmp_path):
    for name in ("b/2.png", "a/1.PNG", "c.jpg", "a/.hidden.png", ".thumbs/x.png"):
        save(tmp_path / name, np.zeros((2, 2, 3)))
    (tmp_path / "labels.csv").write_text("image,label\n")
    assert [f.relative_to(tmp_path).as_posix() for f in image_files(tmp_path)] == ["a/1.PNG", "b/2.png", "c.jpg"]


def test_an_empty_folder_says_what_is_accepted(tmp_path):
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(UsageError) as caught:
        image_files(tmp_path)
    assert str(caught.value) == (
        f"no images in {tmp_path}; accepted: files that end in .bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff "
        "or .webp"
    )


def test_classes_are_the_folders_if_all_images_lie_in_one(tmp_path):
    files = [save(tmp_path / name, np.zeros((2, 2, 3))) for name in ("cat/1.png", "dog/x/2.png")]
    assert class_folders(tmp_path, files) == ("cat", "dog")
    assert class_folders(tmp_path, [*files, save(tmp_path / "3.png", np.zeros((2, 2, 3)))]) == ()


def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3))
    found = read_pixels(save(tmp_path / "i.png", pixels), size((1, 6, 9, 3)))
    assert found.dtype == np.float32
    assert np.array_equal(found, pixels)


def test_the_shorter_side_fits_and_the_middle_is_cut_out(tmp_path):
    pixels = np.zeros((8, 32, 3))
    pixels[:, 12:20] = 200  # the middle quarter of a wide image
    found = read_pixels(save(tmp_path / "i.png", pixels), size((1, 3, 4, 4)))
    assert found.shape == (4, 4, 3)
    assert found.mean() == pytest.approx(200, rel=0.1)


@pytest.mark.parametrize("mode, channels", [("L", 3), ("RGBA", 3), ("P", 3), ("1", 3), ("RGB", 1), ("LA", 1)])
def test_modes_become_rgb_or_grey(tmp_path, mode, channels):
    Image.new("RGB", (5, 5), (153, 153, 153)).convert(mode).save(tmp_path / "i.png")
    found = read_pixels(tmp_path / "i.png", size((1, 5, 5, channels)))
    assert found.shape == (5, 5, channels)
    if mode != "1":
        assert found == pytest.approx(153, abs=1)


def test_16_bits_a_pixel(tmp_path):
    Image.fromarray(np.full((4, 4), 32896, np.uint16)).save(tmp_path / "i.png")
    assert read_pixels(tmp_path / "i.png", size((1, 4, 4, 3))) == pytest.approx(128)


def test_orientation_is_respected(tmp_path):
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    image.save(tmp_path / "i.png", exif=exif)
    found = read_pixels(tmp_path / "i.png", size((1, 1, 3, 4)))
    assert found[..., 0].tolist() == np.arange(12)[::-1].reshape(3, 4).tolist()


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_an_unreadable_image_is_named(tmp_path, content):
    path = save(tmp_path / "i.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3)))
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(UsageError, match=r"cannot read the image .*i\.png: "):
        read_pixels(path, size((1, 4, 4, 3)))
