"""What the commands in the documentation assume: this repository, the program, and what pip would fetch for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.docs.commands import ROOT, installs_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ocf_systemd.sandbox import Sandbox
    from tests.docs.commands import Commands

HERE = PurePosixPath("/root/ocf-systemd")
_WHEELS = "/root/wheels"
_NEEDED = ("LICENSE", "README.md", "examples", "hatch_build.py", "pyproject.toml", "src")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PIP: Mapping[str, str] = {
    "PIP_NO_INDEX": "1",  # a sandbox has no network but loopback
    "PIP_FIND_LINKS": _WHEELS,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_COMPILE": "1",  # what counts, `install` does
}


def environment(commands: Iterable[Commands]) -> Mapping[str, str]:
    """Return the environment of a page's commands: the program is in PATH already unless the page installs it."""
    path = _PATH if installs_program(commands) else f"{_PATH}:{Path(sys.executable).parent}"
    return {"PATH": path, **_PIP}


def fetch_wheels(directory: Path) -> Path:
    """Fetch what pip needs for the project, to build it as well."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(directory), str(ROOT)]
    subprocess.run([*command, "hatchling"], check=True)
    return directory


def bring(sandbox: Sandbox, wheels: Path | None = None) -> None:
    """Have a copy of the repository in a sandbox, and what pip needs for it."""
    for name in _NEEDED:
        sandbox.copy_in(ROOT / name, HERE / name)
    if wheels:
        sandbox.copy_in(wheels, _WHEELS)
