"""`ocf-systemd demo`: what it shows, with and without a terminal, and that nothing remains after Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGINT

import pexpect
import psutil
import pytest

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
STEPS = [
    "1. A web page as service: ready two seconds after systemd reports it active",
    "2. A health hook for it: is there an answer over HTTP?",
    "3. Install the agent where Pacemaker looks for it",
    "4. Run every action twice: start returns when the page answers",
    "5. Now the service hangs",
    "6. systemd reports",
    "7. The agent reports, as Pacemaker would run it",
    "What you have seen",
]
HANGS = "no complete answer within 5 s"


class Remains:
    """The processes and cgroups of a program that runs, and what of them is there later."""

    def __init__(self, pid: int) -> None:
        self._processes = psutil.Process(pid).children(recursive=True)
        words = set[str]()
        for each in self._processes:
            with suppress(psutil.NoSuchProcess):  # a command of the demo that has ended since
                words.update(each.cmdline())
        (self._cgroup,) = {word for word in words if word.startswith("ocf-systemd-sandbox-")}
        assert self._cgroups()

    def _cgroups(self) -> list[Path]:
        return [path for path in Path("/sys/fs/cgroup").rglob(self._cgroup) if path.is_dir()]

    def wait_until_gone(self) -> None:
        _, alive = psutil.wait_procs(self._processes, timeout=20)
        assert alive == []
        deadline = time.monotonic() + 20
        while found := self._cgroups():
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def test_without_a_terminal() -> None:
    """It says first what it will do, shows each step and its commands, then what was seen."""
    done = subprocess.run([PROGRAM, "demo"], capture_output=True, text=True, timeout=120, check=False, input="")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "about 10 s" in " ".join(lines[:3])
    assert [line.removeprefix("# ") for line in lines if line.startswith("# ")] == STEPS
    steps = done.stdout.split("\n# ")[1:-1]
    assert all("\n$ " in step for step in steps)
    assert "\nactive\n" in steps[5]
    assert HANGS in steps[6]
    assert steps[6].endswith("\nexit code 1\n")
    assert "ocf-systemd doctor" in lines[-1]
    assert not Path("/usr/local/lib/ocf-systemd/beacon.py").exists()


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_on_a_terminal(columns: int) -> None:
    """It runs to its end, and shows the hook's message; its own lines fit 80 columns."""
    child = pexpect.spawn(PROGRAM, ["demo"], dimensions=(40, columns), encoding="utf-8", timeout=60)
    for step in STEPS:
        child.expect_exact(f"# {step}")
        assert len(f"# {step}") <= 80
    child.expect_exact("ocf-systemd doctor")
    child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("after", ["4. Run every", "7. The agent reports"])
def test_ctrl_c(after: str) -> None:
    """Ctrl-C ends it at once, whichever command runs; the exit code is 130, and nothing remains."""
    child = pexpect.spawn(PROGRAM, ["demo"], dimensions=(40, 80), encoding="utf-8", timeout=60)
    child.expect_exact(after)
    remains = Remains(int(child.pid or 0))
    child.sendintr()
    child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "What you have seen" not in (child.before or "")
    remains.wait_until_gone()


@pytest.mark.parametrize("pause_s", [0.005 * number for number in range(8)])
def test_ctrl_c_before_the_first_command(pause_s: float) -> None:
    """At each moment of the start of the first command, Ctrl-C ends the demo, except one in which script(1) loses it.

    Then the next Ctrl-C, which a person types a moment later, ends the demo.
    """
    child = pexpect.spawn(PROGRAM, ["demo"], dimensions=(40, 80), encoding="utf-8", timeout=60)
    child.expect_exact("takes about")
    remains = Remains(int(child.pid or 0))
    time.sleep(pause_s)
    child.sendintr()
    if child.expect_exact([pexpect.EOF, pexpect.TIMEOUT], timeout=2):
        child.sendintr()
        child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    remains.wait_until_gone()


@pytest.mark.parametrize("after", ["# 1.", "# 4.", "# 7."])
def test_sigint_without_a_terminal(after: str) -> None:
    """SIGINT to the program alone ends it too."""
    with subprocess.Popen(
        [PROGRAM, "demo"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith(after) for line in process.stdout)
        remains = Remains(process.pid)
        process.send_signal(SIGINT)
        rest, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert ("What you have seen" in rest, "Traceback" in stderr) == (False, False)
    remains.wait_until_gone()
