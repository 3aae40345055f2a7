"""Whether units run, checked every few milliseconds without systemd: the state that results must agree with."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from ocf_systemd.sandbox import Sandbox

_LOOK_S = 0.005
_KEPT = 2000  # changes of one unit


@dataclass(slots=True)
class Truth:
    """A thread that looks at units' control groups; a unit runs if it has processes."""

    sandbox: Sandbox
    units: Iterable[str]
    _changes: dict[str, deque[tuple[float, bool]]] = field(default_factory=dict)
    _enough: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        for unit in self.units:
            self._changes[unit] = deque([(0.0, self._runs(unit))], maxlen=_KEPT)
        self._thread = threading.Thread(target=self._watch, name="truth")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        assert self._thread
        self._thread.join()

    def _runs(self, unit: str) -> bool:
        path = f"/proc/{self.sandbox.pid}/root/sys/fs/cgroup/system.slice/{unit}/cgroup.events"
        try:
            return "populated 1" in Path(path).read_text(encoding="ascii")
        except OSError:
            return False

    def _watch(self) -> None:
        while not self._enough.wait(_LOOK_S):
            for unit, changes in self._changes.items():
                if (runs := self._runs(unit)) is not changes[-1][1]:
                    changes.append((time.monotonic(), runs))

    def was(self, unit: str, since: float, until: float, *, running: bool) -> bool:
        """Return whether a unit was observed running, or not running, at some moment of a span."""
        changes = [*self._changes[unit], (float("inf"), not running)]
        return any(runs is running and begin <= until and end >= since for (begin, runs), (end, _) in pairwise(changes))

    def is_down_since(self, unit: str) -> float | None:
        """Return since when a unit does not run; None: it runs."""
        at, runs = self._changes[unit][-1]
        return None if runs else at
