"""Starts the agent's processes, watches them end, and ends them and all they started when their time is up.

Standard input is empty, output is kept to a bounded tail, and a command is judged by its own exit: what it leaves
running cannot hold it up, whatever pipes that keeps open; nor does it outlive this process, however that dies. Nothing
else in the agent starts a process.
"""

import ctypes
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Protocol

import anyio

from ocf_systemd.observations import KEPT_OUTPUT, CommandOutcome, Exited, NotStarted, Signalled, TimedOut, printable

GRACE_S = 1.0
"""Longest time in seconds between a process's SIGTERM and its SIGKILL."""

_GRACE_SHARE = 0.2
_LOOK_AGAIN_S = 0.005
_REAP_S = 0.1
_ROUNDS = 40  # what cannot be killed in that many looks is the kernel's to end
_CHUNK = 64 * 1024
_PIPE_MAX = 1024 * 1024  # pipe(7): the most that /proc/sys/fs/pipe-max-size lets a pipe hold, by default
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run: arguments, no shell.

    `environment` is all it gets, `user` the uid, gid and groups it runs as, if not ours; `time_limit_s` is how
    many seconds it may take, if that is to be less than until the deadline.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    user: tuple[int, int, Sequence[int]] | None = None
    time_limit_s: float | None = None


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


@dataclass(frozen=True, slots=True)
class _Entry:
    """A process, told apart from a later one of the same pid by its start time in clock ticks (proc_pid_stat(5))."""

    pid: int
    started: int


async def run(command: Command, *, deadline: float) -> CommandOutcome:
    """Run a command until it ends, or until the deadline is so near that it has to be ended.

    On the event loop's clock. When time is up, or the caller is cancelled, the command and all that descends from
    it gets SIGTERM, at most `GRACE_S` seconds, and SIGKILL; the deadline pays for those seconds too.
    """
    began = anyio.current_time()
    grace = min(GRACE_S, max(deadline - began, 0.0) * _GRACE_SHARE)
    time_up = deadline - grace
    if command.time_limit_s is not None:
        time_up = min(time_up, began + command.time_limit_s)
    with ExitStack() as descriptors:
        try:
            process, tails, exit_descriptor = _start(command, descriptors)
        except OSError as error:
            return NotStarted(error.errno or 0, error.strerror or str(error))
        try:
            ended = await _watch(exit_descriptor, tails, time_up)
        finally:
            # Cancelled or out of time; when the process has ended, this finds nothing to do.
            with anyio.CancelScope(shield=True):
                await _end_tree(process, exit_descriptor, grace)
        for tail in tails:
            tail.drain()
        return _outcome(process, tails, anyio.current_time() - began, timed_out=not ended)


def _start(command: Command, descriptors: ExitStack) -> tuple[subprocess.Popen[bytes], tuple[_Tail, _Tail], int]:
    """Start a command; what it was given of ours is closed with `descriptors`. Raises OSError."""
    holds_group = command.user is None and _leads_group()
    leash = _leash(descriptors, holds_group=holds_group)
    process = _spawn(command, leash)
    if not holds_group:
        fcntl.fcntl(leash, fcntl.F_SETOWN, process.pid)
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


def _spawn(command: Command, leash: int) -> subprocess.Popen[bytes]:
    user, group, groups = command.user or (None, None, None)
    return subprocess.Popen(
        command.arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=command.environment,
        # Another user gets neither a directory that it could not enter, nor the terminal of who called the agent, which
        # it could type into (TIOCSTI in ioctl_tty(2)). Pacemaker gives none, so there the group stays the agent's.
        cwd="/" if command.user else None,
        start_new_session=command.user is not None and _has_terminal(),
        user=user,
        group=group,
        extra_groups=groups,
        pass_fds=(leash,),
    )


