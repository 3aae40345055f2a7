"""The resident server: performs monitor and validate-all for agents that connect over a UNIX socket, a task for each.

A client, which is an agent's process, gets the same result as without the server. If the server cannot ensure that, it
declines: it closes the connection without a result, and the client runs the action itself. The server does not perform
actions that change something: a server that was frozen would perform them after their clients have disconnected.
docs/design/server.md describes the protocol.
"""

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
import ocf_systemd.agent.journal  # imported now: the disk may hang once there is something to log
from ocf_systemd.agent.events import Reporter
from ocf_systemd.agent.log import log_reporter
from ocf_systemd.agent.request import Request
from ocf_systemd.agent.run import parameters_or_result, perform_until_interrupted, report_leftovers
from ocf_systemd.client import ANSWER, GREETING, PULSE, SERVED, VERSION, encode_frame
from ocf_systemd.core.exit_reason import agent_name, cause_of, reason_line, result_of_bug
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.parameters import read_operation
from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printable
from ocf_systemd.host.hooks import is_root_owned
from ocf_systemd.host.leftovers import CHECK_PAUSE_S
from ocf_systemd.host.procfs import age_s
from ocf_systemd.host.programs import leads_into
from ocf_systemd.host.readiness import wait_readable, wait_writable
from ocf_systemd.server.dbus import SystemManager
from ocf_systemd.server.mounts import MountTable
from ocf_systemd.server.orphans import OrphanReaper, ServedAction, ShortageError

PULSE_S = 0.5
"""Seconds between two PULSE frames, which show clients that the server still responds."""

_TRANSFER_WITHIN_S = 5.0  # the longest time that the transfer of a request, or of a result, may take
_REQUEST_MAX = 8 * 1024 * 1024  # bytes: execve(2) allows an environment of 6 MiB at most
_DRAIN_S = 2.0  # for running actions to end when the server stops; after that, their clients run them
_DESCRIPTORS_PER_CLIENT = 24  # the client's connection, and five for each command of its action
_DESCRIPTORS_OURS = 32  # of the server itself
_CHUNK = 64 * 1024
_SIZE = 4  # bytes of a request's length
_HOOK_MAY_BLOCK = (
    "the hook or its interpreter could block the server: it is on a file system that may not respond, or a user other "
    "than root can change it"
)
_HOOK_OF_USER = (
    "monitor_hook_user is set: that user could block the server by SIGSTOP to the hook's process before execve(2)"
)
_LOGS = ("HA_LOGFILE", "HA_DEBUGLOG")
_UCRED = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED in unix(7)

# Errors that may occur in this process only, and not in the client's.
_SHORTAGES = (ShortageError, OSError, MemoryError, ImportError)  # ImportError: while the package is upgraded
# Pacemaker takes these exit codes as hard errors. The server may have other limits than the agent's own process, so it
# declines, and that process performs the action again.
_DECIDED_BY_CLIENT = frozenset({ExitCode.ERR_PERM, ExitCode.ERR_INSTALLED})


class Answer(Record):
    """The result of an action: its exit code, and what the client writes on standard error."""

    code: int
    stderr: bytes


class Declined(Record):
    """The client runs the action in its own process; `why` is for the log, and empty if nothing is logged.

    Nothing is logged if the client has disconnected, is of another version, or sends a malformed request.
    """

    why: str = ""


class ClientRequest(Record):
    """What a client requests; `program_name` is the name under which the agent was called."""

    action: Action
    program_name: str
    umask: int
    directory: str
    environment: Mapping[str, str]

    @staticmethod
    def parse(body: bytes) -> "ClientRequest | None":
        """Return the request, or None if it is not one that an agent would send."""
        if body.partition(b"\0")[0].decode(errors="replace") not in SERVED:
            return None
        try:
            action, program_name, umask, directory, *variables = map(os.fsdecode, body.split(b"\0"))
            pairs = (variable.partition("=") for variable in variables)
            environment = {name: value for name, _, value in pairs}
            return ClientRequest(Action(action), program_name, int(umask, 8), directory, environment)
        except ValueError:
            return None

    def why_declined(self, avoided: frozenset[str]) -> str:
        """Return why the request cannot be served, or an empty string if it can.

        It cannot be served if one of the client's paths (working directory, logs, PATH) could block the server, or if
        the working directory does not exist. `avoided` are the mount points of file systems that may not respond.
        """
        logs = filter(None, map(self.environment.get, _LOGS))
        paths = (self.directory, *logs, *self.environment.get("PATH", "").split(":")) if avoided else ()
        if blocking := next((path for path in paths if leads_into(path, avoided)), ""):
            return f"{printable(blocking)} is on a file system that may not respond: it could block the server"
        return "" if Path(self.directory).is_dir() else "the server has no such working directory"

    @property
    def resource(self) -> str:
        """The name of the resource, for the log."""
        return printable(self.environment.get("OCF_RESOURCE_INSTANCE", "")) or "a resource without a name"


