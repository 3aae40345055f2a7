"""Every command in the documentation runs: here those for a host, in tests/cluster those for a cluster's nodes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ocf_systemd.sandbox import boot
from tests.docs.checkout import HERE, bring, environment, fetch_wheels
from tests.docs.commands import Commands, Place, installs_program, pages_with, runs

TIMEOUT_S = 120.0
PROGRAM = Path(sys.executable).with_name("ocf-systemd")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.mark.parametrize("commands", pages_with(Place.SANDBOX))
def test_commands(commands: list[Commands], wheels: Path) -> None:
    """All commands of a page succeed, one after the other, in a copy of the repository on a separate host.

    The host has the agent, unless the page installs it.
    """
    with boot(name="reader") as sandbox:
        bring(sandbox, wheels)
        if not installs_program(commands):
            assert sandbox.run([str(PROGRAM), "install"]).returncode == 0
        for _, script in runs(commands, Place.SANDBOX):
            done = sandbox.run(["sh", "-c", script], env=environment(commands), cwd=str(HERE), timeout_s=TIMEOUT_S)
            assert done.returncode == 0, f"{done.stdout}{done.stderr}"
