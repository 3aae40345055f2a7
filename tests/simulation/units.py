"""A simulated unit: its character, its processes, and what becomes of both when it is started, stopped or killed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import DOWN_STATES, RUNNING_STATES, ActiveState, LoadState, Process
from tests.simulation.timeline import FOREVER, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import Signals

_START_LIMIT, _START_INTERVAL_S = 5, 10.0  # DefaultStartLimitBurst=, DefaultStartLimitIntervalSec=
_FIRST_PID = 1001
_UNINTERRUPTIBLE_S = 0.5  # what takes that long to end after SIGKILL is in uninterruptible sleep
_KILLS_ALL = frozenset({"control-group", "mixed"})  # systemd.kill(5)
AUTO_RESTART = "auto-restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """What a unit is like. Durations are seconds, and FOREVER is one of them.

    `start_s` is the time to readiness, or to a failure; `stop_s` that from SIGTERM to the end of its main process,
    `kill_s` that from SIGKILL; `post_s` what its ExecStopPost= takes, if it has one; `lives_s` how long it runs before
    it crashes; `revived_s` how long after its end its socket starts it again; `dependency_s` how long a unit that it
    requires takes to restart. One that `is_forgotten` while it is inactive, for no other unit names it, is loaded again
    when it is asked for ("Unit garbage collection" in systemd.unit(5)). `has_helper` is whether it has a second
    process, `refuses_start` and `refuses_stop` are RefuseManualStart= and RefuseManualStop=, and `restart_stays` is
    whether another drop-in has Restart= win over the agent's.
    """

    load: LoadState = LoadState.LOADED
    condition_met: bool = True
    dependency_fails: bool = False
    dependency_s: float = 2.0
    start_s: float = 0.1
    start_fails: bool = False
    start_timeout_s: float = 90.0
    is_oneshot: bool = False
    lives_s: float = FOREVER
    restarts: bool = False
    restart_s: float = 0.1
    restart_stays: bool = False
    revived_s: float = FOREVER
    stop_s: float = 0.1
    stop_timeout_s: float = 90.0
    kill_s: float = 0.01
    post_s: float = 0.0
    kill_mode: str = "control-group"
    sends_sigkill: bool = True
    has_helper: bool = False
    refuses_start: bool = False
    refuses_stop: bool = False
    is_forgotten: bool = False
    can_reload: bool = True
    reload_s: float = 0.1
    reload_fails: bool = False


@dataclass(slots=True)
class Job:
    """A job of a unit; no result: it is queued or runs. One that `waits` runs once another unit's job is done."""

    number: int
    verb: str
    result: str = ""
    waits: bool = False


@dataclass(eq=False, slots=True)
class Member:
    """A process of a unit: how long it takes to end after each signal, and when and by what it will end."""

    process: Process
    term_s: float
    kill_s: float
    ends_at: float = FOREVER
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """How many seconds a process has left without further signals, after SIGTERM, and after SIGKILL."""

    ends_in_s: float
    term_s: float
    kill_s: float


