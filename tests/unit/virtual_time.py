"""Event loops in which time passes only while no task can run, so that a busy machine changes no result.

A timeout expires at once when nothing else can happen, and not before. For tests whose tasks talk only to one another,
within the process: data over a socket between them has arrived before any task waits for it.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, TypeVar

import trio
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """A selector that never waits for a time to come: it moves its clock there."""

    now_s = 0.0

    def select(  # type: ignore[explicit-any]  # of the key's data
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout is not None:
            self.now_s += max(timeout, 0.0)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run_in_virtual_time(main: Callable[[], Coroutine[None, None, T]], *, backend: str = "asyncio") -> T:
    """Run a coroutine function on an event loop whose clock is moved forward when all tasks wait."""
    if backend == "trio":
        return trio.run(main, clock=MockClock(autojump_threshold=0))
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main())
