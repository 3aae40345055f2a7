"""Queries of PID 1 over its private socket, which a fake PID 1 replies to."""

from __future__ import annotations

import dataclasses
import os
import resource
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX, socket
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.records import replace
from ocf_systemd.server.dbus import SystemManager
from tests.unit.builders import open_descriptors
from tests.unit.dbus_messages import (
    ERROR,
    FUZZ,
    PATH,
    RUNNING,
    SIGNAL,
    UNIT,
    UNIT_PROPERTIES,
    UNREADABLE_REPLIES,
    Message,
    Value,
    read_calls,
    replies_with,
    returned,
    wire,
)
from tests.unit.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import ByteStream

    from ocf_systemd.core.observations import UnitState


@dataclass
class Pid1:
    """A fake PID 1: it sends `replies` to the calls, in pieces of so many bytes, and closes the connection."""

    replies: bytes
    authentication: bytes = b"OK 0123456789abcdef0123456789abcdef\r\n"
    piece: int = 1 << 20
    silent: bool = False
    calls: list[tuple[Value, ...]] = field(default_factory=list)
    received: bytes = b""

    async def serve(self, stream: ByteStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream):  # the other side has closed the connection
                await self._converse(stream)

    async def _converse(self, stream: ByteStream) -> None:
        while b"BEGIN\r\n" not in self.received:
            self.received += await stream.receive()
        self.received, _, rest = self.received.partition(b"BEGIN\r\n")
        await stream.send(self.authentication)
        if not self.authentication.startswith(b"OK "):
            return
        while len(rest) < 16 or not (found := read_calls(rest)):
            rest += await stream.receive()
        self.calls = found
        for at in range(0, len(self.replies), self.piece):
            await stream.send(self.replies[at : at + self.piece])
        if self.silent:
            await anyio.sleep_forever()


def request(pid1: Pid1, name: str = UNIT, *, backend: str = "asyncio", within_s: float = 60.0) -> UnitState | None:
    """Return the state that is read from this PID 1's replies."""
    return request_and_time(pid1, name, backend=backend, within_s=within_s)[0]


def request_and_time(
    pid1: Pid1, name: str = UNIT, *, backend: str = "asyncio", within_s: float = 60.0
) -> tuple[UnitState | None, float]:
    """Return the state that is read from this PID 1's replies, and after how many seconds."""

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
        return run_in_virtual_time(main, backend=backend)


BACKENDS = pytest.mark.parametrize("backend", [pytest.param("asyncio", id="asyncio"), pytest.param("trio", id="trio")])
BOTH_ORDERS = pytest.mark.parametrize("order", [pytest.param("<", id="little"), pytest.param(">", id="big")])


class TestRunning:
    @BOTH_ORDERS
    @BACKENDS
    def test_a_unit_that_runs(self, backend: str, order: str) -> None:
        """Its state is returned, on either event loop and in either byte order."""
        assert request(Pid1(wire(replies_with(), order)), backend=backend) == RUNNING

    def test_what_is_sent(self) -> None:
        """First our uid, then calls for the unit's properties, and for those of its type that describe how it ended."""
        pid1 = Pid1(wire(replies_with()))
        assert request(pid1) == RUNNING
        assert pid1.received == b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n"
        get = "org.freedesktop.DBus.Properties.Get"
        service = "org.freedesktop.systemd1.Service"
        assert pid1.calls == [
            (1, PATH, f"{get}All", "org.freedesktop.systemd1.Unit"),
            (2, PATH, get, service, "Result"),
            (3, PATH, get, service, "ExecMainCode"),
            (4, PATH, get, service, "ExecMainStatus"),
        ]

    def test_signals_and_another_order(self) -> None:
        """Signals, which PID 1 sends to all, are passed over; replies are matched by their serials."""
        call = Message(1, ((1, "o", "/"), (3, "s", "Ping")))
        replies = replies_with()
        assert request(Pid1(wire([SIGNAL, *replies[::-1][:2], call, SIGNAL, *replies[:2], SIGNAL]))) == RUNNING

    @pytest.mark.parametrize("piece", [pytest.param(7, id="7"), pytest.param(16, id="16"), pytest.param(999, id="999")])
    def test_replies_in_pieces(self, piece: int) -> None:
        """A stream may deliver messages in any pieces."""
        assert request(Pid1(wire([SIGNAL, *replies_with()]), piece=piece)) == RUNNING


