"""The facts of a rehearsal: a unit's properties, actions that ran, processes left behind. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ocf_systemd.core.durations import timespan_s
from ocf_systemd.core.judgement import PASSING_CODES
from ocf_systemd.core.observations import RUNNING_STATES, ActiveState
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode

UNIT_PROPERTIES = (
    "ActiveState,Type,MainPID,ControlGroup,InvocationID,KillMode,Restart,CanReload,"
    "TimeoutStartUSec,TimeoutStopUSec,ExecStop,WatchdogUSec"
)
"""The properties that a rehearsal reads (org.freedesktop.systemd1(5)), as `systemctl show --property=` takes them."""


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """The properties of a unit, and whether it has the drop-in that the agent writes at a start.

    Timeouts are in seconds; a timeout is `math.inf` if it is infinite, or if units of this type have none.
    `stop_commands` is the number of ExecStop= commands. `main_pid` is 0 if there is no main process, `control_group`
    is empty if there is no control group, and `watchdog_s` is 0 or `math.inf` if there is no watchdog.
    """

    active_state: str = ""
    type: str = ""
    main_pid: int = 0
    control_group: str = ""
    invocation: str = ""
    kill_mode: str = ""
    restart: str = ""
    can_reload: bool = False
    start_timeout_s: float = math.inf
    stop_timeout_s: float = math.inf
    stop_commands: int = 0
    watchdog_s: float = 0.0
    has_drop_in: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the unit is active or becomes active."""
        return self.active_state in RUNNING_STATES | {ActiveState.ACTIVATING}


def unit_facts(properties: Mapping[str, str]) -> UnitFacts:
    """Return the facts from a unit's properties, as `core.unit_properties.parse_units` returns them."""
    return UnitFacts(
        active_state=properties.get("ActiveState", ""),
        type=properties.get("Type", ""),
        main_pid=int(properties.get("MainPID") or 0),
        control_group=properties.get("ControlGroup", ""),
        invocation=properties.get("InvocationID", ""),
        kill_mode=properties.get("KillMode", ""),
        restart=properties.get("Restart", ""),
        can_reload=properties.get("CanReload") == "yes",
        start_timeout_s=limit_s(properties.get("TimeoutStartUSec", "")),
        stop_timeout_s=limit_s(properties.get("TimeoutStopUSec", "")),
        stop_commands=properties.get("ExecStop", "").count("argv[]="),
        watchdog_s=limit_s(properties.get("WatchdogUSec", "0")),
    )


def limit_s(text: str) -> float:
    """Return the seconds of a time limit as systemctl prints it, `math.inf` if there is none."""
    seconds = timespan_s(text)
    return math.inf if seconds is None else seconds


@dataclass(frozen=True, slots=True)
class ActionRun:
    """An action that ran to its result.

    Times are in seconds, None if not observed. `active_after_s` is the time until systemd first reported the unit
    active, `hook_s` the longest run of a hook that exited. `hook_timed_out` means that a hook was still running at the
    deadline, and that monitor_hook_timeout is not set. `ended_hook` means that the agent ended a hook, because the
    hook's time was up or its result was no longer needed. `escalated` means that a stop sent SIGKILL. `unit_result` is
    the unit's property Result at the end of the action.
    """

    action: Action
    result: ActionResult
    elapsed_s: float
    active_after_s: float | None = None
    hook_s: float | None = None
    hook_timed_out: bool = False
    ended_hook: bool = False
    escalated: bool = False
    unit_result: str = ""

    @property
    def code(self) -> int:
        """The exit code."""
        return self.result.code

    @property
    def is_success(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == ExitCode.SUCCESS

    @property
    def hook_wait_s(self) -> float | None:
        """Seconds that a start waits for its hook: from when systemd reports the unit active to the start's end."""
        if self.active_after_s is None or self.hook_s is None:
            return None
        return max(self.elapsed_s - self.active_after_s, 0.0)

    @property
    def reports_running(self) -> bool:
        """Whether a monitor reported the unit running."""
        return self.code in PASSING_CODES


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process of the unit that outlived a stop; `has_left_group` means that it is not in the unit's control group."""

    pid: int
    command: str
    has_left_group: bool


@dataclass(frozen=True, slots=True)
class Crash:
    """A crash: `victim` is what was killed, `monitored` the last monitor, and `started` the start that followed.

    `after_s` is the time in seconds from the crash to the end of that monitor. `started` is None if no monitor reported
    the crash. `restart` is the unit's Restart= at the time of the crash, drop-ins included.
    """

    victim: str
    monitored: ActionRun
    after_s: float
    started: ActionRun | None
    restart: str = "no"


@dataclass(frozen=True, slots=True)
class Measured:
    """The longest times of a rehearsal in seconds; None: not measured."""

    start_s: float | None = None
    ready_s: float | None = None
    """From when systemd reports the unit active to the end of the start, which waits for the hook."""
    stop_s: float | None = None
    monitor_s: float | None = None
    hook_s: float | None = None
    hang_s: float | None = None
    """How long the monitor that reported the hang took."""
    hook_was_ended: bool = False
    """Whether the monitor that reported the hang ended the hook at the deadline, since the hook has no time limit."""
