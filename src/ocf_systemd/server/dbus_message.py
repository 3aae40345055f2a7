"""D-Bus messages to and from PID 1: the calls that query a unit, and the replies to them. Pure.

This module implements only the part of D-Bus that these messages need. A message that is not exactly as expected raises
one of the exceptions in `UNREADABLE`.

Sources: org.freedesktop.systemd1(5); the D-Bus specification, "Message Format" and "Type System".
"""

import re
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache

from ocf_systemd.core.observations import UnitState
from ocf_systemd.core.parameter_values import UNIT_CHARACTERS, UNIT_NAME_MAX
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printable
from ocf_systemd.core.unit_properties import unit_state

REPLY_MAX = 1024 * 1024
"""The largest accepted reply, in bytes; a reply with the properties of a unit has 10 KB."""

UNREADABLE = (ValueError, LookupError, struct.error)
"""The exceptions that reading a message raises if the message is not as expected."""


_UNIT_INTERFACE = "org.freedesktop.systemd1.Unit"

# The properties of this interface that are needed, with their D-Bus types (org.freedesktop.systemd1(5)).
_UNIT_PROPERTIES: Mapping[bytes, bytes] = {
    b"Id": b"s",
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

# How a unit ended is in the interface of the unit's type, among hundreds of properties. Only those below are queried.
_TYPE_PROPERTIES: Mapping[str, Mapping[str, bytes]] = {
    "service": {"Result": b"s", "ExecMainCode": b"i", "ExecMainStatus": b"i"},
    "socket": {"Result": b"s"},
    "mount": {"Result": b"s"},
    "timer": {"Result": b"s"},
    "path": {"Result": b"s"},
    "target": {},
}

_NO_LABEL = re.compile(rb"[^A-Za-z0-9]|^[0-9]")  # bus-label.c: what bus_label_escape() escapes

# "Message Format" in the D-Bus specification.
_CALL, _RETURN, _ERROR = 1, 2, 3
_PROTOCOL = 1
_FIXED_HEADER = 16  # bytes
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8
_BYTE_ORDERS = {ord("l"): "<", ord("B"): ">"}
_U32 = {order: struct.Struct(f"{order}I").unpack_from for order in "<>"}
_NUMBERS = {b"u": ("I", 4), b"i": ("i", 4), b"t": ("Q", 8)}

# "Summary of D-Bus marshalling": the boundary in bytes at which values of a type begin. If a type has a fixed size, its
# boundary equals that size.
_FIXED = {"y": 1, "n": 2, "q": 2, "b": 4, "i": 4, "u": 4, "h": 4, "x": 8, "t": 8, "d": 8}
_BOUNDARIES = _FIXED | {"s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8}
# As in the result of `_layout`.
_OTHER_PARTS = {"s": (4, 1, 1), "o": (4, 1, 1), "(": (8, 0, 0), ")": (1, 0, 0)}


class Reply:
    """A reply to a call. Its methods read it once, from its start to its end, and raise `UNREADABLE`."""

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
            # The same as _align(), _text() and _read_signature(), in half the time: a hundred properties are skipped.
            name_at = self._at + -self._at % 8 + 4
            name_end = name_at + u32(data, name_at - 4)[0]
            signature_end = name_end + 2 + data[name_end + 1]
            if data[name_end] or data[signature_end]:
                raise ValueError("not terminated")
            name, signature = data[name_at:name_end], data[name_end + 2 : signature_end]
            self._at = signature_end + 1
            if name in _UNIT_PROPERTIES:
                self._expect(signature, _UNIT_PROPERTIES[name])
                found[name.decode()] = self._values(signature)
            else:
                self._skip(signature)
        self._ends(end)
        self._ends(len(self._data))
        if len(found) != len(_UNIT_PROPERTIES):
            raise ValueError("a property is missing")
        return found

    def property(self, expected: bytes) -> tuple[str, ...]:
        """Return the values of the property in a reply to Get; the property must have the D-Bus type `expected`."""
        self._expect_body(b"v")
        self._expect(self._read_signature(), expected)
        values = self._values(expected)
        self._ends(len(self._data))
        return values

    def _expect_body(self, signature: bytes) -> None:
        if self._data[1] != _RETURN:
            raise ValueError("an error")
        self._expect(self._signature, signature)

    def _values(self, signature: bytes) -> tuple[str, ...]:
        """Read a value of one of the types that this module queries; return it as `systemctl show` prints it."""
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
                values = []
                end = self._array(4)
                while self._at < end:
                    values.append(printable(self._text()))
                self._ends(end)
                return tuple(values)
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
        # Skipped values are not checked, so a wrong length in them shows only here.
        if self._at != end:
            raise ValueError("ends elsewhere")

    @staticmethod
    def _expect(signature: bytes, expected: bytes) -> None:
        if signature != expected:
            raise ValueError("another type")


def unit_state_of(name: str, replies: list[Reply]) -> UnitState | None:
    """Return a unit's state from the replies to `unit_calls`; None if `systemctl` must be called.

    Only the state of a unit that runs, has no job and has not failed is returned. Raises `UNREADABLE`.
    """
    found = replies[0].properties()
    for property_name, reply in zip(_type_properties(name), replies[1:], strict=True):
        found[property_name] = reply.property(_type_properties(name)[property_name])
    drop_in_paths, (primary_name,) = found.pop("DropInPaths"), found.pop("Id")
    state = unit_state(name, {key: values[0] for key, values in found.items()}, drop_in_paths)
    # Result was queried after the state, so a unit that failed in between is not reported as running. A mount that
    # could not be unmounted runs, and also has another Result than success: then systemctl is called, which is rare.
    has_failed = isinstance(state, UnitState) and state.result not in {"", "success"}
    if isinstance(state, UnitState) and state.is_running and not state.has_job and not has_failed:
        return state if primary_name == name else replace(state, primary_name=primary_name)
    return None


def _type_properties(name: str) -> Mapping[str, bytes]:
    return _TYPE_PROPERTIES[name.rpartition(".")[2]]


def is_unit_name(name: str) -> bool:
    """Return whether PID 1 can have a unit of that name, of a type that the agent manages."""
    kind = name.rpartition(".")[2]
    return kind in _TYPE_PROPERTIES and len(name) <= UNIT_NAME_MAX and bool(UNIT_CHARACTERS.fullmatch(name))


def unit_calls(name: str, serial: int) -> list[bytes]:
    """Return the calls that query the needed properties of a unit; the first has `serial`, the others the next ones."""
    kind = name.rpartition(".")[2]
    path = b"/org/freedesktop/systemd1/unit/" + _NO_LABEL.sub(lambda found: b"_%02x" % found[0][0], name.encode())
    interface = f"org.freedesktop.systemd1.{kind.capitalize()}"
    return [
        _call(serial, path, "GetAll", _UNIT_INTERFACE),
        *(
            _call(next_one, path, "Get", interface, key)
            for next_one, key in enumerate(_TYPE_PROPERTIES[kind], serial + 1)
        ),
    ]


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
    """Return the header fields that do not depend on the unit, padded to where the next field begins."""
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
    """Return how to skip a value: for each part of the value, its boundary, the boundary of its elements, and a size.

    A part begins at its boundary. If a length precedes its elements, they begin at their own boundary; otherwise this
    second boundary is 0. The size is the number of further bytes. Raises LookupError or ValueError if `signature` is
    not a single type, or is a variant or a signature: no property of a unit has one outside an array.
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
    """Return where the single complete type that begins at `at` ends. Raises IndexError if it does not end."""
    depth = 0
    while True:
        kind = types[at]
        at += 1
        depth += (kind in "({") - (kind in ")}")
        if not depth and kind != "a":
            return at


def take_replies(received: bytearray) -> Iterator[Reply]:
    """Remove all complete messages from `received`, and yield those that are replies. Raises `UNREADABLE`."""
    while len(received) >= _FIXED_HEADER:
        order = _BYTE_ORDERS[received[0]]
        body, _, fields = struct.unpack_from(f"{order}III", received, 4)
        length = _FIXED_HEADER + fields + -fields % 8 + body
        if length > REPLY_MAX or received[3] != _PROTOCOL:
            raise ValueError("no message")
        if len(received) < length:
            return
        message = bytes(received[:length])
        del received[:length]
        if message[1] in {_RETURN, _ERROR}:
            yield Reply(message, order)
