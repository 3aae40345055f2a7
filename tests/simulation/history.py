"""One history: a plan's steps performed on a simulated host, in virtual time, each held against the guarantees."""

from __future__ import annotations

import shutil
import traceback
from dataclasses import dataclass, field
from random import Random
from signal import SIGKILL
from typing import TYPE_CHECKING

import anyio
import trio
from trio.testing import MockClock

from ocf_systemd.agent import run
from ocf_systemd.agent.actions import perform
from ocf_systemd.agent.events import Event, Notice, Waiting, WarningNotice
from ocf_systemd.agent.request import Request
from ocf_systemd.core.ocf import ActionResult
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.core.parameters import Parameters, read_leniently
from ocf_systemd.host.drop_in import drop_in_path, put_drop_in
from tests.simulation.faults import Weather
from tests.simulation.guarantees import broken_guarantees
from tests.simulation.hooks import DIRECTORY_NAMES, Place, path_of
from tests.simulation.host import Host, Processes
from tests.simulation.interruptions import Awaits
from tests.simulation.pid1 import Pid1
from tests.simulation.records import Account
from tests.simulation.timeline import FOREVER, Timeline

if TYPE_CHECKING:
    from pathlib import Path
    from signal import Signals

    from tests.simulation.interruptions import Interruption
    from tests.simulation.plans import Plan, Step


_AFTERWARDS_S = 1.0  # in which what an action left behind would show


@dataclass(frozen=True, slots=True)
class History:
    """What came of a plan: an account of each action, the guarantees it broke, and the story if wanted."""

    plan: Plan
    accounts: tuple[Account, ...]
    broken: tuple[str, ...]
    story: tuple[str, ...]


def live(plan: Plan, directory: Path, *, records: bool = False) -> History:
    """Live through a plan, on a fresh host below `directory`; the same plan gives the same history."""
    # Tasks that can run at the same moment do so in an order that trio draws: from our seed, and nothing else.
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
    trio._core._run._r.seed(plan.seed)  # noqa: SLF001
    life = _Life(plan, directory, _host(plan, directory, records=records))
    clock = MockClock(autojump_threshold=0)
    try:
        trio.run(life.run, clock=clock)
        broken = [breach for account in life.accounts for breach in broken_guarantees(account)]
    except Exception as error:  # noqa: BLE001  # what an action raises is a finding like any other
        broken = ["".join(traceback.format_exception(error))]
    story = (line.replace(str(directory), "") for line in life.host.timeline.story or ())
    return History(plan, tuple(life.accounts), tuple(broken), tuple(story))


def _host(plan: Plan, directory: Path, *, records: bool) -> Host:
    """Return the host that a plan begins with."""
    shutil.rmtree(directory / "run")
    (directory / "run").mkdir()
    chance = Random(f"{plan.seed}: as it comes")  # noqa: S311  # it draws faults, not secrets
    timeline = Timeline(story=[] if records else None)
    drop_in = drop_in_path(plan.unit, directory / "run")
    pid1 = Pid1(timeline, chance, plan.unit, plan.unit_id, plan.character, drop_in, plan.is_booted, plan.generators_s)
    if plan.is_booted:
        drop_in.parent.parent.mkdir(parents=True)
    if plan.disk_is_broken:
        drop_in.parent.touch()  # no directory, so that nothing can be written below it
    elif plan.has_drop_in and plan.is_booted:
        put_drop_in(plan.unit, drop_in)
        pid1.knows_drop_in = True
    pid1.unit.begin_in(plan.state)
    if plan.beforehand is not None:
        pid1.suffer(plan.beforehand)
    path = path_of(plan.place, directory)
    paths = [f"{path}/{name}" for name in DIRECTORY_NAMES] if plan.place is Place.DIRECTORY else [path]
    return Host(timeline, chance, pid1, dict(zip(paths, plan.manners, strict=False)), Weather(plan.fault_rate, chance))


@dataclass(frozen=True, slots=True)
class _Recorder:
    """A reporter that adds the agent's events to the timeline, and keeps its warnings."""

    timeline: Timeline
    who: str
    warnings: list[str] = field(default_factory=list)

    def report(self, fact: Event) -> None:
        match fact:
            case Notice(text=text):
                self.timeline.record(f"{self.who}: {text}")
            case WarningNotice(text=text):
                self.timeline.record(f"{self.who}: {text}")
                self.warnings.append(text)
            case Waiting(pause_s=pause_s):
                self.timeline.record(f"{self.who}: pauses for {pause_s:.3f} s")
            case _:
                pass


