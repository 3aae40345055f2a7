"""A systemctl, a hook and a unit's processes that follow a script, on a clock that jumps.

An action's whole run takes no real time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import trio
from trio.testing import MockClock

from ocf_systemd.agent.actions import perform
from ocf_systemd.agent.request import Request
from ocf_systemd.core.observations import CommandOutcome, Exited, NotStarted, Signalled, TimedOut
from ocf_systemd.core.parameters import Operation
from ocf_systemd.core.records import replace as replace_fields
from tests.unit.builders import UNIT, Heard, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from signal import Signals

    from ocf_systemd.core.observations import Process, UnitState
    from ocf_systemd.core.ocf import Action, ActionResult
    from ocf_systemd.host.processes import Command

HOOK_PATH = "/bin/true"
"""A file that is there, safe and executable on every host; what it does is in the script."""

AFTER_ALL = 1e9


@dataclass(frozen=True)
class Step:
    """What comes of one call: an outcome after some seconds; `until` a verb was called, if that comes earlier.

    `main` and `others` are the processes of the unit that are alive as it is shown.
    """

    outcome: CommandOutcome
    after_s: float = 0.01
    until: str = ""
    main: Process | None = None
    others: tuple[Process, ...] = ()


def exits(code: int, stderr: str = "", after_s: float = 0.01) -> Step:
    return Step(Exited(after_s, stderr=stderr.encode(), code=code), after_s)


def hangs(until: str = "") -> Step:
    return Step(Exited(0.0), AFTER_ALL, until)


def shows(active: str, load: str = "loaded", after_s: float = 0.01, **properties: str) -> Step:
    """Return the step in which `systemctl show` prints this state of a service."""
    state = {"LoadState": load, "ActiveState": active, "SubState": active, "CanReload": "yes"}
    shown = state | {"Id": UNIT, "Restart": "no", "KillMode": "control-group"} | properties
    text = "".join(f"{name}={value}\n" for name, value in shown.items())
    return Step(Exited(after_s, stdout=text.encode()), after_s)


def alive(step: Step, *others: Process, main: Process | None = None) -> Step:
    """Return a step in which these processes of the unit are alive."""
    return replace(step, main=main, others=others)


def lists(*jobs: str) -> Step:
    """Return the step in which `systemctl list-jobs` prints these jobs: `UNIT TYPE STATE`."""
    text = "".join(f"{number} {job}\n" for number, job in enumerate(jobs, 1))
    return Step(Exited(0.01, stdout=text.encode()))


def silent(after_s: float = 0.01) -> Step:
    """Return the step in which systemd does not respond."""
    return exits(1, "Failed to get properties: Connection reset by peer", after_s)


_LOOKS = frozenset({"show", "list-jobs"})
DONE = exits(0)
Script = dict[str, list[Step]]


@dataclass(frozen=True)
class Call:
    """One command that was run: when, for how long, how it ended (None: it was cancelled), and until when it could."""

    verb: str
    arguments: tuple[str, ...]
    at_s: float
    ended_s: float
    outcome: CommandOutcome | None
    deadline_s: float


@dataclass(frozen=True)
class Signal:
    """A signal that was sent to the processes of a unit: when, and to which unit in what state."""

    name: str
    at_s: float
    unit: UnitState


@dataclass
class ScriptedSystemctl:
    """A runner that returns what a script says: steps by verb (`hook` for hooks), the last of which goes on for ever.

    `effects` are changes of the script, made when a verb has been called or a signal sent, each by its name. It is the
    unit's processes as well: those of the state that was shown last.
    """

    script: Script
    effects: dict[str, Script] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    _called: dict[str, anyio.Event] = field(default_factory=dict)
    _began: float = -1.0
    _shown: Step | None = None

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        at = anyio.current_time()
        self._began = at if self._began < 0 else self._began
        verb = verb_of(command)
        self._take_effect(verb)
        steps = self.script.get(verb, [DONE])
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        outcome = None
        try:
            outcome = await self._play(step, at, min(deadline, at + (command.time_limit_s or AFTER_ALL)))
        finally:
            ended = anyio.current_time()
            times = (at - self._began, ended - self._began)
            self.calls.append(Call(verb, command.arguments, *times, outcome, deadline - self._began))
        if verb == "show":
            self._shown = step
        return outcome

    def _take_effect(self, name: str) -> None:
        self.script |= {verb: list(steps) for verb, steps in self.effects.get(name, {}).items()}
        self._called.setdefault(name, anyio.Event()).set()

    def find(self, unit: UnitState) -> UnitState:
        """Return a unit's state with its processes, as `Cgroups` does: of a type that has none, without."""
        if self._shown is None or unit.details is None or not unit.details.kill_mode:
            return unit
        return replace_fields(unit, main_process=self._shown.main, processes=self._shown.others)

    def send_signal(self, unit: UnitState, number: Signals) -> None:
        """Note a signal, which takes effect at once."""
        self.signals.append(Signal(number.name, anyio.current_time() - self._began, unit))
        self._take_effect(number.name)

    def signal_times(self, name: str) -> list[float]:
        """Return when a signal was sent, in seconds since the first call."""
        return [signal.at_s for signal in self.signals if signal.name == name]

    async def _play(self, step: Step, at: float, deadline: float) -> CommandOutcome:
        with anyio.CancelScope(deadline=min(at + step.after_s, deadline)):
            if step.until:
                await self._called.setdefault(step.until, anyio.Event()).wait()
            else:
                await anyio.sleep(step.after_s)
            return step.outcome
        if at + step.after_s <= deadline:
            return step.outcome
        return TimedOut(anyio.current_time() - at)

    def times(self, verb: str) -> list[float]:
        """Return when a verb was called, in seconds since the first call."""
        return [call.at_s for call in self.of(verb)]

    def of(self, verb: str) -> list[Call]:
        return sorted((call for call in self.calls if call.verb == verb), key=lambda call: call.at_s)

    @property
    def verbs(self) -> list[str]:
        """What was called, in order, without what only looks, and each verb's repetitions once."""
        called = [call.verb for call in sorted(self.calls, key=lambda call: call.at_s) if call.verb not in _LOOKS]
        return called[:1] + [verb for before, verb in pairwise(called) if verb != before]


