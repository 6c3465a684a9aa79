"""What of a data set children see, and what cannot be a proxy of it."""

import numpy as np
import pytest

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.ir import UsageError
from nascompiler.search.children.defaults import DEFAULTS, default_proxy
from nascompiler.search.children.proxy import Proxy, ReducedImages, proxy_dataset
from nascompiler.training.recipe import Recipe


def split(count, classes=3, side=8):
    generator = np.random.default_rng(count)
    images = generator.integers(0, 256, (count, side, side, 3), np.uint8)
    return Split(images, np.arange(count) % classes, Normalization())


DATA = Dataset("squares", ("a", "b", "c"), split(30), split(12), split(9))


def test_the_default_is_all_of_it_but_the_test_images():
    found = proxy_dataset(DATA, Proxy())
    np.testing.assert_array_equal(found.train.images, DATA.train.images)
    np.testing.assert_array_equal(found.held_out.labels, DATA.held_out.labels)
    assert found.classes == DATA.classes
    assert len(found.test) == 0


def test_a_part_of_the_images_and_classes():
    found = proxy_dataset(DATA, Proxy(classes=2, train_images=10, held_out_images=4))
    assert found.classes == ("a", "b")
    assert (len(found.train), len(found.held_out)) == (10, 4)
    assert set(found.train.labels) == {0, 1}
    np.testing.assert_array_equal(found.train.images[1], DATA.train.images[1])


@pytest.mark.parametrize(("crop", "resolution", "size"), [(2, 0, 4), (0, 4, 4), (2, 2, 2), (0, 16, 16)])
def test_smaller_and_larger_images(crop, resolution, size):
    found = proxy_dataset(DATA, Proxy(crop=crop, resolution=resolution, colour="contrast"))
    assert found.train.images.shape == (30, size, size, 3)


def test_images_that_are_not_kept_in_memory_are_the_same():
    proxy = Proxy(crop=2, resolution=2, colour="contrast")
    chosen = np.array([3, 1, 7])
    lazy = ReducedImages(DATA.train.images, chosen, proxy)
    np.testing.assert_array_equal(lazy[np.array([2, 0])], lazy.all()[[2, 0]])
    assert lazy.shape == (3, 2, 2, 3)


@pytest.mark.parametrize(
    ("data", "proxy", "reason"),
    [
        (Dataset("one", ("a",), split(4, 1), split(4, 1), split(4, 1)), Proxy(), "it has 1 class; accepted: two"),
        (Dataset("same", ("a", "b"), split(4, 1), split(4, 1), split(4, 1)), Proxy(), "train on are of one class"),
        (Dataset("none", ("a", "b"), split(0), split(4), split(4)), Proxy(), "no images to train on"),
        (Dataset("none", ("a", "b"), split(4, 2), split(0), split(4)), Proxy(), "no images held out"),
        (DATA, Proxy(classes=4), "it has 3 classes, and the proxy wants 4"),
        (DATA, Proxy(crop=4), "nothing is left"),
        (DATA, Proxy(resolution=5), "accepted sizes: 1, 2, 4, 8 and multiples of 8"),
    ],
)
def test_what_does_not_fit_is_refused(data, proxy, reason):
    with pytest.raises(DataError, match=reason):
        proxy_dataset(data, proxy)


@pytest.mark.parametrize("options", [{"classes": 1}, {"width": 0.0}, {"width": 2.0}, {"colour": "grey"}, {"crop": -1}])
def test_impossible_values(options):
    with pytest.raises(UsageError, match="accepted"):
        Proxy(**options)


def test_json_round_trip():
    proxy = Proxy(resolution=4, recipe=Recipe(epochs=2, optimizer="sgd"))
    assert Proxy.from_json(proxy.to_json()) == proxy
    for wrong in ({"size": 3}, {"recipe": {"epoch": 3}}, {"crop": "much"}):
        with pytest.raises(UsageError):
            Proxy.from_json(wrong)


def test_every_data_set_has_a_default():
    for name in DEFAULTS:
        assert default_proxy(f"{name}:FOLDER") is DEFAULTS[name]
    with pytest.raises(UsageError, match="unknown data set"):
        default_proxy("doodles")
