"""What PID 1 is asked over its private socket, and what is understood of its answers; a fake one says them."""

from __future__ import annotations

import dataclasses
import os
import resource
import struct
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX, socket
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from ocf_systemd.core.observations import ActiveState, LoadState, UnitState
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printable
from ocf_systemd.server.dbus import SystemManager
from tests.unit.builders import is_one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import ByteStream

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
    """Take a signature apart into its single complete types."""
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


@dataclass
class Pid1:
    """A fake PID 1: `answer` is what it says to the calls, in pieces of so many bytes; then it hangs up."""

    answer: bytes
    authentication: bytes = b"OK 0123456789abcdef0123456789abcdef\r\n"
    piece: int = 1 << 20
    silent: bool = False
    calls: list[tuple[Value, ...]] = field(default_factory=list)
    said: bytes = b""

    async def serve(self, stream: ByteStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream):  # the other side has heard enough
                await self._converse(stream)

    async def _converse(self, stream: ByteStream) -> None:
        while b"BEGIN\r\n" not in self.said:
            self.said += await stream.receive()
        self.said, _, rest = self.said.partition(b"BEGIN\r\n")
        await stream.send(self.authentication)
        if not self.authentication.startswith(b"OK "):
            return
        while len(rest) < 16 or not (found := read_calls(rest)):
            rest += await stream.receive()
        self.calls = found
        for at in range(0, len(self.answer), self.piece):
            await stream.send(self.answer[at : at + self.piece])
        if self.silent:
            await anyio.sleep_forever()


def read_calls(data: bytes) -> list[tuple[Value, ...]]:
    """Take calls apart, in our own byte order and with strings alone; none: the last one is not there yet."""
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


def ask(pid1: Pid1, name: str = UNIT, *, backend: str = "asyncio", within_s: float = 60.0) -> UnitState | None:
    """Return what is understood of this PID 1's answer."""
    return ask_and_time(pid1, name, backend=backend, within_s=within_s)[0]


def ask_and_time(
    pid1: Pid1, name: str = UNIT, *, backend: str = "asyncio", within_s: float = 60.0
) -> tuple[UnitState | None, float]:
    """Return what is understood of this PID 1's answer, and in how many seconds."""

    async def main() -> tuple[UnitState | None, float]:
        path = f"{directory}/private"
        async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, pid1.serve)
            began = anyio.current_time()
            state = await SystemManager(path).unit(name, began + within_s)
            took_s = anyio.current_time() - began
            tasks.cancel_scope.cancel()
        return state, took_s

    with tempfile.TemporaryDirectory() as directory:
        return anyio.run(main, backend=backend)


BACKENDS = pytest.mark.parametrize("backend", [pytest.param("asyncio", id="asyncio"), pytest.param("trio", id="trio")])
BOTH_ORDERS = pytest.mark.parametrize("order", [pytest.param("<", id="little"), pytest.param(">", id="big")])


