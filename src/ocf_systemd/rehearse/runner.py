"""Plays the scenes one after the other, and puts all back as it was, whatever comes of them."""

import signal
from dataclasses import dataclass, field
from typing import assert_never

import anyio

from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers
from ocf_systemd.rehearse import checks
from ocf_systemd.rehearse.actions import Agent, Call
from ocf_systemd.rehearse.checks import Subject
from ocf_systemd.rehearse.facts import Done, Frozen, Killed, LeftBehind, StopWhileStarting, UnitFacts
from ocf_systemd.rehearse.progress import Record, Step, View
from ocf_systemd.rehearse.proposal import Wishes, propose
from ocf_systemd.rehearse.scenarios import NEEDS, RESTARTS, Failed, Needs, Outcome, Passed, Scene, Skipped
from ocf_systemd.rehearse.unit_control import Cast, Stage

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HANG_TIMEOUT_S = 10.0  # for a monitor of what hangs: no hook that is any good takes longer to give up
_NOTICE_WITHIN_S = 5.0  # of a crash, or of a hang that is over
_NOTICE_PAUSE_S = 0.1
_LOOK_AGAIN_S = 0.02
_OVERTAKE_SHARE = 0.5  # of the time that a start takes, until a stop overtakes it
_ACTIONS_MAX = 2 * RESTARTS + 2  # most that a scene does one after the other, with what brings the unit there
_SPARE_S = 30.0
_WATCHDOG_MAX_S = 30.0  # longer than that nobody waits for systemd to notice a hang
_WITH_RESERVE = 1.2  # what a monitor is granted, its own deadline standing ahead of that
_UP_STATES = frozenset({"active", "reloading", "activating", "refreshing"})

_DECISIVE = frozenset({Scene.VALIDATE_ALL, Scene.START, Scene.STOP, Scene.RESTARTS})
"""When one of these fails, what follows would fail as well, and take its time."""


@dataclass(frozen=True, slots=True)
class Before:
    """How the unit was found: running or not, and with our drop-in, by which a cluster's start is told."""

    facts: UnitFacts
    has_drop_in: bool


def look(call: Call) -> Before:
    """Return how the unit is, and touch nothing. Raises ParameterError."""
    stage = Stage(call.parameters.unit, call.environment(Action.MONITOR))

    async def main() -> Before:
        return Before(await stage.facts(), stage.has_drop_in())

    return anyio.run(main)


def rehearse(call: Call, before: Before, view: View) -> Record:
    """Play all scenes, put all back as it was before, and return what was seen. Raises ParameterError.

    SIGINT, SIGTERM and SIGHUP end it early; all is put back nevertheless.
    """
    parameters = call.parameters
    record = Record(parameters.unit, parameters.monitor_hook)
    adopt_orphans()
    view.begin(record)
    try:
        anyio.run(_conduct, call, before, record, view)
    finally:
        end_leftovers()
        record.elapsed_s = record.now_s
        view.close(record)
    return record


async def _conduct(call: Call, before: Before, record: Record, view: View) -> None:
    agent = Agent(call, call.parameters, record.tell)
    stage = Stage(agent.parameters.unit, call.environment(Action.MONITOR))
    conductor = _Conductor(agent, stage, before, record)
    playing = anyio.CancelScope()

    async def watch() -> None:
        with anyio.open_signal_receiver(*_SIGNALS) as received:
            async for _ in received:
                record.interrupted = True
                playing.cancel()

    async with anyio.create_task_group() as beside:
        beside.start_soon(watch)
        try:
            with playing:
                await anyio.lowlevel.checkpoint()
                for step in record.steps:
                    await conductor.play(step)
                    view.ended(record, step)
        finally:
            with anyio.CancelScope(shield=True):
                await conductor.put_back()
        beside.cancel_scope.cancel()
    if not record.interrupted:
        measured = record.measured = agent.measured(conductor.hang)
        record.proposal = propose(Wishes(call.options, agent.parameters, call.check_level), conductor.facts, measured)


