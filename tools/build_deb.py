"""Builds the Debian package for the Debian release of this host in the given directory; `nox -s deb` runs it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_IGNORED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # Debian's Python, not that of a virtual environment


def build(source: Path, directory: Path) -> Path:
    """Build the source package and the binary package of a checkout; return the .deb file in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "ocf-systemd")
        shutil.copytree(source, tree, ignore=_IGNORED)
        command = ["dpkg-buildpackage", "--ignore-builtin-builddeps", "--no-sign"]
        subprocess.run(command, cwd=tree, env={**os.environ, "PATH": _PATH}, check=True)
        for path in Path(scratch).glob("ocf-systemd_*"):
            shutil.copy(path, directory)
        (package,) = Path(scratch).glob("*.deb")
    return directory / package.name


if __name__ == "__main__":
    print(build(Path(__file__).parent.parent, Path(sys.argv[1])))
