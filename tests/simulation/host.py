"""A simulated host: its runner makes of the agent's commands requests to a simulated systemd, and runs of hooks."""

from __future__ import annotations

import dataclasses
import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from ocf_systemd.core.observations import CommandOutcome, Exited, NotStarted, Process, Signalled, TimedOut
from ocf_systemd.core.records import replace
from ocf_systemd.core.timeouts import ending_times_s
from ocf_systemd.host.procfs import find_process
from tests.simulation.faults import not_started
from tests.simulation.pid1 import Pid1, Request
from tests.simulation.records import Call, SentSignal
from tests.simulation.timeline import FOREVER, Timeline
from tests.unit.scripted import verb_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random
    from signal import Signals

    from ocf_systemd.core.observations import UnitState
    from ocf_systemd.host.processes import Command
    from tests.simulation.faults import Deed, Fault, Weather
    from tests.simulation.hooks import Manner

_EVERLASTING_PID = 1  # a process that is alive, by the real /proc, as long as the simulation
_REQUEST_S, _OUTPUT_S = 0.004, 0.002  # the least that systemctl takes to send its request, and to print a reply


@dataclass
class Host:
    """One host: its systemd, its hooks by path, its weather; all chance there is comes out of one generator.

    `stuck` is since when a hook has had a process that cannot be killed, by its path.
    """

    timeline: Timeline
    chance: Random
    pid1: Pid1
    manners: Mapping[str, Manner]
    weather: Weather
    coming: list[bool] = field(default_factory=list)
    stuck: dict[str, float] = field(default_factory=dict)

    def expect(self, deed: Deed, after_s: float) -> None:
        """Let something happen to the host later, unless it calms down before."""
        number = len(self.coming)
        self.coming.append(True)
        when = self.timeline.now + after_s
        self.timeline.at(when, lambda: self.pid1.suffer(deed) if self.coming[number] else None)

    def calm_down(self) -> None:
        """End all faults: from now on nothing goes wrong that the unit or a hook is not to blame for."""
        self.weather.rate = 0.0
        self.coming = [False] * len(self.coming)
        self.pid1.calm_down()

    def note_trouble(self) -> None:
        self.pid1.last_trouble_at = self.timeline.now


