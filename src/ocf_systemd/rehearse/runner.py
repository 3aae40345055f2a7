"""Runs the scenarios one after the other, and restores the unit's state at the end, whatever happened."""

import shlex
import signal
from dataclasses import dataclass, field
from typing import assert_never

import anyio

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers
from ocf_systemd.rehearse import checks
from ocf_systemd.rehearse.actions import Actions, Call
from ocf_systemd.rehearse.checks import Subject
from ocf_systemd.rehearse.facts import ActionRun, Crash, Leftover, UnitFacts
from ocf_systemd.rehearse.progress import Progress, ScenarioRun, View
from ocf_systemd.rehearse.proposal import propose
from ocf_systemd.rehearse.scenarios import DECISIVE, NEEDS_RUNNING, NEEDS_STOPPED, RESTARTS, RESTORED, Scenario
from ocf_systemd.rehearse.unit_control import UnitControl, UnitProcesses

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HANG_TIMEOUT_S = 10.0  # least timeout of a monitor after a crash or a hang: a useful hook ends earlier
_DETECT_WITHIN_S = 5.0  # how long monitors may take to report a crash, or the end of a hang
_MONITOR_PAUSE_S = 0.1  # between two monitors
_POLL_S = 0.02  # between two queries of the unit's state
_STOP_AFTER_SHARE = 0.5  # a stop during a start is requested after this share of the time that a start takes
_STARTS_AND_STOPS = RESTARTS + 1  # the most starts, and the most stops, in a scenario and just before it
_SPARE_S = 30.0  # added to the time limit of a scenario
_WATCHDOG_SPARE_S = 1.0  # how long systemd may take to end the service after its watchdog has expired
_WATCHDOG_MAX_S = 30.0  # a rehearsal does not wait for a watchdog with a longer time
_WITH_RESERVE = 1.2  # factor from the time that a monitor needs to its timeout: the agent must end before the timeout


def read_initial_state(call: Call) -> UnitFacts:
    """Return the state of the unit, without changing it. Raises ParameterError."""
    return anyio.run(UnitControl(call.parameters.unit, call.environment(Action.MONITOR)).facts)


def rehearse(call: Call, initial: UnitFacts, view: View) -> Progress:
    """Run all scenarios, restore the initial state, and return the results. Raises ParameterError.

    SIGINT, SIGTERM and SIGHUP end the scenarios early; the state is restored nevertheless.
    """
    parameters = call.parameters
    progress = Progress(parameters.unit, parameters.monitor_hook)
    adopt_orphans()
    view.begin(progress)
    try:
        anyio.run(_run_scenarios, call, initial, progress, view)
    finally:
        end_leftovers()
        progress.elapsed_s = progress.now_s
        view.close(progress)
    return progress


async def _run_scenarios(call: Call, initial: UnitFacts, progress: Progress, view: View) -> None:
    actions = Actions(call, call.parameters, progress.begin_action)
    runner = _Runner(actions, UnitControl(progress.unit, call.environment(Action.MONITOR)), initial, progress)
    scenarios = anyio.CancelScope()

    async def cancel_on_signal() -> None:
        with anyio.open_signal_receiver(*_SIGNALS) as received:
            async for _ in received:
                progress.interrupted = True
                scenarios.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_on_signal)
        try:
            with scenarios:
                await anyio.lowlevel.checkpoint()
                for run in progress.runs:
                    view.show(await runner.run(run))
        finally:
            with anyio.CancelScope(shield=True):
                restored = progress.restored = await runner.restore()
            view.show(restored)
        tasks.cancel_scope.cancel()
    if not progress.interrupted:
        measured = progress.measured = actions.measured(runner.hang)
        progress.proposal = propose(call.options, actions.parameters, call.check_level, initial, measured)