class TestRunning:
    @BOTH_ORDERS
    @BACKENDS
    def test_a_unit_that_runs(self, backend: str, order: str) -> None:
        """Its state is told, on either event loop and in either byte order."""
        assert ask(Pid1(wire(replies_with(), order)), backend=backend) == RUNNING

    def test_what_is_asked(self) -> None:
        """Root's uid or ours, then the properties of the unit, and of its type those that tell how it ended."""
        pid1 = Pid1(wire(replies_with()))
        assert ask(pid1) == RUNNING
        assert pid1.said == b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n"
        get = "org.freedesktop.DBus.Properties.Get"
        service = "org.freedesktop.systemd1.Service"
        assert pid1.calls == [
            (1, PATH, f"{get}All", "org.freedesktop.systemd1.Unit"),
            (2, PATH, get, service, "Result"),
            (3, PATH, get, service, "ExecMainCode"),
            (4, PATH, get, service, "ExecMainStatus"),
        ]

    @pytest.mark.parametrize(
        ("name", "calls"),
        [
            pytest.param("a.socket", [("org.freedesktop.systemd1.Socket", "Result")], id="socket"),
            pytest.param("a.mount", [("org.freedesktop.systemd1.Mount", "Result")], id="mount"),
            pytest.param("a.automount", [("org.freedesktop.systemd1.Automount", "Result")], id="automount"),
            pytest.param("a.swap", [("org.freedesktop.systemd1.Swap", "Result")], id="swap"),
            pytest.param("a.timer", [("org.freedesktop.systemd1.Timer", "Result")], id="timer"),
            pytest.param("a.path", [("org.freedesktop.systemd1.Path", "Result")], id="path"),
            pytest.param("a.scope", [("org.freedesktop.systemd1.Scope", "Result")], id="scope"),
            pytest.param("a.slice", [], id="slice"),
            pytest.param("a.target", [], id="target"),
            pytest.param("a.device", [], id="device"),
        ],
    )
    def test_units_of_other_types(self, name: str, calls: list[tuple[str, str]]) -> None:
        """Each type has its interface; what has no Result is not asked for one."""
        pid1 = Pid1(wire(replies_with()[: 1 + len(calls)]))
        result = "success" if calls else ""
        assert ask(pid1, name) == replace(RUNNING, unit=name, result=result)
        assert [call[3:] for call in pid1.calls[1:]] == calls

    @pytest.mark.parametrize(
        ("unit", "ending", "state"),
        [
            pytest.param(
                {"ActiveState": ("s", "reloading"), "SubState": ("s", "reload")},
                {},
                replace(RUNNING, active_state=ActiveState.RELOADING, sub_state="reload"),
                id="reloading",
            ),
            pytest.param(
                {"SubState": ("s", "exited"), "CanReload": ("b", 0)},
                {"ExecMainCode": ("i", 1)},
                replace(RUNNING, sub_state="exited", main_exit="status 0", can_reload=False),
                id="exited, and active for it",
            ),
            pytest.param(
                {"LoadState": ("s", "not-found"), "NeedDaemonReload": ("b", 1)},
                {"ExecMainCode": ("i", 2), "ExecMainStatus": ("i", 11)},
                replace(RUNNING, load_state=LoadState.NOT_FOUND, needs_daemon_reload=True, main_exit="SIGSEGV"),
                id="its file is gone",
            ),
            pytest.param(
                {"ConditionResult": ("b", 0), "DropInPaths": ("as", [])},
                {},
                replace(RUNNING, condition_met=False, drop_in_paths=()),
                id="condition not met",
            ),
            pytest.param(
                {"ConditionResult": ("b", 0), "ConditionTimestampMonotonic": ("t", 0)},
                {},
                RUNNING,
                id="condition never checked",
            ),
            pytest.param(
                {
                    "LoadState": ("s", "vanished"),
                    "SubState": ("s", "a\x1b[2J\n\u2028b"),
                    "DropInPaths": ("as", ["\n/a"]),
                },
                {},
                replace(RUNNING, load_state=LoadState.UNRECOGNISED, sub_state="ab", drop_in_paths=("/a",)),
                id="a later systemd, and no control characters",
            ),
        ],
    )
    def test_what_else_is_told_of_it(self, unit: Properties, ending: Properties, state: UnitState) -> None:
        """Each property finds its place, as it does from what systemctl prints."""
        assert ask(Pid1(wire(replies_with(unit, ending)))) == state

    def test_signals_and_other_order_are_of_no_account(self) -> None:
        """PID 1 sends its signals to all; replies are known by their serials."""
        call = Message(1, ((1, "o", "/"), (3, "s", "Ping")))
        replies = replies_with()
        assert ask(Pid1(wire([SIGNAL, *replies[::-1][:2], call, SIGNAL, *replies[:2], SIGNAL]))) == RUNNING

    @pytest.mark.parametrize("piece", [pytest.param(7, id="7"), pytest.param(16, id="16"), pytest.param(999, id="999")])
    def test_an_answer_in_pieces(self, piece: int) -> None:
        """A stream has no messages: they may come in any pieces."""
        assert ask(Pid1(wire([SIGNAL, *replies_with()]), piece=piece)) == RUNNING


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("unit", "ending"),
        [
            *(
                pytest.param({"ActiveState": ("s", state)}, {}, id=state)
                for state in ("inactive", "failed", "activating", "deactivating", "maintenance", "hibernating", "")
            ),
            pytest.param({"Job": ("(uo)", (17, "/org/freedesktop/systemd1/job/17"))}, {}, id="a job"),
            pytest.param({}, {"Result": ("s", "exit-code")}, id="a failure"),
        ],
    )
    def test_a_unit_that_does_not_just_run(self, unit: Properties, ending: Properties) -> None:
        """Of a unit that is in any other state systemctl is to be asked."""
        assert ask(Pid1(wire(replies_with(unit, ending)))) is None

    @pytest.mark.parametrize("name", sorted({"LoadState", "ActiveState", "Job", "DropInPaths", "ConditionResult"}))
    def test_a_property_that_is_missing_or_of_another_type(self, name: str) -> None:
        """There are no defaults: what is not told is not known."""
        less = {key: value for key, value in UNIT_PROPERTIES.items() if key != name}
        missing = [returned(1, "a{sv}", [*less.items()]), *replies_with()[1:]]
        assert ask(Pid1(wire(missing))) is None
        assert ask(Pid1(wire(replies_with({name: ("u", 0)})))) is None

    @pytest.mark.parametrize(
        "answer",
        [
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
        ],
    )
    def test_an_answer_that_is_not_as_expected(self, answer: bytes) -> None:
        """Whatever else comes, and a connection that ends, is no answer."""
        assert ask(Pid1(answer)) is None

    @pytest.mark.parametrize(
        "authentication",
        [
            pytest.param(b"REJECTED EXTERNAL\r\n", id="rejected"),
            pytest.param(b"DATA\r\n", id="asks for more"),
            pytest.param(b"ERROR\r\n", id="error"),
            pytest.param(b"OKAY\r\n", id="not quite"),
            pytest.param(b"O" * (2 << 20), id="no end"),
            pytest.param(b"\r\n", id="nothing"),
        ],
    )
    def test_who_is_not_let_in(self, authentication: bytes) -> None:
        """Only OK opens the connection."""
        assert ask(Pid1(wire(replies_with()), authentication)) is None

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("", id="nothing"),
            pytest.param("web", id="no type"),
            pytest.param("web.mp3", id="another type"),
            pytest.param("a/b.service", id="a path"),
            pytest.param("a b.service", id="a blank"),
            pytest.param("\xe4.service", id="not ASCII"),
            pytest.param("a\n.service", id="a line's end"),
            pytest.param(f"{'a' * 248}.service", id="too long"),
        ],
    )
    def test_a_name_of_no_unit(self, name: str) -> None:
        """Nobody is asked for it."""
        pid1 = Pid1(wire(replies_with()))
        assert ask(pid1, name) is None
        assert not pid1.said


