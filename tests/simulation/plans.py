"""What is drawn from a seed: a unit, its hooks, the resource's parameters, the weather, and what Pacemaker will ask."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from signal import SIGKILL, SIGSEGV, SIGTERM
from typing import TYPE_CHECKING, TypeVar

from ocf_systemd.observations import ActiveState, LoadState
from ocf_systemd.ocf import Action
from ocf_systemd.parameters import Operation
from tests.simulation.faults import Deed
from tests.simulation.hooks import DIRECTORY_NAMES, Manner, Place
from tests.simulation.interruptions import Interruption
from tests.simulation.timeline import FOREVER
from tests.simulation.units import Character

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_ACTIONS = {
    Action.START: 28,
    Action.STOP: 25,
    Action.MONITOR: 30,
    Action.RELOAD: 8,
    Action.RELOAD_AGENT: 6,
    Action.VALIDATE_ALL: 4,
}
_UNITS = ("demo.service", "demo@1.service", "demo.socket")
# Timeouts of operations in seconds, and longest pauses between polls that go with them.
_PACES = (
    ((0.05, 0.3, 1.0, 3.0, 3.0, 3.0), ("300ms", "300ms", "1s")),
    ((5.0, 20.0, 20.0, 30.0), ("1s", "2s", "5s")),
    ((60.0, 100.0), ("3s", "10s")),
)
_SLOW_STOPS = 0.3  # a stop that fails fences the node: what makes it slow deserves to be drawn often
_USUAL = Character()
_SETTLED = (ActiveState.INACTIVE, ActiveState.FAILED, ActiveState.ACTIVE, ActiveState.ACTIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of the agent: how long after the last one, with what parameters, and what comes between.

    `age_s` is how old the process is when the action begins. Before a `is_calm` step all faults end; a `companion`
    begins so much later as its own gap says, whether or not this one has ended.
    """

    action: Action
    operation: Operation
    values: Mapping[str, str]
    gap_s: float = 1.0
    age_s: float = 0.0
    is_calm: bool = False
    interruption: Interruption | None = None
    deeds: tuple[tuple[float, Deed], ...] = ()
    companion: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is drawn before a history begins. `values` are the resource's parameters but for unit and hook."""

    seed: int
    unit: str = "demo.service"
    character: Character = _USUAL
    state: ActiveState = ActiveState.INACTIVE
    has_drop_in: bool = False
    disk_is_broken: bool = False
    place: Place = Place.NOWHERE
    manners: tuple[Manner, ...] = ()
    fault_rate: float = 0.0
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _Odds:
    """Draws what is usual most of the time, and now and then one of the others."""

    chance: Random
    rate: float

    def __call__(self, usual: T, *others: T) -> T:
        return self.chance.choice(others) if self.chance.random() < self.rate else usual


def draw_plan(seed: int) -> Plan:
    """Draw a history's beginnings; the same seed draws the same."""
    chance = Random(seed)  # noqa: S311  # it draws faults, not secrets
    odd = _Odds(chance, chance.choice((0.0, 0.1, 0.2, 0.35)))
    trouble = _Odds(chance, chance.choice((0.0, 0.0, 0.15, 0.4)))
    place = chance.choice((Place.NOWHERE, Place.PROGRAM, Place.PROGRAM, Place.DIRECTORY, odd(Place.PROGRAM, *Place)))
    count = {Place.PROGRAM: 1, Place.DIRECTORY: len(DIRECTORY_NAMES)}.get(place, 0)
    state = chance.choice(_SETTLED)
    timeouts, pauses = chance.choice(_PACES)
    values = _draw_values(odd, place) | {"poll_interval": chance.choice(pauses)}
    return Plan(
        seed=seed,
        unit=chance.choice(_UNITS),
        character=_draw_character(odd),
        state=state,
        has_drop_in=(state is ActiveState.ACTIVE) is not bool(odd(0, 1)),
        disk_is_broken=chance.random() < 0.01,
        place=place,
        manners=tuple(_draw_manner(odd) for _ in range(count)),
        fault_rate=trouble(0.0, 0.02, 0.1, 0.3, 0.7, 1.0),
        steps=_draw_steps(trouble, timeouts, values),
    )


