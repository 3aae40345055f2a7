"""What goes wrong on a host while the agent works: seeded, and side by side with its actions."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from signal import SIGCONT, SIGSTOP
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from threading import Event

    from tests.soak.truth import Truth
    from tests.system.box import Box

_PAUSE_S = (0.2, 3.0)
_FREEZE_S = (0.1, 1.5)
_HANG_S = (0.1, 2.0)
# Between a unit's end and a start without the cluster knowing: less than a look at the truth takes would be missed.
_SEEN_DOWN_S = 0.1


@dataclass(slots=True)
class Mischief:
    """Causes faults of units and of their systemd, except for the units that are left alone."""

    box: Box
    truth: Truth
    units: list[str]
    random: Random
    counts: dict[str, int] = field(default_factory=dict)
    _peace: dict[str, Lock] = field(init=False)

    def __post_init__(self) -> None:
        self._peace = {unit: Lock() for unit in self.units}

    def peace(self, unit: str) -> Lock:
        """Return the lock to hold for as long as nothing may happen to a unit itself."""
        return self._peace[unit]

    def go_on(self, enough: Event) -> None:
        """Do one thing after the other until it is enough."""
        kinds: list[Callable[[], object]] = [
            *(self.kill_main_process, self.hang, self.stop_behind_the_back, self.start_behind_the_back),
            *(self.cancel_job, self.reload_manager, self.execute_manager_anew, self.freeze_manager, self.lose_dbus),
        ]
        while not enough.wait(self.random.uniform(*_PAUSE_S)):
            kind = self.random.choice(kinds)
            kind()
            self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1

    def _to_one(self, script: str) -> None:
        unit = self.random.choice(self.units)
        with self._peace[unit]:
            self.box.sh(script, unit, check=False)

    def kill_main_process(self) -> None:
        """End a service by its main process."""
        self._to_one('systemctl kill --kill-whom=main --signal=KILL -- "$1"')

    def hang(self) -> None:
        """Have a service hang for a while."""
        unit = self.random.choice(self.units)
        with self._peace[unit]:
            self.box.sh('systemctl kill --signal=STOP -- "$1"', unit, check=False)
            time.sleep(self.random.uniform(*_HANG_S))
            self.box.sh('systemctl kill --signal=CONT -- "$1"', unit, check=False)

    def stop_behind_the_back(self) -> None:
        """Stop a service past the cluster."""
        self._to_one('systemctl stop --no-block -- "$1"')

    def start_behind_the_back(self) -> None:
        """Start a service past the cluster."""
        unit = self.random.choice(self.units)
        with self._peace[unit]:
            since = self.truth.is_down_since(unit)
            if since is not None and time.monotonic() - since > _SEEN_DOWN_S:
                self.box.sh('systemctl start --no-block -- "$1"', unit, check=False)

    def cancel_job(self) -> None:
        """Cancel what a service is about to do."""
        # Without a job's number it would cancel those of all.
        self._to_one('jobs=$(systemctl list-jobs --no-legend -- "$1"); [ -z "$jobs" ] || systemctl cancel ${jobs%% *}')

    def reload_manager(self) -> None:
        """Have PID 1 reload all units."""
        self.box.sh("systemctl daemon-reload", check=False)

    def execute_manager_anew(self) -> None:
        """Have PID 1 execute itself again."""
        self.box.sh("systemctl daemon-reexec", check=False)

    def freeze_manager(self) -> None:
        """Stop PID 1 from responding for a while."""
        os.kill(self.box.sandbox.pid, SIGSTOP)
        try:
            time.sleep(self.random.uniform(*_FREEZE_S))
        finally:
            os.kill(self.box.sandbox.pid, SIGCONT)

    def lose_dbus(self) -> None:
        """Have dbus-daemon down for a while."""
        self.box.sh("systemctl stop dbus.service dbus.socket; sleep 0.3; systemctl start dbus.socket", check=False)
