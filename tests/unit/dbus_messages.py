"""Messages as PID 1 sends them, written by the D-Bus specification, and the calls to it read."""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from ocf_systemd.core.observations import ActiveState, LoadState, UnitState

UNIT = "1-web@a_b.service"


PATH = "/org/freedesktop/systemd1/unit/_31_2dweb_40a_5fb_2eservice"


RUNNING = UnitState(
    UNIT,
    LoadState.LOADED,
    ActiveState.ACTIVE,
    "running",
    "success",
    can_reload=True,
    drop_in_paths=("/run/systemd/system/a b.d/1.conf", "/etc/x.conf"),
)


Value = str | int | bytes | list["Value"] | tuple["Value", ...]


Properties = dict[str, tuple[str, Value]]


# Of each kind of type that the interfaces have in org.freedesktop.systemd1(5), in about as many properties.
UNIT_PROPERTIES: Properties = {
    "Id": ("s", UNIT),
    "Names": ("as", [UNIT, "alias.service"]),
    "Following": ("s", ""),
    **{f"Dependency{number}": ("as", ["system.slice", "sysinit.target"] * (number % 3)) for number in range(30)},
    "LoadState": ("s", "loaded"),
    "ActiveState": ("s", "active"),
    "FreezerState": ("s", "running"),
    "SubState": ("s", "running"),
    "FragmentPath": ("s", "/etc/systemd/system/x.service"),
    "DropInPaths": ("as", ["/run/systemd/system/a b.d/1.conf", "/etc/x.conf"]),
    **{f"Timestamp{number}": ("t", 1_000_000_007 * number) for number in range(12)},
    "CanStart": ("b", 1),
    "CanReload": ("b", 1),
    "CanClean": ("as", []),
    "Job": ("(uo)", (0, "/")),
    **{f"Setting{number}": ("b", number % 2) for number in range(15)},
    "NeedDaemonReload": ("b", 0),
    "ConditionResult": ("b", 1),
    "ConditionTimestampMonotonic": ("t", 4711),
    "Conditions": ("a(sbbsi)", [("ConditionPathExists", 0, 1, "/x", -1), ("ConditionHost", 1, 0, "y", 0)]),
    "LoadError": ("(ss)", ("", "")),
    "InvocationID": ("ay", [1, 2, 3, 255]),
    "Later1": ("d", 0),
    "Later2": ("a{sv}", []),
    "Later3": ("(y(nqx)as)", (7, (-1, 2, -3), ["a"])),
    "Refs": ("as", []),
}


SERVICE_PROPERTIES: Properties = {"Result": ("s", "success"), "ExecMainCode": ("i", 0), "ExecMainStatus": ("i", 0)}


NUMBERS = {"y": "B", "n": "h", "q": "H", "b": "I", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}


BOUNDARIES = {"s": 4, "o": 4, "a": 4, "g": 1, "v": 1, "(": 8, "{": 8}


def split(signature: str) -> list[str]:
    """Split a signature into its single complete types."""
    types, start, depth = [], 0, 0
    for at, kind in enumerate(signature):
        depth += (kind in "({") - (kind in ")}")
        if not depth and kind != "a":
            types.append(signature[start : at + 1])
            start = at + 1
    return types


def write(data: bytearray, order: str, signature: str, value: Value) -> None:
    """Append a value, as "Marshaling (Wire Format)" in the D-Bus specification has it."""
    kind = signature[0]
    data += bytes(-len(data) % (struct.calcsize(f"={NUMBERS[kind]}") if kind in NUMBERS else BOUNDARIES[kind]))
    match value:
        case int():
            data += struct.pack(order + NUMBERS[kind], value)
        case str() | bytes():
            raw = value if isinstance(value, bytes) else value.encode()
            data += (bytes([len(raw)]) if kind == "g" else struct.pack(f"{order}I", len(raw))) + raw + b"\0"
        case list():
            write(data, order, "u", 0)
            length_at = len(data) - 4
            inner = signature[1:]
            data += bytes(-len(data) % (8 if inner[0] in "xtd({" else 1 if inner[0] in "ygv" else 4))
            begin = len(data)
            for element in value:
                write(data, order, inner, element)
            struct.pack_into(f"{order}I", data, length_at, len(data) - begin)
        case (str(inner), variant) if kind == "v":
            write(data, order, "g", inner)
            write(data, order, inner, variant)
        case members:
            for inner, member in zip(split(signature[1:-1]), members, strict=True):
                write(data, order, inner, member)


@dataclass(frozen=True)
class Message:
    """A message as PID 1 sends it: a type, header fields, a body of one value."""

    kind: int
    fields: tuple[tuple[int, str, Value], ...]
    signature: str = ""
    body: Value = ""

    def marshalled(self, order: str) -> bytes:
        body = bytearray()
        if self.signature:
            write(body, order, self.signature, self.body)
        fields = [*self.fields, (8, "g", self.signature)] if self.signature else [*self.fields]
        data = bytearray(b"l" if order == "<" else b"B") + bytes((self.kind, 1, 1))
        data += struct.pack(f"{order}II", len(body), 4711)
        write(data, order, "a(yv)", [(code, (kind, value)) for code, kind, value in fields])
        return bytes(data + bytes(-len(data) % 8) + body)


