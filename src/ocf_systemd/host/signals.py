"""Signals to processes that were found in /proc, and to no later process of the same pid."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

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
