"""Manual pages and completion: put where they are looked for, and taken away without a trace."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

import ocf_systemd
from ocf_systemd.install.data_files import put, take_away

SOURCE = Path(ocf_systemd.__file__).parent / "share"
PLACES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file())
MANUAL = Path("man/man1/ocf-systemd.1")


def listing(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_there_and_back(tmp_path: Path) -> None:
    """Each file of the package, whole and for everybody to read; and afterwards not a directory more than before."""
    share = tmp_path / "usr/local/share"
    (share / "zsh").mkdir(parents=True)
    before, umask = listing(tmp_path), os.umask(0o077)
    try:
        assert put(share) == ()
        assert put(share) == ()  # an upgrade
    finally:
        os.umask(umask)
    assert [share / place for place in PLACES] == sorted(path for path in share.rglob("*") if path.is_file())
    for place in PLACES:
        assert (share / place).read_text().startswith((SOURCE / place).read_text())
        assert stat.S_IMODE((share / place).stat().st_mode) == 0o644
        assert stat.S_IMODE((share / place).parent.stat().st_mode) == 0o755
    assert take_away(share) == len(PLACES)
    assert take_away(share) == 0
    assert listing(tmp_path) == before


def test_directories_that_others_use_by_now(tmp_path: Path) -> None:
    """They stay, and what is in them."""
    put(tmp_path)
    (tmp_path / "man/man1/other.1").touch()
    take_away(tmp_path)
    assert listing(tmp_path) == ["man", "man/man1", "man/man1/other.1"]


def test_what_is_not_ours(tmp_path: Path) -> None:
    """It is left, at both times, and told; all else is put beside it."""
    path = tmp_path / MANUAL
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    assert put(tmp_path) == (f"left {path} as it is, which is not ours",)
    assert take_away(tmp_path) == len(PLACES) - 1
    assert listing(tmp_path) == ["man", "man/man1", str(MANUAL)]
    assert path.read_text() == "somebody's"


@pytest.mark.parametrize(
    ("target", "warnings"), [pytest.param(sys.prefix, 0, id="ours"), pytest.param("/usr", 1, id="another's")]
)
def test_links(tmp_path: Path, target: str, warnings: int) -> None:
    """A link into this environment, as pipx makes, is left without a word; any other one is told."""
    path = tmp_path / MANUAL
    path.parent.mkdir(parents=True)
    path.symlink_to(f"{target}/share/{MANUAL}")
    assert len(put(tmp_path)) == warnings
    take_away(tmp_path)
    assert path.is_symlink()


def test_no_place_for_them(tmp_path: Path) -> None:
    """Where they cannot be written there is a warning: the agent works without them."""
    (tmp_path / "file").touch()
    (warning,) = put(tmp_path / "file")
    assert warning.startswith(f"manual pages and completion cannot be written below {tmp_path}/file: ")
