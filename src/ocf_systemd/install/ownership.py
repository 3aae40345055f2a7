"""Tells the files that this program installed from those of others: each of ours has a line with a mark."""

from contextlib import suppress
from pathlib import Path


def is_ours(path: Path, *marks: str) -> bool:
    """Return whether a file can be read and a line of it begins with one of these marks."""
    with suppress(OSError):
        return any(line.startswith(marks) for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return False
