"""Starts commands, waits for their end, and ends them with all their descendants when their time is up.

Only this module starts processes for an action. Standard input is /dev/null; of each output stream the last bytes are
kept. A command has ended when its own process has: descendants that keep its pipes open do not delay the result.

An agent that performs one action and the resident server, which performs many, differ in their `ChildPolicy`: what a
child process inherits, when it may start, and what the kernel kills if the parent dies. docs/design/processes.md
describes which process ends which other, and when.
"""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from enum import Enum
from signal import SIGKILL, SIGTERM
from typing import Protocol, TypeVar

import anyio

from ocf_systemd.core.observations import KEPT_OUTPUT, CommandOutcome, Exited, NotStarted, Process, Signalled, TimedOut
from ocf_systemd.core.records import Record
from ocf_systemd.core.timeouts import ending_times_s
from ocf_systemd.host.leftovers import CHECK_PAUSE_S, survivors_of
from ocf_systemd.host.procfs import Entry, descendants_of, is_alive
from ocf_systemd.host.readiness import wait_readable
from ocf_systemd.host.signals import send_signal

T = TypeVar("T")

_REAP_MIN_S = 0.02  # seconds: the least time that killed processes get to end, however short the command's time
_CHUNK = 64 * 1024
_PIPE_MAX = 1024 * 1024  # bytes; pipe(7): the most that /proc/sys/fs/pipe-max-size lets a pipe hold, by default


class Output:
    """The last bytes of a command's streams so far. A cancelled command has no outcome: its output is only here."""

    __slots__ = ("stderr", "stdout")

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()


