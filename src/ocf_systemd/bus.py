"""Asks PID 1 itself what state a running unit is in: over its private socket, without starting `systemctl`.

It speaks as much D-Bus as that takes and no more. Whatever is not exactly as expected is no answer, and no failure:
`systemctl` is to be asked then, and its answer counts.

Sources: org.freedesktop.systemd1(5); the D-Bus specification, "Authentication Protocol", "Message Format" and "Type
System".
"""

import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from socket import AF_UNIX, MSG_NOSIGNAL, SHUT_RDWR, SOCK_NONBLOCK, SOCK_STREAM, socket

import anyio

from ocf_systemd.observations import UnitState, printable
from ocf_systemd.systemd import unit_state

PRIVATE_SOCKET = "/run/systemd/private"
"""Where PID 1 listens for root's `systemctl`: D-Bus from peer to peer, with no bus and no names on it."""

_PATIENCE_S = 1.0
_PATIENCE_SHARE = 0.1  # of the time left: a PID 1 that hangs is systemctl's to find, which needs its time for that
_REPLY_LIMIT = 1024 * 1024  # bytes; the properties of a unit take 10 KB
_CHUNK = 64 * 1024
_LOOK_AGAIN_S = 0.005
_PAUSE_S = 1.0  # before a connection that broke is opened anew

_UNIT_INTERFACE = "org.freedesktop.systemd1.Unit"
# What is needed of it, with the types that it has in org.freedesktop.systemd1(5).
_UNIT_PROPERTIES: Mapping[bytes, bytes] = {
    b"LoadState": b"s",
    b"ActiveState": b"s",
    b"SubState": b"s",
    b"Job": b"(uo)",
    b"CanReload": b"b",
    b"ConditionResult": b"b",
    b"ConditionTimestampMonotonic": b"t",
    b"NeedDaemonReload": b"b",
    b"DropInPaths": b"as",
}
# How a unit ended is told by the interface of its type, in hundreds of properties: these alone are asked for.
_TYPE_PROPERTIES: Mapping[str, Mapping[str, bytes]] = {
    "service": {"Result": b"s", "ExecMainCode": b"i", "ExecMainStatus": b"i"},
    "socket": {"Result": b"s"},
    "mount": {"Result": b"s"},
    "automount": {"Result": b"s"},
    "swap": {"Result": b"s"},
    "timer": {"Result": b"s"},
    "path": {"Result": b"s"},
    "scope": {"Result": b"s"},
    "slice": {},
    "target": {},
    "device": {},
}
_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]+")  # unit-name.c: VALID_CHARS and "@"
_UNIT_NAME_MAX = 255  # unit-name.h: UNIT_NAME_MAX, less its final NUL
_NO_LABEL = re.compile(rb"[^A-Za-z0-9]|^[0-9]")