@dataclass(frozen=True, slots=True)
class _Life:
    """A plan that is being lived through."""

    plan: Plan
    directory: Path
    host: Host
    accounts: list[Account] = field(default_factory=list)

    async def run(self) -> None:
        for step in self.plan.steps:
            await self._wait(step.gap_s)
            await self._live_through(step)
        await self._wait(_AFTERWARDS_S)

    async def _wait(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.host.timeline.catch_up()

    async def _live_through(self, step: Step) -> None:
        """Perform a step, and its companion concurrently."""
        if step.is_calm:
            self.host.timeline.record("all is calm from now on")
            self.host.calm_down()
        for after_s, deed in step.deeds:
            self.host.expect(deed, after_s)
        if step.companion is None:
            self.accounts.append(await self._perform(step, step.action, is_alone=True))
            return
        async with anyio.create_task_group() as together:
            together.start_soon(self._perform_beside, step, step.action, 0.0)
            together.start_soon(
                self._perform_beside, step.companion, f"the other {step.companion.action}", step.companion.gap_s
            )

    async def _perform_beside(self, step: Step, who: str, after_s: float) -> None:
        await self._wait(after_s)
        self.accounts.append(await self._perform(step, who, is_alone=False))

    async def _perform(self, step: Step, who: str, *, is_alone: bool) -> Account:
        pid1, timeline = self.host.pid1, self.host.timeline
        processes, reporter = Processes(self.host, who), _Recorder(timeline, who)
        began, before, was_troubled = anyio.current_time(), pid1.standing(), pid1.is_troubled
        deadline = step.operation.deadline(began - step.age_s)
        timeline.record(f"{who} begins, {deadline - began:.3f} s before its deadline")
        performance = _Performance(processes, reporter, self.directory / "run")
        environment = self._environment(step)
        parameters = run.parameters_or_result(step.action, step.operation, environment, reporter)
        if isinstance(parameters, ActionResult):
            performance.result = parameters
        else:
            await performance.run(step, parameters, deadline)
        timeline.catch_up()
        timeline.record(f"{who} ends: {performance.result or step.interruption}")
        is_untroubled = not was_troubled and pid1.last_trouble_at < began
        return Account(
            plan=self.plan,
            step=step,
            parameters=read_leniently(environment)[0] if isinstance(parameters, ActionResult) else parameters,
            was_performed=isinstance(parameters, Parameters),
            began=began,
            deadline=deadline,
            ended=anyio.current_time(),
            result=performance.result,
            interrupted_by=performance.interrupted_by,
            interrupted_at=performance.interrupted_at,
            awaits=performance.awaits,
            calls=tuple(processes.calls),
            signals=tuple(processes.signals),
            warnings=tuple(reporter.warnings),
            stuck=tuple(self.host.stuck.items()),
            left_running=processes.running,
            before=before,
            after=pid1.standing(),
            states=pid1.states_since(began),
            in_quiet=is_alone and is_untroubled,
            is_undisturbed=is_alone and pid1.last_deed_at < began,
            is_untroubled=is_untroubled,
        )

    def _environment(self, step: Step) -> dict[str, str]:
        values = {**step.values, "unit": self.plan.unit, "monitor_hook": path_of(self.plan.place, self.directory)}
        return {PREFIX + name: value for name, value in {**values, **step.wrong}.items()}


@dataclass
class _Performance:
    """An action as it is performed: until it has a result or, as the agent does, until a signal ends it early."""

    processes: Processes
    reporter: _Recorder
    run_directory: Path
    result: ActionResult | None = None
    interrupted_by: Signals | None = None
    interrupted_at: float = FOREVER
    awaits: int = 0

    async def run(self, step: Step, parameters: Parameters, deadline: float) -> None:
        request = Request(
            step.action,
            parameters,
            step.operation,
            deadline,
            environment={},
            reporter=self.reporter,
            run=self.processes,
            run_directory=self.run_directory,
            unit_processes=self.processes,
        )
        if step.interruption is None:
            self.result = await perform(request)
        else:
            await self._run_until_interrupted(request, step.interruption)

    async def _run_until_interrupted(self, request: Request, interruption: Interruption) -> None:
        signal = interruption.signal
        performing = anyio.CancelScope()

        def interrupt() -> None:
            self.interrupted_by, self.interrupted_at = signal, trio.current_time()
            if signal is SIGKILL:
                self.processes.killed.set()
            self.processes.host.timeline.record(f"{self.processes.who}: {signal.name}")
            performing.cancel()

        awaits = Awaits(interruption.at_await, interrupt)
        with performing, awaits.counted():
            self.result = await perform(request)
        self.awaits = awaits.count
        if self.result is not None:
            self.interrupted_by = None  # too late
