"""Signals: to processes that were found in /proc and to no later process of the same pid, and to this process."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from ocf_systemd.core.observations import Process
from ocf_systemd.host.procfs import Entry, find_process


def send_signal(processes: Iterable[Entry | Process], number: signal.Signals) -> None:
    """Send a signal to each of these processes, in this order, that has not ended.

    A pidfd refers to one process for as long as it is open, whatever becomes of its pid (pidfd_open(2)): so the start
    time is compared once the pidfd is open. What may not be signalled, or cannot for lack of descriptors, is left.
    """
    for process in processes:
        with suppress(OSError):
            descriptor = os.pidfd_open(process.pid)
            try:
                found = find_process(process.pid)
                if found is not None and found.started == process.started:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP until the end of the block, for short steps that belong together.

    Processes started in the block inherit the signal mask.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def termination_interrupts() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt in the block, as SIGINT does, unless they are ignored."""
    handled = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_DFL]
    for each in handled:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
