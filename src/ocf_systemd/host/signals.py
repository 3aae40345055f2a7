"""Sends signals to processes, never to a later process of the same pid, and controls signals to this process."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from ocf_systemd.core.observations import Process
from ocf_systemd.host.procfs import Entry, find_process


def send_signal(processes: Iterable[Entry | Process], number: signal.Signals) -> None:
    """Send a signal to each of these processes, in this order, that has not ended.

    A pidfd refers to the same process as long as it is open, even if the pid is used again (pidfd_open(2)). So the
    start time is compared after the pidfd has been opened. A process that this process may not signal is left out, and
    so is one for which no descriptor is available.
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
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt in the block, as SIGINT does, unless they are ignored."""
    handled = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_DFL]
    for each in handled:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
