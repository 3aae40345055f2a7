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

from ocf_systemd.observations import KEPT_OUTPUT, CommandOutcome, Exited, NotStarted, Signalled, TimedOut
from ocf_systemd.proc import Entry, command_line, descendants_of, is_alive
from ocf_systemd.records import Record

GRACE_S = 1.0
"""Longest time in seconds between a process's SIGTERM and its SIGKILL."""

LOOK_AGAIN_S = 0.005
"""Seconds between two looks whether what was killed has ended."""

ROUNDS = 40
"""What cannot be killed in that many looks is the kernel's to end."""

_QUEUE_MAX_S, _QUEUE_SHARE = 5.0, 0.2  # longest wait of a crew's command for its turn, of the time it has
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
_GRACE_SHARE = 0.2
_REAP_S = 0.1
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

    def marked(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with the mark in it."""
        name, _, value = self.mark.partition("=")
        return {**environment, name: value}

    def take_in(self, pid: int, until: ExitStack) -> None:
        """Count a process that has been started among the leaders for as long as it runs."""
        import resource  # for crews alone

        self.leaders.add(pid)
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
    it gets SIGTERM, at most `GRACE_S` seconds, and SIGKILL; the deadline pays for those seconds too.
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
        grace = min(GRACE_S, max(deadline - began, 0.0) * _GRACE_SHARE)
        time_up = deadline - grace
        if command.time_limit_s is not None:
            time_up = min(time_up, began + command.time_limit_s)
        try:
            ended = await _watch(exit_descriptor, tails, time_up)
        finally:
            # Cancelled or out of time; when the process has ended, this finds nothing to do.
            with anyio.CancelScope(shield=True):
                await _end_tree(process, exit_descriptor, 0.0 if crew and crew.is_hurried else grace)
        for tail in tails:
            tail.drain()
        return _outcome(process, tails, anyio.current_time() - began, timed_out=not ended)


_Started = tuple[subprocess.Popen[bytes], tuple[_Tail, _Tail], int]


def _start(command: Command, crew: Crew | None, descriptors: ExitStack) -> _Started:
    """Start a command; what it was given of ours is closed with `descriptors`. Raises OSError."""
    holds_group = crew is None and command.user is None and _leads_group()
    leash = _leash(descriptors, holds_group=holds_group)
    process = _spawn(command, leash, crew)
    if not holds_group:
        fcntl.fcntl(leash, fcntl.F_SETOWN, -process.pid if crew else process.pid)
    if crew:
        crew.take_in(process.pid, descriptors)
    assert process.stdout is not None  # noqa: S101  # stdout=PIPE
    assert process.stderr is not None  # noqa: S101
    descriptors.enter_context(process.stdout)
    descriptors.enter_context(process.stderr)
    try:
        # A pidfd and not Process.wait(): in Python 3.11 and 3.12 that waits for the end of the pipes as well.
        exit_descriptor = os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise
    descriptors.callback(os.close, exit_descriptor)
    tails = (_Tail(process.stdout.fileno()), _Tail(process.stderr.fileno()))
    for tail in tails:
        os.set_blocking(tail.descriptor, False)
    return process, tails, exit_descriptor


def _spawn(command: Command, leash: int, crew: Crew | None) -> subprocess.Popen[bytes]:
    user, group, groups = command.user or (None, None, None)
    return subprocess.Popen(
        command.arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
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


def _outcome(
    process: subprocess.Popen[bytes], tails: tuple[_Tail, _Tail], elapsed_s: float, *, timed_out: bool
) -> CommandOutcome:
    stdout, stderr = (bytes(tail.kept) for tail in tails)
    if timed_out:
        return TimedOut(elapsed_s, stdout, stderr)
    if process.returncode < 0:
        return Signalled(elapsed_s, stdout, stderr, signal=-process.returncode)
    return Exited(elapsed_s, stdout, stderr, code=process.returncode)


async def _end_tree(process: subprocess.Popen[bytes], exit_descriptor: int, grace_s: float) -> None:
    """End a process and all that descends from it, and reap it."""
    if process.poll() is not None:
        return
    tree = descendants_of(process.pid)
    _signal(tree, SIGTERM)
    with anyio.move_on_after(grace_s):
        await _wait_for_end(tree, exit_descriptor)
    tree |= descendants_of(process.pid)
    _signal(tree, SIGKILL)
    # A process in uninterruptible sleep outlives even this, for as long as the kernel likes: not our deadline.
    with anyio.move_on_after(_REAP_S):
        await _wait_for_end(tree, exit_descriptor)
    process.poll()


async def _wait_for_end(tree: Iterable[Entry], exit_descriptor: int) -> None:
    await anyio.wait_readable(exit_descriptor)
    while any(is_alive(entry) for entry in tree):  # noqa: ASYNC110  # only our own child's end is an event
        await anyio.sleep(LOOK_AGAIN_S)


def adopt_orphans() -> None:
    """Make this process the parent of all that its descendants leave behind (PR_SET_CHILD_SUBREAPER in prctl(2)).

    Without it `end_strays` would not find what forked twice.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_strays() -> tuple[str, ...]:
    """Kill and reap all that still descends from this process; return their command lines.

    To be called when no command runs any more: what is left then was left behind by a hook.
    """
    ended: dict[Entry, str] = {}
    for _ in range(ROUNDS):
        if not _reap():
            break
        kill_strays({entry for entry in descendants_of(os.getpid()) if entry.pid != os.getpid()}, ended)
        time.sleep(LOOK_AGAIN_S)
    return tuple(filter(None, ended.values()))  # what has no command line any more was ending by itself


def kill_strays(strays: Iterable[Entry], ended: dict[Entry, str]) -> None:
    """Send SIGKILL to processes, and note in `ended` the command lines of those that were not there already."""
    for stray in strays:
        if stray not in ended and is_alive(stray):
            ended[stray] = command_line(stray.pid)
    _signal(strays, SIGKILL)


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
