"""Simulated hooks: their files, their results and their behaviour."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.simulation.timeline import FOREVER
from tests.unit.scripted import HOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a hook behaves: its result for a unit that runs and for one that does not, and how long it takes.

    `notices_s` is how long after a change of the unit it goes on returning the old result; `is_flaky` the share of
    runs that end in just any code; a `signal` is what it dies by, `errno` why it cannot be started. One that
    `ignores_sigterm` takes longer to end, and one that `ignores_sigkill`, since it is in uninterruptible sleep, cannot
    be ended.
    """

    up_code: int = 0
    down_code: int = 7
    runs_s: float = 0.02
    notices_s: float = 0.0
    is_flaky: float = 0.0
    signal: int = 0
    errno: int = 0
    ignores_sigterm: bool = False
    ignores_sigkill: bool = False

    @property
    def is_steady(self) -> bool:
        """Whether its result follows from the unit alone, and comes."""
        return not (self.is_flaky or self.signal or self.errno or self.runs_s == FOREVER)


class Place(StrEnum):
    """Where `monitor_hook` points. The real files in these places are never run, but looked at."""

    NOWHERE = ""
    PROGRAM = "program"
    DIRECTORY = "directory"
    MISSING = "missing"
    NOT_EXECUTABLE = "not-executable"
    UNSAFE = "unsafe"


HINDERED = frozenset({Place.MISSING, Place.NOT_EXECUTABLE, Place.UNSAFE})
"""From there no hook can be run."""

DIRECTORY_NAMES = ("10-port", "20-disk", "30-load")


@contextmanager
def laid_out() -> Iterator[Path]:
    """Give a directory, in memory where that is writable, with a place of every kind and an empty `run`.

    A hook below a sticky directory, such as /dev/shm or /tmp, is not safe to run.
    """
    memory = Path("/run")
    with TemporaryDirectory(prefix="simulation-", dir=memory if os.access(memory, os.W_OK) else Path.home()) as name:
        directory = Path(name)
        (directory / "run").mkdir()
        (directory / Place.DIRECTORY).mkdir()
        for hook in DIRECTORY_NAMES:
            (directory / Place.DIRECTORY / hook).symlink_to(HOOK_PATH)
        for place, mode in ((Place.NOT_EXECUTABLE, 0o644), (Place.UNSAFE, 0o777)):
            (directory / place).touch()
            (directory / place).chmod(mode)
        yield directory


def path_of(place: Place, directory: Path) -> str:
    """Return what `monitor_hook` is set to."""
    if place is Place.NOWHERE:
        return ""
    return HOOK_PATH if place is Place.PROGRAM else str(directory / place)
