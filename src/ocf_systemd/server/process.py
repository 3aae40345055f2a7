"""The server's process: the socket that it listens on, its log, and what it reports to systemd.

Sources: sd_listen_fds(3), sd_notify(3), sd-daemon(3).
"""

import errno
import gc
import os
import select
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio

from ocf_systemd.host.leftovers import adopt_orphans
from ocf_systemd.server.dbus import SystemManager
from ocf_systemd.server.server import Server

_BACKLOG = 4096  # connections that may wait to be accepted (listen(2))
_UMASK = 0o026  # Pacemaker's umask: log files that the server creates have the same mode as those of an agent
_LISTEN_FDS_START = 3  # sd_listen_fds(3)
_DEBUG_PREFIX = "<7>"  # sd-daemon(3): the line's priority in the journal


def serve(path: Path | None, idle_after_s: float, environment: Mapping[str, str]) -> int:
    """Serve on the socket that systemd has passed, or on one at `path`; return the exit code of the process.

    Ends after `idle_after_s` seconds without work, if that is not 0. Raises OSError if there is no socket to listen
    on.
    """
    listener = _inherited(environment) or _bound(path)
    adopt_orphans()
    os.umask(_UMASK)
    gc.freeze()  # imported objects live as long as the process
    with listener:
        anyio.run(Server(listener, SystemManager(), _notifier(environment), _log).run, idle_after_s)
    return 0


def _log(text: str) -> None:
    with suppress(OSError):  # if the log accepts nothing now, the line is lost: the server must not wait for it
        if select.select([], [2], [], 0)[1]:
            os.write(2, f"{_DEBUG_PREFIX}{text}\n".encode(errors="backslashreplace"))


def _inherited(environment: Mapping[str, str]) -> socket.socket | None:
    """Return the socket that systemd has passed to this process, if it has (sd_listen_fds(3))."""
    if environment.get("LISTEN_PID") != str(os.getpid()) or environment.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=_LISTEN_FDS_START)


def _bound(path: Path | None) -> socket.socket:
    if path is None:
        raise FileNotFoundError(errno.ENOENT, "systemd has passed no socket: name one with --socket")
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)  # only root may connect, from the first moment on
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener


def _notifier(environment: Mapping[str, str]) -> Callable[[str], None]:
    """Return a function that sends a state to systemd, or that does nothing if NOTIFY_SOCKET is not set."""
    address = environment.get("NOTIFY_SOCKET", "")

    def notify(state: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            manager.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)

    return notify if address else lambda _: None
