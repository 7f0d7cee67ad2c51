"""What all tests with services share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.running import let_go


@pytest.fixture(scope="module", autouse=True)
def services_let_go() -> Iterator[None]:
    """A process runs hundreds of services, one after another."""
    yield
    let_go()
