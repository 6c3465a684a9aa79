"""Data sets by name, and what is said about names that are none."""

import pytest

from nascompiler.data.errors import DataError
from nascompiler.data.load import load_dataset, names
from nascompiler.ir.errors import UsageError


def test_every_name_is_listed():
    assert names() == ["cifar-10:FOLDER", "digits", "glyphs-62", "imagenet:FOLDER", "mnist-5k"]


def test_by_name_and_seed():
    assert load_dataset("digits").name == "digits"
    assert load_dataset("digits", seed=1).test.labels.tolist() != load_dataset("digits").test.labels.tolist()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        UsageError, match=r"unknown data set 'digit' \(did you mean digits\?\); accepted: cifar-10:FOLDER"
    ):
        load_dataset("digit")


def test_a_folder_is_demanded_refused_or_missing(tmp_path):
    with pytest.raises(UsageError, match="accepted: cifar-10:FOLDER"):
        load_dataset("cifar-10")
    with pytest.raises(UsageError, match="takes no folder; accepted: digits"):
        load_dataset("digits:somewhere")
    with pytest.raises(DataError, match="imagenet: there is no folder"):
        load_dataset(f"imagenet:{tmp_path / 'nowhere'}")


def test_the_folder_is_passed_on(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        load_dataset(f"cifar-10:{tmp_path}")
