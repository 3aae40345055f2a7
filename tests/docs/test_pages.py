"""Every command in the documentation runs: here those for a host, in tests/cluster those for a cluster's nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocf_systemd.sandbox import boot
from tests.docs.checkout import HERE, bring, environment, fetch_wheels
from tests.docs.commands import Commands, Place, pages_with, runs

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 120.0


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.mark.parametrize("commands", pages_with(Place.SANDBOX))
def test_commands(commands: list[Commands], wheels: Path) -> None:
    """All commands of a page succeed, one after the other, in a copy of the repository on a separate host."""
    with boot(name="reader") as sandbox:
        bring(sandbox, wheels)
        for _, script in runs(commands, Place.SANDBOX):
            done = sandbox.run(["sh", "-c", script], env=environment(commands), cwd=str(HERE), timeout_s=TIMEOUT_S)
            assert done.returncode == 0, f"{done.stdout}{done.stderr}"
