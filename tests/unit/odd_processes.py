"""Real processes in rare states: ended but not reaped, without a first thread, in state D."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from signal import SIGKILL
from typing import TYPE_CHECKING

import psutil

from ocf_systemd.host.procfs import Entry, children_of, command_line, descendants_of, find_process, is_alive, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ocf_systemd.core.observations import Process

_PYTHON = (sys.executable, "-I", "-S", "-c")

# exit(2) ends the calling thread alone; the C library's exit() would end all.
_LEADERLESS = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(platform.machine(), 93), 0)
"""

# posix_spawn(3) is a vfork(2) to the kernel: its caller is in state D until the child has called execve(2). The child
# opens a pipe before, which has no writer. A signal that is fatal ends this sleep, where others wait for a disk.
SLEEPER = """
import os, sys
opening = (os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opening])
"""

# Holds a lease on a file (F_SETLEASE in fcntl(2)); the kernel requests its end by SIGIO.
_LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, lambda *_: sys.argv[2:] and fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK))
file = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("leased", flush=True)
sys.stdin.read()
"""


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that will be so, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def process_of(pid: int) -> Process:
    """Return a process that is alive."""
    found = find_process(pid)
    assert found is not None
    return found


def entry_of(pid: int) -> Entry:
    """Return which process it is, alive or not."""
    stat = read_stat(pid)
    assert stat is not None
    return stat.entry


@contextmanager
def sleeping(*command: str) -> Iterator[int]:
    """Have a process that sleeps; yield its pid. At the end it is killed and reaped."""
    with subprocess.Popen(command or ("sleep", "60")) as child:
        wait_until(lambda: command_line(child.pid) != "")  # it has none yet as execve(2) goes on
        yield child.pid
        child.kill()


@contextmanager
def zombie() -> Iterator[int]:
    """Have a process that has ended and is not reaped."""
    with subprocess.Popen(("true",)) as child:
        wait_until(lambda: (stat := read_stat(child.pid)) is not None and stat.state == "Z")
        yield child.pid


@contextmanager
def leaderless() -> Iterator[int]:
    """Have a process whose first thread has ended while another runs: a zombie by its state, alive by its threads."""
    with subprocess.Popen((*_PYTHON, _LEADERLESS)) as child:
        wait_until(lambda: (stat := read_stat(child.pid)) is not None and stat.state == "Z")
        yield child.pid
        child.kill()


@contextmanager
def uninterruptible(directory: Path) -> Iterator[int]:
    """Have a process in uninterruptible sleep, in state D."""
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    waiting: list[Entry] = []
    with subprocess.Popen((*_PYTHON, SLEEPER, str(pipe))) as child:
        try:
            wait_until(lambda: (stat := read_stat(child.pid)) is not None and stat.state == "D")
            wait_until(lambda: has_child(child.pid))
            # Before the test may end it: afterwards its parent is unknown.
            waiting += [entry for entry in descendants_of(child.pid) if entry.pid != child.pid]
            yield child.pid
        finally:
            child.kill()
            for entry in filter(is_alive, waiting):  # it has all other signals blocked
                os.kill(entry.pid, SIGKILL)
    wait_until(lambda: not any(map(is_alive, waiting)))
    pipe.unlink()


def has_child(pid: int) -> bool:
    """Return whether a process has a child."""
    return bool(children_of(pid))


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that have this argument."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def leased(path: Path, *, is_given_up: bool = False) -> Iterator[None]:
    """Have another process hold a lease on a file, and give it up or not when the kernel requests that."""
    command = [*_PYTHON, _LEASE, str(path), *(["x"] if is_given_up else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"leased\n"
        yield
        holder.kill()
