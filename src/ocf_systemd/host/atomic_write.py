"""Files that come into place in one step: nobody reads half of one, and an interruption leaves none behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_of(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Yield a file beside `path` with that content and that mode, by a hidden name; at the end it is gone.

    Rename it before, and it stays. Raises OSError.
    """
    # Unlike mkstemp(3)'s its name is known before it is there, so that it is found whenever Ctrl-C comes.
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        draft.touch(0o600, exist_ok=False)  # at no moment writable by others, whatever the umask
        draft.write_bytes(content)
        draft.chmod(mode)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def put(path: Path, content: bytes, mode: int) -> None:
    """Write a file, or replace it. Raises OSError, and then nothing has changed."""
    with draft_of(path, content, mode) as draft:
        draft.replace(path)