# "Message Format" in the D-Bus specification.
_CALL, _RETURN, _ERROR = 1, 2, 3
_PROTOCOL = 1
_SERIAL_MAX = 2**32 - 16  # room for the calls of one question
_FIXED_HEADER = 16
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8
_BYTE_ORDERS = {ord("l"): "<", ord("B"): ">"}
_U32 = {order: struct.Struct(f"{order}I").unpack_from for order in "<>"}
_NUMBERS = {b"u": ("I", 4), b"i": ("i", 4), b"t": ("Q", 8)}
# "Summary of D-Bus marshalling": the boundary of a type's values, which is their size too where that is fixed.
_FIXED = {"y": 1, "n": 2, "q": 2, "b": 4, "i": 4, "u": 4, "h": 4, "x": 8, "t": 8, "d": 8}
_BOUNDARIES = _FIXED | {"s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8}
_OTHER_PARTS = {"s": (4, 1, 1), "o": (4, 1, 1), "(": (8, 0, 0), ")": (1, 0, 0)}

# What comes of a PID 1 that is not there, or says what is not understood; struct.error is no ValueError.
_NO_ANSWER = (OSError, EOFError, ValueError, LookupError, struct.error)


class _Reply:
    """A reply to a call, read from its start to its end. Reads raise ValueError, LookupError and struct.error."""

    __slots__ = ("_at", "_data", "_order", "_signature", "_u32", "serial")

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._u32 = _U32[order]
        self._at = 12
        self._signature = b""
        self.serial = 0
        """The serial of the request that this is the reply to."""
        self._read_fields()

    def _read_fields(self) -> None:
        end = self._array(8)
        while self._at < end:
            self._align(8)
            code = self._data[self._at]
            self._at += 1
            signature = self._read_signature()
            if code == _REPLY_SERIAL:
                self.serial = self._number(signature)
            elif code == _SIGNATURE:
                self._signature = self._read_signature()
            else:
                self._skip(signature)
        self._ends(end)
        self._align(8)

    def properties(self) -> dict[str, tuple[str, ...]]:
        """Return the properties of `_UNIT_PROPERTIES`, from the reply to GetAll."""
        self._expect_body(b"a{sv}")
        data, u32 = self._data, self._u32
        found = {}
        end = self._array(8)
        while self._at < end:
            # As _align(), _text() and _read_signature() have it, but in half the time: a hundred are to be passed over.
            name_at = self._at + -self._at % 8 + 4
            name_end = name_at + u32(data, name_at - 4)[0]
            signature_end = name_end + 2 + data[name_end + 1]
            if data[name_end] or data[signature_end]:
                raise ValueError("not terminated")
            name, signature = data[name_at:name_end], data[name_end + 2 : signature_end]
            self._at = signature_end + 1
            if name in _UNIT_PROPERTIES:
                self._expect(signature, _UNIT_PROPERTIES[name])
                found[name.decode()] = self._words(signature)
            else:
                self._skip(signature)
        self._ends(end)
        self._ends(len(self._data))
        if len(found) != len(_UNIT_PROPERTIES):
            raise ValueError("a property is missing")
        return found

    def property(self, expected: bytes) -> tuple[str, ...]:
        """Return the property of that type, from the reply to Get."""
        self._expect_body(b"v")
        self._expect(self._read_signature(), expected)
        words = self._words(expected)
        self._ends(len(self._data))
        return words

    def _expect_body(self, signature: bytes) -> None:
        if self._data[1] != _RETURN:
            raise ValueError("an error")
        self._expect(self._signature, signature)

    def _words(self, signature: bytes) -> tuple[str, ...]:
        """Read a value of one of the types of our properties, as `systemctl show` words it."""
        match signature:
            case b"s":
                return (printable(self._text()),)
            case b"b":
                return ("yes" if self._number(b"u") else "no",)
            case b"(uo)":  # a job's id and path, of which systemctl prints the id
                self._align(8)
                job = str(self._number(b"u"))
                self._text()
                return (job,)
            case b"as":
                words = []
                end = self._array(4)
                while self._at < end:
                    words.append(printable(self._text()))
                self._ends(end)
                return tuple(words)
            case _:
                return (str(self._number(signature)),)

    def _number(self, signature: bytes) -> int:
        kind, size = _NUMBERS[signature]
        self._align(size)
        (number,) = struct.unpack_from(self._order + kind, self._data, self._at)
        self._at += size
        return int(number)

    def _text(self) -> bytes:
        self._align(4)
        (length,) = self._u32(self._data, self._at)
        return self._terminated(self._at + 4, length)

    def _read_signature(self) -> bytes:
        return self._terminated(self._at + 1, self._data[self._at])

    def _terminated(self, begin: int, length: int) -> bytes:
        end = begin + length
        if self._data[end]:
            raise ValueError("not terminated")
        self._at = end + 1
        return self._data[begin:end]

    def _array(self, boundary: int) -> int:
        """Go to an array's first element and return where the last one ends."""
        self._align(4)
        (length,) = self._u32(self._data, self._at)
        self._at += 4
        self._align(boundary)
        if self._at + length > len(self._data):
            raise ValueError("longer than the message")
        return self._at + int(length)

    def _skip(self, signature: bytes) -> None:
        at = self._at
        for boundary, element, size in _layout(signature):
            at += -at % boundary
            if element:
                (length,) = self._u32(self._data, at)
                at += 4
                at += -at % element + length
            at += size
        self._at = at

    def _align(self, boundary: int) -> None:
        self._at += -self._at % boundary

    def _ends(self, end: int) -> None:
        # What is skipped is not looked at, so that a length in it may lead astray: not to here.
        if self._at != end:
            raise ValueError("ends elsewhere")

    @staticmethod
    def _expect(signature: bytes, expected: bytes) -> None:
        if signature != expected:
            raise ValueError("another type")


@dataclass(slots=True, eq=False)
class _Question:
    """Calls that belong together, by the serials that they have, and the replies that have come to them."""

    serials: range
    replies: dict[int, _Reply] = field(default_factory=dict)
    settled: anyio.Event = field(default_factory=anyio.Event)

    def take(self, reply: _Reply) -> None:
        self.replies[reply.serial] = reply
        if self.is_answered:
            self.settled.set()

    @property
    def is_answered(self) -> bool:
        return len(self.replies) == len(self.serials)

    def in_order(self) -> list[_Reply]:
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
        calls = _calls(name, self.serial)
        question = _Question(range(self.serial, self.serial + len(calls)))
        # A serial is never 0; one that were still waited for after 4,000,000,000 others does not exist.
        self.serial = 1 if question.serials.stop > _SERIAL_MAX else question.serials.stop
        self.waiting |= dict.fromkeys(question.serials, question)
        await self._send(b"".join(calls))
        return question

    async def answer(self, name: str) -> list[_Reply]:
        """Ask, and wait until somebody else has read the replies."""
        question = await self.ask(name)
        await question.settled.wait()
        return question.in_order()

    async def read(self) -> None:
        """Wait for something to come, and hand out the replies in it; what is none, signals above all, goes."""
        await self._receive()
        for reply in self._replies():
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
        if len(self.received) > _REPLY_LIMIT:
            raise ValueError("too much")

    def _replies(self) -> Iterator[_Reply]:
        """Take all replies that have come as a whole."""
        while len(self.received) >= _FIXED_HEADER:
            order = _BYTE_ORDERS[self.received[0]]
            body, _, fields = struct.unpack_from(f"{order}III", self.received, 4)
            length = _FIXED_HEADER + fields + -fields % 8 + body
            if length > _REPLY_LIMIT or self.received[3] != _PROTOCOL:
                raise ValueError("no message")
            if len(self.received) < length:
                return
            message = bytes(self.received[:length])
            del self.received[:length]
            if message[1] in {_RETURN, _ERROR}:
                yield _Reply(message, order)


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
        if not _is_unit_name(name) or time_left <= 0:
            return None
        state, kept = None, self._kept
        with anyio.move_on_after(min(_PATIENCE_S, time_left * _PATIENCE_SHARE)) as patience, suppress(*_NO_ANSWER):
            state = _state(name, await (kept.answer(name) if kept else self._ask(name)))
        if patience.cancelled_caught and kept:
            self._kept = None
            kept.hang_up()  # the calls that PID 1 has yet to answer are not to heap up
        return state

    async def _ask(self, name: str) -> list[_Reply]:
        with self._connect() as connected:
            connection = _Connection(connected)
            await connection.authenticate()
            question = await connection.ask(name)
            while not question.is_answered:
                await connection.read()
            return question.in_order()


def _state(name: str, replies: list[_Reply]) -> UnitState | None:
    """Return what the replies to `_calls` tell. Raises as `_Reply` does."""
    found = replies[0].properties()
    for property_name, reply in zip(_type_properties(name), replies[1:], strict=True):
        found[property_name] = reply.property(_type_properties(name)[property_name])
    drop_in_paths = found.pop("DropInPaths")
    state = unit_state(name, {key: words[0] for key, words in found.items()}, drop_in_paths)
    # It was asked for after the state: a unit that has failed in between is not told as running. A mount that could
    # not be unmounted runs on with another Result too; that is rare.
    has_failed = isinstance(state, UnitState) and state.result not in {"", "success"}
    return state if isinstance(state, UnitState) and state.is_running and not state.has_job and not has_failed else None


def _type_properties(name: str) -> Mapping[str, bytes]:
    return _TYPE_PROPERTIES[name.rpartition(".")[2]]


def _is_unit_name(name: str) -> bool:
    kind = name.rpartition(".")[2]
    return kind in _TYPE_PROPERTIES and len(name) <= _UNIT_NAME_MAX and bool(_UNIT_NAME.fullmatch(name))


def _calls(name: str, serial: int) -> list[bytes]:
    """Return the calls that ask for all that is needed of a unit, with that serial and the next ones."""
    kind = name.rpartition(".")[2]
    path = b"/org/freedesktop/systemd1/unit/" + _NO_LABEL.sub(_escape, name.encode())
    interface = f"org.freedesktop.systemd1.{kind.capitalize()}"
    return [
        _call(serial, path, "GetAll", _UNIT_INTERFACE),
        *(
            _call(next_one, path, "Get", interface, key)
            for next_one, key in enumerate(_TYPE_PROPERTIES[kind], serial + 1)
        ),
    ]


def _escape(found: re.Match[bytes]) -> bytes:
    """Escape a byte as bus-label.c does it: bus_label_escape()."""
    return b"_%02x" % found[0][0]


def _call(serial: int, path: bytes, member: str, *arguments: str) -> bytes:
    """Return a call of a method of org.freedesktop.DBus.Properties, whose arguments are strings."""
    body = b""
    for argument in arguments:
        body = _aligned(body, 4) + _string(argument.encode())
    fixed, path_field = _call_fields(member, len(arguments)), struct.pack("<B", _PATH) + b"\1o\0" + _string(path)
    length = len(fixed) + len(path_field)
    header = struct.pack("<BBBBIII", ord("l"), _CALL, 0, _PROTOCOL, len(body), serial, length)
    return _aligned(header + fixed + path_field, 8) + body


@lru_cache
def _call_fields(member: str, arguments: int) -> bytes:
    """Return the header fields that do not depend on the unit, up to where the next one begins."""
    fields = b""
    for code, kind, value in (
        (_INTERFACE, b"s", b"org.freedesktop.DBus.Properties"),
        (_MEMBER, b"s", member.encode()),
        (_DESTINATION, b"s", b"org.freedesktop.systemd1"),
    ):
        fields = _aligned(fields, 8) + bytes((code, 1)) + kind + b"\0" + _string(value)
    fields = _aligned(fields, 8) + bytes((_SIGNATURE, 1)) + b"g\0" + bytes((arguments,)) + b"s" * arguments + b"\0"
    return _aligned(fields, 8)


def _string(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text + b"\0"


def _aligned(data: bytes, boundary: int) -> bytes:
    return data + bytes(-len(data) % boundary)


@lru_cache(maxsize=256)
def _layout(signature: bytes) -> tuple[tuple[int, int, int], ...]:
    """Return how to get past a value: for each part of it the boundary it begins at, and two more.

    The first is the boundary of its elements where a length is in front of them, else 0; the second the bytes that
    follow. Raises LookupError or ValueError for what is no single type, and for a variant or a signature: no property
    of a unit has one outside an array.
    """
    types = signature.decode("ascii")
    if _type_end(types, 0) != len(types):
        raise ValueError("not a single type")
    parts = []
    at = 0
    while at < len(types):
        kind = types[at]
        if kind == "a":
            parts.append((4, _BOUNDARIES[types[at + 1]], 0))
        elif kind in _FIXED:
            parts.append((_FIXED[kind], 0, _FIXED[kind]))
        else:
            parts.append(_OTHER_PARTS[kind])
        at = _type_end(types, at) if kind == "a" else at + 1
    return tuple(parts)


def _type_end(types: str, at: int) -> int:
    """Return where the single complete type ends that begins there. Raises IndexError: it does not."""
    depth = 0
    while True:
        kind = types[at]
        at += 1
        depth += (kind in "({") - (kind in ")}")
        if not depth and kind != "a":
            return at
