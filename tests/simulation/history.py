"""One history: a plan's steps performed on a simulated host, in virtual time, each held against the promise."""

from __future__ import annotations

import shutil
import traceback
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from signal import SIGKILL
from typing import TYPE_CHECKING

import anyio
import trio
from trio.testing import MockClock

from ocf_systemd.actions import Request, perform
from ocf_systemd.parameters import PREFIX, Parameters, read_parameters
from ocf_systemd.reporting import Fact, Noted, Waiting, Warned
from ocf_systemd.systemd import drop_in_path, put_drop_in
from tests.simulation.faults import Weather
from tests.simulation.hooks import DIRECTORY_NAMES, Place, path_of
from tests.simulation.host import Host, Processes
from tests.simulation.interruptions import Awaits
from tests.simulation.pid1 import Pid1
from tests.simulation.promise import broken_promises
from tests.simulation.records import Account
from tests.simulation.timeline import FOREVER, Timeline

if TYPE_CHECKING:
    from pathlib import Path
    from signal import Signals

    from ocf_systemd.ocf import Verdict
    from tests.simulation.plans import Plan, Step


@dataclass(frozen=True, slots=True)
class History:
    """What came of a plan: an account of each action, what was broken of the promise, and the story if wanted."""

    plan: Plan
    accounts: tuple[Account, ...]
    broken: tuple[str, ...]
    story: tuple[str, ...]


def live(plan: Plan, directory: Path, *, tell: bool = False) -> History:
    """Live through a plan, on a fresh host below `directory`; the same plan gives the same history."""
    # Tasks that can run at the same moment do so in an order that trio draws: from our seed, and nothing else.
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
    trio._core._run._r.seed(plan.seed)  # noqa: SLF001
    life = _Life(plan, directory, _host(plan, directory, tell=tell))
    clock = MockClock(autojump_threshold=0)
    try:
        anyio.run(life.run, backend="trio", backend_options={"clock": clock})
        broken = [told for account in life.accounts for told in broken_promises(account)]
    except Exception as error:  # noqa: BLE001  # what an action raises is a finding like any other
        broken = ["".join(traceback.format_exception(error))]
    story = (line.replace(str(directory), "") for line in life.host.timeline.story or ())
    return History(plan, tuple(life.accounts), tuple(broken), tuple(story))


def _host(plan: Plan, directory: Path, *, tell: bool) -> Host:
    """Return the host that a plan begins with."""
    shutil.rmtree(directory / "run")
    (directory / "run").mkdir()
    chance = Random(f"{plan.seed}: as it comes")  # noqa: S311  # it draws faults, not secrets
    timeline = Timeline(story=[] if tell else None)
    drop_in = drop_in_path(plan.unit, directory / "run")
    pid1 = Pid1(timeline, chance, plan.unit, plan.character, drop_in)
    if plan.disk_is_broken:
        (directory / "run" / "systemd").touch()
    elif plan.has_drop_in:
        put_drop_in(plan.unit, drop_in)
        pid1.knows_drop_in = True
    pid1.unit.begin_in(plan.state)
    path = path_of(plan.place, directory)
    paths = [f"{path}/{name}" for name in DIRECTORY_NAMES] if plan.place is Place.DIRECTORY else [path]
    return Host(timeline, chance, pid1, dict(zip(paths, plan.manners, strict=False)), Weather(plan.fault_rate, chance))


@lru_cache(maxsize=256)
def _parsed(values: frozenset[tuple[str, str]]) -> Parameters:
    return read_parameters({PREFIX + name: value for name, value in values})


@dataclass(frozen=True, slots=True)
class _Storyteller:
    """A reporter that has what the agent says of itself in the story."""

    timeline: Timeline
    who: str

    def report(self, fact: Fact) -> None:
        match fact:
            case Noted(text=text) | Warned(text=text):
                self.timeline.tell(f"{self.who}: {text}")
            case Waiting(pause_s=pause_s):
                self.timeline.tell(f"{self.who}: pauses for {pause_s:.3f} s")
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

    async def _wait(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.host.timeline.catch_up()

    async def _live_through(self, step: Step) -> None:
        """Perform a step, and its companion beside it."""
        if step.is_calm:
            self.host.timeline.tell("all is calm from now on")
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
        processes = Processes(self.host, who)
        request = self._request(step, processes, who)
        performance = _Performance(request, processes)
        pid1, timeline = self.host.pid1, self.host.timeline
        began, before, had_backlog = anyio.current_time(), pid1.standing(), pid1.has_backlog
        timeline.tell(f"{who} begins, {request.deadline - began:.3f} s before its deadline")
        await performance.run(step)
        timeline.catch_up()
        timeline.tell(f"{who} ends: {performance.verdict or step.interruption}")
        ended = anyio.current_time()
        return Account(
            plan=self.plan,
            step=step,
            parameters=request.parameters,
            began=began,
            deadline=request.deadline,
            ended=ended,
            verdict=performance.verdict,
            interrupted_by=performance.interrupted_by,
            interrupted_at=performance.interrupted_at,
            awaits=performance.awaits,
            calls=tuple(processes.calls),
            left_running=processes.running,
            before=before,
            after=pid1.standing(),
            states=pid1.states_since(began),
            in_quiet=is_alone and not had_backlog and pid1.is_untroubled_since(began),
            is_undisturbed=is_alone and pid1.last_deed_at < began,
        )

    def _request(self, step: Step, processes: Processes, who: str) -> Request:
        values = {**step.values, "unit": self.plan.unit, "monitor_hook": path_of(self.plan.place, self.directory)}
        parameters = _parsed(frozenset(values.items()))
        deadline = step.operation.deadline(anyio.current_time() - step.age_s)
        reporter = _Storyteller(self.host.timeline, who)
        run_directory = self.directory / "run"
        return Request(step.action, parameters, step.operation, deadline, {}, reporter, processes, run_directory)


@dataclass
class _Performance:
    """An action as it is performed: until it has a verdict or, as the agent does, until a signal ends it early."""

    request: Request
    processes: Processes
    verdict: Verdict | None = None
    interrupted_by: Signals | None = None
    interrupted_at: float = FOREVER
    awaits: int = 0

    async def run(self, step: Step) -> None:
        if step.interruption is None:
            self.verdict = await perform(self.request)
            return
        signal = step.interruption.signal
        performing = anyio.CancelScope()

        def interrupt() -> None:
            self.interrupted_by, self.interrupted_at = signal, trio.current_time()
            self.processes.is_killed = signal is SIGKILL
            self.processes.host.timeline.tell(f"{self.processes.who}: {signal.name}")
            performing.cancel()

        awaits = Awaits(step.interruption.at_await, interrupt)
        with performing, awaits.counted():
            self.verdict = await perform(self.request)
        self.awaits = awaits.count
        if self.verdict is not None:
            self.interrupted_by = None  # too late
