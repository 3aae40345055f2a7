"""Wheels of the project and its dependencies, for hosts without a package index, and of a newer version."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from ocf_systemd import __version__

if TYPE_CHECKING:
    from pathlib import Path

NEWER = f"{__version__}.1"
PLACE = "/srv/wheelhouse"
# Without the settings of this machine, which may name an index.
PIP = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": PLACE, "PIP_ROOT_USER_ACTION": "ignore"}


def build(directory: Path, project: Path) -> None:
    """Build wheels in a directory, including pip, which pipx(1) needs."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(directory), str(project), "pip"]
    subprocess.run(command, check=True)


def make_newer(directory: Path) -> Path:
    """Add a wheel of the project with a higher version to a directory of wheels; return its file."""
    (wheel,) = directory.glob(f"ocf_systemd-{__version__}-*.whl")
    newer = wheel.with_name(wheel.name.replace(__version__, NEWER))
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(newer, "w", zipfile.ZIP_DEFLATED) as new:
        record = f"ocf_systemd-{NEWER}.dist-info/RECORD"
        lines = [f"{record},,"]
        for info in old.infolist():
            name, content = info.filename.replace(f"-{__version__}.", f"-{NEWER}."), old.read(info)
            if name.endswith(("/METADATA", "ocf_systemd/__init__.py")):
                content = re.sub(rf"\b{re.escape(__version__)}\b".encode(), NEWER.encode(), content)
            if name != record:
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                lines.append(f"{name},sha256={digest},{len(content)}")
                new.writestr(name, content)
        new.writestr(record, "\n".join([*lines, ""]))
    return newer