@dataclass
class Unit:
    """A unit as the service manager sees it, and its processes as the kernel has them.

    `later` lets the manager do something after some seconds; `keeps_restarts` is whether the unit's own Restart= is
    in force. A phase is a stay in one state: what was planned for one that is over is void. Processes end by themselves
    whether or not the manager notices.
    """

    character: Character
    timeline: Timeline
    later: Callable[[float, Callable[[], None]], None]
    keeps_restarts: Callable[[], bool]
    changed: Callable[[], None]
    state: ActiveState = ActiveState.INACTIVE
    sub_state: str = "dead"
    result: str = "success"
    condition_failed: bool = False
    is_barred: bool = False
    job: Job | None = None
    phase_ends_at: float = FOREVER
    members: list[Member] = field(default_factory=list)
    main: Member | None = None
    last_main: Member | None = None
    main_has_ended: bool = False
    _control: Member | None = None
    _ending: str = "success"
    _posted: bool = False
    _restarts_next: bool = False
    _phase: int = 0
    _jobs: int = 0
    _pids: count[int] = field(default_factory=lambda: count(_FIRST_PID))
    _starts: list[float] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING_STATES

    @property
    def is_inactive(self) -> bool:
        return self.state in DOWN_STATES

    @property
    def to_be_ended(self) -> list[Member]:
        """The processes that must not outlive a stop, by KillMode=; the others stay."""
        if self.character.kill_mode in _KILLS_ALL:
            return self.members
        watched = (self.main if self.character.kill_mode == "process" else None, self._control)
        return [member for member in watched if member]

    @property
    def main_to_be_ended(self) -> Member | None:
        """The main process that must not outlive a stop, one that the manager has given up on included."""
        return self.main or (self.last_main if self.character.kill_mode != "none" else None)

    def remaining(self, main: Member | None) -> list[Member]:
        """Return the processes that must not be alive when the unit is inactive and that is its main process."""
        return [member for member in self.members if self.character.kill_mode in _KILLS_ALL or member is main]

    def outlooks(self) -> tuple[Outlook, ...]:
        """Return the outlook of every process that a stop has to see ended."""
        members = self.remaining(self.main_to_be_ended) if self.is_inactive else self.to_be_ended
        now = self.timeline.now
        return tuple(Outlook(member.ends_at - now, member.term_s, member.kill_s) for member in members)

    def start(self) -> Job:
        """Queue a start; it replaces a stop that is queued or runs."""
        job = self._queue("start")
        if self.is_running:
            self._finish("done")
        elif (self.is_inactive and not job.waits) or self.sub_state == AUTO_RESTART:
            self._begin()
        return job  # else it is coming up, waits for a dependency, or has to go down first

    def stop(self, *, waits: bool = False) -> Job:
        """Queue a stop; it cancels any other job. One that `waits` does not run before another request."""
        job = self._queue("stop")
        job.waits = waits
        self._restarts_next = False
        if self.is_inactive:
            self._finish("done")
        elif not waits:
            self._run_stop()
        return job

    def restart_with_dependency(self) -> None:
        """Be restarted together with a unit that it requires: inactive, with a start job queued, in between."""
        if self.is_running:
            self._queue("restart")
            self._terminate("success")

    def be_lost(self) -> None:
        """Be taken for inactive by the manager while all processes live on, and the main process is known."""
        if self.is_running:
            self._finish("canceled")
            self.result = "success"
            self._enter(ActiveState.INACTIVE, "dead")

    def reload(self) -> Job | None:
        """Queue a reload; none: the unit is not active."""
        if not self.is_running:
            return None
        job = self._queue("reload")
        if self.state is ActiveState.ACTIVE:
            self._enter(ActiveState.RELOADING, "reload")
            self._in_this_phase(self.character.reload_s, self._end_reload)
        return job

    def receive_signal(self, number: Signals) -> None:
        """Have a signal sent to all of its processes."""
        for member in self.members:
            self._end(member, number)

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
                self._fork()
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

    def _finish(self, result: str, *verbs: str) -> None:
        """End the job, if there is one; with `verbs`, only if it is one of these."""
        if self.job is not None and (not verbs or self.job.verb in verbs):
            self.job.result, self.job = result, None
            self.changed()

    def _enter(self, state: ActiveState, sub_state: str) -> None:
        self.state, self.sub_state = state, sub_state
        self._phase += 1
        self.phase_ends_at = FOREVER
        self.changed()

    def _in_this_phase(self, seconds: float, happen: Callable[[], None]) -> None:
        phase = self._phase
        self.phase_ends_at = self.timeline.now + seconds
        self.later(seconds, lambda: happen() if phase == self._phase else None)

    def _fork(self) -> None:
        """Have processes; a helper ends at SIGTERM at once."""
        self.main = self.last_main = self._forked("demo", self.character.stop_s, self.character.kill_s)
        self.main_has_ended = False
        if self.character.has_helper and not self.character.is_oneshot:
            self._forked("demo-helper", 0.0, 0.0)

    def _forked(self, name: str, term_s: float, kill_s: float) -> Member:
        started = int(self.timeline.now * 100)
        is_uninterruptible = kill_s >= _UNINTERRUPTIBLE_S
        process = Process(next(self._pids), started, name, is_uninterruptible=is_uninterruptible)
        member = Member(process, term_s, kill_s)
        self.members.append(member)
        return member

    def _end(self, member: Member, number: Signals) -> None:
        if number == SIGKILL:
            self._end_after(member, member.kill_s, "signal")
        else:
            self._end_after(member, member.term_s, "success")

    def _end_after(self, member: Member, seconds: float, cause: str) -> None:
        """Let a process end after some seconds, unless it does before."""
        when = self.timeline.now + seconds
        if when < member.ends_at:
            member.ends_at, member.cause = when, cause
            self.timeline.at(when, lambda: self._has_ended(member))

    def _has_ended(self, member: Member) -> None:
        if member in self.members and member.ends_at <= self.timeline.now:
            self.members.remove(member)
            self.later(0.0, lambda: self._notice_end(member))

    def _notice_end(self, member: Member) -> None:
        """Do what the manager does about the end of a process."""
        is_main = member is self.main
        if is_main:
            self.main, self.main_has_ended = None, True
        if member is self._control:
            self._control = None
        if self.state is ActiveState.DEACTIVATING:
            if is_main and self._ending == "success":
                self._ending = member.cause
            if not self.to_be_ended:
                self._follow_the_end()
        elif is_main and not self.is_inactive:
            self._die(member.cause)

    def _begin(self) -> None:
        self.condition_failed = not self.character.condition_met
        if self.job is not None:
            self.job.waits = False
        if self.condition_failed:
            self._come_down("success", of_job="done")
        elif self.character.dependency_fails:
            self._come_down("success", of_job="dependency")
        elif self._is_started_too_often():
            self._come_down("start-limit-hit", of_job="failed")
        else:
            self._fork()
            self._enter(ActiveState.ACTIVATING, "start")
            self._in_this_phase(min(self.character.start_s, self.character.start_timeout_s), self._end_start)

    def _is_started_too_often(self) -> bool:
        now = self.timeline.now
        self._starts = [start for start in self._starts if start > now - _START_INTERVAL_S] + [now]
        return len(self._starts) > _START_LIMIT

    def _end_start(self) -> None:
        assert self.main is not None
        if self.character.start_s > self.character.start_timeout_s:
            self._finish("failed", "start")
            self._terminate("timeout")
        elif self.character.start_fails:
            self._end_after(self.main, 0.0, "exit-code")
        elif self.character.is_oneshot:
            if self.main in self.members:
                self.members.remove(self.main)
            self.main_has_ended = True
            self._come_down("success", of_job="done")
        else:
            self._come_up()
            self._finish("done", "start")

    def _come_up(self) -> None:
        self.result = "success"
        self._enter(ActiveState.ACTIVE, "running")
        if self.main is not None:
            self._end_after(self.main, self.character.lives_s, "core-dump")

    def _end_reload(self) -> None:
        self._enter(ActiveState.ACTIVE, "running")
        self._finish("failed" if self.character.reload_fails else "done", "reload")

    def _run_stop(self) -> None:
        if self.sub_state == AUTO_RESTART:
            self._come_down("success")
        elif self.state is not ActiveState.DEACTIVATING:
            self._terminate("success")

    def _terminate(self, result: str) -> None:
        """End all processes that must not outlive a stop, then be down."""
        self._ending, self._posted = result, False
        if not self.to_be_ended:
            self._come_down(result)
            return
        self._enter(ActiveState.DEACTIVATING, "stop-sigterm")
        for member in self.to_be_ended:
            self._end_after(member, member.term_s, "success")
        self._in_this_phase(self.character.stop_timeout_s, self._kill_late)
        last_end = max(member.ends_at for member in self.to_be_ended)
        self.phase_ends_at = min(self.phase_ends_at, last_end)

    def _follow_the_end(self) -> None:
        """Do what follows the end of the last process: run ExecStopPost=, unless that is what has ended."""
        if not self.character.post_s or self.sub_state not in {"stop-sigterm", "stop-sigkill"} or self._posted:
            self._come_down(self._ending)
            return
        self._posted = True
        self._control = self._forked("demo-post", 0.0, 0.0)
        self._enter(ActiveState.DEACTIVATING, "stop-post")
        self._end_after(self._control, self.character.post_s, "success")
        self._in_this_phase(self.character.stop_timeout_s, self._kill_late)
        self.phase_ends_at = min(self.phase_ends_at, self._control.ends_at)

    def _kill_late(self) -> None:
        """Do what follows TimeoutStopSec=: SIGKILL, if allowed, and once more that time before it is given up."""
        self._ending = "timeout"
        self._enter(ActiveState.DEACTIVATING, "stop-sigkill" if self.character.sends_sigkill else "final-sigterm")
        for member in self.to_be_ended:
            self._end(member, SIGKILL if self.character.sends_sigkill else SIGTERM)
        self._in_this_phase(self.character.stop_timeout_s, lambda: self._come_down("timeout"))

    def _die(self, result: str) -> None:
        """Have lost the main process without a stop."""
        self._finish("failed", "start", "reload")
        may_restart = self.character.restarts and self.keeps_restarts()
        self._restarts_next = may_restart and not (self._is_being_stopped or self.is_barred)
        self._terminate(result)

    @property
    def _is_being_stopped(self) -> bool:
        return self.job is not None and self.job.verb == "stop"

    def _come_down(self, result: str, of_job: str = "") -> None:
        """Be down; a stop is done then, a start that waited for it begins, unless it is what failed."""
        self.main = self._control = None
        if self._restarts_next and not of_job:
            self._restart_itself(result)
            return
        self._restarts_next = False
        self.result = result
        self._enter(*((ActiveState.INACTIVE, "dead") if result == "success" else (ActiveState.FAILED, "failed")))
        if self.job is not None and self.job.verb == "restart":
            self._wait_for_dependency(self.job)
            return
        if self.job is not None and self.job.verb == "start" and not of_job:
            self._begin()
            return
        self._finish(of_job if self.job is not None and self.job.verb != "stop" else "done")
        if not self.condition_failed and result != "start-limit-hit":  # TriggerLimitBurst= ends such a loop
            self._in_this_phase(self.character.revived_s, lambda: None if self.job or self.is_barred else self._begin())

    def _restart_itself(self, result: str) -> None:
        self._restarts_next = False
        self.result = result
        self._enter(ActiveState.ACTIVATING, AUTO_RESTART)
        self._in_this_phase(self.character.restart_s, lambda: None if self._is_being_stopped else self._begin())

    def _wait_for_dependency(self, job: Job) -> None:
        """Have a restart job that has become a start job, and waits."""
        job.verb, job.waits = "start", True
        self.changed()
        self._in_this_phase(self.character.dependency_s, lambda: self._begin() if self.job is job else None)
