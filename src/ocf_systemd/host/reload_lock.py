"""A lock for daemon-reloads: the agents of a host take turns, and one reload serves all that wait for it.

docs/design/start-and-stop.md describes when a start or a stop needs a reload.
"""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

_CHECK_PAUSE_S = 0.02  # seconds between two attempts to take the lock


@asynccontextmanager
async def reload_lock(run_directory: Path, deadline: float) -> AsyncIterator[None]:
    """Hold the lock during the block; before that, wait for it until the deadline (on the event loop's clock).

    If the lock cannot be taken in time, the block runs without it: then there are more daemon-reloads. The kernel
    releases the lock when the process that holds it ends (flock(2)).
    """
    descriptor = _open(run_directory)
    try:
        with anyio.CancelScope(deadline=deadline):
            while descriptor is not None and not _is_locked(descriptor):  # noqa: ASYNC110  # another process holds it
                await anyio.sleep(_CHECK_PAUSE_S)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(run_directory: Path) -> int | None:
    directory = run_directory / "ocf-systemd"
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
        return os.open(directory / "daemon-reload.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _is_locked(descriptor: int) -> bool:
    """Try to lock the file; return whether the wait is over: it is locked, or cannot be locked at all."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
