"""What doctor knows of a unit, its hook, the agent and the host: frozen facts, which do not judge."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ocf_systemd.core.observations import DOWN_STATES, RUNNING_STATES, ActiveState, HookOutcome, LoadState
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import Parameters

FOREVER_S = math.inf
"""What `infinity` is in seconds."""


@dataclass(frozen=True, slots=True)
class Edge:
    """That a unit starts, stops or restarts this one: `relation` is the property of this one that says so.

    `link` is the symbolic link it comes from, where there is one (systemd.unit(5), .wants/).
    """

    relation: str
    by: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Relative:
    """Another unit: whether it is enabled, whether it runs, and by what it is started in its turn."""

    name: str
    file_state: str = ""
    active_state: ActiveState = ActiveState.INACTIVE
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class StartLimit:
    """A unit's limit on starts: `burst` of them in `interval_s` seconds; 0 of either: none (systemd.unit(5))."""

    unit: str
    burst: int
    interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service's settings, as systemd has them in force (systemd.service(5), systemd.kill(5)). Times are seconds."""

    type: str = "notify"
    remain_after_exit: bool = False
    pid_file: str = ""
    guess_main_pid: bool = True
    main_pid: int = 0
    restart: str = "no"
    forces_restart: bool = False
    exec_start: tuple[str, ...] = ()
    exec_stop: tuple[str, ...] = ()
    kill_mode: str = "control-group"
    send_sigkill: bool = True
    start_timeout_s: float = 90.0
    stop_timeout_s: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit as systemd has it, and what of it stands on disk.

    `links` are the administrator's symbolic links that start it, `edges` what else does; `alias_link` is what makes the
    name that was given another one of this unit; `unread` are the drop-ins that systemd has not read yet; `bus_files`
    the D-Bus activation files that start it; `shadow` is a file that hides the agent's drop-in, `later_restarts` the
    drop-in that sets Restart= after it; `emergencies` are settings such as FailureAction= that do something to the
    host, `helpers` the limits of units that are started anew with this one.
    """

    id: str
    names: tuple[str, ...] = ()
    load_state: LoadState = LoadState.LOADED
    active_state: ActiveState = ActiveState.INACTIVE
    file_state: str = "disabled"
    path: str = ""
    source: str = ""
    needs_daemon_reload: bool = False
    unread: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    alias_link: str = ""
    edges: tuple[Edge, ...] = ()
    part_of: tuple[str, ...] = ()
    consists_of: tuple[str, ...] = ()
    bus_files: tuple[str, ...] = ()
    has_drop_in: bool = False
    shadow: str = ""
    later_restarts: tuple[str, ...] = ()
    emergencies: tuple[str, ...] = ()
    start_limit: StartLimit = StartLimit("", 5, 10.0)
    helpers: tuple[StartLimit, ...] = ()
    service: Service | None = None

    @property
    def is_running(self) -> bool:
        """Whether the unit does its work."""
        return self.active_state in RUNNING_STATES

    @property
    def is_down(self) -> bool:
        """Whether the unit is observed stopped."""
        return self.active_state in DOWN_STATES


@dataclass(frozen=True, slots=True)
class Script:
    """What a hook's own text tells: whether it bounds its time, and by which tool it ends, whose exit code is its."""

    path: str
    is_bounded: bool
    raw_tool: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """The hooks: what came of running them once, or why they were not run, and what their texts tell.

    `elapsed_s` is the time of the slowest.
    """

    outcomes: tuple[HookOutcome, ...] = ()
    not_run: str = ""
    scripts: tuple[Script, ...] = ()
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent's file on this host.

    `path` is empty where there is none, `is_foreign` tells that what stands there is somebody else's. `version` is
    what its metadata say; `failure` why it has none for root, `unreadable` why it has none for other users.
    `is_current` tells that the file is what this package would write there.
    """

    path: str = ""
    standard: str = ""
    is_foreign: bool = False
    version: str = ""
    failure: str = ""
    unreadable: str = ""
    is_current: bool = True


@dataclass(frozen=True, slots=True)
class Host:
    """This host: versions (no Pacemaker: empty), and how long systemd lets a unit stop that does not say."""

    systemd: str
    pacemaker: str
    package: str
    stop_timeout_s: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known: `given` is the unit's name as it was given, `why_unusable` what is wrong with that name.

    `similar` are names that may have been meant; no `parameters`: the unit's name is none; no `unit`: systemd has not
    been asked, or does not answer, as `silence` tells.
    """

    given: str
    operations: Operations
    agent: Agent
    host: Host
    why_unusable: str = ""
    similar: tuple[str, ...] = ()
    silence: str = ""
    parameters: Parameters | None = None
    unit: Unit | None = None
    relatives: Mapping[str, Relative] = field(default_factory=lambda: MappingProxyType({}))
    hook: Hook | None = None
