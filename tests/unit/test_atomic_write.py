"""Atomic writes: all or nothing, and no temporary file left."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ocf_systemd.host.atomic_write import temporary_file, write


def test_write(tmp_path: Path) -> None:
    """A file is replaced and gets its mode whatever the umask; no other file remains."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    umask = os.umask(0o077)
    try:
        write(path, b"new", 0o644)
    finally:
        os.umask(umask)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("step", ["touch", "write_bytes", "chmod"])
def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Ctrl-C right after any step, the first included, leaves no temporary file."""
    done = getattr(Path, step)

    def interrupted(self: Path, *arguments: object, **options: object) -> None:
        done(self, *arguments, **options)
        assert self.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "file", b"new", 0o644)
    assert not [*tmp_path.iterdir()]


def test_temporary_file(tmp_path: Path) -> None:
    """It is complete and hidden; unless renamed, it is removed."""
    with temporary_file(tmp_path / "file", b"new", 0o755) as staged:
        assert staged.read_bytes() == b"new"
        assert stat.S_IMODE(staged.stat().st_mode) == 0o755
        assert staged.name.startswith(".file.")
    assert not [*tmp_path.iterdir()]
