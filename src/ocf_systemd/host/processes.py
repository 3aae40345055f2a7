"""Starts the agent's processes, watches them end, and ends them and all they started when their time is up.

Standard input is empty, output is kept to a bounded tail, and a command is judged by its own exit: what it leaves
running cannot hold it up, whatever pipes that keeps open; nor does it outlive this process, however that dies. Nothing
else in the agent starts a process.
"""

import ctypes
import errno
import fcntl
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM, Signals
from typing import Protocol

import anyio

from ocf_systemd.core.observations import KEPT_OUTPUT, CommandOutcome, Exited, NotStarted, Process, Signalled, TimedOut
from ocf_systemd.core.records import Record
from ocf_systemd.host.procfs import Entry, command_line, descendants_of, find_process, is_alive

GRACE_S = 1.0
"""Longest time in seconds between a process's SIGTERM and its SIGKILL."""

LOOK_AGAIN_S = 0.005
"""Seconds between two looks whether what was killed has ended."""

ROUNDS = 40
"""What cannot be killed in that many looks is the kernel's to end."""

_UNINTERRUPTIBLE_ROUNDS = 10  # and so is what is in uninterruptible sleep after that many

_QUEUE_MAX_S, _QUEUE_SHARE = 5.0, 0.2  # longest wait of a crew's command for its turn, of the time it has
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
_GRACE_SHARE = 0.2
_REAP_S, _REAP_SHARE = 0.1, 0.02  # longest wait for the end of what was killed, of the time a command has
_REAP_MIN_S = 0.02  # and where it has had no time
_CHUNK = 64 * 1024
_PIPE_MAX = 1024 * 1024  # pipe(7): the most that /proc/sys/fs/pipe-max-size lets a pipe hold, by default
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Command(Record):
    """A command to run: arguments, no shell.

    `environment` is all it gets, `user` the uid, gid and groups it runs as, if not ours; `time_limit_s` is how
    many seconds it may take, if that is to be less than until the deadline.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    user: tuple[int, int, Sequence[int]] | None = None
    time_limit_s: float | None = None


class ShortageError(Exception):
    """This process can start nothing at the moment; one of its own may fare better."""


@dataclass(slots=True)
class Crew:
    """The commands of one action in a process that performs many: what they have of their caller, and who they are.

    `directory` and `umask` are the caller's; `descriptors` is the limit on open files, soft and hard, that this process
    has raised for itself alone. `mark` is a variable, NAME=VALUE, that tells what they leave behind from
    what others do; `leaders` are the pids of all commands that run now, whosever. Commands start one by one, `starting`
    held, so that the event loop comes to what else there is to do between two. Once it `is_hurried` nobody waits for
    an answer any more, and what has to be ended gets no grace.
    """

    directory: str
    umask: int
    descriptors: tuple[int, int]
    mark: str
    leaders: set[int]
    starting: anyio.Lock
    is_hurried: bool = False
    groups: set[int] = field(default_factory=set)

    def marked(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with the mark in it."""
        name, _, value = self.mark.partition("=")
        return {**environment, name: value}

    def take_in(self, pid: int, until: ExitStack) -> None:
        """Count a process that has been started among the leaders for as long as it runs."""
        import resource  # for crews alone

        self.leaders.add(pid)
        self.groups.add(pid)
        until.callback(self.leaders.discard, pid)
        with suppress(OSError):  # it has gone, or is another user's and we are not all-powerful (CAP_SYS_RESOURCE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, self.descriptors)

    async def run(self, command: Command, *, deadline: float) -> CommandOutcome:
        """Run a command, as `run` does, in a process group of its own: it may signal that, and shall not hit others.

        Raises ShortageError where this process, not the command, is to blame that nothing starts.
        """
        return await _run(command, deadline, self)

    async def start(self, command: Command, deadline: float, descriptors: ExitStack) -> "_Started":
        """Start a command when its turn has come. Raises ShortageError, and OSError where the command is to blame."""
        await self._take_turn(deadline)
        try:
            return _start(command, self, descriptors)
        except OSError as error:
            if error.filename != command.arguments[0] or error.errno in _SHORTAGES:
                raise ShortageError(error.strerror) from error
            raise
        finally:
            self.starting.release()

    async def _take_turn(self, deadline: float) -> None:
        time_left = deadline - anyio.current_time()
        with anyio.move_on_after(min(_QUEUE_MAX_S, time_left * _QUEUE_SHARE)):
            await self.starting.acquire()
            return
        raise ShortageError("too many commands wait to be started")


