"""Files in packages are found without importing the package, and the errors carry the remedy."""

import pytest

from nascompiler.data.errors import DataError
from nascompiler.data.package_files import package_file


def test_a_file_is_found():
    assert package_file("numpy", "__init__.py", what="it", remedy="none").name == "__init__.py"


@pytest.mark.parametrize("package", ["no_such_package", "this"])
def test_a_missing_package_and_a_module_without_files_are_named(package):
    with pytest.raises(DataError, match=f"it comes with {package}, which is not installed: do this"):
        package_file(package, "data.csv", what="it", remedy="do this")


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"no nothing\.csv, which holds it: do this"):
        package_file("numpy", "nothing.csv", what="it", remedy="do this")
