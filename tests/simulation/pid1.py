"""A simulated service manager: takes requests in order, runs their jobs, knows what it has loaded, may not respond.

Its replies are those of systemd 252, down to the exit codes and lines of systemctl.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import ActiveState, Exited, LoadState
from tests.simulation.faults import Deed
from tests.simulation.records import Glimpse, Standing
from tests.simulation.timeline import FOREVER, Timeline
from tests.simulation.units import Character, Job, Member, Unit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from ocf_systemd.core.observations import CommandOutcome
    from tests.simulation.records import Call

_REEXECUTION_S = 0.4
_RESULTS = {
    "failed": "Job for {} failed because the control process exited with error code.\n",
    "canceled": "Job for {} canceled.\n",
    "dependency": "A dependency job for {} failed. See 'journalctl -xe' for details.\n",
}
_DESTRUCTIVE = (
    "Failed to {verb} {{0}}: Transaction for {{0}}/{verb} is destructive "
    "(shutdown.target has 'start' job queued, but 'stop' is included in transaction).\n"
)
_MANUAL_REFUSED = (
    "Failed to {verb} {{0}}: Operation refused, unit {{0}} may be requested by dependency only "
    "(it is configured to refuse manual start/stop).\n"
)
_SHUTDOWN_JOBS = "4711 pacemaker.service stop running\n4712 {} stop waiting\n"
_UNANSWERED = Exited(0.0, stderr=b"Failed to connect to bus: Connection refused\n", code=1)
_NOT_BOOTED = Exited(0.0, stderr=b"System has not been booted with systemd as init system (PID 1).\n", code=1)
_CUT_OFF = Exited(0.0, stderr=b"Failed to wait for response: Connection reset by peer\n", code=1)


@dataclass(eq=False, slots=True)
class Request:
    """A systemctl's request: taken in order, then replied to, possibly once a job has ended.

    It is out once systemctl has sent it; until then, and with it the process, it can be withdrawn.
    """

    verb: str
    call: Call
    is_withdrawn: bool = False
    is_out: bool = False
    is_taken: bool = False
    knew_drop_in: bool | None = None
    knew_load: LoadState | None = None
    at_shutdown: bool = False
    glimpse: Glimpse | None = None
    main: Member | None = None
    job: Job | None = None
    answer: CommandOutcome | None = None


@dataclass
class Pid1:
    """The service manager of a host with one unit.

    While it is busy its clock stands still, as far as anybody can see: what happens meanwhile it notices afterwards,
    and requests wait in its socket even after their sender has ended. Of the unit's names `name` is the one that the
    agent has, `id` the primary one; `generators_s` is what a daemon-reload takes.
    """

    timeline: Timeline
    chance: Random
    name: str
    id: str
    character: Character
    drop_in: Path
    is_there: bool = True
    generators_s: float = 0.05
    knows_drop_in: bool = False
    is_shutting_down: bool = False
    last_trouble_at: float = -1.0
    last_deed_at: float = -1.0
    states: list[tuple[float, ActiveState]] = field(default_factory=list)
    _file: LoadState = LoadState.LOADED
    _load: LoadState = LoadState.LOADED
    _busy_until: float = 0.0
    _away_until: float = 0.0
    _postponed: list[Callable[[], None]] = field(default_factory=list)
    _waiting: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._file = self._load = self.character.load
        self.unit = Unit(self.character, self.timeline, self.later, self._keeps_restarts, self._note_change)
        self._note_change()

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Notice something after some seconds, or when there is time for it."""
        self.timeline.at(self.timeline.now + seconds, lambda: self._notice(happen))

    def receive(self, request: Request, after_s: float) -> None:
        """Take a request that is going to be sent, unless it is withdrawn before."""
        self.timeline.at(self.timeline.now + after_s, lambda: self._receive(request))

    @property
    def is_busy(self) -> bool:
        return self._busy_until > self.timeline.now

    @property
    def has_backlog(self) -> bool:
        """Whether requests or events from the time in which it was busy are pending."""
        return bool(self._postponed)

    def glimpse(self) -> Glimpse:
        unit = self.unit
        return Glimpse(
            load=self._load,
            active=unit.state,
            has_job=unit.job is not None,
            can_reload=self.character.can_reload,
            knows_drop_in=self.knows_drop_in,
            keeps_restarts=self.character.restarts and self._keeps_restarts(),
            remains=unit.is_inactive and bool(unit.remaining(unit.main_to_be_ended)),
            leaves=unit.is_inactive and bool(unit.members),
        )

    def standing(self) -> Standing:
        """Return the true state, whether or not it can be queried."""
        unit = self.unit
        return Standing(
            glimpse=self.glimpse(),
            settles_in_s=max(unit.phase_ends_at - self.timeline.now, 0.0),
            drop_in_stands=self.drop_in.is_file(),
            drop_in_is_known=self.knows_drop_in,
            file=self._file,
            is_shutting_down=self.is_shutting_down,
            outlooks=unit.outlooks(),
        )

    def states_since(self, began: float) -> frozenset[ActiveState]:
        """Return all states the unit was in from then until now."""
        earlier = [state for at, state in self.states if at < began]
        return frozenset([*earlier[-1:], *(state for at, state in self.states if at >= began)])

    @property
    def is_troubled(self) -> bool:
        """Whether an earlier fault still has effects: it cannot respond, or has requests pending."""
        return self.is_busy or self.has_backlog or self._away_until > self.timeline.now

    def suffer(self, deed: Deed) -> None:
        """Let something happen to this host."""
        self.timeline.record(f"{deed}")
        self.last_trouble_at = self.last_deed_at = self.timeline.now
        self._suffer(deed)

    def calm_down(self) -> None:
        """End whatever keeps it from answering."""
        self._away_until = 0.0
        if self.is_busy:
            self._busy_until = 0.0
            self._catch_up()

    def _keeps_restarts(self) -> bool:
        return self.character.restart_stays or not self.knows_drop_in

    def _suffer(self, deed: Deed) -> None:
        match deed:
            case Deed.START | Deed.STOP | Deed.KILL:
                self._execute(deed.name.lower())
            case Deed.CANCEL:
                self.unit.cancel_job()
            case Deed.RESET_FAILED:
                self.unit.reset_failed()
            case Deed.RESTART_DEPENDENCY:
                if not self.is_shutting_down:
                    self.unit.restart_with_dependency()
            case Deed.LOSE:
                self.unit.be_lost()
            case Deed.STUN | Deed.HANG:
                self._be_busy(FOREVER if deed is Deed.HANG else self.chance.uniform(0.2, 15.0))
            case Deed.REEXECUTE:
                self._reexecute()
            case Deed.SHUT_DOWN:
                self._shut_down()
            case _:
                self._change_file(deed)

    def _reexecute(self) -> None:
        self._away_until = self.timeline.now + _REEXECUTION_S
        for request in self._waiting:
            request.answer = _CUT_OFF
        self._waiting.clear()

    def _shut_down(self) -> None:
        """Queue stop jobs for Pacemaker, which waits for its resources, and for the unit."""
        self.is_shutting_down = self.unit.is_barred = True
        if not self.unit.is_inactive:
            self._queue("stop")

    def _change_file(self, deed: Deed) -> None:
        match deed:
            case Deed.REMOVE_DROP_IN:
                with suppress(OSError):
                    self.drop_in.unlink()
            case Deed.REMOVE_FILE:
                self._file = LoadState.NOT_FOUND
            case Deed.MASK:
                self._file = LoadState.MASKED
            case Deed.PUT_FILE | Deed.LAY_FILE:
                self._file = LoadState.LOADED
            case Deed.DAEMON_RELOAD:
                pass
            case _:
                raise AssertionError(f"{deed} is not simulated")
        if deed not in {Deed.REMOVE_DROP_IN, Deed.LAY_FILE}:
            self._read_files()

    def _notice(self, happen: Callable[[], None]) -> None:
        if self.is_busy:
            self._postponed.append(happen)
        else:
            happen()

    def _be_busy(self, seconds: float) -> None:
        self._busy_until = max(self._busy_until, self.timeline.now + seconds)
        self.timeline.at(self._busy_until, self._catch_up)

    def _catch_up(self) -> None:
        while self._postponed and not self.is_busy:
            self._postponed.pop(0)()

    def _receive(self, request: Request) -> None:
        if not request.is_withdrawn:
            request.is_out = True
            request.call.sent_at = self.timeline.now
            self._waiting.append(request)
            self._notice(lambda: self._take(request))

    def _take(self, request: Request) -> None:
        if request.is_withdrawn and request in self._waiting:
            self._waiting.remove(request)
        if request.is_withdrawn or request.answer is not None:
            return
        self._load_if_forgotten()
        request.is_taken = True
        request.call.taken_at = self.timeline.now
        request.knew_drop_in, request.knew_load = self.knows_drop_in, self._load
        request.at_shutdown = self.is_shutting_down
        if self._away_until > self.timeline.now or not self.is_there:
            self._waiting.remove(request)
            request.answer = _UNANSWERED if self.is_there else _NOT_BOOTED
            return
        if request.verb == "show":
            request.glimpse, request.main = self.glimpse(), self.unit.main_to_be_ended
        match self._execute(request.verb):
            case Job() as job:
                request.job = job
                self._note_change()
            case answer:
                self.later(0.0, lambda: self._answer(request, answer))  # once it is not busy: a daemon-reload ends then

    def _answer(self, request: Request, answer: Exited) -> None:
        if request in self._waiting:
            self._waiting.remove(request)
            request.answer = answer

    def _execute(self, verb: str) -> Exited | Job:
        self.timeline.record(f"systemd takes: {verb}")
        match verb:
            case "show":
                return Exited(0.0, self._properties().encode())
            case "start" | "stop" | "stop at once" | "reload":
                return self._refused(verb.removesuffix(" at once")) or self._queue(verb)
            case "kill" | "reset-failed" if self._load is LoadState.NOT_FOUND and self.unit.is_inactive:
                return self._refusal(1, f"Failed to {verb} {{0}}: Unit {{0}} not loaded.\n")
            case "kill":
                self.unit.receive_signal(SIGKILL)
            case "reset-failed":
                self.unit.reset_failed()
            case "daemon-reload":
                self._read_files()
                self._be_busy(self.generators_s)
            case "list-jobs":
                jobs = _SHUTDOWN_JOBS.format(self.id) if self.is_shutting_down else ""
                return Exited(0.0, stdout=jobs.encode())
            case _:
                raise AssertionError(f"systemctl {verb} is not simulated")
        return Exited(0.0)

    def _queue(self, verb: str) -> Exited | Job:
        match verb:
            case "start":
                return self.unit.start()
            case "reload":
                return self.unit.reload() or self._refusal(1, "{} is not active, cannot reload.\n")
            case _:
                # By the drop-in's Before= the unit's stop job waits for Pacemaker's.
                is_held_up = self.is_shutting_down and self.knows_drop_in and verb != "stop at once"
                return self.unit.stop(waits=is_held_up)

    def _refused(self, verb: str) -> Exited | None:
        """Return why a job cannot be queued."""
        unit = self.unit
        if self._load is LoadState.NOT_FOUND and (verb == "start" or (verb == "stop" and unit.is_inactive)):
            what = "found" if verb == "start" else "loaded"
            return self._refusal(5, f"Failed to {verb} {{0}}: Unit {{0}} not {what}.\n")
        if self._load is LoadState.MASKED and verb == "start":
            return self._refusal(1, f"Failed to {verb} {{0}}: Unit {{0}} is masked.\n")
        if self._load is LoadState.BAD_SETTING and verb == "start":
            return self._refusal(1, f"Failed to {verb} {{0}}: Unit {{0}} has a bad unit file setting.\n")
        if (verb == "start" and self.character.refuses_start) or (verb == "stop" and self.character.refuses_stop):
            return self._refusal(4, _MANUAL_REFUSED.format(verb=verb))
        if self.is_shutting_down and (verb == "start" or (verb == "reload" and unit.is_running)):
            return self._refusal(4, _DESTRUCTIVE.format(verb=verb))
        return None

    def _refusal(self, code: int, stderr: str) -> Exited:
        return Exited(0.0, stderr=stderr.format(self.name).encode(), code=code)

    def _load_if_forgotten(self) -> None:
        """Read the files of a unit that was forgotten while it was inactive, without a process (unit_may_gc())."""
        unit = self.unit
        is_idle = unit.state is ActiveState.INACTIVE and unit.job is None and not unit.members
        if self.character.is_forgotten and is_idle:
            self._read_files()

    def _read_files(self) -> None:
        self._load = self._file
        self.knows_drop_in = self.drop_in.is_file()
        job = self.unit.job
        if job is not None and job.verb == "stop" and job.waits and not self.knows_drop_in:
            self.unit.stop()

    def _properties(self) -> str:
        unit, stands = self.unit, self.drop_in.is_file()
        # systemd 252 overlooks a drop-in whose directory is new, and a file that appears where there was none
        needs_reload = (self.knows_drop_in and not stands) or self._load not in {self._file, LoadState.NOT_FOUND}
        restarts = self.character.restarts and self._keeps_restarts()
        last_main = unit.last_main.process if unit.last_main else None
        properties = {
            "LoadState": self._load,
            "ActiveState": unit.state,
            "SubState": unit.sub_state,
            "Result": unit.result,
            "Job": str(unit.job.number) if unit.job else "0",
            "CanReload": "yes" if self.character.can_reload else "no",
            "ConditionResult": "no" if unit.condition_failed else "yes",
            "ConditionTimestampMonotonic": "4711",
            "NeedDaemonReload": "yes" if needs_reload else "no",
            "DropInPaths": str(self.drop_in) if self.knows_drop_in else "",
            "Id": self.id,
            "Names": self.id if self.id == self.name else f"{self.id} {self.name}",
            "Restart": "always" if restarts else "no",
            "RestartForceExitStatus": "",
            "KillMode": self.character.kill_mode,
            "MainPID": str(unit.main.process.pid) if unit.main else "0",
            "ExecMainPID": str(last_main.pid) if last_main else "0",
            "ExecMainCode": "1" if unit.main_has_ended else "0",
            "ExecMainStatus": "0",
            "ExecMainStartTimestampMonotonic": str(last_main.started * 10_000) if last_main else "0",
            "ControlGroup": f"/system.slice/{self.id}" if unit.members else "",
            "Slice": "system.slice",
        }
        return "".join(f"{name}={value}\n" for name, value in properties.items())

    def _note_change(self) -> None:
        unit = self.unit
        if not self.states or self.states[-1][1] is not unit.state:
            self.states.append((self.timeline.now, unit.state))
            self.timeline.record(f"{self.name} is {unit.state} ({unit.sub_state}, {unit.result})")
        for request in [waiting for waiting in self._waiting if waiting.job and waiting.job.result]:
            assert request.job is not None
            self._waiting.remove(request)
            request.answer = self._end_of(request.job)

    def _end_of(self, job: Job) -> Exited:
        return Exited(0.0) if job.result == "done" else self._refusal(1, _RESULTS[job.result])
