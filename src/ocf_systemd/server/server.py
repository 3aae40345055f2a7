"""The resident server: performs monitors and validate-all of agents that call over a UNIX socket, a task for each.

Each caller gets what a process of its own would have given it. What that cannot be it is left to do itself, its
connection closed without an answer. Actions that change something are not served: a server that was frozen would carry
them out after its caller is gone.
"""

import errno
import gc
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

import ocf_systemd
from ocf_systemd.agent.actions import Request
from ocf_systemd.agent.events import Reporter
from ocf_systemd.agent.log import log_reporter
from ocf_systemd.agent.run import parameters_or_verdict, perform_until_interrupted, report_leftovers
from ocf_systemd.client import ANSWER, GREETING, PULSE, SERVED, VERSION, frame
from ocf_systemd.core.exit_reason import agent_name, cause_of, reason_line, verdict_of_bug
from ocf_systemd.core.ocf import Action, ExitCode, Verdict
from ocf_systemd.core.parameters import read_operation
from ocf_systemd.core.records import Record
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import is_root_owned
from ocf_systemd.host.processes import LOOK_AGAIN_S, Crew, ShortageError
from ocf_systemd.host.procfs import age_s
from ocf_systemd.server.dbus import SystemManager
from ocf_systemd.server.orphans import Crews

PULSE_S = 0.5
"""Seconds between two pulses, by which callers know that the server lives."""

_TRANSFER_WITHIN_S = 5.0  # for a request to arrive, and for an answer to be taken
_REQUEST_MAX = 8 * 1024 * 1024  # bytes: execve(2) allows an environment of 6 MiB at most
_DRAIN_S = 2.0  # for running actions to end when the server is to; then their callers go on by themselves
_BACKLOG = 4096
_DESCRIPTORS_EACH = 24  # a caller's: its connection, and five for each of its commands
_DESCRIPTORS_OURS = 32
_UMASK = 0o026  # Pacemaker's, which log files that an agent makes have
_CHUNK = 64 * 1024
_SIZE = 4  # bytes of a request's length
_LISTEN_FDS_START = 3  # sd_listen_fds(3)
_UCRED = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED in unix(7)


class Calling(Record):
    """What a caller asks for, as it says it."""

    action: Action
    called_by: str
    umask: int
    directory: str
    environment: Mapping[str, str]

    @staticmethod
    def parse(body: bytes) -> "Calling | None":
        """Return what a request says; None: no agent would send that, or its directory is out of reach."""
        if body.partition(b"\0")[0].decode(errors="replace") not in SERVED:
            return None
        try:
            action, called_by, umask, directory, *variables = map(os.fsdecode, body.split(b"\0"))
            pairs = (variable.partition("=") for variable in variables)
            calling = Calling(Action(action), called_by, int(umask, 8), directory, {name: v for name, _, v in pairs})
        except ValueError:
            return None
        return calling if Path(directory).is_dir() else None