class Command(Record):
    """A command to run, without a shell.

    `environment` is its complete environment, `user` the uid, gid and groups that it runs as (None: those of this
    process). `time_limit_s` is how many seconds it may take, even if the deadline is later. `output` receives what the
    command prints while it runs.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    user: tuple[int, int, Sequence[int]] | None = None
    time_limit_s: float | None = None
    output: Output | None = None


class Runner(Protocol):
    """Runs a command; `run` is the real one."""

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        """Run the command and return how it ended, at the deadline (on the event loop's clock) at the latest."""
        ...


class KilledWithParent(Enum):
    """Which processes the kernel kills if the parent of a command dies."""

    OUR_GROUP = "the parent's process group"
    CHILD_GROUP = "the command's process group"
    CHILD = "the command"


class ChildContext(Record):
    """What a command's process inherits. A `directory` of None and a `umask` of -1 mean those of this process."""

    environment: Mapping[str, str]
    killed_with_parent: KilledWithParent
    directory: str | None = None
    umask: int = -1
    new_group: bool = False
    new_session: bool = False


class ChildPolicy:
    """How this process starts commands and ends them. This base class is for an agent that Pacemaker has started.

    The agent performs one action and then ends. Its commands stay in its process group, so that Pacemaker's SIGKILL to
    that group reaches them. If the agent has a terminal, a command of another user gets a new session, because it could
    inject input into a shared terminal (TIOCSTI in ioctl_tty(2)). Under Pacemaker there is no terminal, so that command
    stays in the group, too.
    """

    grants_grace = True
    """Whether a command that must end gets time between SIGTERM and SIGKILL, which is called its grace."""

    def context(self, command: Command) -> ChildContext:
        """Return what the command's process inherits; a command of another user begins in `/`, without our terminal."""
        if command.user is None:
            leads_group = os.getpgrp() == os.getpid()
            killed = KilledWithParent.OUR_GROUP if leads_group else KilledWithParent.CHILD
            return ChildContext(command.environment, killed)
        # The command's user may not be able to enter the agent's working directory.
        return ChildContext(command.environment, KilledWithParent.CHILD, directory="/", new_session=_has_terminal())

    async def start(self, command: Command, spawn: Callable[[], T], deadline: float) -> T:  # noqa: ARG002  # for the server's policy
        """Call `spawn` as soon as the command may start, and return its result. Raises what `spawn` raises."""
        return spawn()

    def track(self, pid: int, until: ExitStack) -> None:
        """Record the process of a command from its start until the stack closes. This base class records nothing."""


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


_ONE_ACTION = ChildPolicy()


async def run(command: Command, *, deadline: float) -> CommandOutcome:
    """Run a command for a process that performs one action; see `run_child`."""
    return await run_child(command, _ONE_ACTION, deadline=deadline)


async def run_child(command: Command, policy: ChildPolicy, *, deadline: float) -> CommandOutcome:
    """Run a command until it ends, or until the deadline (on the event loop's clock) is so near that it must be ended.

    When time is up, or the caller is cancelled, the command and all its descendants get SIGTERM and, at most
    `timeouts.GRACE_S` seconds later, SIGKILL; those seconds are part of the time until the deadline.
    """
    with ExitStack() as resources:
        try:
            started = await policy.start(command, lambda: _start(command, policy, resources), deadline)
        except OSError as error:
            return NotStarted(error.errno or 0, error.strerror or str(error))
        process, tails, exit_descriptor = started
        began = anyio.current_time()
        grace, reap = ending_times_s(deadline - began)
        time_up = deadline - grace - reap
        if command.time_limit_s is not None:
            time_up = min(time_up, began + command.time_limit_s)
        survivors: tuple[Process, ...] = ()
        try:
            ended = await _watch(exit_descriptor, tails, time_up)
        finally:
            # The command was cancelled, is out of time, or has ended; in the last case there is nothing to do.
            with anyio.CancelScope(shield=True):
                grace = grace if policy.grants_grace else 0.0
                survivors = await _end_tree(process, exit_descriptor, grace, reap)
            for tail in tails:
                tail.drain()
        elapsed_s = anyio.current_time() - began
        stdout, stderr = (bytes(tail.kept) for tail in tails)
        if not ended:
            return TimedOut(elapsed_s, stdout, stderr, survivors=survivors)
        if process.returncode < 0:
            return Signalled(elapsed_s, stdout, stderr, signal=-process.returncode)
        return Exited(elapsed_s, stdout, stderr, code=process.returncode)


class _Tail:
    """The read end of one of a command's streams, and the last bytes that came out of it."""

    __slots__ = ("descriptor", "kept")

    def __init__(self, descriptor: int, kept: bytearray) -> None:
        self.descriptor = descriptor
        self.kept = kept

    async def follow(self) -> None:
        """Read until the stream ends."""
        while True:
            await wait_readable(self.descriptor)
            if not self._read():
                return

    def drain(self) -> None:
        """Read what is in the pipe, and no more: a descendant may keep writing for ever."""
        with suppress(BlockingIOError):
            for _ in range(_PIPE_MAX // _CHUNK):
                if not self._read():
                    return

    def _read(self) -> bool:
        chunk = os.read(self.descriptor, _CHUNK)
        self.kept += chunk
        del self.kept[:-KEPT_OUTPUT]
        return bool(chunk)


_Started = tuple[subprocess.Popen[bytes], tuple[_Tail, _Tail], int]


def _start(command: Command, policy: ChildPolicy, resources: ExitStack) -> _Started:
    """Start a command; `resources` closes the descriptors that this opens. Raises OSError."""
    context = policy.context(command)
    death_pipe = _open_death_pipe(resources)
    with ExitStack() as write_ends:
        pipes = [_output_pipe(command, resources, write_ends) for _ in range(2)]
        if os.getpgrp() == os.getpid():
            # A file can block execve(2) for long. Until execve(2) succeeds, the child runs only our code and is in our
            # group. Until then the group can own the parent-death pipe, even if the command is of another user.
            fcntl.fcntl(death_pipe, fcntl.F_SETOWN, -os.getpgrp())
        process = _spawn(command, context, death_pipe, (pipes[0][1], pipes[1][1]))
    if context.killed_with_parent is not KilledWithParent.OUR_GROUP:
        is_group = context.killed_with_parent is KilledWithParent.CHILD_GROUP
        fcntl.fcntl(death_pipe, fcntl.F_SETOWN, -process.pid if is_group else process.pid)
    policy.track(process.pid, resources)
    try:
        # A pidfd, because Process.wait() in Python 3.11 and 3.12 also waits for the end of the pipes.
        exit_descriptor = os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise
    resources.callback(os.close, exit_descriptor)
    output = command.output or Output()
    tails = (_Tail(pipes[0][0], output.stdout), _Tail(pipes[1][0], output.stderr))
    for tail in tails:
        os.set_blocking(tail.descriptor, False)
    return process, tails, exit_descriptor


def _open_death_pipe(resources: ExitStack) -> int:
    """Return the read end of the parent-death pipe, for a command to inherit. Raises OSError.

    Only this process has the write end. If this process dies, even of SIGKILL, which no process can catch, the kernel
    closes the write end. The kernel then sends the signal set with F_SETSIG to the owner set with F_SETOWN (fcntl(2),
    "Signals"). So the command ends with its parent, without a process in between.

    The owner is the agent's process group if the agent leads one, as under Pacemaker. With on-fail=block Pacemaker
    kills only the agent's pid, so the command would go on without the pipe. The owner is the command alone if the agent
    leads no group, or if the command runs as another user: that user could set O_ASYNC again, and the kernel would
    signal the owner with root's rights.
    """
    read_end, write_end = os.pipe()
    resources.callback(os.close, write_end)
    resources.callback(os.close, read_end)
    flags = fcntl.fcntl(read_end, fcntl.F_GETFL)
    fcntl.fcntl(read_end, fcntl.F_SETSIG, SIGKILL)
    fcntl.fcntl(read_end, fcntl.F_SETFL, flags | os.O_ASYNC)
    # O_ASYNC is cleared before the write end is closed (callbacks run in reverse order): processes that the command
    # has left running still hold the read end, and must not get the signal.
    resources.callback(fcntl.fcntl, read_end, fcntl.F_SETFL, flags)
    return read_end


def _output_pipe(command: Command, resources: ExitStack, write_ends: ExitStack) -> tuple[int, int]:
    """Return the ends of a pipe for one of a command's streams, which these stacks close. Raises OSError.

    The pipe belongs to the command's user, because the command may open it again, as /dev/stderr (proc_pid_fd(5)).
    """
    read_end, write_end = os.pipe()
    resources.callback(os.close, read_end)
    write_ends.callback(os.close, write_end)
    if command.user:
        os.fchown(write_end, *command.user[:2])
    return read_end, write_end


def _spawn(
    command: Command, context: ChildContext, death_pipe: int, outputs: tuple[int, int]
) -> subprocess.Popen[bytes]:
    user, group, groups = command.user or (None, None, None)
    return subprocess.Popen(
        command.arguments,
        stdin=subprocess.DEVNULL,
        stdout=outputs[0],
        stderr=outputs[1],
        env=context.environment,
        cwd=context.directory,
        start_new_session=context.new_session,
        process_group=0 if context.new_group else None,
        umask=context.umask,
        user=user,
        group=group,
        extra_groups=groups,
        pass_fds=(death_pipe,),
    )


async def _watch(exit_descriptor: int, tails: Iterable[_Tail], deadline: float) -> bool:
    """Follow the streams until the process ends; False: the deadline came first."""
    ended = False
    with anyio.CancelScope(deadline=deadline):
        async with anyio.create_task_group() as readers:
            for tail in tails:
                readers.start_soon(tail.follow)
            await wait_readable(exit_descriptor)
            ended = True
            readers.cancel_scope.cancel()
    return ended


async def _end_tree(
    process: subprocess.Popen[bytes], exit_descriptor: int, grace_s: float, reap_s: float
) -> tuple[Process, ...]:
    """End a process and all its descendants, and reap it; return those that SIGKILL cannot end (state D)."""
    if process.poll() is not None:
        return ()
    # Parents get the signal first: a shell that outlives its child would write "Terminated" as the last line.
    tree = descendants_of(process.pid)
    send_signal(tree, SIGTERM)
    with anyio.move_on_after(grace_s):
        await _wait_for_end(tree, exit_descriptor)
    tree = tuple(dict.fromkeys((*tree, *descendants_of(process.pid))))
    send_signal(tree, SIGKILL)
    # A process in uninterruptible sleep outlives even SIGKILL, for an unlimited time: do not wait past the deadline.
    with anyio.move_on_after(max(reap_s, _REAP_MIN_S)):
        await _wait_for_end(tree, exit_descriptor)
    process.poll()
    # Any other process that is still alive has been sent SIGKILL, but on a busy host it takes longer to end.
    return tuple(survivor for survivor in survivors_of(tree) if survivor.is_uninterruptible)


async def _wait_for_end(tree: Iterable[Entry], exit_descriptor: int) -> None:
    await wait_readable(exit_descriptor)
    while any(is_alive(entry) for entry in tree):  # noqa: ASYNC110  # only our own child's end is an event
        await anyio.sleep(CHECK_PAUSE_S)
