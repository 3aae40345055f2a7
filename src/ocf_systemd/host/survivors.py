"""Keeps files below /run that name hooks of which a process cannot be killed: these hooks are not started again.

A process in uninterruptible sleep (state D, as on storage that does not respond) survives SIGKILL: it is a survivor.
Each monitor that runs the same hook would leave another. Without the resident server, each monitor is a new process of
the agent, so the record is a file. It is void once the survivor has ended. See docs/design/processes.md.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ocf_systemd.core.observations import Process
from ocf_systemd.host.procfs import find_process

_RECORDS_MAX = 64 * 1024  # bytes read of a file; a record has 4 KiB at most, like the longest path


def record_survivors(unit: str, hook: str, processes: Iterable[Process], *, run_directory: Path = Path("/run")) -> None:
    """Record processes of a unit's hook that cannot be killed; if the file cannot be written, there is no record."""
    records = "".join(f"{process.pid} {process.started} {hook}\0" for process in processes)
    if not records:
        return
    path = _path(run_directory, unit)
    with suppress(OSError):
        _make_directories(run_directory)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(os.fsencode(records))


def find_survivor(unit: str, hooks: tuple[str, ...], *, run_directory: Path = Path("/run")) -> Process | None:
    """Return a process that an earlier run of one of these hooks left and that is still alive; None: there is none."""
    alive = recorded_survivors(unit, run_directory=run_directory)
    return next((process for process, hook in alive if hook in hooks), None)


def recorded_survivors(unit: str, *, run_directory: Path = Path("/run")) -> list[tuple[Process, str]]:
    """Return all recorded processes of a unit's hooks that are still alive, each with the path of its hook."""
    path = _path(run_directory, unit)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            records = os.fsdecode(file.read(_RECORDS_MAX))
    except OSError:
        return []
    alive = list(_alive(records))
    if not alive:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    return alive


def _make_directories(run_directory: Path) -> None:
    for directory in (f"{run_directory}/ocf-systemd", f"{run_directory}/ocf-systemd/survivors"):
        with suppress(FileExistsError):
            os.mkdir(directory, 0o755)  # noqa: PTH102


def _path(run_directory: Path, unit: str) -> str:
    return f"{run_directory}/ocf-systemd/survivors/{unit}"  # a str: each monitor reads it, and pathlib is slow


def _alive(records: str) -> Iterator[tuple[Process, str]]:
    for record in records.split("\0"):
        pid, _, rest = record.partition(" ")
        started, _, hook = rest.partition(" ")
        process = find_process(int(pid)) if pid.isdecimal() else None
        if process is not None and str(process.started) == started:
            yield process, hook
