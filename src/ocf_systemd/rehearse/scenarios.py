"""The scenes of a rehearsal in their order, what each needs of the unit, and what can come of one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType


class Scene(StrEnum):
    """What is done to the unit, by the names that programs read; in the order in which it is done."""

    VALIDATE_ALL = "validate-all"
    START = "start"
    MONITOR = "monitor"
    RELOAD = "reload"
    RELOAD_AGENT = "reload-agent"
    STOP = "stop"
    LEFT_BEHIND = "left-behind"
    MONITOR_DOWN = "monitor-down"
    HOOK_DOWN = "hook-down"
    RESTARTS = "restarts"
    TWO_STARTS = "two-starts"
    TWO_STOPS = "two-stops"
    STOP_WHILE_STARTING = "stop-while-starting"
    KILLED = "killed"
    FROZEN = "frozen"


RESTARTS = 10
"""How often the unit is started and stopped in a row: twice what systemd's own start limit allows within 10 s."""

TITLES: Mapping[Scene, str] = MappingProxyType(
    {
        Scene.VALIDATE_ALL: "validate-all, twice",
        Scene.START: "start, twice",
        Scene.MONITOR: "monitor, twice",
        Scene.RELOAD: "reload, twice",
        Scene.RELOAD_AGENT: "reload-agent, twice",
        Scene.STOP: "stop, twice",
        Scene.LEFT_BEHIND: "no process left after stop",
        Scene.MONITOR_DOWN: "monitor while it is down, twice",
        Scene.HOOK_DOWN: "the hook alone while it is down",
        Scene.RESTARTS: "ten restarts in a row",
        Scene.TWO_STARTS: "two starts at once",
        Scene.TWO_STOPS: "two stops at once",
        Scene.STOP_WHILE_STARTING: "stop while it starts",
        Scene.KILLED: "main process killed",
        Scene.FROZEN: "all processes frozen",
    }
)


class Needs(Enum):
    """What state a scene finds the unit in."""

    ANY = "any"
    UP = "up"
    DOWN = "down"


NEEDS: Mapping[Scene, Needs] = MappingProxyType(
    {
        Scene.VALIDATE_ALL: Needs.ANY,
        Scene.START: Needs.DOWN,
        Scene.MONITOR: Needs.UP,
        Scene.RELOAD: Needs.UP,
        Scene.RELOAD_AGENT: Needs.UP,
        Scene.STOP: Needs.UP,
        Scene.LEFT_BEHIND: Needs.DOWN,
        Scene.MONITOR_DOWN: Needs.DOWN,
        Scene.HOOK_DOWN: Needs.DOWN,
        Scene.RESTARTS: Needs.DOWN,
        Scene.TWO_STARTS: Needs.DOWN,
        Scene.TWO_STOPS: Needs.UP,
        Scene.STOP_WHILE_STARTING: Needs.DOWN,
        Scene.KILLED: Needs.UP,
        Scene.FROZEN: Needs.UP,
    }
)


@dataclass(frozen=True, slots=True)
class Passed:
    """All was as expected; `told` is what was seen, in a few words."""

    told: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Something was not: `told` names subject, observation and expectation, `remedy` what to do about it."""

    told: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The scene was not played; `why` says what it would have needed."""

    why: str


Outcome = Passed | Failed | Skipped
