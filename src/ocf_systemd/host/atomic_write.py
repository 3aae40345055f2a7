"""Atomic writes: a reader sees the old file or the new one, and an interrupted write leaves no file behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_file(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Yield a hidden temporary file in the directory of `path`, with this content and mode.

    The caller renames the file to keep it; otherwise it is removed at the end of the block. Raises OSError.
    """
    # Unlike with mkstemp(3), the name is known before the file exists: Ctrl-C at any moment leaves no file behind.
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        temporary.touch(0o600, exist_ok=False)  # never writable by others, whatever the umask
        temporary.write_bytes(content)
        temporary.chmod(mode)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def readable_for_all() -> Iterator[None]:
    """Make files and directories that the block creates readable for all, and writable for their owner only.

    The umask, which applies to the whole process, is restored at the end.
    """
    umask = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(umask)


def write(path: Path, content: bytes, mode: int) -> None:
    """Write or replace a file. Raises OSError, and then the file at `path` is unchanged."""
    with temporary_file(path, content, mode) as temporary:
        temporary.replace(path)
