"""The sandbox and the agent in it, for the tests that call the agent as Pacemaker does; one sandbox for all of them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.sandbox import Sandbox, boot
from tests.system.agent import Agent
from tests.system.box import Box
from tests.system.requirements import Requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAM = Path(sys.executable).with_name("ocf-systemd")
COVERAGE = "/var/lib/coverage"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with boot(name="system-test") as booted:
        installed = booted.run([str(PROGRAM), "install"])
        assert installed.returncode == 0, installed.stderr
        yield booted


@pytest.fixture(scope="session")
def measuring(sandbox: Sandbox) -> Iterator[Mapping[str, str]]:
    """Yield what makes coverage measure a process in the box, if it measures this one; fetch its data at the end."""
    settings, configured = os.environ.get("COVERAGE_PROCESS_CONFIG"), os.environ.get("COVERAGE_PROCESS_START")
    data = Path(os.environ.get("COVERAGE_FILE") or ".coverage").absolute()
    if not settings and not configured:
        yield {}
        return
    sandbox.run(["mkdir", "-p", COVERAGE])
    variables = {"COVERAGE_FILE": f"{COVERAGE}/{data.name}"}
    if settings:
        variables["COVERAGE_PROCESS_CONFIG"] = settings
    elif configured:
        file = Path(configured)
        sandbox.write(f"{COVERAGE}/{file.name}", file.read_text(encoding="utf-8"))
        variables["COVERAGE_PROCESS_START"] = f"{COVERAGE}/{file.name}"
    yield variables
    for found in Path(f"/proc/{sandbox.pid}/root{COVERAGE}").glob(f"{data.name}.*"):
        shutil.copy(found, data.parent)


@pytest.fixture(scope="session")
def booted_box(sandbox: Sandbox) -> Box:
    return Box(sandbox)


@pytest.fixture
def box(booted_box: Box) -> Iterator[Box]:
    yield booted_box
    booted_box.clean()


@pytest.fixture
def agent(box: Box, measuring: Mapping[str, str]) -> Agent:
    return Agent(box, measuring)


@pytest.fixture
def require() -> Requirements:
    return Requirements()
