"""Files that come into place in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ocf_systemd.host.atomic_write import draft_of, put


def test_put(tmp_path: Path) -> None:
    """A file is replaced, with its mode whatever the umask, and nothing stands beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    umask = os.umask(0o077)
    try:
        put(path, b"new", 0o644)
    finally:
        os.umask(umask)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("step", ["touch", "write_bytes", "chmod"])
def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Ctrl-C as soon as a step is done, the very first too, leaves no draft."""
    done = getattr(Path, step)

    def interrupted(self: Path, *arguments: object, **options: object) -> None:
        done(self, *arguments, **options)
        assert self.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path / "file", b"new", 0o644)
    assert not [*tmp_path.iterdir()]


def test_a_draft(tmp_path: Path) -> None:
    """It is whole, and hidden from those who list what is there; not renamed, it goes."""
    with draft_of(tmp_path / "file", b"new", 0o755) as draft:
        assert draft.read_bytes() == b"new"
        assert stat.S_IMODE(draft.stat().st_mode) == 0o755
        assert draft.name.startswith(".file.")
    assert not [*tmp_path.iterdir()]
