"""Distinguishes the files that this program installed from others: each of its files has a line with a mark.

It also describes how an installation has changed a file.
"""

import re
from contextlib import suppress
from pathlib import Path


def is_ours(path: Path, *marks: str) -> bool:
    """Return whether a file can be read and a line of it begins with one of these marks."""
    with suppress(OSError):
        return any(line.startswith(marks) for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return False


def version_line(version: str) -> str:
    """Return the line by which `describe_change` recognizes the version that installed a file."""
    return f"# Version {version}"


def describe_change(before: str, after: str) -> str:
    """Return how an installed file's text has changed, as the beginning of a message; an empty text means no file."""
    if not before:
        return "installed"
    if before == after:
        return "unchanged:"
    old, new = (re.search(version_line(r"(\S+)"), text) for text in (before, after))
    return f"updated from {old[1]}:" if old and new and old[1] != new[1] else "updated:"


def text_of(path: Path) -> str:
    """Return the text of a file, empty if it cannot be read."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
