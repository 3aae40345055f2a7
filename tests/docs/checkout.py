"""What the commands in the documentation take for granted: this repository, and what pip would fetch for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.docs.commands import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocf_systemd.sandbox import Sandbox

HERE = PurePosixPath("/root/ocf-systemd")
_WHEELS = "/root/wheels"
_NEEDED = ("LICENSE", "README.md", "examples", "pyproject.toml", "src")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Mapping[str, str] = {
    "PATH": f"{_PATH}:{Path(sys.executable).parent}",
    "VIRTUAL_ENV": sys.prefix,  # where the tests have the program from
    "PIP_NO_INDEX": "1",  # a sandbox has no network but loopback
    "PIP_FIND_LINKS": _WHEELS,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_COMPILE": "1",  # what counts, `install` does
}
"""In which the commands are run."""


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