@dataclass(slots=True, eq=False)
class _Caller:
    """An agent that has called: its connection, its process, and what is to stand on its standard error.

    `said` is what it has sent after its request and nobody has heard yet.
    """

    connection: socket.socket
    pid: int
    said: bytes = b""
    told: list[bytes] = field(default_factory=list)
    is_answered: bool = False

    def say(self, kind: bytes, payload: bytes = b"") -> None:
        """Send a frame so short that there is room for it, and wait for nobody."""
        if not self.is_answered:
            with suppress(OSError):
                self.connection.send(frame(kind, payload))

    def hang_up(self) -> None:
        """End the connection both ways: what is done for it ends, and it goes on by itself."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    async def receive(self) -> bytes:
        """Wait for what it has to say; nothing: it has gone."""
        if self.said:
            said, self.said = self.said, b""
            return said
        while True:
            try:
                return self.connection.recv(_CHUNK)
            except BlockingIOError:
                await anyio.wait_readable(self.connection)
            except OSError:
                return b""

    async def receive_request(self) -> bytes:
        """Wait for its request; nothing: it says none in time, or has gone."""
        received = b""
        with anyio.move_on_after(_TRANSFER_WITHIN_S):
            while chunk := await self.receive():
                received += chunk
                size = int.from_bytes(received[:_SIZE], "big")
                if size > _REQUEST_MAX:
                    return b""
                if len(received) >= _SIZE + size:
                    self.said = received[_SIZE + size :]
                    return received[_SIZE : _SIZE + size]
        return b""

    async def answer(self, code: int) -> None:
        """Send the answer, as far as it is taken."""
        self.is_answered = True
        left = frame(ANSWER, bytes((code,)) + b"".join(self.told))
        with anyio.move_on_after(_TRANSFER_WITHIN_S), suppress(OSError):
            while left:
                try:
                    left = left[self.connection.send(left) :]
                except BlockingIOError:
                    await anyio.wait_writable(self.connection)


# What may be this process's own trouble, and not its caller's.
_SHORT = (ShortageError, OSError, MemoryError, ImportError)  # the last while the package is upgraded
# A hard error to Pacemaker, in a probe recorded as stopped: the agent decides, with its own limits and no caches.
_SAID_BY_ONESELF = frozenset({ExitCode.ERR_PERM, ExitCode.ERR_INSTALLED})


class Server:
    """Accepts callers on a listening socket, and performs their actions."""

    def __init__(self, listener: socket.socket, manager: SystemManager, notify: Callable[[str], None]) -> None:
        listener.settimeout(0)
        self._listener = listener
        self._manager = manager
        self._notify = notify
        self._crews = Crews(resource.getrlimit(resource.RLIMIT_NOFILE))
        self._callers: set[_Caller] = set()
        self._callers_max = max((_raise_limit() - _DESCRIPTORS_OURS) // _DESCRIPTORS_EACH, 1)
        self._is_outdated = False

    async def run(self, idle_after_s: float) -> None:
        """Serve until a signal comes, nobody calls for so many seconds (0: for ever), or it is outdated."""
        async with anyio.create_task_group() as attending:
            attending.start_soon(self._manager.keep_connected)
            async with anyio.create_task_group() as accepting:
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
                    accepting.start_soon(self._accept, attending)
                    accepting.start_soon(self._pulse, idle_after_s, accepting.cancel_scope)
                    self._notify("READY=1")
                    async for _ in received:
                        accepting.cancel_scope.cancel()
            self._notify("STOPPING=1")
            with anyio.move_on_after(_DRAIN_S):
                while self._callers:  # noqa: ASYNC110  # at the end of all, once
                    await anyio.sleep(LOOK_AGAIN_S)
            for caller in self._callers:
                caller.hang_up()
            while self._callers:  # noqa: ASYNC110
                await anyio.sleep(LOOK_AGAIN_S)
            attending.cancel_scope.cancel()

    async def _accept(self, attending: TaskGroup) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                await anyio.wait_readable(self._listener)
            except OSError:  # who called has gone already, or there are no descriptors left
                await anyio.sleep(LOOK_AGAIN_S)
            else:
                connection.settimeout(0)
                self._greet(connection, attending)
            while len(self._callers) >= self._callers_max:  # noqa: ASYNC110  # a state that hardly ever is
                await anyio.sleep(LOOK_AGAIN_S)  # who is not greeted in time acts by itself

    def _greet(self, connection: socket.socket, attending: TaskGroup) -> None:
        """Begin with a caller at once: it has to know that somebody is there before its turn has come."""
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, _ = _UCRED.unpack(credentials)
        if uid not in {0, os.geteuid()} or pid == 0:  # 0: it lives in a pid namespace that we do not see into
            connection.close()
            return
        caller = _Caller(connection, pid)
        caller.say(GREETING, VERSION)
        self._callers.add(caller)
        attending.start_soon(self._attend, caller)

    async def _pulse(self, idle_after_s: float, accepting: anyio.CancelScope) -> None:
        busy_at = anyio.current_time()
        while True:
            await anyio.sleep(PULSE_S)
            self._notify("WATCHDOG=1")
            for caller in self._callers:
                caller.say(PULSE)
            if self._callers:
                busy_at = anyio.current_time()
            elif self._is_outdated or 0 < idle_after_s < anyio.current_time() - busy_at:
                accepting.cancel()

    async def _attend(self, caller: _Caller) -> None:
        try:
            with caller.connection:
                code = await self._code_for(caller)
                if code is not None:
                    await caller.answer(code)
        except Exception:  # noqa: BLE001, S110  # its caller acts by itself, and the others are not to notice
            pass
        finally:
            self._callers.discard(caller)

    async def _code_for(self, caller: _Caller) -> int | None:
        """Return what to answer a caller; None: it is to find out itself, or has gone."""
        version, _, words = (await caller.receive_request()).partition(b"\0")
        if version != VERSION:
            self._is_outdated = self._is_outdated or (bool(version) and _is_replaced())
            return None
        calling = Calling.parse(words)
        if calling is None:
            return None
        environment = calling.environment
        name = agent_name(calling.called_by, environment)
        reporter = log_reporter(environment, name, pid=caller.pid, write_stderr=caller.told.append)
        with self._crews.crew(calling.directory, calling.umask) as crew:
            try:
                verdict = await self._perform(calling, caller, crew, reporter)
            except Exception as error:  # noqa: BLE001  # its caller is to get an answer, and the others are to live on
                # What this process is short of its caller may have.
                verdict = None if isinstance(cause_of(error), _SHORT) else verdict_of_bug(error)
        if verdict is None or verdict.code in _SAID_BY_ONESELF:
            return None
        caller.told.append(reason_line(verdict, environment))
        return verdict.code

    async def _perform(self, calling: Calling, caller: _Caller, crew: Crew, reporter: Reporter) -> Verdict | None:
        """Perform an action as `agent.run_action` does; None: its caller has gone, or must perform it itself."""
        environment = calling.environment
        operation = read_operation(environment)
        parameters = parameters_or_verdict(calling.action, operation, environment, reporter)
        if isinstance(parameters, Verdict):
            return parameters
        if not is_root_owned(parameters):
            return None
        deadline = operation.deadline(anyio.current_time() - age_s(caller.pid))
        request = Request(
            calling.action, parameters, operation, deadline, environment, reporter, crew.run, ask=self._manager.unit
        )
        try:
            return await self._perform_for(caller, crew, request)
        finally:
            with anyio.CancelScope(shield=True):
                report_leftovers(reporter, parameters, await self._crews.end_leftovers(crew))

    async def _perform_for(self, caller: _Caller, crew: Crew, request: Request) -> Verdict | None:
        """Perform an action as long as its caller is there; None: it has gone."""
        with anyio.CancelScope() as performing:

            async def watch(interrupt: Callable[[signal.Signals], None]) -> None:
                while received := await caller.receive():
                    for number in received:
                        interrupt(signal.Signals(number))
                crew.is_hurried = True
                performing.cancel()

            return await perform_until_interrupted(request, watch)
        return None


def _is_replaced() -> bool:
    """Tell whether another version of this package has been installed in its place."""
    try:
        return b'"%b"' % VERSION not in Path(ocf_systemd.__file__).read_bytes()
    except OSError:
        return True


def _raise_limit() -> int:
    """Have as many descriptors as this process may, and return how many."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return limit


