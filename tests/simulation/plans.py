"""What is drawn from a seed: a unit, its hooks, the resource's parameters, the faults, and Pacemaker's actions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from signal import SIGKILL, SIGSEGV, SIGTERM
from typing import TYPE_CHECKING, TypeVar

from ocf_systemd.core.observations import ActiveState, LoadState
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import Operation
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
_UNITS = ("demo.service", "demo@1.service", "demo.socket", "alias.service")
_IDS = {"alias.service": "demo.service"}
_WRONG = {
    "unit": ("", "demo service", "demo.slice", "demo@.service"),
    "monitor_hook": ("bin/true",),
    "monitor_hook_args": ("'",),
    "monitor_hook_protocol": ("http",),
    "monitor_hook_timeout": ("0", "2 days"),
    "monitor_hook_retries": ("-1",),
    "monitor_hook_level": ("high",),
    "monitor_hook_user": ("--help",),
    "monitor_hook_order": ("never",),
    "poll_interval": ("abc", "1e9"),
    "start_poll_limit": ("1.5",),
    "stop_poll_limit": ("none",),
    "stop_verify": ("perhaps",),
    "stop_escalate": ("2",),
    "order_at_shutdown": ("maybe",),
}
_SECOND = {"poll_interval": "soon"}  # what is wrong besides, where more than one value is
# Timeouts of operations in seconds, and longest pauses between polls that go with them.
_PACES = (
    ((0.05, 0.3, 1.0, 3.0, 3.0, 3.0), ("300ms", "300ms", "1s")),
    ((5.0, 20.0, 20.0, 30.0), ("1s", "2s", "5s")),
    ((60.0, 100.0), ("3s", "10s")),
)
_UNBOOTED, _BEFOREHAND, _SURVIVORS, _MISTYPED = 0.02, 0.2, 0.07, 0.04  # how often these are drawn
_FAILING_HOOKS, _STUCK_HOOKS, _IDLE_NODES = 0.2, 0.4, 0.1
_SLOW_STOPS = 0.3  # a stop that fails fences the node: what makes it slow deserves to be drawn often
_USUAL = Character()
_SETTLED = (ActiveState.INACTIVE, ActiveState.FAILED, ActiveState.ACTIVE, ActiveState.ACTIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of the agent: how long after the last one, with what parameters, and what comes between.

    `wrong` are values that are wrong, instead of these. `age_s` is how old the process is when the action begins.
    Before a `is_calm` step all faults end; a `companion` begins so much later as its own gap says, whether or not this
    one has ended.
    """

    action: Action
    operation: Operation
    values: Mapping[str, str]
    wrong: Mapping[str, str] = field(default_factory=dict)
    gap_s: float = 1.0
    age_s: float = 0.0
    is_calm: bool = False
    interruption: Interruption | None = None
    deeds: tuple[tuple[float, Deed], ...] = ()
    companion: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is drawn before a history begins.

    `unit` is the name that the agent has, an alias possibly; `beforehand` happens to the host before the first step;
    `generators_s` is what a daemon-reload takes.
    """

    seed: int
    unit: str = "demo.service"
    is_booted: bool = True
    beforehand: Deed | None = None
    generators_s: float = 0.05
    character: Character = _USUAL
    state: ActiveState = ActiveState.INACTIVE
    has_drop_in: bool = False
    disk_is_broken: bool = False
    place: Place = Place.NOWHERE
    manners: tuple[Manner, ...] = ()
    fault_rate: float = 0.0
    steps: tuple[Step, ...]

    @property
    def unit_id(self) -> str:
        """The unit's primary name."""
        return _IDS.get(self.unit, self.unit)


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
    character = _draw_character(odd)
    is_booted = chance.random() >= _UNBOOTED
    return Plan(
        seed=seed,
        unit=chance.choice(_UNITS),
        is_booted=is_booted,
        beforehand=_draw_beforehand(chance, character, state),
        generators_s=odd(0.05, 0.05, 2.0, 25.0),
        character=character,
        state=state,
        has_drop_in=(state is ActiveState.ACTIVE) is not bool(odd(0, 1)),
        disk_is_broken=is_booted and chance.random() < 0.01,
        place=place,
        manners=tuple(_draw_manner(odd, values["monitor_hook_protocol"]) for _ in range(count)),
        fault_rate=trouble(0.0, 0.02, 0.1, 0.3, 0.7, 1.0),
        steps=_draw_steps(trouble, timeouts, values),
    )


def _draw_beforehand(chance: Random, character: Character, state: ActiveState) -> Deed | None:
    if character.load is not LoadState.LOADED:
        return Deed.LAY_FILE if chance.random() < 0.5 else None
    if state is not ActiveState.ACTIVE or chance.random() >= _BEFOREHAND:
        return None
    return chance.choice((Deed.SHUT_DOWN, Deed.SHUT_DOWN, Deed.RESTART_DEPENDENCY, Deed.RESTART_DEPENDENCY, Deed.LOSE))


def _draw_character(odd: _Odds) -> Character:
    character = _draw_usual_character(odd)
    if odd.chance.random() >= _SURVIVORS:
        return character
    # systemd gives up on these after twice their short TimeoutStopSec=, and takes them for failed.
    return replace(
        character,
        stop_s=FOREVER,
        stop_timeout_s=0.5,
        kill_mode=odd.chance.choice(("control-group", "mixed", "process")),
        sends_sigkill=odd.chance.random() < 0.5,
        kill_s=odd.chance.choice((0.01, 3.0, 8.0, FOREVER)),
    )


