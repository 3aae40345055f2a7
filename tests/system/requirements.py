"""What tests require of this machine beyond systemd and Python; without it they fail."""

from __future__ import annotations

import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a test needs of the host beyond systemd and Python."""

    @staticmethod
    def package(path: str, package: str) -> str:
        """Return the path of a file or a command that a Debian package brings; without it the test fails."""
        found = shutil.which(path) if "/" not in path else path if Path(path).exists() else None
        if found is None:
            pytest.fail(f"{path} is missing: install the Debian package {package}")
        return found

    @staticmethod
    def readable_interpreter() -> str:
        """Return this interpreter, which other users must be able to run this package with."""
        nobody = pwd.getpwnam("nobody")
        done = subprocess.run(
            ["sh", "-c", 'exec "$@"', "sh", sys.executable, "-I", "-c", "import ocf_systemd.agent.entry"],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd="/",
            env={},
            check=False,
            stderr=subprocess.DEVNULL,
        )
        if done.returncode:
            pytest.fail(
                f"other users cannot run {sys.executable} or read this package: run these tests in a virtual "
                "environment made from /usr/bin/python3, in a place that everyone can read"
            )
        return sys.executable