def serve(path: Path | None, idle_after_s: float, environment: Mapping[str, str]) -> int:
    """Serve on the socket that systemd has passed, or on one at `path`; return the exit code of the process.

    Ends after `idle_after_s` seconds without work, if that is not 0. Tells systemd of itself (sd_notify(3)). Raises
    OSError where there is no socket to listen on.
    """
    listener = _inherited(environment) or _bound(path)
    processes.adopt_orphans()
    os.umask(_UMASK)
    gc.freeze()  # what has been imported stays
    with listener:
        anyio.run(Server(listener, SystemManager(), _notifier(environment)).run, idle_after_s)
    return 0


def _inherited(environment: Mapping[str, str]) -> socket.socket | None:
    """Return the socket that systemd has passed to this process, if it has (sd_listen_fds(3))."""
    if environment.get("LISTEN_PID") != str(os.getpid()) or environment.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=_LISTEN_FDS_START)


def _bound(path: Path | None) -> socket.socket:
    if path is None:
        raise FileNotFoundError(errno.ENOENT, "systemd has passed no socket: name one with --socket")
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)  # root alone may connect, from the first moment on
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener


def _notifier(environment: Mapping[str, str]) -> Callable[[str], None]:
    """Return what tells systemd of a change of state; it tells nobody where systemd does not ask for it."""
    address = environment.get("NOTIFY_SOCKET", "")

    def notify(state: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            manager.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)

    return notify if address else lambda _: None
