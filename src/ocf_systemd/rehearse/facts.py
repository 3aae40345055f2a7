"""What a rehearsal has seen, as frozen facts: a unit's settings, an action done, processes left behind. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ocf_systemd.core.durations import timespan_s
from ocf_systemd.core.judgement import PASSING_CODES
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode

UNIT_PROPERTIES = (
    "ActiveState",
    "Type",
    "MainPID",
    "ControlGroup",
    "InvocationID",
    "KillMode",
    "Restart",
    "CanReload",
    "TimeoutStartUSec",
    "TimeoutStopUSec",
    "WatchdogUSec",
)
"""What a rehearsal asks systemd for (org.freedesktop.systemd1(5))."""


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What systemd says of a unit beyond its state.

    Timeouts are seconds, None where there is none (infinity, or a unit of a type that has none); `main_pid` is 0 and
    `control_group` empty where there is none.
    """

    active_state: str = ""
    type: str = ""
    main_pid: int = 0
    control_group: str = ""
    invocation: str = ""
    kill_mode: str = ""
    restart: str = ""
    can_reload: bool = False
    start_timeout_s: float | None = None
    stop_timeout_s: float | None = None
    watchdog_s: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the unit is up, or on its way."""
        return self.active_state not in {"", "inactive", "failed", "deactivating"}


def unit_facts(properties: Mapping[str, str]) -> UnitFacts:
    """Return the facts that a unit's properties tell, as `systemctl show` words them."""
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
        watchdog_s=limit_s(properties.get("WatchdogUSec", "")) or 0.0,
    )


def limit_s(text: str) -> float | None:
    """Return the seconds of a time limit as systemctl prints it; None: there is none."""
    seconds = timespan_s(text)
    return None if seconds == math.inf else seconds


@dataclass(frozen=True, slots=True)
class Done:
    """An action done.

    `active_after_s` is when systemd first called the unit active, `hook_s` the longest run of a hook, each in seconds,
    None where it was not seen; `hook_cut` that a hook was still running when its time was up; `sent_kill` that a stop
    did not wait any longer; `unit_result` the unit's own afterwards.
    """

    action: Action
    result: ActionResult
    elapsed_s: float
    active_after_s: float | None = None
    hook_s: float | None = None
    hook_cut: bool = False
    sent_kill: bool = False
    unit_result: str = ""

    @property
    def code(self) -> int:
        """The result's code."""
        return self.result.code

    @property
    def is_success(self) -> bool:
        """Whether the answer is 0."""
        return self.code == ExitCode.SUCCESS

    @property
    def ready_s(self) -> float | None:
        """Seconds from systemd's active to the end, which a start spends on waiting for its hook."""
        if self.active_after_s is None or self.hook_s is None:
            return None
        return max(self.elapsed_s - self.active_after_s, 0.0)

    @property
    def says_running(self) -> bool:
        """Whether a monitor took the unit for running."""
        return self.code in PASSING_CODES


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """A process of the unit that outlived its stop; `elsewhere` it had left the unit's control group."""

    pid: int
    words: str
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class Frozen:
    """A hang: how many processes were stopped, what monitor said meanwhile, and once they went on.

    No `afterwards`: systemd had ended the unit, whose watchdog it is.
    """

    processes: int
    monitored: Done
    afterwards: Done | None


@dataclass(frozen=True, slots=True)
class Killed:
    """A crash: what was killed, what monitor said at last and how long after, and the start that followed.

    No start: monitor never told it; `restart` is the unit's Restart= at that moment, drop-ins included.
    """

    victim: str
    monitored: Done
    after_s: float
    started: Done | None
    restart: str = "no"


@dataclass(frozen=True, slots=True)
class StopWhileStarting:
    """A stop that came while a start was under way, and a monitor after both."""

    started: Done
    stopped: Done
    monitored: Done


@dataclass(frozen=True, slots=True)
class Measured:
    """The longest times in seconds that a rehearsal has seen; None: not seen."""

    start_s: float | None = None
    ready_s: float | None = None
    """From systemd's active to the hook's 0."""
    stop_s: float | None = None
    monitor_s: float | None = None
    hook_s: float | None = None
    hang_s: float | None = None
    """Until a monitor told of a hang."""
    hook_was_cut: bool = False
    """Of a hang the hook did not tell by itself: its time was up."""
