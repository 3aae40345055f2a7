from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.unit.odd_processes import marked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A slow machine is not a failure, and no database is left in the tree. What CI finds can be reproduced by anyone.
settings.register_profile("quick", deadline=None, database=None, derandomize="CI" in os.environ)
settings.load_profile("quick")


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """Return a number of seconds that no other process sleeps; processes that still sleep it at the end are killed."""
    mark = f"{1000 + os.getpid()}.{abs(hash(tmp_path)) % 10**9}"
    yield mark
    for process in marked(mark):
        process.kill()
