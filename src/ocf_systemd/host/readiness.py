"""Waits until a file descriptor or socket is ready, by whichever functions the installed anyio has.

anyio before 4.7 calls them `wait_socket_readable` and `wait_socket_writable`. Those are annotated for sockets, but pass
what they get to the event loop, which accepts file descriptors, too.
"""

import socket
from collections.abc import Awaitable, Callable

import anyio

_Wait = Callable[[int | socket.socket], Awaitable[None]]
_IS_NEW = hasattr(anyio, "wait_readable")

wait_readable: _Wait = getattr(anyio, "wait_readable" if _IS_NEW else "wait_socket_readable")
wait_writable: _Wait = getattr(anyio, "wait_writable" if _IS_NEW else "wait_socket_writable")
