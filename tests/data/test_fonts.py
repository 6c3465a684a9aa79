"""The faces that everything is drawn with."""

from nascompiler.data.fonts import font, font_paths


def test_the_faces_are_dejavu_with_letters_and_in_order():
    paths = font_paths()
    assert len(paths) >= 12
    assert list(paths) == sorted(paths)
    assert all(path.name.startswith("DejaVu") and "Display" not in path.name for path in paths)


def test_a_face_has_the_size_asked_for():
    assert font(font_paths()[0], 20).size == 20
    left, top, right, bottom = font(font_paths()[0], 40).getbbox("H")
    assert 20 < bottom - top < 40
    assert right > left