class TestNoState:
    @pytest.mark.parametrize("replies", UNREADABLE_REPLIES)
    def test_replies_that_are_not_as_expected(self, replies: bytes) -> None:
        """Whatever else comes, and a connection that ends, results in no state."""
        assert request(Pid1(replies)) is None

    def test_a_name_of_no_unit(self) -> None:
        """Nothing is sent for it."""
        pid1 = Pid1(wire(replies_with()))
        assert request(pid1, "a/b.service") is None
        assert not pid1.received

    @pytest.mark.parametrize(
        "authentication",
        [
            pytest.param(b"REJECTED EXTERNAL\r\n", id="rejected"),
            pytest.param(b"DATA\r\n", id="requests more"),
            pytest.param(b"ERROR\r\n", id="error"),
            pytest.param(b"OKAY\r\n", id="not quite"),
            pytest.param(b"O" * (2 << 20), id="no end"),
            pytest.param(b"\r\n", id="nothing"),
        ],
    )
    def test_authentication_that_fails(self, authentication: bytes) -> None:
        """Only OK is a successful authentication."""
        assert request(Pid1(wire(replies_with()), authentication)) is None


class TestReach:
    @pytest.mark.parametrize(
        ("within_s", "at_most_s"),
        [pytest.param(1.0, 0.3, id="soon"), pytest.param(0.0, 0.0, id="now"), pytest.param(-1.0, 0.0, id="past")],
    )
    @BACKENDS
    def test_a_pid_1_that_hangs(self, backend: str, within_s: float, at_most_s: float) -> None:
        """The query takes a small part of the time until the deadline: the rest is for systemctl."""
        state, took_s = request_and_time(Pid1(b"", silent=True), backend=backend, within_s=within_s)
        assert state is None
        assert took_s <= at_most_s

    def test_a_pid_1_that_hangs_during_a_reply(self) -> None:
        """The same limit holds where replies have begun."""
        state, took_s = request_and_time(Pid1(wire(replies_with())[:-1], silent=True), within_s=1.0)
        assert state is None
        assert took_s < 0.3

    def test_the_longest_query(self) -> None:
        """A query takes at most a second, however far away the deadline is."""

        async def main() -> float:
            with socket(AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()
                began = anyio.current_time()
                assert await SystemManager(path).unit(UNIT, began + 3600) is None
                return anyio.current_time() - began

        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/private"
            assert run_in_virtual_time(main) == pytest.approx(1.0)

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("/no/such", id="nothing there"),
            pytest.param("/dev/null", id="no socket"),
            pytest.param("/" + "x" * 200, id="a path too long"),
            pytest.param("/a\0b", id="no path"),
        ],
    )
    def test_no_socket(self, path: str) -> None:
        """Without systemd's socket there is no state, and no error."""
        assert request_at(path) is None

    def test_a_socket_without_a_listener(self, tmp_path: Path) -> None:
        """A socket that was left behind results in no state."""
        path = f"/proc/self/fd/{os.open(tmp_path, os.O_PATH)}/private"
        with socket(AF_UNIX) as left:
            left.bind(path)
        assert request_at(path) is None
        os.close(int(Path(path).parent.name))

    def test_a_queue_that_is_full(self) -> None:
        """The query does not wait for a PID 1 that accepts no more connections."""
        with tempfile.TemporaryDirectory() as directory, socket(AF_UNIX) as listening, ExitStack() as waiting:
            path = f"{directory}/private"
            listening.bind(path)
            listening.listen(0)
            with suppress(BlockingIOError):
                for _ in range(10):
                    queued = waiting.enter_context(socket(AF_UNIX))
                    queued.setblocking(False)  # noqa: FBT003  # socket's own
                    queued.connect(path)
            assert request_at(path) is None

    def test_no_descriptor_left(self) -> None:
        """Where no socket can be opened there is no state, and no error."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

        async def main() -> UnitState | None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                return await SystemManager("/dev/null").unit(UNIT, anyio.current_time() + 9)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert anyio.run(main) is None

    @BACKENDS
    def test_no_connection_stays_open(self, backend: str) -> None:
        """A query that times out or is cancelled leaves no connection open."""

        async def main() -> None:
            path = f"{directory}/private"
            with socket(AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()
                before = open_descriptors()
                with anyio.move_on_after(0.02) as scope:
                    await SystemManager(path).unit(UNIT, anyio.current_time() + 60)
                assert scope.cancel_called
                assert await SystemManager(path).unit(UNIT, anyio.current_time() + 0.1) is None
                assert open_descriptors() == before

        with tempfile.TemporaryDirectory() as directory:
            run_in_virtual_time(main, backend=backend)

    def test_many_at_once(self) -> None:
        """Each query has a connection of its own, and gets its own state."""

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
            states = run_in_virtual_time(main)
            assert {state and state.unit for state in states} == {f"u{number}.service" for number in range(20)}


def request_at(path: str) -> UnitState | None:
    """Query PID 1 at this path."""

    async def main() -> UnitState | None:
        return await SystemManager(path).unit(UNIT, anyio.current_time() + 60)

    return anyio.run(main)


@dataclass
class LastingPid1:
    """A fake PID 1 that replies on any number of connections, and on each until it ends."""

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
                    rest = await self._reply(stream, rest)

    async def _reply(self, stream: ByteStream, rest: bytes) -> bytes:
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


def converse(
    pid1: LastingPid1,
    conversation: Callable[[Callable[[str], Awaitable[UnitState | None]]], Awaitable[None]],
    *,
    backend: str = "asyncio",
) -> None:
    """Run a conversation over a connection that is kept; each of its requests may take two seconds."""

    async def main() -> None:
        manager = SystemManager(f"{directory}/private")

        async def unit(name: str) -> UnitState | None:
            return await manager.unit(name, anyio.current_time() + 2.0)

        listener = await anyio.create_unix_listener(f"{directory}/private")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, pid1.serve)
            tasks.start_soon(manager.keep_connected)
            await anyio.sleep(0.05)  # until the connection is set up: in virtual time it takes no time
            await conversation(unit)
            tasks.cancel_scope.cancel()

    with tempfile.TemporaryDirectory() as directory:
        run_in_virtual_time(main, backend=backend)


COUNT = 250


class TestKept:
    @BACKENDS
    def test_queries_share_a_connection(self, backend: str) -> None:
        """Sequential and concurrent queries get their own states, and an error affects only one of them."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            async def request_state(name: str) -> None:
                states[name] = await unit(name)

            for number in range(3):
                await request_state(f"first{number}.service")
            async with anyio.create_task_group() as calls:
                for number in range(20):
                    calls.start_soon(request_state, f"second{number}.service")
                calls.start_soon(request_state, "unknown.service")

        states: dict[str, UnitState | None] = {}
        pid1 = LastingPid1()
        converse(pid1, conversation, backend=backend)
        assert pid1.connections == 1
        assert len(states) == 24
        assert states.pop("unknown.service") is None
        assert states == {name: replace(RUNNING, unit=name, primary_name=UNIT) for name in states}

    def test_more_calls_than_the_socket_holds(self) -> None:
        """A socket holds a hundred calls that PID 1 has not read: the others wait for room, and get their replies."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            async def request_state(name: str) -> None:
                states.append(await unit(name))

            async with anyio.create_task_group() as calls:
                for number in range(COUNT):
                    calls.start_soon(request_state, f"unknown{number}.service")

        states: list[UnitState | None] = []
        pid1 = LastingPid1(reads_after_s=0.1)
        converse(pid1, conversation)
        assert states == [None] * COUNT
        assert pid1.connections == 1
        assert len(pid1.paths) == COUNT

    @BACKENDS
    def test_a_connection_that_ends(self, backend: str) -> None:
        """A query during which it ends has no state; the next ones use connections of their own at once."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            states.append(await unit("a.service"))
            await anyio.sleep(0.02)
            states.append(await unit("b.service"))

        states: list[UnitState | None] = []
        pid1 = LastingPid1(ends_after=1)
        converse(pid1, conversation, backend=backend)
        assert states == [
            replace(RUNNING, unit="a.service", primary_name=UNIT),
            replace(RUNNING, unit="b.service", primary_name=UNIT),
        ]
        assert pid1.connections == 2

    @BACKENDS
    def test_a_query_that_is_cancelled(self, backend: str) -> None:
        """The connection stays for the others."""

        async def conversation(unit: Callable[[str], Awaitable[UnitState | None]]) -> None:
            with anyio.move_on_after(0.02) as scope:
                await unit("hangs.service")
            assert scope.cancel_called
            states.append(await unit("a.service"))

        states: list[UnitState | None] = []
        pid1 = LastingPid1(silent_to="hangs")
        converse(pid1, conversation, backend=backend)
        assert states == [replace(RUNNING, unit="a.service", primary_name=UNIT)]
        assert pid1.connections == 1

    @BACKENDS
    def test_a_query_that_times_out(self, backend: str) -> None:
        """It ends the connection for all queries, so that calls do not accumulate at a PID 1 that hangs."""

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
        converse(pid1, conversation, backend=backend)
        running = replace(RUNNING, unit="a.service", primary_name=UNIT)
        assert states[2] == ("a.service", running)
        assert dict(states) == {"hangs.service": None, "hangs_too.service": None, "a.service": running}
        assert pid1.connections == 2


class TestFuzzing:
    @FUZZ
    @given(sent=st.binary(max_size=200), authenticated=st.booleans())
    def test_any_bytes(self, *, sent: bytes, authenticated: bool) -> None:
        """Bytes that are not replies result in no state and raise nothing, during authentication as well."""
        assert request(Pid1(sent) if authenticated else Pid1(b"", sent)) is None
