"""The scenarios of a rehearsal in their order, and the state of the unit that each begins with. Pure."""

from enum import StrEnum


class Scenario(StrEnum):
    """What is done to the unit, in this order; the values are the names of the checks, which do not change."""

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
    STOP_IN_START = "stop-in-start"
    KILLED = "killed"
    FROZEN = "frozen"


RESTORED = "restored"
"""The name of the last check: whether the unit is in the state in which it was found."""

RESTARTS = 10
"""How often the unit is started and stopped in a row: twice what systemd's own start limit allows within 10 s."""

NEEDS_RUNNING = frozenset(
    {
        Scenario.MONITOR,
        Scenario.RELOAD,
        Scenario.RELOAD_AGENT,
        Scenario.STOP,
        Scenario.TWO_STOPS,
        Scenario.KILLED,
        Scenario.FROZEN,
    }
)
"""The scenarios that begin with a running unit."""

NEEDS_STOPPED = frozenset(Scenario) - NEEDS_RUNNING - {Scenario.VALIDATE_ALL}
"""The scenarios that begin with a stopped unit."""

DECISIVE = frozenset({Scenario.VALIDATE_ALL, Scenario.START, Scenario.STOP, Scenario.RESTARTS})
"""The scenarios after whose failure the later ones would fail as well."""
