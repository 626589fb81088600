"""Fixtures of the tests of the data."""

from itertools import count

import pytest


@pytest.fixture(scope="module")
def new_path(tmp_path_factory):
    """A function that gives a fresh path with a suffix."""
    folder, numbers = tmp_path_factory.mktemp("data"), count()
    return lambda suffix: folder / f"{next(numbers)}{suffix}"
