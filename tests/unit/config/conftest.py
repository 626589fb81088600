"""Fixtures of the tests of the configuration."""

from typing import Any

import pytest

from common.config.loading import load_configuration
from support.configurations import BASE


@pytest.fixture(scope="session")
def demo() -> dict[str, Any]:
    """The demo's configuration, defaults filled in."""
    return load_configuration(BASE, [], {})
