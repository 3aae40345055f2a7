"""Queries PID 1 for the state of a running unit, over its private socket, without starting `systemctl`.

A reply that is not exactly as expected is not used and is not an error: `systemctl` is called instead.

docs/design/server.md describes which replies are used. Source: the D-Bus specification, "Authentication Protocol".
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from socket import AF_UNIX, MSG_NOSIGNAL, SHUT_RDWR, SOCK_NONBLOCK, SOCK_STREAM, socket

import anyio

from ocf_systemd.core.observations import UnitState
from ocf_systemd.host.readiness import wait_readable
from ocf_systemd.server.dbus_message import (
    REPLY_MAX,
    UNREADABLE,
    Reply,
    is_unit_name,
    take_replies,
    unit_calls,
    unit_state_of,
)

PRIVATE_SOCKET = "/run/systemd/private"
"""The socket on which PID 1 serves root's `systemctl`: peer-to-peer D-Bus, without a message bus and bus names."""

_PATIENCE_S = 1.0  # the longest wait for PID 1
_PATIENCE_SHARE = 0.1  # the same, as a share of the time until the deadline: systemctl needs the rest if PID 1 hangs
_CHUNK = 64 * 1024
_CHECK_PAUSE_S = 0.005  # before another try to send, if the socket had no room
_PAUSE_S = 1.0  # before a broken connection is opened again
_SERIAL_MAX = 2**32 - 16  # a serial has 32 bits; this leaves room for the calls of one query

# What a query raises if PID 1 cannot be reached, or sends what cannot be read.
_FAILURES = (OSError, EOFError, *UNREADABLE)


@dataclass(slots=True, eq=False)
class _Query:
    """The calls of one query, by their serials, and the replies received.

    `settled` is set when all replies have come, or when the connection has ended.
    """

    serials: range
    replies: dict[int, Reply] = field(default_factory=dict)
    settled: anyio.Event = field(default_factory=anyio.Event)

    def take(self, reply: Reply) -> None:
        self.replies[reply.serial] = reply
        if self.is_complete:
            self.settled.set()

    @property
    def is_complete(self) -> bool:
        return len(self.replies) == len(self.serials)

    def in_order(self) -> list[Reply]:
        """Return the replies in the order of the calls. Raises EOFError if the connection ended before that."""
        if not self.is_complete:
            raise EOFError
        return [self.replies[serial] for serial in self.serials]


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection to PID 1, the bytes not parsed yet, and the waiting queries. Its methods raise `_FAILURES`."""

    socket: socket
    received: bytearray = field(default_factory=bytearray)
    waiting: dict[int, _Query] = field(default_factory=dict)
    serial: int = 1

    async def authenticate(self) -> None:
        """Authenticate by the mechanism EXTERNAL: the digits of the uid in hexadecimal."""
        await self._send(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
        while b"\r\n" not in self.received:
            await self._receive()
        line, _, self.received = self.received.partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise ValueError("not authenticated")

    async def send_query(self, name: str) -> _Query:
        """Send the calls that query a unit."""
        calls = unit_calls(name, self.serial)
        query = _Query(range(self.serial, self.serial + len(calls)))
        # A serial is never 0. No query still waits for a serial that was used 4,000,000,000 calls ago.
        self.serial = 1 if query.serials.stop > _SERIAL_MAX else query.serials.stop
        self.waiting |= dict.fromkeys(query.serials, query)
        await self._send(b"".join(calls))
        return query

    async def query_shared(self, name: str) -> list[Reply]:
        """Query a unit, and wait until `read`, in another task, has received the replies."""
        query = await self.send_query(name)
        await query.settled.wait()
        return query.in_order()

    async def read(self) -> None:
        """Receive messages, and give each reply to its query; drop all other messages, which are mostly signals."""
        await self._receive()
        for reply in take_replies(self.received):
            if query := self.waiting.pop(reply.serial, None):
                query.take(reply)

    def end(self) -> None:
        """Wake all queries that wait: no reply will come any more."""
        for query in self.waiting.values():
            query.settled.set()

    def disconnect(self) -> None:
        """Shut the connection down for all queries that share it: `read` then raises EOFError."""
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)

    async def _send(self, data: bytes) -> None:
        # The kernel sends so few bytes as a whole or not at all (af_unix.c). If there is no room, this task sleeps and
        # tries again: it must not wait on the socket, which the reading task may close meanwhile.
        while True:
            with suppress(BlockingIOError):
                self.socket.send(data, MSG_NOSIGNAL)
                return
            await anyio.sleep(_CHECK_PAUSE_S)

    async def _receive(self) -> None:
        await wait_readable(self.socket)
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise EOFError
        self.received += chunk
        if len(self.received) > REPLY_MAX:
            raise ValueError("too much")


class SystemManager:
    """The system manager, queried over the socket at `path`.

    Each query opens a connection of its own, unless `keep_connected` keeps a shared one: PID 1 needs ten times as long
    to set up a connection as to reply to a call.
    """

    __slots__ = ("_kept", "_path")

    def __init__(self, path: str = PRIVATE_SOCKET) -> None:
        self._path = path
        self._kept: _Connection | None = None

    async def keep_connected(self) -> None:
        """Keep a connection that all queries share, and open it again when it breaks, until this is cancelled.

        Only a process that queries often should do this: PID 1 sends all its signals, one for each unit that changes,
        to each open connection (dbus.c: bus_foreach_bus()).
        """
        while True:
            with suppress(*_FAILURES), self._connect() as connected:
                await self._share(_Connection(connected))
            await anyio.sleep(_PAUSE_S)

    async def _share(self, connection: _Connection) -> None:
        with anyio.fail_after(_PATIENCE_S):
            await connection.authenticate()
        self._kept = connection
        try:
            while True:
                await connection.read()
        finally:
            self._kept = None
            connection.end()

    def _connect(self) -> socket:
        connected = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK)
        try:
            connected.connect(self._path)
        except BaseException:
            connected.close()
            raise
        return connected

    async def unit(self, name: str, deadline: float) -> UnitState | None:
        """Return the state of a unit that runs and has no job, or None if systemctl must be called instead.

        None is returned in all other cases: if the unit is in another state or has a Result other than success, if the
        name is invalid, or if PID 1 is not reached, is not understood, or does not reply within a small part of the
        time until the deadline (on the event loop's clock). Raises nothing.
        """
        time_left = deadline - anyio.current_time()
        if not is_unit_name(name) or time_left <= 0:
            return None
        state, kept = None, self._kept
        with anyio.move_on_after(min(_PATIENCE_S, time_left * _PATIENCE_SHARE)) as patience, suppress(*_FAILURES):
            state = unit_state_of(name, await (kept.query_shared(name) if kept else self._query_alone(name)))
        if state is None and patience.cancel_called and kept:
            self._kept = None
            kept.disconnect()  # calls without a reply must not accumulate
        return state

    async def _query_alone(self, name: str) -> list[Reply]:
        with self._connect() as connected:
            connection = _Connection(connected)
            await connection.authenticate()
            query = await connection.send_query(name)
            while not query.is_complete:
                await connection.read()
            return query.in_order()
