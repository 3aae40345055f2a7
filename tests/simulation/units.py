"""A simulated unit: what it is like, and what becomes of it when it is started, stopped, killed or left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocf_systemd.observations import DOWN_STATES, RUNNING_STATES, ActiveState, LoadState
from tests.simulation.timeline import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable

_START_LIMIT, _START_INTERVAL_S = 5, 10.0  # DefaultStartLimitBurst=, DefaultStartLimitIntervalSec=
AUTO_RESTART = "auto-restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """What a unit is like. Durations are seconds, and FOREVER is one of them.

    `start_s` is the time to readiness, or to a failure; `stop_s` that from SIGTERM to the end, `kill_s` from SIGKILL;
    `lives_s` how long it runs before it crashes; `revived_s` how long after its end its socket starts it again.
    One that `is_forgotten` while it is down, for no other unit names it, is loaded anew when it is asked for ("Unit
    garbage collection" in systemd.unit(5)).
    """

    load: LoadState = LoadState.LOADED
    condition_met: bool = True
    dependency_fails: bool = False
    start_s: float = 0.1
    start_fails: bool = False
    start_timeout_s: float = 90.0
    is_oneshot: bool = False
    lives_s: float = FOREVER
    restarts: bool = False
    restart_s: float = 0.1
    revived_s: float = FOREVER
    stop_s: float = 0.1
    stop_timeout_s: float = 90.0
    kill_s: float = 0.01
    is_forgotten: bool = False
    can_reload: bool = True
    reload_s: float = 0.1
    reload_fails: bool = False


@dataclass(slots=True)
class Job:
    """What was asked of a unit, and by whoever waits for it the result; none yet: it is queued or runs."""

    number: int
    verb: str
    result: str = ""


@dataclass
class Unit:
    """A unit as the service manager sees it.

    `later` lets the manager do something after some seconds; `keeps_restarts` tells whether the unit's own Restart= is
    in force. A phase is a stay in one state, a life that of its processes: what was planned for one that is over is
    void.
    """

    character: Character
    later: Callable[[float, Callable[[], None]], None]
    keeps_restarts: Callable[[], bool]
    changed: Callable[[], None]
    clock: Callable[[], float]
    state: ActiveState = ActiveState.INACTIVE
    sub_state: str = "dead"
    result: str = "success"
    condition_failed: bool = False
    job: Job | None = None
    phase_ends_at: float = FOREVER
    _phase: int = 0
    _life: int = 0
    _jobs: int = 0
    _starts: list[float] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING_STATES

    @property
    def is_down(self) -> bool:
        return self.state in DOWN_STATES

    def start(self) -> Job:
        """Queue a start; it takes the place of a stop that is queued or runs."""
        job = self._queue("start")
        if self.is_running:
            self._finish("done")
        elif self.is_down or self.sub_state == AUTO_RESTART:
            self._begin()
        return job  # else it is coming up, or has to go down first

    def stop(self) -> Job:
        """Queue a stop; it cancels whatever else is queued or runs."""
        job = self._queue("stop")
        if self.is_down:
            self._finish("done")
        elif self.sub_state == AUTO_RESTART:
            self._come_down("success")
        elif self.state is not ActiveState.DEACTIVATING:
            self._terminate("success")
        return job

    def reload(self) -> Job | None:
        """Queue a reload; none: the unit is not active."""
        if not self.is_running:
            return None
        job = self._queue("reload")
        if self.state is ActiveState.ACTIVE:
            self._enter(ActiveState.RELOADING, "reload")
            self._in_this_phase(self.character.reload_s, self._end_reload)
        return job

    def kill(self) -> None:
        """Send SIGKILL to all of its processes."""
        life = self._life
        self.later(self.character.kill_s, lambda: self._die("signal") if life == self._life else None)

    def reset_failed(self) -> None:
        """Forget a failure and the count of starts."""
        self._starts.clear()
        if self.state is ActiveState.FAILED:
            self.result = "success"
            self._enter(ActiveState.INACTIVE, "dead")

    def cancel_job(self) -> None:
        """Cancel what is queued; what it has set off goes on."""
        self._finish("canceled")

    def begin_in(self, state: ActiveState) -> None:
        """Be in a settled state when the history begins."""
        match state:
            case ActiveState.ACTIVE:
                self._come_up()
            case ActiveState.FAILED:
                self.result = "exit-code"
                self._enter(ActiveState.FAILED, "failed")
            case _:
                self._enter(ActiveState.INACTIVE, "dead")

    def _queue(self, verb: str) -> Job:
        if self.job is not None and self.job.verb == verb:
            return self.job
        self._finish("canceled")
        self._jobs += 1
        self.job = Job(self._jobs, verb)
        return self.job

    def _finish(self, result: str) -> None:
        if self.job is not None:
            self.job.result, self.job = result, None
            self.changed()

    def _enter(self, state: ActiveState, sub_state: str) -> None:
        self.state, self.sub_state = state, sub_state
        self._phase += 1
        self.phase_ends_at = FOREVER
        self.changed()

    def _in_this_phase(self, seconds: float, happen: Callable[[], None]) -> None:
        phase = self._phase
        self.phase_ends_at = self.clock() + seconds
        self.later(seconds, lambda: happen() if phase == self._phase else None)

    def _begin(self) -> None:
        self._life += 1
        self.condition_failed = not self.character.condition_met
        if self.condition_failed:
            self._come_down("success", of_job="done")
        elif self.character.dependency_fails:
            self._come_down("success", of_job="dependency")
        elif self._is_started_too_often():
            self._come_down("start-limit-hit", of_job="failed")
        else:
            self._enter(ActiveState.ACTIVATING, "start")
            self._in_this_phase(min(self.character.start_s, self.character.start_timeout_s), self._end_start)

    def _is_started_too_often(self) -> bool:
        now = self.clock()
        self._starts = [start for start in self._starts if start > now - _START_INTERVAL_S] + [now]
        return len(self._starts) > _START_LIMIT

    def _end_start(self) -> None:
        if self.character.start_s > self.character.start_timeout_s:
            self._finish("failed")
            self._terminate("timeout")
        elif self.character.start_fails:
            self._die("exit-code")
        elif self.character.is_oneshot:
            self._come_down("success", of_job="done")
        else:
            self._come_up()
            self._finish("done")

    def _come_up(self) -> None:
        self.result = "success"
        self._enter(ActiveState.ACTIVE, "running")
        life = self._life
        self.later(self.character.lives_s, lambda: self._die("core-dump") if life == self._life else None)

    def _end_reload(self) -> None:
        self._enter(ActiveState.ACTIVE, "running")
        self._finish("failed" if self.character.reload_fails else "done")

    def _terminate(self, result: str) -> None:
        self._enter(ActiveState.DEACTIVATING, "stop-sigterm")
        if self.character.stop_s <= self.character.stop_timeout_s:
            self._in_this_phase(self.character.stop_s, lambda: self._come_down(result))
        else:
            self._in_this_phase(self.character.stop_timeout_s, self._kill_late)

    def _kill_late(self) -> None:
        self._enter(ActiveState.DEACTIVATING, "stop-sigkill")
        self._in_this_phase(self.character.kill_s, lambda: self._come_down("timeout"))

    def _die(self, result: str) -> None:
        """End without having been asked to, or by SIGKILL."""
        if self.is_down or self.sub_state == AUTO_RESTART:
            return
        if self.state is ActiveState.DEACTIVATING:
            self._come_down(result)
        elif self.character.restarts and self.keeps_restarts():
            self.result = result
            self._enter(ActiveState.ACTIVATING, AUTO_RESTART)
            self._finish("failed")
            self._in_this_phase(self.character.restart_s, self._begin)
        else:
            self._come_down(result, of_job="failed")

    def _come_down(self, result: str, of_job: str = "") -> None:
        """Be down; a stop is done then, a start that waited for it begins, unless it is what failed."""
        self._life += 1
        self.result = result
        self._enter(*((ActiveState.INACTIVE, "dead") if result == "success" else (ActiveState.FAILED, "failed")))
        if self.job is not None and self.job.verb == "start" and not of_job:
            self._begin()
            return
        self._finish(of_job if self.job is not None and self.job.verb != "stop" else "done")
        if not self.condition_failed and result != "start-limit-hit":  # TriggerLimitBurst= ends such a loop
            self._in_this_phase(self.character.revived_s, lambda: self._begin() if self.job is None else None)