class TestReach:
    @pytest.mark.parametrize(
        ("within_s", "at_most_s"),
        [pytest.param(1.0, 0.3, id="soon"), pytest.param(0.0, 0.05, id="now"), pytest.param(-1.0, 0.05, id="past")],
    )
    @BACKENDS
    def test_a_pid_1_that_hangs(self, backend: str, within_s: float, at_most_s: float) -> None:
        """It takes a small part of the time until the deadline: the rest is systemctl's."""
        state, took_s = ask_and_time(Pid1(b"", silent=True), backend=backend, within_s=within_s)
        assert state is None
        assert took_s < at_most_s

    def test_one_that_hangs_in_its_words(self) -> None:
        """What has begun well may end in silence as well."""
        state, took_s = ask_and_time(Pid1(wire(replies_with())[:-1], silent=True), within_s=1.0)
        assert state is None
        assert took_s < 0.3

    def test_patience_has_an_end_of_its_own(self) -> None:
        """However far the deadline is, one try takes no longer than a second."""
        clock = MockClock(autojump_threshold=0.05)

        async def main() -> float:
            with socket(AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()
                began = anyio.current_time()
                assert await SystemManager(path).unit(UNIT, began + 3600) is None
                return anyio.current_time() - began

        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/private"
            assert anyio.run(main, backend="trio", backend_options={"clock": clock}) == pytest.approx(1.0)

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("/no/such", id="nothing there"),
            pytest.param("/dev/null", id="no socket"),
            pytest.param("/" + "x" * 200, id="a path too long"),
            pytest.param("/a\0b", id="no path"),
        ],
    )
    def test_nobody_there(self, path: str) -> None:
        """A host without systemd, or who may not reach it, gets no answer."""
        assert ask_at(path) is None

    def test_nobody_listens(self, tmp_path: Path) -> None:
        """A socket that was left behind is no answer."""
        path = f"/proc/self/fd/{os.open(tmp_path, os.O_PATH)}/private"
        with socket(AF_UNIX) as left:
            left.bind(path)
        assert ask_at(path) is None
        os.close(int(Path(path).parent.name))

    def test_a_queue_that_is_full(self) -> None:
        """A PID 1 that takes no more connections is not waited for."""
        with tempfile.TemporaryDirectory() as directory, socket(AF_UNIX) as listening, ExitStack() as waiting:
            path = f"{directory}/private"
            listening.bind(path)
            listening.listen(0)
            with suppress(BlockingIOError):
                for _ in range(10):
                    queued = waiting.enter_context(socket(AF_UNIX))
                    queued.setblocking(False)  # noqa: FBT003  # socket's own
                    queued.connect(path)
            assert ask_at(path) is None

    def test_no_descriptor_left(self) -> None:
        """There is no room for a socket, and it is no failure."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

        async def main() -> UnitState | None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                return await SystemManager("/dev/null").unit(UNIT, anyio.current_time() + 9)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert anyio.run(main) is None

    @BACKENDS
    def test_none_stays_open(self, backend: str) -> None:
        """An answer, none, silence and a cancelled call leave no connection behind."""

        async def main() -> None:
            path = f"{directory}/private"
            with socket(AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()
                before = open_descriptors()
                with anyio.move_on_after(0.02) as scope:
                    await SystemManager(path).unit(UNIT, anyio.current_time() + 60)
                assert scope.cancelled_caught
                assert await SystemManager(path).unit(UNIT, anyio.current_time() + 0.1) is None
                assert open_descriptors() == before

        with tempfile.TemporaryDirectory() as directory:
            anyio.run(main, backend=backend)

    def test_many_at_once(self) -> None:
        """Each call has a connection of its own, and its own answer."""

        async def main() -> list[UnitState | None]:
            listener = await anyio.create_unix_listener(f"{directory}/private")
            async with listener, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, serve)
                async with anyio.create_task_group() as calls:
                    for number in range(20):
                        calls.start_soon(one, f"u{number}.service")
                tasks.cancel_scope.cancel()
            return states

        async def serve(stream: ByteStream) -> None:
            await Pid1(wire(replies_with())).serve(stream)

        async def one(name: str) -> None:
            states.append(await SystemManager(f"{directory}/private").unit(name, anyio.current_time() + 60))

        states: list[UnitState | None] = []
        with tempfile.TemporaryDirectory() as directory:
            assert {state and state.unit for state in anyio.run(main)} == {f"u{number}.service" for number in range(20)}


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def ask_at(path: str) -> UnitState | None:
    """Ask whoever is at this path."""

    async def main() -> UnitState | None:
        return await SystemManager(path).unit(UNIT, anyio.current_time() + 60)

    return anyio.run(main)


TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
ANSWER = wire(replies_with())
FUZZ = settings(max_examples=50)


@dataclass
class LastingPid1:
    """A fake PID 1 that answers on as many connections as are made, and on each for as long as it lasts."""

    connections: int = 0
    ends_after: int = 1 << 20
    silent_to: str = ""
    reads_after_s: float = 0.0
    paths: set[Value] = field(default_factory=set)

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                data = await stream.receive()
                await stream.send(b"OK 0\r\n")
                rest = data.partition(b"BEGIN\r\n")[2]
                await anyio.sleep(self.reads_after_s)
                for _ in range(self.ends_after):
                    rest = await self._answer(stream, rest)

    async def _answer(self, stream: ByteStream, rest: bytes) -> bytes:
        while len(rest) < 16 or not (calls := read_calls(rest)):
            rest += await stream.receive()
        for serial, path, member, *_ in calls:
            assert isinstance(serial, int)
            self.paths.add(path)
            value = ("s", "success") if (serial - 2) % 4 == 0 else ("i", 0)
            body: list[Value] = [*UNIT_PROPERTIES.items()]
            reply = returned(serial, "a{sv}", body) if str(member).endswith("All") else returned(serial, "v", value)
            if self.silent_to and self.silent_to in str(path):
                continue
            error = dataclasses.replace(ERROR, fields=((5, "u", serial),))
            await stream.send(wire([SIGNAL, error if "unknown" in str(path) else reply]))
        return b""


async def converse(
    pid1: LastingPid1,
    conversation: Callable[[Callable[[str], Awaitable[UnitState | None]]], Awaitable[None]],
    within_s: float = 2.0,
) -> None:
    """Hold a conversation over a connection that is kept."""
    with tempfile.TemporaryDirectory() as directory:
        manager = SystemManager(f"{directory}/private")

        async def unit(name: str) -> UnitState | None:
            return await manager.unit(name, anyio.current_time() + within_s)

        listener = await anyio.create_unix_listener(f"{directory}/private")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, pid1.serve)
            tasks.start_soon(manager.keep_connected)
            await anyio.sleep(0.05)
            await conversation(unit)
            tasks.cancel_scope.cancel()


COUNT = 250


class TestKept:
    @BACKENDS
    def test_calls_share_a_connection(self, backend: str) -> None:
        """One after another and all at once, each call gets its own answer, and an error is but one call's."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            async def ask_for(name: str) -> None:
                states[name] = await unit(name)

            for number in range(3):
                await ask_for(f"first{number}.service")
            async with anyio.create_task_group() as calls:
                for number in range(20):
                    calls.start_soon(ask_for, f"second{number}.service")
                calls.start_soon(ask_for, "unknown.service")

        states: dict[str, UnitState | None] = {}
        pid1 = LastingPid1()
        anyio.run(converse, pid1, conversation, backend=backend)
        assert pid1.connections == 1
        assert len(states) == 24
        assert states.pop("unknown.service") is None
        assert states == {name: replace(RUNNING, unit=name) for name in states}

    def test_more_calls_than_there_is_room_for(self) -> None:
        """A socket holds a hundred calls that nobody has read yet: the others wait for room, and are answered."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            async def ask_for(name: str) -> None:
                states.append(await unit(name))

            async with anyio.create_task_group() as calls:
                for number in range(COUNT):
                    calls.start_soon(ask_for, f"unknown{number}.service")

        states: list[UnitState | None] = []
        pid1 = LastingPid1(reads_after_s=0.2)
        anyio.run(converse, pid1, conversation, 60.0)
        assert states == [None] * COUNT
        assert pid1.connections == 1
        assert len(pid1.paths) == COUNT

    @BACKENDS
    def test_a_connection_that_ends(self, backend: str) -> None:
        """A call that meets the end has no answer; the next ones have a connection of their own, at once."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            states.append(await unit("a.service"))
            await anyio.sleep(0.02)
            states.append(await unit("b.service"))

        states: list[UnitState | None] = []
        pid1 = LastingPid1(ends_after=1)
        anyio.run(converse, pid1, conversation, backend=backend)
        assert states == [replace(RUNNING, unit="a.service"), replace(RUNNING, unit="b.service")]
        assert pid1.connections == 2

    @BACKENDS
    def test_a_call_that_is_cancelled(self, backend: str) -> None:
        """It takes nothing from the others: the connection stays."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            with anyio.move_on_after(0.02) as scope:
                await unit("hangs.service")
            assert scope.cancelled_caught
            states.append(await unit("a.service"))

        states: list[UnitState | None] = []
        pid1 = LastingPid1(silent_to="hangs")
        anyio.run(converse, pid1, conversation, backend=backend)
        assert states == [replace(RUNNING, unit="a.service")]
        assert pid1.connections == 1

    @BACKENDS
    def test_silence_ends_it(self, backend: str) -> None:
        """What waits in vain ends the connection for all, and calls do not heap up at a PID 1 that hangs."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            async with anyio.create_task_group() as calls:
                calls.start_soon(note, unit, "hangs.service")
                await anyio.sleep(0.1)
                calls.start_soon(note, unit, "hangs_too.service")
            await note(unit, "a.service")

        async def note(unit: Callable[[str], Awaitable[UnitState | None]], name: str) -> None:
            states.append((name, await unit(name)))

        states: list[tuple[str, UnitState | None]] = []
        pid1 = LastingPid1(silent_to="hangs")
        anyio.run(converse, pid1, conversation, backend=backend)
        running = replace(RUNNING, unit="a.service")
        assert states[2] == ("a.service", running)
        assert dict(states) == {"hangs.service": None, "hangs_too.service": None, "a.service": running}
        assert pid1.connections == 2