def returned(serial: int, signature: str, body: Value) -> Message:
    return Message(2, ((5, "u", serial), (6, "s", ":1.0"), (7, "s", "org.freedesktop.systemd1")), signature, body)


SIGNAL = Message(
    4,
    ((1, "o", PATH), (2, "s", "org.freedesktop.DBus.Properties"), (3, "s", "PropertiesChanged")),
    "s",
    "org.freedesktop.systemd1.Unit",
)


ERROR = Message(3, ((4, "s", "org.freedesktop.DBus.Error.UnknownObject"), (5, "u", 1)), "s", "Unknown object.")


BARE_ERROR = dataclasses.replace(ERROR, fields=((5, "u", 4),))


def replies_with(unit: Properties | None = None, ending: Properties | None = None) -> list[Message]:
    """Return the replies to all calls for a service, with these properties changed."""
    properties = UNIT_PROPERTIES | (unit or {})
    ends = SERVICE_PROPERTIES | (ending or {})
    return [
        returned(1, "a{sv}", [*properties.items()]),
        *(returned(serial, "v", value) for serial, value in enumerate(ends.values(), start=2)),
    ]


BEGIN = replies_with()[0].marshalled("<")[-struct.unpack_from("<I", replies_with()[0].marshalled("<"), 4)[0] :][:24]
"""Where the body of the reply to GetAll begins: the length of an array, and its first element."""


def wire(messages: list[Message], order: str = "<") -> bytes:
    return b"".join(message.marshalled(order) for message in messages)


def read_calls(data: bytes) -> list[tuple[Value, ...]]:
    """Return these calls, which are little-endian and have only strings; none if the last is incomplete."""
    calls: list[tuple[Value, ...]] = []
    while data:
        kind, call, flags, version, body, serial, length = struct.unpack_from("<cBBBIII", data)
        assert (kind, call, flags, version) == (b"l", 1, 0, 1)
        begin = 16 + length + -length % 8
        if len(data) < begin + body:
            return []
        fields: dict[int, str] = {}
        at = 16
        while at < 16 + length:
            at += -at % 8
            code, one, field_type, nul = struct.unpack_from("<BBcB", data, at)
            assert (one, nul) == (1, 0)
            fields[code], at = read_text(data, at + 4, "<B" if field_type == b"g" else "<I")
        assert at == 16 + length
        arguments: list[str] = []
        at = begin
        while at < begin + body:
            at += -at % 4
            argument, at = read_text(data, at, "<I")
            arguments.append(argument)
        assert at == begin + body
        assert fields[8] == "s" * len(arguments)
        calls.append((serial, fields[1], f"{fields[2]}.{fields[3]}", *arguments))
        data = data[begin + body :]
    return calls


def read_text(data: bytes, at: int, length_format: str) -> tuple[str, int]:
    (length,) = struct.unpack_from(length_format, data, at)
    at += struct.calcsize(length_format)
    assert data[at + length] == 0
    return data[at : at + length].decode(), at + length + 1


TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)


REPLIES = wire(replies_with())


FUZZ = settings(max_examples=50)


UNREADABLE_REPLIES = [
    pytest.param(b"", id="nothing"),
    pytest.param(wire([ERROR]), id="an error"),
    pytest.param(wire([*replies_with()[:3], BARE_ERROR]), id="an error at the end"),
    pytest.param(wire(replies_with()[:3]), id="a reply is missing"),
    pytest.param(wire([*replies_with()[:3], returned(5, "v", ("i", 0))]), id="another serial"),
    pytest.param(wire([*replies_with()[:3], returned(4, "i", 0)]), id="another signature"),
    pytest.param(wire([*replies_with()[:3], returned(4, "v", ("s", "0"))]), id="another type"),
    pytest.param(wire([returned(1, "as", []), *replies_with()[1:]]), id="no properties"),
    pytest.param(wire([Message(2, ((5, "u", 1),)), *replies_with()[1:]]), id="no body"),
    pytest.param(wire(replies_with({"New": ("v", ("v", ("s", "x")))})), id="a variant in a variant"),
    pytest.param(b"L" + wire(replies_with())[1:], id="no byte order"),
    pytest.param(wire(replies_with())[:3] + b"\2" + wire(replies_with())[4:], id="another protocol"),
    pytest.param(b"l\2\1\1" + b"\xff" * 12 + wire(replies_with()), id="4 GB"),
    pytest.param(b"l\2\1\1" + struct.pack("<III", 1, 1, 1 << 20), id="a little too long"),
    pytest.param(wire(replies_with()).replace(BEGIN, b"\xff\xff\xff\x7f" + BEGIN[4:]), id="an array too long"),
    pytest.param(wire(replies_with()).replace(b"as\0", b"as!"), id="a signature without an end"),
    pytest.param(wire(replies_with()).replace(b"success\0", b"success!"), id="a text without an end"),
    pytest.param(wire(replies_with({"New": ("ss", "x")})), id="two types in one"),
    pytest.param(
        wire([*replies_with()[:3], returned(4, "v", ("i", 0))]).replace(BEGIN, bytes(4) + BEGIN[4:]),
        id="an array too short",
    ),
    pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="another protocol altogether"),
]