class Runner(Protocol):
    """Runs a command; `run` does it for real."""

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        """Return how the command ended, at the deadline (on the event loop's clock) at the latest."""
        ...


@dataclass(slots=True)
class _Tail:
    """The read end of one of a command's streams, and the last bytes that came out of it."""

    descriptor: int
    kept: bytearray = field(default_factory=bytearray)

    async def follow(self) -> None:
        """Read until the stream ends."""
        while True:
            await anyio.wait_readable(self.descriptor)
            if not self._read():
                return

    def drain(self) -> None:
        """Read what already stands in the pipe, and no more: somebody may keep writing for ever."""
        with suppress(BlockingIOError):
            for _ in range(_PIPE_MAX // _CHUNK):
                if not self._read():
                    return

    def _read(self) -> bool:
        chunk = os.read(self.descriptor, _CHUNK)
        self.kept += chunk
        del self.kept[:-KEPT_OUTPUT]
        return bool(chunk)


async def run(command: Command, *, deadline: float) -> CommandOutcome:
    """Run a command until it ends, or until the deadline is so near that it has to be ended.

    On the event loop's clock. When time is up, or the caller is cancelled, the command and all that descends from
    it gets SIGTERM, at most `GRACE_S` seconds, and SIGKILL; those seconds are part of the time until the deadline.
    """
    return await _run(command, deadline, None)


async def _run(command: Command, deadline: float, crew: Crew | None) -> CommandOutcome:
    with ExitStack() as descriptors:
        try:
            started = (
                _start(command, None, descriptors) if crew is None else await crew.start(command, deadline, descriptors)
            )
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
            # Cancelled or out of time; when the process has ended, this finds nothing to do.
            with anyio.CancelScope(shield=True):
                survivors = await _end_tree(process, exit_descriptor, 0.0 if crew and crew.is_hurried else grace, reap)
        for tail in tails:
            tail.drain()
        elapsed_s = anyio.current_time() - began
        return _outcome(process, tails, elapsed_s) if ended else _timed_out(tails, elapsed_s, survivors)


def ending_times_s(time_s: float) -> tuple[float, float]:
    """Return how many seconds of a command's time are kept for its end: for SIGTERM's grace, and after SIGKILL."""
    time_s = max(time_s, 0.0)
    return min(GRACE_S, time_s * _GRACE_SHARE), min(_REAP_S, time_s * _REAP_SHARE)


_Started = tuple[subprocess.Popen[bytes], tuple[_Tail, _Tail], int]


def _start(command: Command, crew: Crew | None, descriptors: ExitStack) -> _Started:
    """Start a command; what it was given of ours is closed with `descriptors`. Raises OSError."""
    holds_group = crew is None and command.user is None and _leads_group()
    leash = _leash(descriptors, holds_group=holds_group)
    with ExitStack() as written:
        pipes = [_output_pipe(command, descriptors, written) for _ in range(2)]
        process = _spawn(command, leash, crew, (pipes[0][1], pipes[1][1]))
    if not holds_group:
        fcntl.fcntl(leash, fcntl.F_SETOWN, -process.pid if crew else process.pid)
    if crew:
        crew.take_in(process.pid, descriptors)
    try:
        # A pidfd and not Process.wait(): in Python 3.11 and 3.12 that waits for the end of the pipes as well.
        exit_descriptor = os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise
    descriptors.callback(os.close, exit_descriptor)
    tails = (_Tail(pipes[0][0]), _Tail(pipes[1][0]))
    for tail in tails:
        os.set_blocking(tail.descriptor, False)
    return process, tails, exit_descriptor


def _output_pipe(command: Command, descriptors: ExitStack, written: ExitStack) -> tuple[int, int]:
    """Return the ends of a pipe for one of a command's streams, to be closed with these stacks. Raises OSError.

    It belongs to the command's user, who may open it a second time, as /dev/stderr (proc_pid_fd(5)).
    """
    read_end, write_end = os.pipe()
    descriptors.callback(os.close, read_end)
    written.callback(os.close, write_end)
    if command.user:
        os.fchown(write_end, *command.user[:2])
    return read_end, write_end


def _spawn(command: Command, leash: int, crew: Crew | None, outputs: tuple[int, int]) -> subprocess.Popen[bytes]:
    user, group, groups = command.user or (None, None, None)
    return subprocess.Popen(
        command.arguments,
        stdin=subprocess.DEVNULL,
        stdout=outputs[0],
        stderr=outputs[1],
        env=crew.marked(command.environment) if crew else command.environment,
        # Another user gets neither a directory that it could not enter, nor the terminal of who called the agent, which
        # it could type into (TIOCSTI in ioctl_tty(2)). Pacemaker gives none, so there the group stays the agent's.
        cwd="/" if command.user else crew.directory if crew else None,
        start_new_session=crew is None and command.user is not None and _has_terminal(),
        process_group=0 if crew else None,
        umask=crew.umask if crew else -1,
        user=user,
        group=group,
        extra_groups=groups,
        pass_fds=(leash,),
    )


def _leash(descriptors: ExitStack, *, holds_group: bool) -> int:
    """Return a descriptor to hand to a command, by which the kernel kills it should this process die. Raises OSError.

    It is the read end of a pipe whose write end is ours alone: SIGKILL of the agent, which nothing can catch, closes
    that, and the kernel sends the signal set with F_SETSIG to the owner set with F_SETOWN (fcntl(2), "Signals"): to
    the agent's process group where that is its own, as under Pacemaker, which ends what a hook started too; to the
    command's, where it has one; else to the command, so that nobody else's is hit. So it is for another user's command:
    who holds the descriptor can set O_ASYNC anew and have root's signal sent, to itself then and not to the agent.
    Pacemaker kills the agent's pid alone where on-fail is block.
    """
    held, ours = os.pipe()
    descriptors.callback(os.close, ours)
    descriptors.callback(os.close, held)
    flags = fcntl.fcntl(held, fcntl.F_GETFL)
    fcntl.fcntl(held, fcntl.F_SETSIG, SIGKILL)
    if holds_group:
        fcntl.fcntl(held, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(held, fcntl.F_SETFL, flags | os.O_ASYNC)
    # Taken off before ours is closed: what the command leaves running holds the other end still.
    descriptors.callback(fcntl.fcntl, held, fcntl.F_SETFL, flags)
    return held


def _leads_group() -> bool:
    return os.getpgrp() == os.getpid()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def _watch(exit_descriptor: int, tails: Iterable[_Tail], deadline: float) -> bool:
    """Follow the streams until the process ends; False: the deadline came first."""
    ended = False
    with anyio.CancelScope(deadline=deadline):
        async with anyio.create_task_group() as readers:
            for tail in tails:
                readers.start_soon(tail.follow)
            await anyio.wait_readable(exit_descriptor)
            ended = True
            readers.cancel_scope.cancel()
    return ended


def _outcome(process: subprocess.Popen[bytes], tails: tuple[_Tail, _Tail], elapsed_s: float) -> CommandOutcome:
    stdout, stderr = (bytes(tail.kept) for tail in tails)
    if process.returncode < 0:
        return Signalled(elapsed_s, stdout, stderr, signal=-process.returncode)
    return Exited(elapsed_s, stdout, stderr, code=process.returncode)


def _timed_out(tails: tuple[_Tail, _Tail], elapsed_s: float, survivors: tuple[Process, ...]) -> TimedOut:
    stdout, stderr = (bytes(tail.kept) for tail in tails)
    return TimedOut(elapsed_s, stdout, stderr, survivors=survivors)


async def _end_tree(
    process: subprocess.Popen[bytes], exit_descriptor: int, grace_s: float, reap_s: float
) -> tuple[Process, ...]:
    """End a process and all that descends from it, and reap it; return what is alive all the same."""
    if process.poll() is not None:
        return ()
    # Parents first: a shell that lives to see its child end by the signal would write "Terminated" as the last words.
    tree = descendants_of(process.pid)
    _signal(tree, SIGTERM)
    with anyio.move_on_after(grace_s):
        await _wait_for_end(tree, exit_descriptor)
    tree = tuple(dict.fromkeys((*tree, *descendants_of(process.pid))))
    _signal(tree, SIGKILL)
    # A process in uninterruptible sleep outlives even this, for as long as the kernel likes: not our deadline.
    with anyio.move_on_after(max(reap_s, _REAP_MIN_S)):
        await _wait_for_end(tree, exit_descriptor)
    process.poll()
    # What is in no such sleep is on its way to its end, on a machine that is busy.
    return tuple(survivor for survivor in survivors_of(tree) if survivor.is_uninterruptible)


def survivors_of(entries: Iterable[Entry]) -> tuple[Process, ...]:
    """Return those processes that are alive."""
    found = ((entry, find_process(entry.pid)) for entry in entries)
    return tuple(process for entry, process in found if process and process.started == entry.started)


async def _wait_for_end(tree: Iterable[Entry], exit_descriptor: int) -> None:
    await anyio.wait_readable(exit_descriptor)
    while any(is_alive(entry) for entry in tree):  # noqa: ASYNC110  # only our own child's end is an event
        await anyio.sleep(LOOK_AGAIN_S)


def adopt_orphans() -> None:
    """Make this process the parent of all that its descendants leave behind (PR_SET_CHILD_SUBREAPER in prctl(2)).

    Without it `end_leftovers` would not find what forked twice.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(slots=True)
class Leftovers:
    """The processes that hooks left behind, on their way to their end."""

    _seen: dict[Entry, str] = field(default_factory=dict)
    _uninterruptible_rounds: int = 0

    def kill(self, entries: Iterable[Entry]) -> bool:
        """Send SIGKILL to what is left; return whether it is worth to look again."""
        alive = survivors_of(entries)
        for process in alive:
            entry = Entry(process.pid, process.started)
            if entry not in self._seen:
                self._seen[entry] = _command_line_of(process)
        _signal((Entry(process.pid, process.started) for process in alive), SIGKILL)
        # A look at the disk is an uninterruptible sleep as well, if a short one.
        self._uninterruptible_rounds += bool(alive) and all(process.is_uninterruptible for process in alive)
        return self._uninterruptible_rounds < _UNINTERRUPTIBLE_ROUNDS

    @property
    def survivors(self) -> tuple[Process, ...]:
        """Those that are alive in spite of SIGKILL."""
        return survivors_of(self._seen)

    @property
    def ended(self) -> tuple[str, ...]:
        """The command lines of those that have ended."""
        alive = {Entry(process.pid, process.started) for process in self.survivors}
        # What had no command line any more was ending by itself.
        return tuple(line for entry, line in self._seen.items() if line and entry not in alive)


def _command_line_of(process: Process) -> str:
    # To read it takes a lock of the process's memory, which one in uninterruptible sleep may hold.
    return str(process) if process.is_uninterruptible else command_line(process.pid)


def end_leftovers() -> Leftovers:
    """Kill and reap all that still descends from this process.

    To be called when no command runs any more: what is left then was left behind by a hook.
    """
    leftovers = Leftovers()
    for _ in range(ROUNDS):
        descendants = [entry for entry in descendants_of(os.getpid()) if entry.pid != os.getpid()]
        if not _reap() or not leftovers.kill(descendants):
            break
        time.sleep(LOOK_AGAIN_S)
    return leftovers


def _reap() -> bool:
    """Reap all children that have ended; return whether any are left."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _signal(entries: Iterable[Entry], signal: Signals) -> None:
    for entry in entries:
        if is_alive(entry):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(entry.pid, signal)