def _leash(descriptors: ExitStack, *, holds_group: bool) -> int:
    """Return a descriptor to hand to a command, by which the kernel kills it should this process die. Raises OSError.

    It is the read end of a pipe whose write end is ours alone: SIGKILL of the agent, which nothing can catch, closes
    that, and the kernel sends the signal set with F_SETSIG to the owner set with F_SETOWN (fcntl(2), "Signals"): to
    the agent's process group where that is its own, as under Pacemaker, which ends what a hook started too; else to
    the command, so that nobody else's is hit, and so it is for another user's command: who holds the descriptor can
    set O_ASYNC anew and have root's signal sent, to itself then and not to the agent. Pacemaker kills the agent's pid
    alone where on-fail is block.
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
    tree = _descendants_of(process.pid)
    _signal(tree, SIGTERM)
    with anyio.move_on_after(grace_s):
        await _wait_for_end(tree, exit_descriptor)
    tree |= _descendants_of(process.pid)
    _signal(tree, SIGKILL)
    # A process in uninterruptible sleep outlives even this, for as long as the kernel likes: not our deadline.
    with anyio.move_on_after(_REAP_S):
        await _wait_for_end(tree, exit_descriptor)
    process.poll()


async def _wait_for_end(tree: Iterable[_Entry], exit_descriptor: int) -> None:
    await anyio.wait_readable(exit_descriptor)
    while any(_is_alive(entry) for entry in tree):  # noqa: ASYNC110  # only our own child's end is an event
        await anyio.sleep(_LOOK_AGAIN_S)


def adopt_orphans() -> None:
    """Make this process the parent of all that its descendants leave behind (PR_SET_CHILD_SUBREAPER in prctl(2)).

    Without it `end_strays` would not find what forked twice.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_strays() -> tuple[str, ...]:
    """Kill and reap all that still descends from this process; return their command lines.

    To be called when no command runs any more: what is left then was left behind by a hook.
    """
    ended: dict[_Entry, str] = {}
    for _ in range(_ROUNDS):
        if not _reap():
            break
        strays = {entry for entry in _descendants_of(os.getpid()) if entry.pid != os.getpid()}
        ended |= {stray: _command_line(stray.pid) for stray in strays if stray not in ended and _is_alive(stray)}
        _signal(strays, SIGKILL)
        time.sleep(_LOOK_AGAIN_S)
    return tuple(filter(None, ended.values()))  # what has no command line any more was ending by itself


def _reap() -> bool:
    """Reap all children that have ended; return whether any are left."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _read_stat(pid: int) -> tuple[str, int, _Entry] | None:
    """Return a process's state letter, its parent's pid and its entry; None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before may hold anything, parentheses too
    return fields[0].decode(), int(fields[1]), _Entry(pid, int(fields[19]))


def _descendants_of(pid: int) -> frozenset[_Entry]:
    """Return a process and all that descends from it."""
    children_of = _kernel_children if Path("/proc/thread-self/children").exists() else _scanned_children()
    found: set[_Entry] = set()
    unvisited = [pid]
    while unvisited:
        stat = _read_stat(unvisited.pop())
        if stat and stat[2] not in found:
            found.add(stat[2])
            unvisited += children_of(stat[2].pid)
    return frozenset(found)


def _kernel_children(pid: int) -> list[int]:
    """Return a process's children as the kernel lists them (proc_pid_task_children(5))."""
    listed = b""
    with suppress(OSError):  # it ends as we look
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                listed += (thread / "children").read_bytes()
    return [int(child) for child in listed.split()]


def _scanned_children() -> Callable[[int], list[int]]:
    """Return what tells a process's children on a kernel that does not list them (no CONFIG_PROC_CHILDREN)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[1-9]*"):
        if stat := _read_stat(int(path.name)):
            children.setdefault(stat[1], []).append(stat[2].pid)
    return lambda pid: children.get(pid, [])


def _is_alive(entry: _Entry) -> bool:
    stat = _read_stat(entry.pid)
    return stat is not None and stat[2] == entry and stat[0] not in "ZX"


def _signal(entries: Iterable[_Entry], signal: Signals) -> None:
    for entry in entries:
        if _is_alive(entry):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(entry.pid, signal)


def _command_line(pid: int) -> str:
    with suppress(OSError):
        return printable(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    return ""


def age_s() -> float:
    """Return how many seconds ago this process was forked, which is when Pacemaker's timeout began to run.

    To a hundredth of a second: starttime in proc_pid_stat(5) counts clock ticks since boot, as CLOCK_BOOTTIME does.
    """
    stat = _read_stat(os.getpid())
    if stat is None:
        return 0.0
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - stat[2].started / os.sysconf("SC_CLK_TCK"), 0.0)