def _draw_usual_character(odd: _Odds) -> Character:
    return Character(
        load=odd(LoadState.LOADED, LoadState.NOT_FOUND, LoadState.MASKED, LoadState.BAD_SETTING),
        condition_met=not odd(0, 1),
        dependency_fails=bool(odd(0, 0, 1)),
        dependency_s=odd.chance.choice((0.3, 2.0, 10.0, FOREVER)),
        start_s=odd(0.05, 0.0, 0.6, 4.0, 12.0, 50.0, FOREVER),
        start_fails=bool(odd(0, 1)),
        start_timeout_s=odd(90.0, 0.5, 5.0, FOREVER),
        is_oneshot=bool(odd(0, 0, 1)),
        lives_s=odd(FOREVER, 0.05, 0.5, 3.0, 20.0),
        restarts=bool(odd(0, 1)),
        restart_s=odd(0.1, 1.0, 5.0),
        restart_stays=bool(odd(0, 1)),
        revived_s=odd(FOREVER, FOREVER, 0.3, 2.0),
        stop_s=_Odds(odd.chance, _SLOW_STOPS)(0.05, 0.0, 0.6, 4.0, 12.0, 50.0, FOREVER, FOREVER),
        stop_timeout_s=odd(90.0, 0.5, 5.0, FOREVER),
        kill_s=odd(0.01, 0.5, 3.0, FOREVER),
        post_s=odd(0.0, 0.05, 0.6, 4.0, FOREVER),
        kill_mode=odd("control-group", "mixed", "process", "process", "none"),
        sends_sigkill=not odd(0, 1),
        has_helper=bool(odd(0, 1)),
        refuses_start=bool(odd(0, 0, 1)),
        refuses_stop=bool(odd(0, 0, 1)),
        can_reload=not odd(0, 1),
        reload_s=odd(0.05, 0.0, 0.6, 4.0, 50.0),
        reload_fails=bool(odd(0, 1)),
        is_forgotten=odd.chance.random() < 0.5,  # one as common as the other
    )


def _draw_manner(odd: _Odds, protocol: str) -> Manner:
    runs_s = odd(0.01, 0.0, 0.2, 3.0, 15.0, FOREVER)
    return Manner(
        up_code=_Odds(odd.chance, _FAILING_HOOKS)(0, 190, 190, 7, 7, 7, 1, 2, 3, 5, 6, 8, 9, 42, 191),
        down_code=odd(3 if protocol == "lsb" else 7, 7, 0, 1, 5),
        runs_s=runs_s,
        notices_s=odd(0.0, 0.3, 2.0),
        is_flaky=odd(0.0, 0.0, 0.1, 0.5),
        signal=odd(0, 0, 0, SIGSEGV, SIGKILL),
        errno=odd(0, 0, 0, 0, 2, 8, 11, 13),  # ENOENT, ENOEXEC, EAGAIN, EACCES
        ignores_sigterm=bool(odd(0, 1)),
        ignores_sigkill=runs_s == FOREVER and odd.chance.random() < _STUCK_HOOKS,
    )


def _draw_values(odd: _Odds, place: Place) -> dict[str, str]:
    verify = odd("no", "yes") if place is not Place.NOWHERE else "no"
    return {
        "monitor_hook_protocol": odd("ocf", "lsb") if verify == "yes" else odd("ocf", "nagios", "plain", "lsb"),
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
    recurring = action is Action.MONITOR and chance.random() < 0.6
    levels = (0, 10, 10, 10) if action is Action.VALIDATE_ALL else (0, 0, 0, 10)
    has_company = odd(0, 1) and chance.random() < 0.3
    return Step(
        action=action,
        operation=Operation(
            timeout_s,
            is_recurring=recurring,
            check_level=chance.choice(levels),
            expects_stopped=recurring and chance.random() < _IDLE_NODES,
        ),
        values=values,
        wrong=_draw_wrong(chance) if chance.random() < _MISTYPED else {},
        gap_s=odd(1.0, 0.05, 0.2, 30.0),
        age_s=odd(0.13, 0.0, 0.4),
        interruption=interruption,
        deeds=_draw_deeds(odd, timeout_s),
        companion=_draw_step(_Odds(chance, 0.0), timeouts, values, None) if has_company else None,
    )


def _draw_wrong(chance: Random) -> Mapping[str, str]:
    """Draw a wrong value, that of the unit often, or two."""
    name = "unit" if chance.random() < 0.3 else chance.choice([*_WRONG])
    wrong = {name: chance.choice(_WRONG[name])}
    return _SECOND | wrong if chance.random() < 0.2 else wrong


def _draw_deeds(odd: _Odds, timeout_s: float) -> tuple[tuple[float, Deed], ...]:
    count = odd(0, 1, 1, 2)
    spread_s = odd.chance.choice((0.05, 0.3, timeout_s))
    return tuple((odd.chance.random() * spread_s, odd.chance.choice([*Deed])) for _ in range(count))


def _draw_interruption(chance: Random) -> Interruption:
    last = chance.choice((4, 16, 60))
    return Interruption(chance.choice((SIGTERM, SIGKILL)), chance.randint(1, last))
