"""Signals that end an action early, after any step of any of its tasks."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from signal import Signals

    from trio.lowlevel import Task


@dataclass(frozen=True, slots=True)
class Interruption:
    """A signal that comes when the action has given up control that many times: at its n-th await, in any task."""

    signal: Signals
    at_await: int


class Awaits(trio.abc.Instrument):
    """Counts the awaits of one action, those of the tasks it starts included, and does something at one of them."""

    _of: ContextVar[Awaits | None] = ContextVar("awaits", default=None)

    def __init__(self, at: int, do: Callable[[], None]) -> None:
        self.count = 0
        self._at = at
        self._do = do

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what the running task, and all tasks it starts, awaits meanwhile."""
        token = self._of.set(self)
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)
            self._of.reset(token)

    def after_task_step(self, task: Task) -> None:
        if task.context.get(self._of) is self:
            self.count += 1
            if self.count == self._at:
                self._do()
