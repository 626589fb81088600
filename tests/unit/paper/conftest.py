"""Fixtures of the tests of the paper."""

import pytest

from common.paper.published import Published, load_published
from support.paper_claims import PAPER


@pytest.fixture(scope="session")
def published() -> Published:
    """The paper's numbers as printed."""
    return load_published(PAPER)
