"""Manual pages and completion: installed where readers and shells look for them, and removed without a trace."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

import ocf_systemd
from ocf_systemd.install.data_files import install, remove

SOURCE = Path(ocf_systemd.__file__).parent / "share"
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file())
MANUAL = Path("man/man1/ocf-systemd.1")


def listing(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_install_and_remove(tmp_path: Path) -> None:
    """Each file is installed whole and readable for every user; removal leaves no file and no directory."""
    share = tmp_path / "usr/local/share"
    (share / "zsh").mkdir(parents=True)
    before, umask = listing(tmp_path), os.umask(0o077)
    try:
        assert install(share) == ()
        assert install(share) == ()  # an upgrade
    finally:
        os.umask(umask)
    assert [share / file for file in FILES] == sorted(path for path in share.rglob("*") if path.is_file())
    for file in FILES:
        assert (share / file).read_text().startswith((SOURCE / file).read_text())
        assert stat.S_IMODE((share / file).stat().st_mode) == 0o644
        assert stat.S_IMODE((share / file).parent.stat().st_mode) == 0o755
    assert remove(share) == len(FILES)
    assert remove(share) == 0
    assert listing(tmp_path) == before


def test_directories_with_other_files(tmp_path: Path) -> None:
    """Removal keeps a directory that another program has put a file into."""
    install(tmp_path)
    (tmp_path / "man/man1/other.1").touch()
    remove(tmp_path)
    assert listing(tmp_path) == ["man", "man/man1", "man/man1/other.1"]


def test_a_file_of_another_program(tmp_path: Path) -> None:
    """It is neither replaced nor removed, and installing warns; all other files are installed."""
    path = tmp_path / MANUAL
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    assert install(tmp_path) == (f"skipped {path}: ocf-systemd did not install it",)
    assert remove(tmp_path) == len(FILES) - 1
    assert listing(tmp_path) == ["man", "man/man1", str(MANUAL)]
    assert path.read_text() == "somebody's"


@pytest.mark.parametrize(
    ("target", "warnings"),
    [pytest.param(sys.prefix, 0, id="own"), pytest.param("/usr", 1, id="other")],
)
def test_links(tmp_path: Path, target: str, warnings: int) -> None:
    """A link into this environment, as pipx makes, is kept silently; any other link with a warning."""
    path = tmp_path / MANUAL
    path.parent.mkdir(parents=True)
    path.symlink_to(f"{target}/share/{MANUAL}")
    assert len(install(tmp_path)) == warnings
    remove(tmp_path)
    assert path.is_symlink()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """If they cannot be written, installing warns: the agent works without them."""
    (tmp_path / "file").touch()
    (warning,) = install(tmp_path / "file")
    assert warning.startswith(f"manual pages and completion cannot be written below {tmp_path}/file: ")