@dataclass(slots=True)
class _Conductor:
    """Brings the unit where each scene needs it, plays it, and has it judged."""

    agent: Agent
    stage: Stage
    before: Before
    record: Record
    hang: Done | None = None
    facts: UnitFacts = field(init=False)
    _given_up: str = ""
    _cast: Cast = field(default_factory=Cast)
    _left: tuple[LeftBehind, ...] = ()

    def __post_init__(self) -> None:
        self.facts = self.before.facts

    @property
    def subject(self) -> Subject:
        """Whom the words are about."""
        parameters = self.agent.parameters
        return Subject(
            *(parameters.unit, parameters.monitor_hook, parameters.monitor_hook_protocol, parameters.stop_verify),
            kill_mode=self.facts.kill_mode,
            stop_timeout_s=self.facts.stop_timeout_s,
        )

    async def play(self, step: Step) -> None:
        """Play a scene in the time it has, and note what came of it."""
        step.began_s, self.record.now = self.record.now_s, ""
        limit_s = _ACTIONS_MAX * self.agent.call.timeout_s + _SPARE_S
        outcome: Outcome = Failed(
            f"{step.scene} of {self.stage.unit} did not end, expected an end within {limit_s:.0f} s",
            f"`systemctl status {self.stage.unit}` and `systemctl list-jobs` tell what it waits for",
        )
        with anyio.move_on_after(limit_s):
            outcome = await self._outcome(step.scene)
        strays = end_leftovers().ended
        if strays and isinstance(outcome, Passed):
            outcome = checks.judge_strays(self.subject, strays)
        step.outcome, step.ended_s = outcome, self.record.now_s

    async def _outcome(self, scene: Scene) -> Outcome:
        if why := self._given_up or self._why_not(scene):
            return Skipped(why)
        if failure := await self._bring(NEEDS[scene]):
            self._given_up = f"{self.stage.unit} cannot be brought where this begins"
            return failure
        outcome = await self._play(scene)
        if isinstance(outcome, Failed) and scene in _DECISIVE:
            self._given_up = f"would tell nothing: {scene} failed"
        return outcome

    def _why_not(self, scene: Scene) -> str:
        """Return why a scene cannot be played; empty: it can."""
        if scene is Scene.RELOAD and not self.facts.can_reload:
            return "it has no ExecReload="
        if scene is Scene.HOOK_DOWN and self.agent.parameters.monitor_hook is None:
            return "there is no hook"
        return ""

    async def _bring(self, needs: Needs) -> Failed | None:
        """Have the unit up or down; return why that cannot be had."""
        wanted = needs is Needs.UP
        if needs is Needs.ANY or (await self.stage.facts()).is_running is wanted:
            return None
        done = await (self.agent.perform(Action.START) if wanted else self._stop())
        name = f"a {done.action}, to go on,"
        return None if done.is_success else checks.judge_done(self.subject, done, ExitCode.SUCCESS, name)

    async def _play(self, scene: Scene) -> Outcome:
        match scene:
            case Scene.VALIDATE_ALL | Scene.START | Scene.MONITOR | Scene.RELOAD | Scene.RELOAD_AGENT:
                outcome = await self._twice(Action(scene.value))
            case Scene.STOP:
                outcome = checks.judge_twice(self.subject, (await self._stop(), await self.agent.perform(Action.STOP)))
            case Scene.LEFT_BEHIND:
                outcome = checks.judge_left_behind(self.subject, self._left)
            case Scene.MONITOR_DOWN:
                outcome = await self._twice(Action.MONITOR, ExitCode.NOT_RUNNING)
            case Scene.HOOK_DOWN:
                outcome = checks.judge_hook_down(self.subject, await self.agent.hooks_alone())
            case Scene.RESTARTS:
                outcome = await self._restart()
            case Scene.TWO_STARTS:
                outcome = await self._two_at_once(Action.START, ExitCode.SUCCESS)
            case Scene.TWO_STOPS:
                outcome = await self._two_at_once(Action.STOP, ExitCode.NOT_RUNNING)
            case Scene.STOP_WHILE_STARTING:
                outcome = await self._overtake()
            case Scene.KILLED:
                outcome = await self._kill()
            case Scene.FROZEN:
                outcome = await self._freeze()
            case _:
                assert_never(scene)
        return outcome

    async def _twice(self, action: Action, expected: ExitCode = ExitCode.SUCCESS) -> Outcome:
        dones = await self.agent.twice(action)
        return checks.judge_twice(self.subject, dones, expected)

    async def _stop(self) -> Done:
        """Stop the unit; what outlives that is noted, and ended: it would be in the way."""
        self._cast = await self.stage.cast()
        done = await self.agent.perform(Action.STOP)
        await self._clear()
        return done

    async def _clear(self) -> None:
        self._left = await self.stage.left_behind(self._cast)
        if self._left:
            await self.stage.end(self._cast)

    async def _restart(self) -> Outcome:
        dones: list[Done] = []
        for number in range(RESTARTS):
            self.record.count_of = f"{number + 1} of {RESTARTS}: "
            dones.append(await self.agent.perform(Action.START))
            if dones[-1].is_success:
                dones.append(await self._stop())
            if not dones[-1].is_success:
                break
        self.record.count_of = ""
        return checks.judge_restarts(self.subject, dones)

    async def _two_at_once(self, action: Action, expected: ExitCode) -> Outcome:
        if action is Action.STOP:
            self._cast = await self.stage.cast()
        dones = await self.agent.two_at_once(action)
        monitored = await self.agent.perform(Action.MONITOR)
        if action is Action.STOP:
            await self._clear()
        return checks.judge_pair(self.subject, dones, monitored, expected)

    async def _overtake(self) -> Outcome:
        start_s = next(done.elapsed_s for done in reversed(self.agent.done) if done.action is Action.START)
        started: list[Done] = []

        async def start() -> None:
            started.append(await self.agent.perform(Action.START))

        async with anyio.create_task_group() as beside:
            beside.start_soon(start)
            await anyio.sleep(_OVERTAKE_SHARE * start_s)
            with anyio.move_on_after(_NOTICE_WITHIN_S):  # on a host that is busy it may not even have begun
                while not (await self.stage.facts()).is_running and not started:  # noqa: ASYNC110
                    await anyio.sleep(_LOOK_AGAIN_S)
            stopped = await self._stop()
        monitored = await self.agent.perform(Action.MONITOR)
        return checks.judge_stop_while_starting(self.subject, StopWhileStarting(started[0], stopped, monitored))

    async def _kill(self) -> Outcome:
        restart = (await self.stage.facts()).restart
        began = anyio.current_time()
        victim = await self.stage.kill_main()
        if not victim:
            return Skipped("it has no process of its own")
        monitored = await self._monitor_until(running=False, within_s=_NOTICE_WITHIN_S)
        after_s = anyio.current_time() - began
        started = None if monitored.says_running else await self.agent.perform(Action.START)
        return checks.judge_killed(self.subject, Killed(victim, monitored, after_s, started, restart))

    async def _freeze(self) -> Outcome:
        frozen = await self.stage.freeze()
        if not frozen:
            return Skipped("it has no process of its own")
        watchdog_s = self.facts.watchdog_s if self.facts.watchdog_s <= _WATCHDOG_MAX_S else 0.0
        monitored = await self._monitor_until(running=False, within_s=watchdog_s + bool(watchdog_s))
        self.hang = monitored
        await self.stage.thaw()
        is_there = (await self.stage.facts()).is_running
        afterwards = await self._monitor_until(running=True, within_s=_NOTICE_WITHIN_S) if is_there else None
        return checks.judge_frozen(self.subject, Frozen(frozen, monitored, afterwards))

    async def _monitor_until(self, *, running: bool, within_s: float) -> Done:
        """Monitor, again and again, until it says that the unit runs or not, or time is up."""
        limit_s = self.agent.parameters.monitor_hook_timeout_s or 0.0
        tries = self.agent.parameters.monitor_hook_retries + 1
        timeout_s = max(_HANG_TIMEOUT_S, (limit_s * tries + 1.0) * _WITH_RESERVE)
        give_up_at = anyio.current_time() + within_s
        while True:
            done = await self.agent.perform(Action.MONITOR, timeout_s)
            if done.says_running is running or anyio.current_time() >= give_up_at:
                return done
            await anyio.sleep(_NOTICE_PAUSE_S)

    async def put_back(self) -> None:
        """Have the unit as it was found."""
        self.record.now = "putting things back"
        await self.stage.thaw()
        wanted = self.before.facts.is_running
        if not wanted:
            await self.agent.perform(Action.STOP)
            await self._clear()
        await self.stage.sweep()
        try:
            await self.stage.put_back_drop_in(wanted=self.before.has_drop_in)
        except OSError as error:
            self.record.not_put_back = f"the drop-in of {self.stage.unit} is not as it was: {error.strerror}"
        if wanted and not (await self.stage.facts()).is_running:
            await self.stage.start(self.agent.call.timeout_s)
        state = (await self.stage.facts()).active_state
        if (state in _UP_STATES) is not wanted:
            self.record.not_put_back = (
                f"{self.stage.unit} {'ran' if wanted else 'was down'} before and is {state or 'silent'} now: "
                f"`systemctl {'start' if wanted else 'stop'} {self.stage.unit}`"
            )
        self.record.now = ""