@dataclass(slots=True, eq=False)
class _Client:
    """An agent's process that has connected; `pid` is its process ID.

    `unread` is what the client has sent after its request, `stderr` what it will write on its standard error. Once
    `is_answered` is set, no further frame is sent.
    """

    connection: socket.socket
    pid: int
    unread: bytes = b""
    stderr: list[bytes] = field(default_factory=list)
    is_answered: bool = False

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Send a short frame without waiting; the socket's buffer has room for it."""
        if not self.is_answered:
            with suppress(OSError):
                self.connection.send(encode_frame(kind, payload))

    def disconnect(self) -> None:
        """Shut the connection down: the server cancels the action of the client, and the client runs it itself."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    async def receive(self) -> bytes:
        """Wait for bytes from the client and return them; no bytes mean that the client has disconnected."""
        if self.unread:
            received, self.unread = self.unread, b""
            return received
        while True:
            try:
                return self.connection.recv(_CHUNK)
            except BlockingIOError:
                await wait_readable(self.connection)
            except OSError:
                return b""

    async def receive_request(self) -> bytes:
        """Wait for the client's request and return it; no bytes: late, too large, or the client disconnected."""
        received = b""
        with anyio.move_on_after(_TRANSFER_WITHIN_S):
            while chunk := await self.receive():
                received += chunk
                size = int.from_bytes(received[:_SIZE], "big")
                if size > _REQUEST_MAX:
                    return b""
                if len(received) >= _SIZE + size:
                    self.unread = received[_SIZE + size :]
                    return received[_SIZE : _SIZE + size]
        return b""

    async def send_answer(self, answer: Answer) -> None:
        """Send the result; give up if the client does not read it in time."""
        self.is_answered = True
        left = encode_frame(ANSWER, bytes((answer.code,)) + answer.stderr)
        with anyio.move_on_after(_TRANSFER_WITHIN_S), suppress(OSError):
            while left:
                try:
                    left = left[self.connection.send(left) :]
                except BlockingIOError:
                    await wait_writable(self.connection)


