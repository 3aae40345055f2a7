"""The link by which a login finds `ocf-systemd`: created, replaced and removed only if it is ours."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.install import path_link
from tests.unit import builders

if TYPE_CHECKING:
    from pathlib import Path


def executable(path: Path, line: str = "from ocf_systemd.commands import main") -> Path:
    """Write a program as pip(1) does, or another one, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return builders.executable(path, f"#!/usr/bin/python3\n{line}\n")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the program of an environment, which is not in the PATH."""
    path = executable(tmp_path / "opt/bin/ocf-systemd")
    monkeypatch.setattr(sys, "executable", str(path.with_name("python3")))
    return path


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    link = tmp_path / "usr/local/bin/ocf-systemd"
    monkeypatch.setattr(path_link, "LINK", link)
    monkeypatch.setattr(path_link, "SEARCH_PATH", f"{tmp_path}/sbin:{link.parent}:{tmp_path}/bin")
    return link


def test_install_and_remove(link: Path, program: Path) -> None:
    """The link is created with its directory, whatever the umask; created again it is unchanged; removal removes it."""
    umask = os.umask(0o077)
    try:
        assert path_link.install() == f"installed {link}, a link to {program}"
    finally:
        os.umask(umask)
    assert link.samefile(program)
    assert stat.S_IMODE(link.parent.stat().st_mode) == 0o755
    assert path_link.install() == f"unchanged: {link}, a link to {program}"
    assert path_link.remove() == f"removed {link}"
    assert path_link.remove() == ""
    assert [*link.parent.iterdir()] == []


@pytest.mark.parametrize("exists", [True, False], ids=["exists", "has gone"])
def test_another_environment(tmp_path: Path, link: Path, program: Path, *, exists: bool) -> None:
    """A link that an installation from another environment has made is replaced."""
    other = executable(tmp_path / "other/bin/ocf-systemd")
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(other, link.parent))
    if not exists:
        other.unlink()
    assert path_link.install() == f"updated: {link}, a link to {program}"
    assert link.samefile(program)


def test_removal_from_another_environment(tmp_path: Path, link: Path, program: Path) -> None:
    """A link to the program of another environment stays."""
    other = executable(tmp_path / "other/bin/ocf-systemd")
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(other, link.parent))
    assert path_link.remove() == ""
    assert link.samefile(other)
    other.unlink()
    assert program.exists()
    assert path_link.remove() == f"removed {link}"


@pytest.mark.parametrize("kind", ["file", "directory", "link", "dangling link", "relative link"])
def test_what_others_have_made(tmp_path: Path, link: Path, program: Path, kind: str) -> None:
    """Only a link of ours to a program of ours is replaced or removed; otherwise a warning has the command."""
    link.parent.mkdir(parents=True)
    if kind == "file":
        executable(link)
    elif kind == "directory":
        link.mkdir()
    elif kind == "relative link":
        executable(tmp_path / "usr/local/other/ocf-systemd", "print('another program')")
        link.symlink_to("../other/ocf-systemd")
    else:
        link.symlink_to("/bin/sh" if kind == "link" else tmp_path / "gone")
    before = os.lstat(link)
    line = path_link.install()
    assert line.startswith(f"warning: {link} is another program")
    assert line.endswith(f"ln -sfT {program} {link}")
    assert path_link.remove() == ""
    assert os.path.samestat(os.lstat(link), before)


def test_a_link_that_somebody_else_has_made(link: Path, program: Path) -> None:
    """A link to this program that pipx or the administrator has made is enough, and stays."""
    link.parent.mkdir(parents=True)
    link.symlink_to(program)
    assert path_link.install() == ""
    assert path_link.remove() == ""
    assert link.samefile(program)


def test_the_program_is_in_the_path(tmp_path: Path, link: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that a login finds, as in a Debian package, needs no link."""
    found = executable(tmp_path / "bin/ocf-systemd")
    monkeypatch.setattr(sys, "executable", str(found.with_name("python3")))
    assert path_link.install() == ""
    assert not link.parent.exists()


def test_another_program_comes_first(tmp_path: Path, link: Path, program: Path) -> None:
    """The link is created, and a warning names the program that a login finds instead."""
    first = executable(tmp_path / "sbin/ocf-systemd")
    assert path_link.install().startswith(f"warning: {first} comes before {link}")
    assert link.samefile(program)


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, program: Path, link: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning that names the program to call, and not an error: the agent works without the link."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(path_link, "LINK", tmp_path / "file" / link.name)
    line = path_link.install()
    assert line.startswith("warning: ")
    assert line.endswith(f"Call {program}")


def test_a_link_to_the_directory(tmp_path: Path, link: Path, program: Path) -> None:
    """The link leads to the program also where /usr/local is a link, as on hosts that boot an image."""
    (tmp_path / "var/deep/usrlocal/bin").mkdir(parents=True)
    link.parent.parent.parent.mkdir()
    link.parent.parent.symlink_to(tmp_path / "var/deep/usrlocal")
    assert path_link.install() == f"installed {link}, a link to {program}"
    assert link.samefile(program)


def test_no_program(tmp_path: Path, link: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m ocf_systemd` in an environment without the program makes no link."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "ocf_systemd/__main__.py")])
    assert path_link.install() == ""
    assert path_link.remove() == ""
    assert not link.parent.exists()
