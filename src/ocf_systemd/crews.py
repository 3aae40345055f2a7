"""Tells whose processes are whose in a process that performs many actions, and ends what an action's hooks left behind.

It is a child subreaper: what a hook leaves behind becomes its child, and does not say by itself which hook that was.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import anyio

from ocf_systemd.proc import Entry, children_of, descendants_of, environment_of, read_stat, ticks_now
from ocf_systemd.processes import LOOK_AGAIN_S, ROUNDS, Crew, kill_strays

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

    async def end_strays(self, crew: Crew) -> tuple[str, ...]:
        """Kill and reap all that a crew, whose commands have ended, left behind; return their command lines."""
        ended: dict[Entry, str] = {}
        for _ in range(ROUNDS):
            strays = [orphan for orphan in self._orphans() if self._is_left_by(crew, orphan)]
            if not strays:
                break
            kill_strays(descendants_of(*(stray.pid for stray in strays)), ended)
            await anyio.sleep(LOOK_AGAIN_S)
        return tuple(filter(None, ended.values()))

    def _orphans(self) -> Iterator[Entry]:
        """Yield our children that nobody runs as a command; reap those that have ended."""
        for pid in children_of(os.getpid()):
            stat = None if pid in self._leaders else read_stat(pid)
            if stat and stat.state in "ZX":
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            elif stat:
                yield stat.entry

    def _is_left_by(self, crew: Crew, orphan: Entry) -> bool:
        """Tell whether an orphan is a crew's: by its mark; by exclusion, where it has rid itself of all marks."""
        marks = {variable for variable in environment_of(orphan.pid) if variable.startswith(f"{MARK}=".encode())}
        working = {mark: began for mark, began in self._working.items() if mark != crew.mark}
        if any(mark.decode(errors="replace") in working for mark in marks):
            return False
        return bool(marks) or all(orphan.started < began for began in working.values())
