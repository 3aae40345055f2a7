"""Virtual time of a simulated host: what is going to happen to it, and the story of what has happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

FOREVER = float("inf")


@dataclass
class Timeline:
    """Events in virtual time, in order, each at its own moment.

    No task of its own makes them happen: all code that looks at the host lets it catch up first, which makes no
    difference to what it sees. So a host costs no more than what is asked of it, and continues after its clients' end.
    """

    now: float = 0.0
    story: list[str] | None = None
    _ahead: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _sooner: anyio.Event = field(default_factory=anyio.Event)

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Let something happen, at the same moment in the order of the calls."""
        if when == FOREVER:
            return
        is_next = not self._ahead or when < self._ahead[0][0]
        heappush(self._ahead, (when, next(self._numbers), happen))
        if is_next:
            self._sooner.set()
            self._sooner = anyio.Event()

    def catch_up(self) -> None:
        """Let all happen that is due."""
        now = anyio.current_time()
        while self._ahead and self._ahead[0][0] <= now:
            when, _, happen = heappop(self._ahead)
            self.now = max(when, self.now)
            happen()
        self.now = now

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until something has happened."""
        self.catch_up()
        while not done():
            with anyio.CancelScope(deadline=self._ahead[0][0] if self._ahead else FOREVER):
                await self._sooner.wait()
            self.catch_up()

    def record(self, text: str) -> None:
        """Add a line to the story, where one is wanted."""
        if self.story is not None:
            self.story.append(f"{self.now:11.6f}  {text}")
