"""SIGTERM and SIGKILL at every await of every action: the next action is always right."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.core.observations import ActiveState, LoadState
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import Operation
from tests.simulation.faults import Deed
from tests.simulation.history import History, live
from tests.simulation.hooks import DIRECTORY_NAMES, Manner, Place, laid_out
from tests.simulation.interruptions import Interruption
from tests.simulation.plans import Plan, Step
from tests.simulation.timeline import FOREVER
from tests.simulation.units import Character

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from signal import Signals

BOTH = (Action.START, Action.STOP)
AFTER_ALL = 10**9
HANGING = Manner(runs_s=FOREVER, ignores_sigterm=True)
THREE = tuple(Manner() for _ in DIRECTORY_NAMES)
ACTIVE = {"state": ActiveState.ACTIVE, "has_drop_in": True}


def request(action: Action, timeout_s: float = 20.0, *, level: int = 0, **values: str) -> Step:
    return Step(action=action, operation=Operation(timeout_s, check_level=level), values=values)


def running(step: Step, **character: float) -> Plan:
    """Return a plan of one step, of a unit that runs and was started by the agent."""
    nature = Character(**character)  # type: ignore[arg-type]  # times and flags
    return Plan(seed=0, steps=(step,), state=ActiveState.ACTIVE, has_drop_in=True, character=nature)


def down(step: Step, **character: float) -> Plan:
    """Return a plan of one step, of a unit that has failed."""
    nature = Character(**character)  # type: ignore[arg-type]
    return Plan(seed=0, steps=(step,), state=ActiveState.FAILED, character=nature)


def befallen(plan: Plan, deed: Deed) -> Plan:
    """Return a plan in which something happens to the host before its step."""
    return replace(plan, beforehand=deed)


def without_its_file(plan: Plan) -> Plan:
    """Return a plan whose unit has a file that systemd has not read yet."""
    return befallen(replace(plan, character=replace(plan.character, load=LoadState.NOT_FOUND)), Deed.LAY_FILE)


def hooked(plan: Plan, *manners: Manner) -> Plan:
    return replace(plan, place=Place.PROGRAM if len(manners) == 1 else Place.DIRECTORY, manners=manners)


def hung(plan: Plan, after_s: float) -> Plan:
    """Return a plan in which systemd hangs for good after a while, until all is calm again."""
    return replace(plan, steps=(replace(plan.steps[0], deeds=((after_s, Deed.HANG),)),))


PLANS = {
    "start": (down(request(Action.START)), BOTH),
    "start, slow": (hooked(down(request(Action.START), start_s=4.0), *THREE), BOTH),
    "start, crash loop": (down(request(Action.START), start_s=0.2, lives_s=0.3, restarts=True), (Action.STOP,)),
    "start, systemd hangs": (hung(down(request(Action.START)), 0.02), BOTH),
    "start, no drop-in wanted": (running(request(Action.START, order_at_shutdown="no")), BOTH),
    "start, file not read": (without_its_file(down(request(Action.START))), BOTH),
    "start, slow generators": (replace(down(request(Action.START)), generators_s=2.0), BOTH),
    "stop": (running(request(Action.STOP)), BOTH),
    "stop, at shutdown": (befallen(running(request(Action.STOP)), Deed.SHUT_DOWN), (Action.STOP,)),
    "stop, process alive": (running(request(Action.STOP, 2.0), stop_s=FOREVER, stop_timeout_s=0.5, sends_sigkill=False),
                            (Action.STOP,)),
    "stop, main process alive": (befallen(running(request(Action.STOP, 1.0)), Deed.LOSE), BOTH),
    "stop, refused": (running(request(Action.STOP), refuses_stop=True), (Action.STOP,)),
    "stop, slow generators": (replace(running(request(Action.STOP)), generators_s=2.0), BOTH),
    "stop, start job queued": (befallen(running(request(Action.STOP)), Deed.RESTART_DEPENDENCY), BOTH),
    "stop, slow": (running(request(Action.STOP), stop_s=4.0), BOTH),
    "stop, SIGTERM ignored": (running(request(Action.STOP), stop_s=FOREVER, stop_timeout_s=FOREVER), (Action.STOP,)),
    "stop, verified": (hooked(running(request(Action.STOP, stop_verify="yes")), Manner()), BOTH),
    "stop, systemd hangs": (hung(running(request(Action.STOP)), 0.02), BOTH),
    "monitor": (hooked(running(request(Action.MONITOR)), *THREE), BOTH),
    "monitor, again and again": (hooked(running(request(Action.MONITOR, monitor_hook_retries="2")), Manner(up_code=1)),
                                 (Action.STOP,)),
    "monitor, hook hangs": (hooked(running(request(Action.MONITOR)), HANGING), (Action.STOP,)),
    "reload": (hooked(running(request(Action.RELOAD), reload_s=1.0), Manner()), BOTH),
    "reload-agent": (running(request(Action.RELOAD_AGENT, order_at_shutdown="no")), BOTH),
    "validate-all": (hooked(running(request(Action.VALIDATE_ALL, level=10)), Manner()), BOTH),
}  # fmt: skip
ROWS = [
    pytest.param(plan, signal, then, id=f"{name}, {signal.name}, {then}")
    for name, (plan, follow) in PLANS.items()
    for signal in (SIGTERM, SIGKILL)
    for then in follow
]


@pytest.fixture(name="directory", scope="module")
def a_directory() -> Iterator[Path]:
    with laid_out() as directory:
        yield directory


def interrupted(plan: Plan, interruption: Interruption, then: Action) -> Plan:
    """Return the plan with its action interrupted, and another one after it, in a world without faults."""
    (step,) = plan.steps
    after = Step(action=then, operation=Operation(12.0), values=step.values, is_calm=True)
    return replace(plan, steps=(replace(step, interruption=interruption), after))


def describe(history: History) -> str:
    return "\n".join((*history.story, *history.broken))


@pytest.mark.parametrize(("plan", "signal", "then"), ROWS)
def test_the_next_action_is_right(directory: Path, plan: Plan, signal: Signals, then: Action) -> None:
    """Start and stop return 0; the drop-in is in force after the one and gone after the other."""
    whole = live(interrupted(plan, Interruption(signal, AFTER_ALL), then), directory)
    awaits = whole.accounts[0].awaits
    assert awaits >= 2
    for at in range(1, awaits + 1):
        history = live(interrupted(plan, Interruption(signal, at), then), directory, records=True)
        assert history.broken == (), describe(history)
        first, after = history.accounts
        assert (first.result is None) == (first.interrupted_by is signal)
        assert after.result is not None
        assert after.result.code == 0, describe(history)
        wanted = then is Action.START and after.parameters.order_at_shutdown
        assert (after.after.drop_in_stands, after.after.drop_in_is_known) == (wanted, wanted), describe(history)


def test_every_await_is_one_to_be_interrupted_at(directory: Path) -> None:
    """But for the last, after which the action has its result, each interruption comes in time."""
    plan, _ = PLANS["start"]
    awaits = live(interrupted(plan, Interruption(SIGKILL, AFTER_ALL), Action.STOP), directory).accounts[0].awaits
    missed = [
        at
        for at in range(1, awaits + 1)
        if live(interrupted(plan, Interruption(SIGKILL, at), Action.STOP), directory).accounts[0].result is not None
    ]
    assert missed in ([], [awaits])
