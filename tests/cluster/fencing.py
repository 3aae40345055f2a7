"""Serves the nodes' fence agents from outside: ends a sandbox as a power switch would."""

from __future__ import annotations

import os
import selectors
import socket
import time
from contextlib import suppress
from signal import SIGKILL
from threading import Event, Thread
from typing import TYPE_CHECKING

from tests.cluster.fence_sandbox import SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocf_systemd.sandbox import Sandbox

_GONE_WITHIN_S = 10.0
_LOOK_AGAIN_S = 0.02
_LOOK_UP_S = 0.2  # also how long a node that has just booted may go unheard


def end(sandbox: Sandbox) -> None:
    """Kill a sandbox's PID 1, and with it all that runs there, and wait until that is done."""
    with suppress(ProcessLookupError):
        os.kill(sandbox.pid, SIGKILL)
    deadline = time.monotonic() + _GONE_WITHIN_S
    while has_not_ended(sandbox):
        assert time.monotonic() < deadline, "a sandbox outlives the end of its PID 1"
        time.sleep(_LOOK_AGAIN_S)


def has_not_ended(sandbox: Sandbox) -> bool:
    """Return whether a sandbox is still there."""
    return os.access(f"/proc/{sandbox.pid}/ns/mnt", os.F_OK)


class PowerSwitch:
    """Listens in each node for its fence agent; a UNIX socket with a name knows no network namespaces."""

    def __init__(self, cut: Callable[[str], None]) -> None:
        self._cut = cut
        self._listeners = selectors.DefaultSelector()
        self._closing = Event()
        self._thread = Thread(target=self._serve, name="power switch", daemon=True)
        self._thread.start()

    def listen_in(self, sandbox: Sandbox) -> None:
        """Listen in a node that has just booted."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"/proc/{sandbox.pid}/root{SOCKET}")
        listener.listen()
        self._listeners.register(listener, selectors.EVENT_READ)

    def close(self) -> None:
        """Listen no more."""
        self._closing.set()
        self._thread.join()
        for key in list(self._listeners.get_map().values()):
            _socket(key.fileobj).close()
        self._listeners.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._listeners.select(timeout=_LOOK_UP_S):
                self._answer(_socket(key.fileobj).accept()[0])

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may have ended meanwhile
            self._cut(connection.makefile().readline().strip())
            connection.sendall(b"ended")


def _socket(file: object) -> socket.socket:
    assert isinstance(file, socket.socket)
    return file
