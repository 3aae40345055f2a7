"""Asks PID 1 itself what state a running unit is in: over its private socket, without starting `systemctl`.

It speaks as much D-Bus as that takes and no more. Whatever is not exactly as expected is no answer, and no failure:
`systemctl` is to be asked then, and its answer counts.

Source: the D-Bus specification, "Authentication Protocol".
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from socket import AF_UNIX, MSG_NOSIGNAL, SHUT_RDWR, SOCK_NONBLOCK, SOCK_STREAM, socket

import anyio

from ocf_systemd.core.observations import UnitState
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
"""Where PID 1 listens for root's `systemctl`: D-Bus from peer to peer, with no bus and no names on it."""

_PATIENCE_S = 1.0
_PATIENCE_SHARE = 0.1  # of the time left: a PID 1 that hangs is systemctl's to find, which needs its time for that
_CHUNK = 64 * 1024
_LOOK_AGAIN_S = 0.005
_PAUSE_S = 1.0  # before a connection that broke is opened anew
_SERIAL_MAX = 2**32 - 16  # room for the calls of one question

# What comes of a PID 1 that is not there, or that sends what cannot be read.
_NO_ANSWER = (OSError, EOFError, *UNREADABLE)


@dataclass(slots=True, eq=False)
class _Question:
    """Calls that belong together, by the serials that they have, and the replies that have come to them."""

    serials: range
    replies: dict[int, Reply] = field(default_factory=dict)
    settled: anyio.Event = field(default_factory=anyio.Event)

    def take(self, reply: Reply) -> None:
        self.replies[reply.serial] = reply
        if self.is_answered:
            self.settled.set()

    @property
    def is_answered(self) -> bool:
        return len(self.replies) == len(self.serials)

    def in_order(self) -> list[Reply]:
        """Return the replies in the order of the calls. Raises EOFError: the connection ended before."""
        if not self.is_answered:
            raise EOFError
        return [self.replies[serial] for serial in self.serials]


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection to PID 1, what came over it and was not yet read, and who waits for what. Raises `_NO_ANSWER`."""

    socket: socket
    received: bytearray = field(default_factory=bytearray)
    waiting: dict[int, _Question] = field(default_factory=dict)
    serial: int = 1

    async def authenticate(self) -> None:
        """Say who we are, as the specification's "EXTERNAL" has it: the digits of the uid in hexadecimal."""
        await self._send(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
        while b"\r\n" not in self.received:
            await self._receive()
        line, _, self.received = self.received.partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise ValueError("not authenticated")

    async def ask(self, name: str) -> _Question:
        """Ask for all that is needed of a unit."""
        calls = unit_calls(name, self.serial)
        question = _Question(range(self.serial, self.serial + len(calls)))
        # A serial is never 0; one that were still waited for after 4,000,000,000 others does not exist.
        self.serial = 1 if question.serials.stop > _SERIAL_MAX else question.serials.stop
        self.waiting |= dict.fromkeys(question.serials, question)
        await self._send(b"".join(calls))
        return question

    async def answer(self, name: str) -> list[Reply]:
        """Ask, and wait until somebody else has read the replies."""
        question = await self.ask(name)
        await question.settled.wait()
        return question.in_order()

    async def read(self) -> None:
        """Wait for something to come, and hand out the replies in it; what is none, signals above all, goes."""
        await self._receive()
        for reply in take_replies(self.received):
            if question := self.waiting.pop(reply.serial, None):
                question.take(reply)

    def end(self) -> None:
        """Tell all who wait that nothing will come any more."""
        for question in self.waiting.values():
            question.settled.set()

    def hang_up(self) -> None:
        """End the connection for all who use it: reading finds its end."""
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)

    async def _send(self, data: bytes) -> None:
        # So few bytes are taken as a whole or not at all (af_unix.c). Not by waiting for room: the socket may be closed
        # meanwhile, by who reads from it.
        while True:
            with suppress(BlockingIOError):
                self.socket.send(data, MSG_NOSIGNAL)
                return
            await anyio.sleep(_LOOK_AGAIN_S)

    async def _receive(self) -> None:
        await anyio.wait_readable(self.socket)
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise EOFError
        self.received += chunk
        if len(self.received) > REPLY_MAX:
            raise ValueError("too much")


class SystemManager:
    """The system manager itself, asked over the socket at `path`.

    Each call has a connection of its own, unless one is kept: it takes PID 1 ten times as long to set up a connection
    as to answer a call.
    """

    __slots__ = ("_kept", "_path")

    def __init__(self, path: str = PRIVATE_SOCKET) -> None:
        self._path = path
        self._kept: _Connection | None = None

    async def keep_connected(self) -> None:
        """Keep a connection for all calls to share, and open it anew when it breaks, until this is cancelled.

        For who asks often: to a connection that is open PID 1 sends all of its signals (dbus.c: bus_foreach_bus()),
        and so has to tell of each unit that changes.
        """
        while True:
            with suppress(*_NO_ANSWER), self._connect() as connected:
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
        """Return the state of a unit that runs and has no job, as `systemd.parse_show` would; None: ask systemctl.

        None is all else: a unit in another state or one that something has failed for (its Result), a name that is
        none, a PID 1 that is not reached or is not understood, or does not answer within a small part of the time
        until the deadline (on the event loop's clock). Raises nothing.
        """
        time_left = deadline - anyio.current_time()
        if not is_unit_name(name) or time_left <= 0:
            return None
        state, kept = None, self._kept
        with anyio.move_on_after(min(_PATIENCE_S, time_left * _PATIENCE_SHARE)) as patience, suppress(*_NO_ANSWER):
            state = unit_state_of(name, await (kept.answer(name) if kept else self._ask(name)))
        if patience.cancelled_caught and kept:
            self._kept = None
            kept.hang_up()  # the calls that PID 1 has yet to answer are not to heap up
        return state

    async def _ask(self, name: str) -> list[Reply]:
        with self._connect() as connected:
            connection = _Connection(connected)
            await connection.authenticate()
            question = await connection.ask(name)
            while not question.is_answered:
                await connection.read()
            return question.in_order()