@dataclass(slots=True)
class _Runner:
    """Brings the unit into the state that a scenario begins with, runs the scenario, and judges the facts."""

    actions: Actions
    control: UnitControl
    initial: UnitFacts
    progress: Progress
    hang: ActionRun | None = None  # the last monitor during the hang
    _given_up: str = ""  # why the scenarios that follow are skipped; empty: they are not
    _processes: UnitProcesses = field(default_factory=UnitProcesses)  # those before the last stop
    _left: tuple[Leftover, ...] = ()  # those that outlived the last stop

    def _subject(self, check: str) -> Subject:
        parameters, facts = self.actions.parameters, self.initial
        return Subject(
            check=check,
            unit=parameters.unit,
            hook=parameters.monitor_hook,
            protocol=parameters.monitor_hook_protocol,
            stop_verify=parameters.stop_verify,
            kill_mode=facts.kill_mode,
            stop_timeout_s=facts.stop_timeout_s,
        )

    async def run(self, run: ScenarioRun) -> CheckResult:
        """Run a scenario within its time limit, and keep its result."""
        run.began_s, self.progress.activity = self.progress.now_s, ""
        subject = self._subject(run.scenario)
        limit_s = _STARTS_AND_STOPS * self._timeout_s(Action.START, Action.STOP) + _SPARE_S
        result = subject.error(
            f"did not end, expected an end within {limit_s:.0f} s",
            f"{subject.unit} blocks every action of the cluster as well.",
            f"systemctl status {shlex.quote(subject.unit)}; systemctl list-jobs   # what it waits for",
        )
        runs_before = len(self.actions.runs)
        with anyio.move_on_after(limit_s):
            result = await self._result(subject, run.scenario)
        commands = [leftover.command_line for leftover in end_leftovers().ended]
        # A hook can start a process at the moment when the agent ends the hook: that is not a fault of the hook.
        ended_hook = any(each.ended_hook for each in self.actions.runs[runs_before:])
        if commands and result.status is Status.OK and not ended_hook:
            result = checks.judge_hook_leftovers(subject, commands)
        run.result, run.ended_s = result, self.progress.now_s
        return result

    def _timeout_s(self, *actions: Action) -> float:
        return sum(map(self.actions.call.operations.timeout_s, actions))

    async def _result(self, subject: Subject, scenario: Scenario) -> CheckResult:
        if why := self._given_up or self._why_skipped(scenario):
            return subject.skipped(why)
        if failure := await self._bring_into_state(subject, scenario):
            self._given_up = f"not run: {subject.unit} could not be brought into the required state"
            return failure
        result = await self._run_scenario(subject, scenario)
        if result.status is Status.ERROR and scenario in DECISIVE:
            self._given_up = f"not run: {scenario} failed"
        return result

    def _why_skipped(self, scenario: Scenario) -> str:
        """Return why a scenario does not apply, or an empty string."""
        if scenario is Scenario.RELOAD and not self.initial.can_reload:
            return "the unit has no ExecReload="
        if scenario is Scenario.HOOK_DOWN and self.actions.parameters.monitor_hook is None:
            return "there is no hook"
        return ""

    async def _bring_into_state(self, subject: Subject, scenario: Scenario) -> CheckResult | None:
        """Start or stop the unit if the scenario needs this. Return the error if it fails; None: the state is right."""
        is_running = (await self.control.facts()).is_running
        if scenario in NEEDS_RUNNING and not is_running:
            run = await self.actions.run(Action.START)
        elif scenario in NEEDS_STOPPED and is_running:
            run = await self._stop()
        else:
            return None
        if run.is_success:
            return None
        return checks.judge_run(subject, run, ExitCode.SUCCESS, f"the {run.action} before this scenario")

    async def _run_scenario(self, subject: Subject, scenario: Scenario) -> CheckResult:
        match scenario:
            case Scenario.VALIDATE_ALL | Scenario.START | Scenario.MONITOR | Scenario.RELOAD | Scenario.RELOAD_AGENT:
                result = checks.judge_twice(subject, await self.actions.run_twice(Action(scenario.value)))
            case Scenario.STOP:
                result = checks.judge_twice(subject, (await self._stop(), await self.actions.run(Action.STOP)))
            case Scenario.LEFT_BEHIND:
                result = checks.judge_left_behind(subject, self._left)
            case Scenario.MONITOR_DOWN:
                runs = await self.actions.run_twice(Action.MONITOR)
                result = checks.judge_twice(subject, runs, ExitCode.NOT_RUNNING)
            case Scenario.HOOK_DOWN:
                result = checks.judge_hook_down(subject, await self.actions.run_hooks_alone())
            case Scenario.RESTARTS:
                result = checks.judge_restarts(subject, await self._restart())
            case Scenario.TWO_STARTS:
                result = await self._run_concurrently(subject, Action.START, ExitCode.SUCCESS)
            case Scenario.TWO_STOPS:
                result = await self._run_concurrently(subject, Action.STOP, ExitCode.NOT_RUNNING)
            case Scenario.STOP_IN_START:
                result = checks.judge_stop_in_start(subject, *await self._stop_in_start())
            case Scenario.KILLED:
                result = await self._kill(subject)
            case Scenario.FROZEN:
                result = await self._freeze(subject)
            case _:
                assert_never(scenario)
        return result

    async def _stop(self) -> ActionRun:
        """Stop the unit, and kill the processes that outlived the stop; `_left` then has these processes."""
        self._processes = await self.control.processes()
        run = await self.actions.run(Action.STOP)
        self._left = await self.control.kill_leftovers(self._processes)
        return run

    async def _restart(self) -> list[ActionRun]:
        runs: list[ActionRun] = []
        for number in range(RESTARTS):
            self.progress.repetition = f"{number + 1} of {RESTARTS}: "
            runs.append(await self.actions.run(Action.START))
            if runs[-1].is_success:
                runs.append(await self._stop())
            if not runs[-1].is_success:
                break
        self.progress.repetition = ""
        return runs

    async def _run_concurrently(self, subject: Subject, action: Action, expected: ExitCode) -> CheckResult:
        if action is Action.STOP:
            self._processes = await self.control.processes()
        runs = await self.actions.run_concurrently(action)
        monitored = await self.actions.run(Action.MONITOR)
        if action is Action.STOP:
            self._left = await self.control.kill_leftovers(self._processes)
        return checks.judge_pair(subject, runs, monitored, expected)

    async def _stop_in_start(self) -> tuple[ActionRun, ActionRun, ActionRun]:
        """Run a start, a stop during it, and a monitor after both."""
        start_s = next(run.elapsed_s for run in reversed(self.actions.runs) if run.action is Action.START)
        started: list[ActionRun] = []

        async def start() -> None:
            started.append(await self.actions.run(Action.START))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            await anyio.sleep(_STOP_AFTER_SHARE * start_s)
            with anyio.move_on_after(_DETECT_WITHIN_S):  # on a busy host the start may not even have begun
                while not (await self.control.facts()).is_running and not started:  # noqa: ASYNC110
                    await anyio.sleep(_POLL_S)
            stopped = await self._stop()
        return started[0], stopped, await self.actions.run(Action.MONITOR)

    async def _kill(self, subject: Subject) -> CheckResult:
        restart = (await self.control.facts()).restart
        began = anyio.current_time()
        victim = await self.control.kill_main()
        if not victim:
            return subject.skipped("the unit has no process")
        monitored = await self._monitor_until(running=False, within_s=_DETECT_WITHIN_S)
        after_s = anyio.current_time() - began
        started = None if monitored.reports_running else await self.actions.run(Action.START)
        return checks.judge_killed(subject, Crash(victim, monitored, after_s, started, restart))

    async def _freeze(self, subject: Subject) -> CheckResult:
        frozen = await self.control.freeze()
        if not frozen:
            return subject.skipped("the unit has no process")
        watchdog_s = self.initial.watchdog_s
        within_s = watchdog_s + _WATCHDOG_SPARE_S if 0 < watchdog_s <= _WATCHDOG_MAX_S else 0.0
        monitored = self.hang = await self._monitor_until(running=False, within_s=within_s)
        await self.control.thaw()
        is_running = (await self.control.facts()).is_running
        afterwards = await self._monitor_until(running=True, within_s=_DETECT_WITHIN_S) if is_running else None
        return checks.judge_frozen(subject, frozen, monitored, afterwards)

    async def _monitor_until(self, *, running: bool, within_s: float) -> ActionRun:
        """Run monitors until one reports the unit running, or not running, as `running` requires; return the last one.

        After `within_s` seconds no further monitor begins.
        """
        limit_s = self.actions.parameters.monitor_hook_timeout_s or 0.0
        attempts = self.actions.parameters.monitor_hook_retries + 1
        timeout_s = max(_HANG_TIMEOUT_S, (limit_s * attempts + 1.0) * _WITH_RESERVE)
        give_up_at = anyio.current_time() + within_s
        while True:
            run = await self.actions.run(Action.MONITOR, timeout_s)
            if run.reports_running is running or anyio.current_time() >= give_up_at:
                return run
            await anyio.sleep(_MONITOR_PAUSE_S)

    async def restore(self) -> CheckResult:
        """Restore the initial state of the unit."""
        subject = self._subject(RESTORED)
        self.progress.activity = "restoring the initial state"
        await self.control.thaw()
        was_running = self.initial.is_running
        if not was_running:
            await self.actions.run(Action.STOP)
            self._left = await self.control.kill_leftovers(self._processes)
        await self.control.kill_all_leftovers()
        problem = ""
        try:
            await self.control.restore_drop_in(exists=self.initial.has_drop_in)
        except OSError as error:
            problem = error.strerror or str(error)
        if was_running and not (await self.control.facts()).is_running:
            await self.control.start(self._timeout_s(Action.START))
        facts = await self.control.facts()
        self.progress.activity = ""
        if problem:
            return checks.judge_drop_in(subject, problem)
        return checks.judge_restored(subject, self.initial, facts)
