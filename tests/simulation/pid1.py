"""A simulated service manager: it takes requests in order, runs their jobs, knows what it has read, and may not answer.

It speaks as systemd 252 does, down to the exit codes and lines of systemctl.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocf_systemd.observations import ActiveState, Exited, LoadState
from tests.simulation.faults import Deed
from tests.simulation.records import Glimpse, Standing
from tests.simulation.timeline import FOREVER, Timeline
from tests.simulation.units import Character, Job, Unit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from ocf_systemd.observations import CommandOutcome

_RELOAD_S = 0.05
_REEXECUTION_S = 0.4
_RESULTS = {
    "failed": "Job for {} failed because the control process exited with error code.\n",
    "canceled": "Job for {} canceled.\n",
    "dependency": "A dependency job for {} failed. See 'journalctl -xe' for details.\n",
}
_UNANSWERED = Exited(0.0, stderr=b"Failed to connect to bus: Connection refused\n", code=1)
_CUT_OFF = Exited(0.0, stderr=b"Failed to wait for response: Connection reset by peer\n", code=1)


@dataclass(eq=False, slots=True)
class Request:
    """What a systemctl asks: taken in order, then answered, perhaps once a job has ended."""

    verb: str
    is_withdrawn: bool = False
    is_taken: bool = False
    knew_drop_in: bool | None = None
    glimpse: Glimpse | None = None
    job: Job | None = None
    answer: CommandOutcome | None = None


@dataclass
class Pid1:
    """The service manager of a host with one unit.

    While it is busy its clock stands still, as far as anybody can see: what happens meanwhile it notices afterwards,
    and requests wait in its socket even when whoever sent them is gone.
    """

    timeline: Timeline
    chance: Random
    name: str
    character: Character
    drop_in: Path
    knows_drop_in: bool = False
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
        self.unit = Unit(
            self.character, self.later, lambda: not self.knows_drop_in, self._note_change, lambda: self.timeline.now
        )
        self._note_change()

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Notice something after some seconds, or when there is time for it."""
        self.timeline.at(self.timeline.now + seconds, lambda: self._notice(happen))

    def receive(self, request: Request, after_s: float) -> None:
        """Take a request that is on its way."""
        self._waiting.append(request)
        self.later(after_s, lambda: self._take(request))

    @property
    def has_backlog(self) -> bool:
        """Whether it has yet to do what was asked of it, or to notice what has happened, while it was busy."""
        return bool(self._postponed)

    def glimpse(self) -> Glimpse:
        unit = self.unit
        has_job = unit.job is not None
        return Glimpse(self._load, unit.state, has_job, self.character.can_reload)

    def standing(self) -> Standing:
        """Tell how things stand, whether or not anybody could ask."""
        settles_in_s = max(self.unit.phase_ends_at - self.timeline.now, 0.0)
        return Standing(self.glimpse(), settles_in_s, self.drop_in.is_file(), self.knows_drop_in)

    def states_since(self, began: float) -> frozenset[ActiveState]:
        """Return all states the unit was in from then until now."""
        earlier = [state for at, state in self.states if at < began]
        return frozenset([*earlier[-1:], *(state for at, state in self.states if at >= began)])

    def is_untroubled_since(self, began: float) -> bool:
        """Tell whether since then nothing has befallen this host, and what befell it earlier is over."""
        return self.last_trouble_at < began and max(self._busy_until - _RELOAD_S, self._away_until) <= began

    def suffer(self, deed: Deed) -> None:
        """Let something befall this host."""
        self.timeline.tell(f"{deed}")
        self.last_trouble_at = self.last_deed_at = self.timeline.now
        self._suffer(deed)

    def calm_down(self) -> None:
        """End whatever keeps it from answering."""
        self._away_until = 0.0
        if self._busy_until > self.timeline.now:
            self._busy_until = 0.0
            self._catch_up()

    def _suffer(self, deed: Deed) -> None:
        match deed:
            case Deed.START | Deed.STOP | Deed.KILL:
                self._execute(deed.name.lower())
            case Deed.CANCEL:
                self.unit.cancel_job()
            case Deed.RESET_FAILED:
                self.unit.reset_failed()
            case Deed.DAEMON_RELOAD:
                self._read_files()
            case Deed.REMOVE_FILE | Deed.MASK | Deed.PUT_FILE:
                self._change_file(deed)
            case Deed.REEXECUTE:
                self._away_until = self.timeline.now + _REEXECUTION_S
                for request in self._waiting:
                    request.answer = _CUT_OFF
                self._waiting.clear()
            case Deed.STUN:
                self._be_busy(self.chance.uniform(0.2, 15.0))
            case Deed.HANG:
                self._be_busy(FOREVER)
            case Deed.REMOVE_DROP_IN:
                with suppress(OSError):
                    self.drop_in.unlink()

    def _change_file(self, deed: Deed) -> None:
        gone = LoadState.NOT_FOUND if deed is Deed.REMOVE_FILE else LoadState.MASKED
        self._file = LoadState.LOADED if deed is Deed.PUT_FILE else gone
        self._read_files()

    def _notice(self, happen: Callable[[], None]) -> None:
        if self._busy_until > self.timeline.now:
            self._postponed.append(happen)
        else:
            happen()

    def _be_busy(self, seconds: float) -> None:
        self._busy_until = max(self._busy_until, self.timeline.now + seconds)
        self.timeline.at(self._busy_until, self._catch_up)

    def _catch_up(self) -> None:
        while self._postponed and self._busy_until <= self.timeline.now:
            self._postponed.pop(0)()

    def _take(self, request: Request) -> None:
        if request.is_withdrawn or request.answer is not None:
            return
        self._load_anew()
        request.is_taken, request.knew_drop_in = True, self.knows_drop_in
        if self._away_until > self.timeline.now:
            self._waiting.remove(request)
            request.answer = _UNANSWERED
            return
        if request.verb == "show":
            request.glimpse = self.glimpse()
        match self._execute(request.verb):
            case Job() as job:
                request.job = job
                self._note_change()
            case answer:
                request.answer = answer
                self._waiting.remove(request)

    def _execute(self, verb: str) -> Exited | Job:
        self.timeline.tell(f"systemd takes: {verb}")
        match verb:
            case "show":
                return Exited(0.0, self._properties().encode())
            case "start":
                return self._refused("start") or self.unit.start()
            case "stop" | "kill" | "reset-failed" if self._load is LoadState.NOT_FOUND and self.unit.is_down:
                return self._told(5 if verb == "stop" else 1, f"Failed to {verb} {{0}}: Unit {{0}} not loaded.\n")
            case "stop":
                return self.unit.stop()
            case "reload":
                return self.unit.reload() or self._told(1, "{} is not active, cannot reload.\n")
            case "kill":
                self.unit.kill()
            case "reset-failed":
                self.unit.reset_failed()
            case "daemon-reload":
                self._read_files()
                self._be_busy(_RELOAD_S)
            case _:
                raise AssertionError(f"systemctl {verb} is not simulated")
        return Exited(0.0)

    def _refused(self, verb: str) -> Exited | None:
        match self._load:
            case LoadState.NOT_FOUND:
                return self._told(5, f"Failed to {verb} {{0}}: Unit {{0}} not found.\n")
            case LoadState.MASKED:
                return self._told(1, f"Failed to {verb} {{0}}: Unit {{0}} is masked.\n")
            case LoadState.BAD_SETTING:
                return self._told(1, f"Failed to {verb} {{0}}: Unit {{0}} has a bad unit file setting.\n")
            case _:
                return None

    def _told(self, code: int, stderr: str) -> Exited:
        return Exited(0.0, stderr=stderr.format(self.name).encode(), code=code)

    def _load_anew(self) -> None:
        """Read the files of a unit that was forgotten while it was down."""
        unit = self.unit
        if self.character.is_forgotten and unit.state is ActiveState.INACTIVE and unit.job is None:
            self._read_files()

    def _read_files(self) -> None:
        self._load = self._file
        self.knows_drop_in = self.drop_in.is_file()

    def _properties(self) -> str:
        unit, stands = self.unit, self.drop_in.is_file()
        # systemd 252 overlooks a drop-in whose directory is new
        needs_reload = self.knows_drop_in and not stands
        told = {
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
        }
        return "".join(f"{name}={value}\n" for name, value in told.items())

    def _note_change(self) -> None:
        unit = self.unit
        if not self.states or self.states[-1][1] is not unit.state:
            self.states.append((self.timeline.now, unit.state))
            self.timeline.tell(f"{self.name} is {unit.state} ({unit.sub_state}, {unit.result})")
        for request in [waiting for waiting in self._waiting if waiting.job and waiting.job.result]:
            assert request.job is not None
            self._waiting.remove(request)
            request.answer = self._end_of(request.job)

    def _end_of(self, job: Job) -> Exited:
        return Exited(0.0) if job.result == "done" else self._told(1, _RESULTS[job.result])
