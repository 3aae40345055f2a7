"""The scenarios of a rehearsal in their order, and the state of the unit that each begins with. Pure."""

from enum import StrEnum


class Scenario(StrEnum):
    """What is done to the unit, in this order. The values are also the names of the checks: users rely on them."""

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
"""How often the unit is started and stopped in a row: twice what systemd's default start limit allows in 10 s."""

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
"""If one of these scenarios fails, the later ones are not run: they would fail as well."""
