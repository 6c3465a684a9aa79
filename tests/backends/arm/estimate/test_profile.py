from __future__ import annotations

import pytest

from nascompiler.backends.arm.estimate.profile import Misses, read_profiles
from nascompiler.backends.errors import DeviceError


def test_pieces_that_overlap_add_up(tmp_path):
    path = tmp_path / "profile.txt"
    path.write_text("B 1000 3 d503201f d65f03c0\nB 1004 2 d65f03c0\nL 2 5 7\nL 3 1 0\nR 8 4\nL 2 0 0\nL 3 0 0\nR 0 0\n")
    first, second = read_profiles(path)
    assert first.counts == {0x1000: 3, 0x1004: 5}
    assert first.words == {0x1000: 0xD503201F, 0x1004: 0xD65F03C0}
    assert first.levels == (Misses(5, 7), Misses(1, 0))
    assert (first.instructions, first.accesses) == (8, 4)
    assert (second.counts, second.instructions) == ({}, 0)


@pytest.mark.parametrize("text", ["B 1000 x\n", "R 1\n", "nonsense\n"])
def test_a_broken_profile_is_one_error(tmp_path, text):
    (tmp_path / "profile.txt").write_text(text)
    with pytest.raises(DeviceError, match="no profile that can be read"):
        list(read_profiles(tmp_path / "profile.txt"))


def test_a_missing_profile_is_one_error(tmp_path):
    with pytest.raises(DeviceError, match="no profile that can be read"):
        list(read_profiles(tmp_path / "none.txt"))