class Server:
    """Accepts clients on a listening socket, and performs their actions.

    `notify` sends a state to systemd (sd_notify(3)), `log` writes a line to the server's own log.
    """

    def __init__(
        self,
        listener: socket.socket,
        manager: SystemManager,
        notify: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        listener.settimeout(0)
        self._listener = listener
        self._manager = manager
        self._notify = notify
        self._log = log
        self._orphans = OrphanReaper(resource.getrlimit(resource.RLIMIT_NOFILE))
        self._clients: set[_Client] = set()
        self._clients_max = max((_raise_limit() - _DESCRIPTORS_OURS) // _DESCRIPTORS_PER_CLIENT, 1)
        self._mounts = MountTable()
        self._declined: dict[str, str] = {}
        self._is_outdated = False

    async def run(self, idle_after_s: float) -> None:
        """Serve until a signal arrives, no client comes for `idle_after_s` (0: no limit), or the server is outdated."""
        async with anyio.create_task_group() as serving:
            serving.start_soon(self._manager.keep_connected)
            async with anyio.create_task_group() as accepting:
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
                    accepting.start_soon(self._accept, serving)
                    accepting.start_soon(self._pulse, idle_after_s, accepting.cancel_scope)
                    self._notify("READY=1")
                    async for _ in received:
                        accepting.cancel_scope.cancel()
            self._notify("STOPPING=1")
            with anyio.move_on_after(_DRAIN_S):
                while self._clients:  # noqa: ASYNC110  # once, at the end of the process
                    await anyio.sleep(CHECK_PAUSE_S)
            for client in self._clients:
                client.disconnect()
            while self._clients:  # noqa: ASYNC110
                await anyio.sleep(CHECK_PAUSE_S)
            serving.cancel_scope.cancel()

    async def _accept(self, serving: TaskGroup) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                await wait_readable(self._listener)
            except OSError:  # the client has disconnected already, or there are no descriptors left
                await anyio.sleep(CHECK_PAUSE_S)
            else:
                connection.settimeout(0)
                self._greet(connection, serving)
            while len(self._clients) >= self._clients_max:  # noqa: ASYNC110  # very rare
                await anyio.sleep(CHECK_PAUSE_S)  # a client that is not greeted in time runs its action itself

    def _greet(self, connection: socket.socket, serving: TaskGroup) -> None:
        """Send GREETING to a client at once, because the client waits for it only briefly; then serve it in a task."""
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, _ = _UCRED.unpack(credentials)
        if uid not in {0, os.geteuid()} or pid == 0:  # pid 0: the client is in a pid namespace that is not visible here
            connection.close()
            return
        client = _Client(connection, pid)
        client.send(GREETING, VERSION)
        self._clients.add(client)
        serving.start_soon(self._serve, client)

    async def _pulse(self, idle_after_s: float, accepting: anyio.CancelScope) -> None:
        busy_at = anyio.current_time()
        while True:
            await anyio.sleep(PULSE_S)
            self._notify("WATCHDOG=1")
            for client in self._clients:
                client.send(PULSE)
            if self._clients:
                busy_at = anyio.current_time()
            elif self._is_outdated or 0 < idle_after_s < anyio.current_time() - busy_at:
                accepting.cancel()

    async def _serve(self, client: _Client) -> None:
        try:
            with client.connection:
                match await self.handle_request(client):
                    case Answer() as answer:
                        await client.send_answer(answer)
                    case Declined():
                        pass
        except Exception:  # noqa: BLE001, S110  # the client runs its action itself; other clients must not be affected
            pass
        finally:
            self._clients.discard(client)

    async def handle_request(self, client: _Client) -> Answer | Declined:
        """Receive and perform a client's request; log why it is declined, unless that is logged already."""
        version, _, body = (await client.receive_request()).partition(b"\0")
        if version != VERSION:
            self._is_outdated = self._is_outdated or (bool(version) and _is_replaced())
            return Declined()
        request = ClientRequest.parse(body)
        if request is None:
            return Declined()
        result = await self._perform(client, request)
        why = result.why if isinstance(result, Declined) else ""
        if why and self._declined.get(request.resource) != why:
            self._log(f"{request.action} of {request.resource} is declined: {why}")
        if why:
            self._declined[request.resource] = why
        return result

    async def _perform(self, client: _Client, request: ClientRequest) -> Answer | Declined:
        """Perform a request; an exception must neither end the server nor leave the client without a result."""
        if why := request.why_declined(self._mounts.may_block()):
            return Declined(why)
        name = agent_name(request.program_name, request.environment)
        reporter = log_reporter(
            request.environment, name, action=request.action, pid=client.pid, write_stderr=client.stderr.append
        )
        with self._orphans.action(request.directory, request.umask) as action:
            try:
                result = await self._perform_action(client, request, action, reporter)
            except Exception as error:  # noqa: BLE001
                cause = cause_of(error)
                if isinstance(cause, _SHORTAGES):  # the client's process may have what this one lacks
                    what = cause.strerror if isinstance(cause, OSError) else cause
                    return Declined(f"the server is out of a resource: {printable(str(what))}")
                result = result_of_bug(error)
        if isinstance(result, Declined):
            return result
        if result.code in _DECIDED_BY_CLIENT:
            return Declined(f"exit code {result.code}, a hard error, is for the agent's own process to decide")
        return Answer(result.code, b"".join((*client.stderr, reason_line(result, request.environment))))

    async def _perform_action(
        self, client: _Client, request: ClientRequest, action: ServedAction, reporter: Reporter
    ) -> ActionResult | Declined:
        """Perform an action as `agent.run.run_action` does."""
        operation = read_operation(request.environment)
        parameters = parameters_or_result(request.action, operation, request.environment, reporter)
        if isinstance(parameters, ActionResult):
            return parameters
        if parameters.monitor_hook_user is not None:
            return Declined(_HOOK_OF_USER)
        if not is_root_owned(parameters, request.environment, self._mounts.may_block()):
            return Declined(_HOOK_MAY_BLOCK)
        deadline = operation.deadline(anyio.current_time() - age_s(client.pid))
        work = Request(
            action=request.action,
            parameters=parameters,
            operation=operation,
            deadline=deadline,
            environment=request.environment,
            reporter=reporter,
            run=action.run,
            query_pid1=self._manager.unit,
            raises_shortage=True,
        )
        try:
            return await self._perform_while_connected(client, action, work)
        finally:
            with anyio.CancelScope(shield=True):
                report_leftovers(reporter, parameters, await self._orphans.end_leftovers(action))

    async def _perform_while_connected(
        self, client: _Client, action: ServedAction, work: Request
    ) -> ActionResult | Declined:
        """Perform an action, but cancel it if the client disconnects; each byte from the client is a signal number."""
        with anyio.CancelScope() as performing:

            async def watch(interrupt: Callable[[signal.Signals], None]) -> None:
                while received := await client.receive():
                    for number in received:
                        interrupt(signal.Signals(number))
                action.grants_grace = False
                performing.cancel()

            return await perform_until_interrupted(work, watch)
        return Declined()


def _is_replaced() -> bool:
    """Return whether another version of this package has been installed in its place."""
    try:
        return b'"%b"' % VERSION not in Path(ocf_systemd.__file__).read_bytes()
    except OSError:
        return True


def _raise_limit() -> int:
    """Raise this process's soft limit on open files to its hard limit, and return that limit."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return limit
