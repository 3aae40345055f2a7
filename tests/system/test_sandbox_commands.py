"""`ocf-systemd sandbox`: exit codes, copies, Ctrl-C, and the end of the sandbox."""

from __future__ import annotations

import pwd
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING

import pexpect
import pytest

if TYPE_CHECKING:
    from tests.system.requirements import Requirements

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "sandbox", *arguments], capture_output=True, text=True, timeout=60, check=False)


def processes_with(mark: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[1-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in command:
            found.append(command)
    return found


def test_exit_code() -> None:
    """Exit code and output are those of the command."""
    done = run("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width that a user chooses for the output applies in the sandbox too."""
    monkeypatch.setenv("COLUMNS", "123")
    assert run("run", "--", "sh", "-c", "echo $COLUMNS").stdout == "123\n"


def test_own_program() -> None:
    """`ocf-systemd` is found in the sandbox, and debugs a unit there."""
    done = run("run", "--", "ocf-systemd", "debug", "monitor", "--unit", "systemd-journald")
    assert (done.returncode, done.stderr) == (0, "")
    assert "OCF_SUCCESS (0)" in done.stdout


def test_another_program_of_that_name(tmp_path: Path) -> None:
    """The program that was called runs inside, although another one is in /usr/local/bin; Python is the host's."""
    other = tmp_path / "ocf-systemd"
    other.write_text("#!/bin/sh\necho another\n", encoding="utf-8")
    other.chmod(0o755)
    copy = f"{other}:/usr/local/bin/ocf-systemd"
    done = run("run", "--copy", copy, "--", "sh", "-c", "ocf-systemd --version; command -v python3")
    version, python = done.stdout.splitlines()
    assert version == subprocess.check_output([PROGRAM, "--version"], text=True).strip()
    assert python == shutil.which("python3", path="/usr/local/bin:/usr/bin")


def test_copy(tmp_path: Path) -> None:
    """A copied unit can be started; changes of the copy do not reach this host."""
    unit = tmp_path / "own.service"
    unit.write_text("[Service]\nExecStart=sleep infinity\n")
    script = "systemctl start own && systemctl is-active own && rm /etc/systemd/system/own.service"
    done = run("run", "--copy", f"{unit}:/etc/systemd/system/own.service", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "active\n", "")
    assert unit.exists()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x", id="no-colon"),
        pytest.param("/etc/hosts:srv", id="relative"),
        pytest.param("/no/such:/srv/x", id="missing"),
    ],
)
def test_bad_copy(text: str) -> None:
    """An invalid copy is a usage error with exit code 2, and no command runs."""
    done = run("run", "--copy", text, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--copy" in done.stderr


def test_no_command() -> None:
    """A missing command is a usage error."""
    assert run("run").returncode == 2


def test_shell() -> None:
    """`sandbox shell` shows a prompt in the sandbox; its exit code is that of the shell."""
    child = pexpect.spawn(PROGRAM, ["sandbox", "shell"], encoding="utf-8", timeout=20)
    child.expect_exact("sandbox booted in ")
    child.expect_exact("[sandbox] ")
    child.sendline("echo $((6 * 7)); cat /proc/1/comm")
    child.expect_exact("42\r\nsystemd")
    child.expect_exact("[sandbox] ")
    child.sendline("exit 5")
    child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


def test_interrupted() -> None:
    """Ctrl-C ends the command and then the sandbox, and nothing remains."""
    mark = f"100.{secrets.randbelow(10**9):09}"
    child = pexpect.spawn(PROGRAM, ["sandbox", "run", "--", "sh", "-c", f"echo ready; sleep {mark}"], encoding="utf-8")
    child.expect_exact("ready")
    assert processes_with(mark)
    child.sendintr()
    child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert processes_with(mark) == []


def test_interrupted_twice_and_killed() -> None:
    """SIGINT to the program alone does not end the command; SIGKILL ends command and sandbox."""
    mark = f"100.{secrets.randbelow(10**9):09}"
    command = [PROGRAM, "sandbox", "run", "--", "sh", "-c", f"echo ready; sleep {mark}; true"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(SIGINT)
        time.sleep(0.2)
        assert processes_with(mark)
        process.kill()
    deadline = time.monotonic() + 10
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_with(mark) == []


@pytest.mark.parametrize("arguments", [("run", "true"), ("shell",)], ids=["run", "shell"])
def test_not_root(require: Requirements, arguments: tuple[str, ...]) -> None:
    """Other users than root get exit code 2, and an error with the command to run instead."""
    interpreter = require.readable_interpreter()
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        [interpreter, PROGRAM, "sandbox", *arguments],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: this user is not root: ")
    assert done.stderr.endswith(f" Run: sudo {PROGRAM} sandbox {' '.join(arguments)}\n")
