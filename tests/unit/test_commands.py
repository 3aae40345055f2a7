"""Programs that commands of people run, and wait for."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.host import commands
from ocf_systemd.host.commands import run_to_end

if TYPE_CHECKING:
    from subprocess import Popen


class TestRunToEnd:
    def test_output(self) -> None:
        """The exit code and both streams are returned."""
        done = run_to_end("sh", "-c", "echo a; echo b >&2; exit 3", timeout_s=30)
        assert (done.returncode, done.stdout, done.stderr) == (3, "a\n", "b\n")

    def test_timeout(self) -> None:
        """A program that does not end in time is ended."""
        with pytest.raises(TimeoutError):
            run_to_end("sleep", "60", timeout_s=0.1)

    def test_one_that_cannot_be_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One in an uninterruptible state does not block the command."""
        killed: list[Popen[str]] = []

        def keep(process: Popen[str]) -> None:
            killed.append(process)

        monkeypatch.setattr(subprocess.Popen, "kill", keep)
        monkeypatch.setattr(commands, "_KILL_S", 0.1, raising=False)
        with pytest.raises(TimeoutError):
            run_to_end("sleep", "20", timeout_s=0.1)
        assert killed[0].poll() is None
        killed[0].terminate()
        killed[0].wait()
