"""Signals reach the processes that were found, and no later process of the same pid."""

from __future__ import annotations

import resource
from signal import SIGKILL, SIGSTOP

from ocf_systemd.host.procfs import Entry, find_process, is_alive, read_stat
from ocf_systemd.host.signals import send_signal
from tests.unit.builders import open_descriptors, run_python
from tests.unit.odd_processes import entry_of, process_of, sleeping, wait_until, zombie


def test_entries_and_processes() -> None:
    """Each process gets the signal, whether it is given as an entry or as a process."""
    with sleeping() as first, sleeping() as second:
        send_signal((entry_of(first), process_of(second)), SIGKILL)
        wait_until(lambda: find_process(first) is None and find_process(second) is None)


def test_another_signal() -> None:
    """The signal is the one that was given."""
    with sleeping() as pid:
        send_signal((entry_of(pid),), SIGSTOP)
        wait_until(lambda: (stat := read_stat(pid)) is not None and stat.state == "T")


def test_a_later_process_of_the_same_pid() -> None:
    """A process that started at another time does not get the signal, and the next one in the list does."""
    with sleeping() as other, sleeping() as pid:
        later = entry_of(other)
        send_signal((Entry(other, later.started - 1), entry_of(pid)), SIGKILL)
        wait_until(lambda: find_process(pid) is None)
        assert is_alive(later)


def test_processes_that_have_ended() -> None:
    """Neither a zombie nor a pid that no process has is an error."""
    with zombie() as ended, sleeping() as pid:
        gone = int(run_python("import os; print(os.getpid())").stdout)
        send_signal((entry_of(ended), Entry(gone, 0), entry_of(pid)), SIGKILL)
        wait_until(lambda: find_process(pid) is None)


def test_no_descriptor_stays_open() -> None:
    """Each pidfd is closed, also that of a process that did not get the signal."""
    with sleeping() as pid:
        before = open_descriptors()
        send_signal((entry_of(pid), Entry(pid, 0)), SIGKILL)
        assert open_descriptors() == before


def test_no_descriptor_left() -> None:
    """Where no pidfd can be opened no signal is sent, and nothing is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with sleeping() as pid:
        entry = entry_of(pid)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            send_signal((entry,), SIGKILL)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert is_alive(entry)
