"""Records on what a session's tests have passed, for the table of tested versions (`tools/write_tested.py`)."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARIES = ("anyio", "click", "rich")


def record(path: Path, session: str, passed: int) -> None:
    """Write what ran to a JSON file: the session's name, the versions that its tests used, how many tests passed."""
    release = platform.freedesktop_os_release()
    record = {
        "distribution": f"{release['NAME'].split()[0]} {release.get('VERSION_ID', '')}".strip(),
        "systemd": _version("systemctl"),
        "pacemaker": _version("pacemakerd"),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "libraries": {library: version(library) for library in _LIBRARIES},
        "session": session,
        "passed": passed,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _version(program: str) -> str:
    """Return the version that a program prints, or "" if it is not installed."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        return ""
    output = subprocess.run([found, "--version"], check=True, capture_output=True, text=True).stdout
    number = re.search(r"\d+(\.\d+)*", output)
    assert number is not None, output
    return number[0]
