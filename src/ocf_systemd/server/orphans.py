"""Tells whose processes are whose in a process that performs many actions, and ends what an action's hooks left behind.

It is a child subreaper: what a hook leaves behind becomes its child, and does not say by itself which hook that was.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import anyio

from ocf_systemd.host.processes import LOOK_AGAIN_S, ROUNDS, Crew, Leftovers
from ocf_systemd.host.procfs import Stat, children_of, descendants_of, environment_of, read_stat, ticks_now

MARK = "OCF_SYSTEMD_ACTION"
"""The variable that tells a resident action's processes from those of others; its value is nobody's but ours."""


class Crews:
    """The crews of all actions that run, and since when; `descriptors` is the limit that their commands have."""

    def __init__(self, descriptors: tuple[int, int]) -> None:
        self._descriptors = descriptors
        self._starting = anyio.Lock(fast_acquire=True)
        self._leaders: set[int] = set()
        self._working: dict[str, int] = {}
        self._numbers = count(1)

    @contextmanager
    def crew(self, directory: str, umask: int) -> Iterator[Crew]:
        """Have a crew for the time of the block, which is that of an action."""
        crew = Crew(directory, umask, self._descriptors, self._next_mark(), self._leaders, self._starting)
        self._working[crew.mark] = ticks_now()
        try:
            yield crew
        finally:
            del self._working[crew.mark]

    def _next_mark(self) -> str:
        return f"{MARK}={os.getpid()}.{next(self._numbers)}"

    async def end_leftovers(self, crew: Crew) -> Leftovers:
        """Kill and reap all that a crew, whose commands have ended, left behind."""
        leftovers = Leftovers()
        for _ in range(ROUNDS):
            orphans = [orphan for orphan in self._orphans() if self._is_left_by(crew, orphan)]
            if not orphans or not leftovers.kill(descendants_of(*(orphan.entry.pid for orphan in orphans))):
                break
            await anyio.sleep(LOOK_AGAIN_S)
        return leftovers

    def _orphans(self) -> Iterator[Stat]:
        """Yield our children that nobody runs as a command; reap those that have ended."""
        for pid in children_of(os.getpid()):
            stat = None if pid in self._leaders else read_stat(pid)
            if stat and not stat.is_alive:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            elif stat:
                yield stat

    def _is_left_by(self, crew: Crew, orphan: Stat) -> bool:
        """Tell whether an orphan is a crew's: by its mark; by exclusion, where it has rid itself of all marks.

        One in uninterruptible sleep, if only for a moment, by its process group: to read its environment takes a lock
        that it may hold, and would hold up all other actions. One that is in a group of its own as well is a crew's if
        no other was there to start it; else it is left to the kernel, or to who finds it awake.
        """
        working = {mark: began for mark, began in self._working.items() if mark != crew.mark}
        predates_others = all(orphan.entry.started < began for began in working.values())
        if orphan.is_uninterruptible:
            is_new = orphan.entry.started >= self._working[crew.mark]
            return orphan.group in crew.groups or (is_new and predates_others)
        variables = environment_of(orphan.entry.pid)
        marks = {variable for variable in variables if variable.startswith(f"{MARK}=".encode())}
        if any(mark.decode(errors="replace") in working for mark in marks):
            return False
        return bool(marks) or predates_others