def verb_of(command: Command) -> str:
    """Return what a command does: the verb of systemctl's, `stop at once`, `journal`, `test`, or `hook`."""
    program, *others = command.arguments
    if "--job-mode=ignore-dependencies" in others:
        return "stop at once"
    if program == "systemctl":
        return next(word for word in others if not word.startswith("-"))
    return {"journalctl": "journal", "test": "test"}.get(program, "hook")


@dataclass
class Run:
    """An action that has ended: its result, the seconds it took of those it had, its calls and events."""

    result: ActionResult
    took_s: float
    time_s: float
    timeout_s: float
    host: ScriptedSystemctl
    heard: Heard


def act(
    action: Action,
    host: ScriptedSystemctl,
    run_directory: Path,
    *,
    operation: Operation | None = None,
    values: Mapping[str, str] | None = None,
) -> Run:
    """Perform an action against a scripted host, in virtual time; its result always comes before Pacemaker's timeout.

    The host is one that systemd has booted.
    """
    booted(run_directory)
    operation = operation or Operation(20.0, is_recurring=True)
    heard = Heard()

    async def main() -> tuple[ActionResult, float, float]:
        began = anyio.current_time()
        deadline = operation.deadline(began)
        given = parameters(**(values or {}))
        request = Request(action, given, operation, deadline, {}, heard, host, run_directory, unit_processes=host)
        result = await perform(request)
        return result, anyio.current_time() - began, deadline - began

    clock = MockClock(autojump_threshold=0)
    result, took_s, time_s = trio.run(main, clock=clock)
    assert took_s <= time_s + 1e-6, "the result came after the agent deadline"
    assert all(call.deadline_s <= time_s + 1e-6 for call in host.calls), "a command had more time than there was"
    assert all(call.ended_s <= took_s + 1e-6 for call in host.calls), "a command outlived its action"
    assert all(signal.at_s <= took_s + 1e-6 for signal in host.signals), "a signal came after its action"
    return Run(result, took_s, time_s, operation.timeout_s, host, heard)


def booted(run_directory: Path) -> Path:
    """Make a directory what /run is on a host that systemd has booted."""
    place = run_directory / "systemd"
    if not place.exists():
        (place / "system").mkdir(parents=True)
    return run_directory


def written_below(run_directory: Path) -> list[Path]:
    """Return the files that an action has left there, without the lock that agents share."""
    files = (path for path in run_directory.rglob("*") if not path.is_dir())
    return [path for path in files if path.name != "daemon-reload.lock"]


def host_with(script: Mapping[str, Sequence[Step]], **effects: Script) -> ScriptedSystemctl:
    """Return a host with a script; an effect's name is its verb, or the signal's."""
    return ScriptedSystemctl({verb: list(steps) for verb, steps in script.items()}, effects)


OUTCOMES: dict[str, Step] = {
    "fails": exits(1, "Failed to connect to bus: Connection refused"),
    "dies": Step(Signalled(0.01, signal=9)),
    "does not start": Step(NotStarted(24, "Too many open files")),
    "hangs": hangs(),
    "tells nothing": exits(0),
}
"""Outcomes of a systemctl that does not print the unit's state."""