@dataclass
class Processes:
    """All processes of one run of the agent; its runner. Once killed, nothing that it would still do has any effect."""

    host: Host
    who: str
    calls: list[Call] = field(default_factory=list)
    signals: list[SentSignal] = field(default_factory=list)
    running: int = 0
    killed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def is_killed(self) -> bool:
        return self.killed.is_set()

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        """Run a command as `processes.run` would: ended in time, or when it is cancelled, SIGTERM's grace included."""
        if self.is_killed:
            await anyio.sleep(FOREVER)
        began = anyio.current_time()
        self.host.timeline.catch_up()
        grace_s, reap_s = ending_times_s(deadline - began)
        time_up = min(deadline - grace_s - reap_s, began + (command.time_limit_s or FOREVER))
        call = Call(_verb_of(command), command.arguments[0], began, deadline)
        self.calls.append(call)
        self.running += 1
        self._record(call, "begins")
        survivors: tuple[Process, ...] = ()
        try:
            with anyio.CancelScope(deadline=time_up):
                call.outcome = await self._run(call)
        finally:
            if call.outcome is None:  # cancelled or out of time
                with anyio.CancelScope(shield=True):
                    survivors = await self._linger(call, grace_s, reap_s)
            self.running -= 1
            call.ended = anyio.current_time()
            self.host.timeline.catch_up()
            self._record(call, _described(call))
        if call.outcome is None:
            call.outcome = TimedOut(call.ended - began, survivors=survivors)
        if survivors:
            self.host.stuck.setdefault(call.program, call.ended)
        return call.outcome

    def find(self, unit: UnitState) -> UnitState:
        """Return the state of an inactive or failed unit with the processes of it that are alive."""
        if unit.details is None or not unit.details.kill_mode:
            return unit
        self.host.timeline.catch_up()
        alive = [member.process for member in self.host.pid1.unit.members]
        main = next((process for process in alive if process.pid == unit.details.main_pid), None)
        return replace(unit, main_process=main, processes=tuple(process for process in alive if process != main))

    def send_signal(self, unit: UnitState, number: Signals) -> None:
        """Send a signal to each process of a unit."""
        assert unit.details is not None
        self.host.timeline.catch_up()
        self.host.timeline.record(f"{self.who} sends {number.name} to the processes of {unit.id}")
        self.signals.append(SentSignal(self.host.timeline.now, number))
        self.host.pid1.unit.receive_signal(number)

    def _record(self, call: Call, what: str) -> None:
        if self.host.timeline.story is not None and not self.is_killed:
            self.host.timeline.record(f"{self.who}: {call.verb} {what}")

    async def _linger(self, call: Call, grace_s: float, reap_s: float) -> tuple[Process, ...]:
        """Be ended by SIGTERM, or after its grace by SIGKILL; return what outlives that."""
        manner = self.host.manners.get(call.program)
        if manner is None or not (manner.ignores_sigterm or manner.ignores_sigkill):
            return ()
        with anyio.move_on_after(grace_s + (reap_s if manner.ignores_sigkill else 0.0)):
            await self.killed.wait()
        if self.is_killed or not manner.ignores_sigkill:
            return ()
        everlasting = find_process(_EVERLASTING_PID)
        assert everlasting is not None
        return (replace(everlasting, name="hook", is_uninterruptible=True),)

    async def _run(self, call: Call) -> CommandOutcome:
        if call.verb == "hook":
            manner = self.host.manners.get(call.program)
            return await self._run_hook(manner) if manner else not_started(errno.EACCES)
        fault = self.host.weather.strike(call.verb)
        if fault is not None:
            self.host.note_trouble()
            self.host.timeline.record(f"{self.who}: {call.verb}: {fault.name}")
        if call.verb == "journal":
            return await self._read_journal(fault)
        return await self._request_with_fault(call, fault) if fault else await self._request(call)

    async def _read_journal(self, fault: Fault | None) -> CommandOutcome:
        if fault is None or fault.late_s:
            await anyio.sleep(fault.late_s if fault else _OUTPUT_S)
            return Exited(_OUTPUT_S, b"so much for that\n")
        if fault.answer is None:
            await anyio.sleep(FOREVER)
        assert fault.answer is not None
        return fault.answer

    async def _request(self, call: Call, late_s: float = 0.0) -> CommandOutcome:
        """Send a request to systemd; if this is cancelled, the request may have been sent, and take effect."""
        request = Request(call.verb, call)
        chance = self.host.chance
        self.host.pid1.receive(request, _REQUEST_S * (1 + chance.random()))
        try:
            await self.host.timeline.until(lambda: request.answer is not None)
        finally:
            self.host.timeline.catch_up()
            call.knew_drop_in, call.knew_load = request.knew_drop_in, request.knew_load
            call.at_shutdown = request.at_shutdown
            # What has been sent may wait in the socket of a systemd that is busy.
            request.is_withdrawn = not request.is_taken and (not request.is_out or chance.random() < 0.5)
        await anyio.sleep(_OUTPUT_S * (1 + chance.random()) + late_s)
        self.host.timeline.catch_up()
        if request.glimpse is not None:
            unit, is_inactive = self.host.pid1.unit, request.glimpse.is_inactive
            call.glimpse = dataclasses.replace(
                request.glimpse,
                remains=is_inactive and bool(unit.remaining(request.main)),
                leaves=is_inactive and bool(unit.members),
            )
        assert isinstance(request.answer, Exited)
        return replace(request.answer, elapsed_s=anyio.current_time() - call.began)

    async def _request_with_fault(self, call: Call, fault: Fault) -> CommandOutcome:
        if isinstance(fault.answer, NotStarted):
            return fault.answer
        if fault.reaches and fault.late_s:
            return await self._request(call, fault.late_s)
        if fault.reaches:
            await self._request(call)
            call.glimpse = None
        elif fault.answer:
            await anyio.sleep(_REQUEST_S)
        if fault.answer is None:
            await anyio.sleep(FOREVER)
        assert fault.answer is not None
        return fault.answer

    async def _run_hook(self, manner: Manner) -> CommandOutcome:
        if manner.errno:
            return not_started(manner.errno)
        await anyio.sleep(manner.runs_s)
        self.host.timeline.catch_up()
        if manner.signal:
            return Signalled(manner.runs_s, signal=manner.signal)
        if manner.is_flaky and self.host.chance.random() < manner.is_flaky:
            code = self.host.chance.choice((0, 1, 2, 3, 5, 6, 7, 8, 42, 190, 191))
            return Exited(manner.runs_s, stderr=b"for once\n", code=code)
        return Exited(manner.runs_s, code=manner.up_code if self._seems_up(manner) else manner.down_code)

    def _seems_up(self, manner: Manner) -> bool:
        """Return a hook's result for the unit; some check it only after a while."""
        pid1 = self.host.pid1
        since, _ = pid1.states[-1]
        is_up = pid1.unit.is_running
        return is_up if self.host.timeline.now >= since + manner.notices_s else not is_up


def _verb_of(command: Command) -> str:
    return "stop at once" if "--job-mode=ignore-dependencies" in command.arguments else verb_of(command)


def _described(call: Call) -> str:
    match call.outcome:
        case Exited() if call.glimpse:
            alive = ", with processes alive" if call.glimpse.is_inactive and call.glimpse.remains else ""
            return f"shows: {call.glimpse.load}, {call.glimpse.active}{alive}"
        case Exited(code=code):
            return f"exits with {code}: {call.outcome.last_line}" if call.outcome.last_line else f"exits with {code}"
        case Signalled():
            return f"dies by {call.outcome.signal_name}"
        case None | TimedOut():
            return f"is ended after {call.ended - call.began:.3f} s"
        case NotStarted(why=why):
            return f"cannot be started: {why}"
