"""Records below /run which hooks left a process that cannot be killed, so that they are not started again.

A process in uninterruptible sleep (state D, as on storage that does not respond) survives SIGKILL. Each monitor
that runs the same hook would leave another. The record outlives the agent's process, which is a new one for each
monitor, and is void once the process has ended. See docs/design/processes.md.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ocf_systemd.core.observations import Process
from ocf_systemd.host.procfs import find_process

_RECORDS_MAX = 64 * 1024  # bytes; a record takes less than the longest path, 4 KiB


def record_survivors(unit: str, hook: str, processes: Iterable[Process], *, run_directory: Path = Path("/run")) -> None:
    """Record processes of a unit's hook that cannot be killed; if that cannot be written, there is no record."""
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
    """Return a process that one of these hooks of a unit left in an earlier run and that is still alive."""
    alive = recorded_survivors(unit, run_directory=run_directory)
    return next((process for process, hook in alive if hook in hooks), None)


def recorded_survivors(unit: str, *, run_directory: Path = Path("/run")) -> list[tuple[Process, str]]:
    """Return all processes of a unit's hooks that are recorded and alive, each with its hook."""
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
    return f"{run_directory}/ocf-systemd/survivors/{unit}"  # a str: read by each monitor, and pathlib is slow


def _alive(records: str) -> Iterator[tuple[Process, str]]:
    for record in records.split("\0"):
        pid, _, rest = record.partition(" ")
        started, _, hook = rest.partition(" ")
        process = find_process(int(pid)) if pid.isdecimal() else None
        if process is not None and str(process.started) == started:
            yield process, hook
