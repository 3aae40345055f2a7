"""The child processes of the server: finds out which action each belongs to, and ends orphans after their action.

The server performs many actions at once and is a child subreaper. If the parent of a hook's process ends, that process,
an orphan, becomes a child of the server and does not show which action it belongs to. So each action has a mark: a
variable in the environment of its commands, which their children inherit. The value of the mark is random: a process
that could guess the mark of another action could set that mark, and so outlive its own action.
docs/design/processes.md has the rules for a process without a mark.
"""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from ocf_systemd.core.observations import CommandOutcome
from ocf_systemd.host.leftovers import CHECK_PAUSE_S, CHECKS_MAX, Leftovers
from ocf_systemd.host.processes import ChildContext, ChildPolicy, Command, KilledWithParent, run_child
from ocf_systemd.host.procfs import Stat, children_of, descendants_of, environment_of, read_stat, ticks_now

T = TypeVar("T")

MARK = "OCF_SYSTEMD_ACTION"
"""The variable that marks the processes of an action in the server; only the server sets and reads it."""

# The longest wait of a command for its turn: in seconds, and as a share of the time until its deadline.
_QUEUE_MAX_S, _QUEUE_SHARE = 5.0, 0.2
_MARK_BYTES = 16
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})


class ShortageError(Exception):
    """The server can start nothing at the moment; the agent's own process possibly can."""


@dataclass(slots=True)
class ServedAction(ChildPolicy):
    """One action in the server, as the policy for its child processes.

    `directory` and `umask` are the client's. `descriptors` is the limit on open files, soft and hard, of the action's
    commands: the one that the server had before it raised its own limit. `mark` is the variable NAME=VALUE that marks
    the action's processes. `running` contains the pids of all commands, of any action, that run now; `groups` contains
    the process groups of this action's commands. A command holds `starting` while it starts, so that the event loop
    serves other tasks between two starts. `grants_grace` is False once no client waits for the result: then a command
    that must end gets no time between SIGTERM and SIGKILL.
    """

    directory: str
    umask: int
    descriptors: tuple[int, int]
    mark: str
    running: set[int]
    starting: anyio.Lock
    grants_grace: bool = True
    groups: set[int] = field(default_factory=set)

    async def run(self, command: Command, *, deadline: float) -> CommandOutcome:
        """Run a command; see `processes.run_child`. Raises ShortageError if the server is the cause of a failure."""
        return await run_child(command, self, deadline=deadline)

    def context(self, command: Command) -> ChildContext:
        """Return what a command's process inherits: the client's directory and umask, and the mark of the action.

        The process gets a process group of its own: a command may signal its group, and must not reach other processes.
        """
        name, _, value = self.mark.partition("=")
        return ChildContext(
            {**command.environment, name: value},
            KilledWithParent.CHILD_GROUP,
            directory="/" if command.user else self.directory,
            umask=self.umask,
            new_group=True,
        )

    async def start(self, command: Command, spawn: Callable[[], T], deadline: float) -> T:
        """Call `spawn` in turn. Raises OSError if the command causes a failure, ShortageError if the server does."""
        await self._take_turn(deadline)
        try:
            return spawn()
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

    def track(self, pid: int, until: ExitStack) -> None:
        """Count a process among the running commands, and set its limit on open files."""
        self.running.add(pid)
        self.groups.add(pid)
        until.callback(self.running.discard, pid)
        with suppress(OSError):  # it has ended, or is another user's and the server lacks CAP_SYS_RESOURCE
            resource.prlimit(pid, resource.RLIMIT_NOFILE, self.descriptors)


class OrphanReaper:
    """Knows which actions run and since when, and ends the processes that their hooks leave behind (leftovers).

    `descriptors` is the limit on open files that the commands of actions get.
    """

    def __init__(self, descriptors: tuple[int, int]) -> None:
        self._descriptors = descriptors
        self._starting = anyio.Lock()
        self._running: set[int] = set()
        self._began: dict[str, int] = {}

    @contextmanager
    def action(self, directory: str, umask: int) -> Iterator[ServedAction]:
        """Register a new action while the block runs, and yield it: the policy for its processes."""
        mark = f"{MARK}={os.urandom(_MARK_BYTES).hex()}"
        action = ServedAction(directory, umask, self._descriptors, mark, self._running, self._starting)
        self._began[action.mark] = ticks_now()
        try:
            yield action
        finally:
            del self._began[action.mark]

    async def end_leftovers(self, action: ServedAction) -> Leftovers:
        """Kill and reap all leftovers of an action whose commands have ended."""
        leftovers = Leftovers()
        for _ in range(CHECKS_MAX):
            orphans = [orphan for orphan in self._orphans() if self._is_left_by(action, orphan)]
            if not orphans or not leftovers.kill(descendants_of(*(orphan.entry.pid for orphan in orphans))):
                break
            await anyio.sleep(CHECK_PAUSE_S)
        return leftovers

    def _orphans(self) -> Iterator[Stat]:
        """Yield the server's children that are not running commands; reap those that have ended."""
        for pid in children_of(os.getpid()):
            stat = None if pid in self._running else read_stat(pid)
            if stat and not stat.is_alive:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            elif stat:
                yield stat

    def _is_left_by(self, action: ServedAction, orphan: Stat) -> bool:
        """Return whether an orphan belongs to an action: by its mark, or without any mark by excluding other actions.

        An orphan in uninterruptible sleep, if only for a moment, is attributed by its process group: reading its
        environment takes a lock that the orphan may hold, and would block all other actions. If such an orphan has left
        the group as well, it belongs to the action if it started after this action began and before all others.
        Otherwise it stays; the next action that ends applies these rules to it again.
        """
        others = {mark: began for mark, began in self._began.items() if mark != action.mark}
        predates_others = all(orphan.entry.started < began for began in others.values())
        if orphan.is_uninterruptible:
            is_new = orphan.entry.started >= self._began[action.mark]
            return orphan.group in action.groups or (is_new and predates_others)
        variables = environment_of(orphan.entry.pid)
        marks = {variable for variable in variables if variable.startswith(f"{MARK}=".encode())}
        if any(mark.decode(errors="replace") in others for mark in marks):
            return False
        return bool(marks) or predates_others
