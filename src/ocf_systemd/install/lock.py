"""A lock for an installation or removal: two at the same time would mix the files of two versions.

While the lock is held, a signal that would end the process raises KeyboardInterrupt instead, so that temporary files
are removed and the units of the resident server are rolled back.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ocf_systemd.host.signals import termination_interrupts

_NAME = "ocf-systemd-install.lock"


@contextmanager
def installation_lock(run_directory: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock during the block; if another process holds it, first report that in a line and wait.

    The lock file is in the directory of the run-time files (`/run`), and is removed when the lock is released. A user
    who cannot write to that directory runs the block without the lock. Such a user cannot write the files that all
    installations share either.
    """
    path = run_directory / _NAME
    descriptor = _lock(path, report)
    try:
        with termination_interrupts():
            yield
    finally:
        if descriptor is not None:
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _lock(path: Path, report: Callable[[str], None]) -> int | None:
    """Create and lock the file; return its descriptor, or None if it cannot be created."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None
        try:
            _wait(descriptor, report)
        except BaseException:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink:
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)  # the process that held the lock has removed this file: create another


def _wait(descriptor: int, report: Callable[[str], None]) -> None:
    with suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            report(f"waiting for another installation or removal of ocf-systemd (process {process or 'unknown'})")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
