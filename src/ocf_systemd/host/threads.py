"""Runs a function that blocks in a thread, for commands for people."""

from collections.abc import Callable
from inspect import signature
from typing import TypeVar

from anyio import to_thread

T = TypeVar("T")

# anyio before 4.1 calls this option `cancellable`.
_ABANDON = "abandon_on_cancel" if "abandon_on_cancel" in signature(to_thread.run_sync).parameters else "cancellable"


async def run_in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread, and return its result. A cancellation does not wait for the function to return."""
    run_sync = vars(to_thread)["run_sync"]  # without its types, which differ, too
    result: T = await run_sync(function, **{_ABANDON: True})
    return result
