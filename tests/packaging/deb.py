"""Debian packages of this version and of a newer one, for the release that the tests run on."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from ocf_systemd import __version__
from tests.packaging.wheelhouse import NEWER

_PROJECT = Path(__file__).parents[2]
_VERSIONS = {"src/ocf_systemd/__init__.py": '"{}"', "debian/changelog": "({})"}


def build_two(directory: Path) -> tuple[Path, Path]:
    """Build the package of this checkout and of a copy with a higher version in a directory; return both files."""
    build = runpy.run_path(str(_PROJECT / "tools/build_deb.py"))["build"]
    newer = directory / "newer"
    shutil.copytree(_PROJECT, newer, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for name, form in _VERSIONS.items():
        text = (newer / name).read_text(encoding="utf-8")
        (newer / name).write_text(text.replace(form.format(__version__), form.format(NEWER), 1), encoding="utf-8")
    return build(_PROJECT, directory), build(newer, directory)