def _draw_character(odd: _Odds) -> Character:
    return Character(
        load=odd(LoadState.LOADED, LoadState.NOT_FOUND, LoadState.MASKED, LoadState.BAD_SETTING),
        condition_met=not odd(0, 1),
        dependency_fails=bool(odd(0, 0, 1)),
        start_s=odd(0.05, 0.0, 0.6, 4.0, 12.0, 50.0, FOREVER),
        start_fails=bool(odd(0, 1)),
        start_timeout_s=odd(90.0, 0.5, 5.0, FOREVER),
        is_oneshot=bool(odd(0, 0, 1)),
        lives_s=odd(FOREVER, 0.05, 0.5, 3.0, 20.0),
        restarts=bool(odd(0, 1)),
        restart_s=odd(0.1, 1.0, 5.0),
        revived_s=odd(FOREVER, FOREVER, 0.3, 2.0),
        stop_s=_Odds(odd.chance, _SLOW_STOPS)(0.05, 0.0, 0.6, 4.0, 12.0, 50.0, FOREVER, FOREVER),
        stop_timeout_s=odd(90.0, 0.5, 5.0, FOREVER),
        kill_s=odd(0.01, 0.5, 3.0, FOREVER),
        can_reload=not odd(0, 1),
        reload_s=odd(0.05, 0.0, 0.6, 4.0, 50.0),
        reload_fails=bool(odd(0, 1)),
        is_forgotten=odd.chance.random() < 0.5,  # one as common as the other
    )


def _draw_manner(odd: _Odds) -> Manner:
    return Manner(
        up_code=odd(0, 0, 190, 7, 1, 2, 3, 42),
        down_code=odd(7, 7, 0, 1, 5),
        runs_s=odd(0.01, 0.0, 0.2, 3.0, 15.0, FOREVER),
        notices_s=odd(0.0, 0.3, 2.0),
        is_flaky=odd(0.0, 0.0, 0.1, 0.5),
        signal=odd(0, 0, 0, SIGSEGV, SIGKILL),
        errno=odd(0, 0, 0, 0, 2, 8, 11, 13),  # ENOENT, ENOEXEC, EAGAIN, EACCES
        ignores_sigterm=bool(odd(0, 1)),
    )


def _draw_values(odd: _Odds, place: Place) -> dict[str, str]:
    verify = odd("no", "yes") if place is not Place.NOWHERE else "no"
    return {
        "monitor_hook_protocol": "ocf" if verify == "yes" else odd("ocf", "nagios", "plain"),
        "monitor_hook_timeout": odd("", "100ms", "2s", "1min"),
        "monitor_hook_retries": odd("0", "1", "3"),
        "monitor_hook_level": odd("0", "10"),
        "monitor_hook_order": odd("concurrent", "gated"),
        "start_poll_limit": odd("0", "1", "3"),
        "stop_poll_limit": odd("0", "1", "3"),
        "stop_verify": verify,
        "stop_escalate": odd("yes", "no"),
        "order_at_shutdown": odd("yes", "no"),
    }


def _draw_steps(odd: _Odds, timeouts: tuple[float, ...], values: Mapping[str, str]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for _ in range(odd.chance.choice((1, 2, 2, 3, 3, 4))):
        interruption = _draw_interruption(odd.chance) if odd.chance.random() < 0.15 else None
        step = _draw_step(odd, timeouts, values, interruption)
        steps.append(step)
        values = step.values
        if interruption:
            action = odd.chance.choice((Action.STOP, Action.START))
            timeout_s = max(*timeouts, 10.0)
            steps.append(Step(action=action, operation=Operation(timeout_s), values=values, is_calm=True))
    return tuple(steps)


def _draw_step(
    odd: _Odds, timeouts: tuple[float, ...], values: Mapping[str, str], interruption: Interruption | None
) -> Step:
    chance = odd.chance
    (action,) = chance.choices([*_ACTIONS], [*_ACTIONS.values()])
    if action is Action.RELOAD_AGENT:
        values = {**values, "order_at_shutdown": odd(values["order_at_shutdown"], "yes", "no")}
    timeout_s = chance.choice(timeouts)
    recurring = action is Action.MONITOR and chance.random() < 0.75
    levels = (0, 10, 10, 10) if action is Action.VALIDATE_ALL else (0, 0, 0, 10)
    has_company = odd(0, 1) and chance.random() < 0.3
    return Step(
        action=action,
        operation=Operation(timeout_s, is_recurring=recurring, check_level=chance.choice(levels)),
        values=values,
        gap_s=odd(1.0, 0.05, 0.2, 30.0),
        age_s=odd(0.13, 0.0, 0.4),
        interruption=interruption,
        deeds=_draw_deeds(odd, timeout_s),
        companion=_draw_step(_Odds(chance, 0.0), timeouts, values, None) if has_company else None,
    )


def _draw_deeds(odd: _Odds, timeout_s: float) -> tuple[tuple[float, Deed], ...]:
    count = odd(0, 1, 1, 2)
    spread_s = odd.chance.choice((0.05, 0.3, timeout_s))
    return tuple((odd.chance.random() * spread_s, odd.chance.choice([*Deed])) for _ in range(count))


def _draw_interruption(chance: Random) -> Interruption:
    last = chance.choice((4, 16, 60))
    return Interruption(chance.choice((SIGTERM, SIGKILL)), chance.randint(1, last))
