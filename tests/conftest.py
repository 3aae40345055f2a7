"""The sandbox and the agent in it, for the tests that call the agent as Pacemaker does; one sandbox for all of them.

Each of these tests runs in both ways: the agent runs its action in its own process (cold), or the server runs it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.client import SERVED
from ocf_systemd.sandbox import Sandbox, boot
from tests.system.agent import AGENT, RESIDENT, Agent
from tests.system.box import FELL_BACK, Box
from tests.system.requirements import Requirements
from tests.tested import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAM = Path(sys.executable).with_name("ocf-systemd")
COVERAGE = "/var/lib/coverage"
# What is added to an agent's file: it notes that the server did not run the action.
NOTING = """
if sys.argv[1:2] in {served}:
    with open("{file}", "a") as file:
        file.write(".")
"""
FELL_BACK_SHARE, FELL_BACK_SPARE = 0.2, 5

# A hook below a sticky directory such as /tmp is not safe to run, so that temporary directories cannot be there.
with suppress(KeyError):  # a user without an entry, who has no home directory either
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", pwd.getpwuid(os.geteuid()).pw_dir)

if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # in the background of a shell; processes of the tests would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-way", action="store_true", help="run each test in one of its ways, cold or resident")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group the tests of a file, cold or resident, for the first worker that is ready; each has a sandbox."""
    if config.getoption("--one-way"):
        dropped = set(_other_ways(items))
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {_way(item)}"))


def _way(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("agent", "")) if callspec is not None else ""


def _other_ways(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield all but one way of each test: about half of the tests stay cold, the other half resident."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        name, _, values = item.nodeid.partition("[")
        others = [value for value in values.split("-") if value.rstrip("]") != _way(item)]
        tests.setdefault("-".join([name, *others]), []).append(item)
    for number, ways in enumerate(tests.values()):
        kept = ways[number % len(ways)]
        yield from (item for item in ways if item is not kept)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode) -> None:
    """Record on what the tests of a nox session have passed, if all have; a worker of xdist knows only its own."""
    name, _, path = os.environ.get("TESTED", "").partition("=")
    if path and exitstatus == pytest.ExitCode.OK and "PYTEST_XDIST_WORKER" not in os.environ:
        record(Path(path), name, len(terminalreporter.getreports("passed")))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with boot(name="system-test") as booted:
        installed = booted.run([str(PROGRAM), "install", "--resident"])
        assert installed.returncode == 0, installed.stderr
        yield booted


@pytest.fixture(scope="session")
def served_codes(sandbox: Sandbox, measuring: Mapping[str, str]) -> Iterator[list[int]]:
    """Start the resident server, and yield a list for the exit codes that agents return.

    An agent that runs its action in its own process nevertheless notes that. This is right on a busy machine, where
    the server cannot answer in time, and for exit codes 4 and 5; if it were the rule, the tests would show nothing.
    """
    codes: list[int] = []
    variables = "".join(f'Environment="{name}={value}"\n' for name, value in measuring.items())
    sandbox.write("/run/systemd/system/ocf-systemd.service.d/coverage.conf", f"[Service]\n{variables}")
    agent = Path(f"/proc/{sandbox.pid}/root{AGENT}").read_text(encoding="utf-8")
    sandbox.write(FELL_BACK, "", 0o666)
    noting = NOTING.format(served=[[action] for action in SERVED], file=FELL_BACK)
    sandbox.write(RESIDENT, agent.replace("del sys.path[0]\n", f"{noting}del sys.path[0]\n"), 0o755)
    done = sandbox.run(["sh", "-c", "systemctl daemon-reload; systemctl start ocf-systemd.service"])
    assert done.returncode == 0, done.stderr
    yield codes
    sandbox.run(["systemctl", "stop", "ocf-systemd.socket", "ocf-systemd.service"])
    fell_back = Path(f"/proc/{sandbox.pid}/root{FELL_BACK}").read_text(encoding="utf-8")
    allowed = sum(code in {4, 5} for code in codes) + FELL_BACK_SHARE * len(codes) + FELL_BACK_SPARE
    assert len(fell_back) <= allowed, f"{len(fell_back)} of {len(codes)}"


@pytest.fixture(scope="session")
def measuring(sandbox: Sandbox) -> Iterator[Mapping[str, str]]:
    """Yield the variables with which coverage measures a process in the box, if it measures this one; copy its data."""
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


@pytest.fixture(params=["cold", "resident"])
def agent(
    request: pytest.FixtureRequest, box: Box, served_codes: list[int], measuring: Mapping[str, str]
) -> Iterator[Agent]:
    """Yield the agent; the cold one finds no server."""
    if request.param == "resident":
        yield Agent(box, measuring, RESIDENT, served_codes)
        return
    with box.without_server():
        yield Agent(box, measuring, AGENT)


@pytest.fixture
def require() -> Requirements:
    return Requirements()