class TestFuzzing:
    @FUZZ
    @given(said=st.binary(max_size=200), authenticated=st.booleans())
    def test_any_bytes(self, *, said: bytes, authenticated: bool) -> None:
        """What is no answer is none, and nothing is raised, wherever it comes."""
        assert ask(Pid1(said) if authenticated else Pid1(b"", said)) is None

    @FUZZ
    @given(st.integers(0, len(ANSWER) - 1), st.binary(min_size=1, max_size=8))
    def test_bytes_that_were_changed(self, at: int, changed: bytes) -> None:
        """Of an answer with other bytes in it a state is told that is one, or none."""
        state = ask(Pid1(ANSWER[:at] + changed + ANSWER[at + len(changed) :]))
        assert state is None or (state.is_running and not state.has_job and is_one_line(state.sub_state))

    @FUZZ
    @given(st.integers(0, len(ANSWER) - 1), st.integers(1, 40))
    def test_bytes_that_are_missing(self, at: int, count: int) -> None:
        """An answer that lacks bytes is none."""
        assert ask(Pid1(ANSWER[:at] + ANSWER[at + count :])) is None

    @FUZZ
    @given(TEXT, st.lists(TEXT, max_size=4), st.sampled_from("<>"), st.integers(0, len(UNIT_PROPERTIES)))
    def test_any_properties(self, sub_state: str, paths: list[str], order: str, first: int) -> None:
        """Whatever the properties hold and in whatever order they come, each is read as itself."""
        names = [*UNIT_PROPERTIES][first:] + [*UNIT_PROPERTIES][:first]
        unit = UNIT_PROPERTIES | {
            "SubState": ("s", sub_state),
            "DropInPaths": ("as", [*paths]),
        }
        replies = [returned(1, "a{sv}", [(name, unit[name]) for name in names]), *replies_with()[1:]]
        assert ask(Pid1(wire(replies, order))) == replace(
            RUNNING,
            sub_state=printable(sub_state),
            drop_in_paths=tuple(map(printable, paths)),
        )
