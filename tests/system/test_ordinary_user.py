"""The program as a user other than root: what needs root is refused at once, all else reports what it lacks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.system.box import Box
    from tests.system.requirements import Requirements

    class AsUser(Protocol):
        def __call__(self, *arguments: str) -> CompletedProcess[str]: ...


PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
CIB = "/var/lib/pacemaker/cib/cib.xml"
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--")
NEEDS_ROOT = [
    pytest.param(("debug", action, "UNIT"), id=f"debug {action}")
    for action in ("start", "stop", "reload", "reload-agent", "cycle")
]
NEEDS_ROOT += [
    pytest.param(("rehearse", "UNIT"), id="rehearse"),
    pytest.param(("rehearse", "UNIT", "--on-this-host", "--yes"), id="rehearse on this host"),
    pytest.param(("sandbox", "run", "--", "true"), id="sandbox run"),
    pytest.param(("sandbox", "shell"), id="sandbox shell"),
    pytest.param(("install",), id="install"),
    pytest.param(("install", "--resident"), id="install --resident"),
    pytest.param(("uninstall",), id="uninstall"),
]


@pytest.fixture
def as_user(box: Box, require: Requirements) -> AsUser:
    require.readable_interpreter()

    def run(*arguments: str) -> CompletedProcess[str]:
        return box.sandbox.run([*AS_NOBODY, PROGRAM, *arguments], timeout_s=60)

    return run


@pytest.mark.parametrize("arguments", NEEDS_ROOT)
def test_needs_root(box: Box, as_user: AsUser, arguments: tuple[str, ...]) -> None:
    """One line says so, with the command to paste, before anything is tried; the exit code is that of wrong usage."""
    unit = box.started()
    command = [unit if each == "UNIT" else each for each in arguments]
    done = as_user(*command)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "not root" in line
    assert line.endswith(f"sudo {PROGRAM} {' '.join(command)}")
    assert box.state(unit) == "active"


@pytest.fixture
def hook(box: Box) -> str:
    """Return a hook that records the uid it runs as."""
    box.path("/run/test").mkdir(exist_ok=True)
    os.chmod(box.path("/run/test"), 0o777)  # noqa: PTH101, S103
    return box.hook("id -u >>/run/test/uid; exit 0")


def test_monitor(box: Box, as_user: AsUser, hook: str) -> None:
    """A monitor runs; one line says that Pacemaker runs the hook as root, and how to."""
    unit = box.started()
    done = as_user("debug", "monitor", unit, "--monitor-hook", hook)
    assert (done.returncode, box.marks("uid")) == (0, ["65534"])
    (line,) = done.stderr.splitlines()
    assert "not root" in line
    assert line.endswith(f"sudo {PROGRAM} debug monitor {unit} --monitor-hook {hook}")


def test_metadata(as_user: AsUser) -> None:
    """The metadata are the same for everyone."""
    done = as_user("debug", "meta-data")
    assert (done.returncode, done.stderr) == (0, "")


def test_doctor(box: Box, as_user: AsUser, hook: str) -> None:
    """A report names at its end the checks that were skipped since only root can make them, and why."""
    unit = box.started("Type=exec", "ExecStart=sleep infinity")
    done = as_user("doctor", unit, "--monitor-hook", hook)
    assert done.returncode in {0, 1}
    assert f"doctor {unit}" in done.stdout
    not_root, skipped, command = done.stdout.splitlines()[-3:]
    assert "not root" in not_root
    assert "only root can run it as the cluster does: hook-speed, hook-answer" in skipped
    assert command.endswith(f"sudo {PROGRAM} doctor {unit} --monitor-hook {hook}")
    assert not box.marks("uid")


def test_doctor_as_json(as_user: AsUser, box: Box) -> None:
    """The document stays a document: the lines are on standard error."""
    done = as_user("doctor", box.service(), "--json")
    assert done.stdout.startswith("{")
    assert done.stdout.rstrip().endswith("}")
    assert "not root" in done.stderr


@pytest.mark.parametrize("command", [("debug", "monitor"), ("doctor",)])
def test_resource_of_a_stopped_pacemaker(box: Box, as_user: AsUser, command: tuple[str, ...]) -> None:
    """While Pacemaker is stopped, only root can read the CIB: the error says so, and has the command for root."""
    box.write(CIB, "<cib/>", 0o600)
    try:
        done = as_user(*command, "--resource", "mail")
    finally:
        box.sh(f"rm {CIB}")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "Pacemaker does not run on this host, and this user may not read its CIB" in line
    assert line.endswith(f"sudo {PROGRAM} {' '.join(command)} --resource mail")
