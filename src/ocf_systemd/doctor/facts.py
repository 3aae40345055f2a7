"""What doctor knows of a unit, its hook, the agent and the host: frozen facts, which the checks judge."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ocf_systemd.core.cluster import Cluster, Resource
from ocf_systemd.core.observations import DOWN_STATES, RUNNING_STATES, ActiveState, HookOutcome, LoadState
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import Parameters

FOREVER_S = math.inf
"""The seconds of `infinity`."""

PULLING = ("Requires", "BindsTo", "Wants", "Upholds")
"""The properties that name the units which a start of a unit starts."""

STOPPED = ("PartOf", "BindsTo", "Requires", "Requisite", "StopPropagatedFrom")
"""The properties that name the units with which a unit is stopped (systemd.unit(5))."""


_ENABLED = frozenset({"enabled", "enabled-runtime"})


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency by which the unit `by` starts this unit: `relation` is this unit's property, such as WantedBy.

    `link` is the symbolic link that causes it, if any (.wants/ in systemd.unit(5)).
    """

    relation: str
    by: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class RelatedUnit:
    """Another unit that starts this one, or is started or stopped with it; `edges` are the units that start it.

    `links` are the administrator's symbolic links that start it, `also` the units that `systemctl disable` of it would
    disable as well. `users` are the other units that start it or stop with it, or that a helper is a part of.
    `is_unusable` means that it cannot be started: it is not found, or masked. `type` is a service's Type=. `path` is
    its file, `relations` are as in `Unit`. `commands` are what its ExecStart= runs, with the text of scripts.
    """

    name: str
    file_state: str = ""
    active_state: ActiveState = ActiveState.INACTIVE
    edges: tuple[Edge, ...] = ()
    links: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    is_unusable: bool = False
    type: str = ""
    remain_after_exit: bool = False
    stop_when_unneeded: bool = False
    path: str = ""
    relations: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    commands: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether the unit is active."""
        return self.active_state in RUNNING_STATES

    @property
    def is_enabled(self) -> bool:
        """Whether `systemctl enable` was used on the unit."""
        return self.file_state in _ENABLED


@dataclass(frozen=True, slots=True)
class StartLimit:
    """A unit's limit on starts: `burst` within `interval_s` seconds; no limit if either is 0 (systemd.unit(5))."""

    unit: str
    burst: int
    interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The settings of a service that apply (systemd.service(5), systemd.kill(5)). Times are in seconds."""

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
    delegate: bool = False
    send_sigkill: bool = True
    start_timeout_s: float = 90.0
    stop_timeout_s: float = 90.0
    runtime_max_s: float = FOREVER_S


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a service, with its arguments; `setting` is where it is from, such as ExecStart.

    `why_not` is why the kernel would not start its program. `session` is what in it opens a login session or starts
    another unit, such as `su -`; `script` is the script that calls it, if not the command itself. `ignores_failure`
    means that it has the prefix `-`, `runs_as_root` that it has `+` or `!`, and so ignores User=.
    """

    setting: str
    text: str
    path: str = ""
    ignores_failure: bool = False
    runs_as_root: bool = False
    why_not: str = ""
    session: str = ""
    script: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What the processes of a service need on this host: each tuple has settings, such as `User=web`."""

    commands: tuple[Command, ...] = ()
    missing_accounts: tuple[str, ...] = ()
    missing_files: tuple[str, ...] = ()
    pam_session: str = ""
    why_no_pid_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit as systemd has loaded it, and its files.

    `links` are the administrator's symbolic links that start it, `edges` the other dependencies that do. `also` are the
    other units that `systemctl disable` of this one would disable. `alias_link` is the link that makes the given name
    an alias. `unread` are the drop-ins that systemd has not loaded yet. `bus_files` are the D-Bus activation files that
    start it. `hidden_by` is a file that hides the agent's drop-in, `later_restarts` the drop-in that sets Restart=
    after it. `failure_actions` are settings such as FailureAction= that affect the host. `required_limits` are the
    limits of required units that start and stop with this one. `relations` are the units that each property such as
    Requires= names. `accepts` means that a socket starts an instance of a service for each connection. `refused` are
    the settings with which systemd refuses to start or stop it on request, `unmet` the conditions and assertions that
    keep it from starting now, or why these are unknown.
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
    also: tuple[str, ...] = ()
    alias_link: str = ""
    edges: tuple[Edge, ...] = ()
    part_of: tuple[str, ...] = ()
    consists_of: tuple[str, ...] = ()
    bus_files: tuple[str, ...] = ()
    has_drop_in: bool = False
    hidden_by: str = ""
    later_restarts: tuple[str, ...] = ()
    failure_actions: tuple[str, ...] = ()
    start_limit: StartLimit = StartLimit("", 5, 10.0)
    required_limits: tuple[StartLimit, ...] = ()
    service: Service | None = None
    relations: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    accepts: bool = False
    refused: tuple[str, ...] = ()
    stop_when_unneeded: bool = False
    unmet: tuple[str, ...] | str = ()
    execution: Execution = Execution()

    @property
    def unstartable(self) -> tuple[Command, ...]:
        """The commands that make a start fail, since the kernel would not start their program.

        With the prefix `-` only a oneshot service starts: another one is inactive without its main process.
        """
        is_oneshot = self.service is not None and self.service.type == "oneshot"
        return tuple(
            command
            for command in self.execution.commands
            if command.why_not and (not command.ignores_failure or (command.setting == "ExecStart" and not is_oneshot))
        )

    def related_by(self, *properties: str) -> tuple[str, ...]:
        """Return the units that any of these properties names, such as Requires."""
        return tuple(dict.fromkeys(name for each in properties for name in self.relations.get(each, ())))

    def stops(self, other: RelatedUnit) -> bool:
        """Return whether a stop of this unit stops the other one."""
        depends = any(self.id in other.relations.get(each, ()) for each in STOPPED)
        return other.stop_when_unneeded or depends or other.name in self.related_by("PropagatesStopTo")

    @property
    def triggers(self) -> tuple[str, ...]:
        """The sockets, timers and paths that start the unit."""
        return tuple(edge.by for edge in self.edges if edge.relation == "TriggeredBy")

    @property
    def is_triggered_command(self) -> bool:
        """Whether the unit is a command that timers or paths start and that ends: it is never active for long."""
        ends = self.service is not None and self.service.type == "oneshot" and not self.service.remain_after_exit
        return ends and bool(self.triggers) and all(each.endswith((".timer", ".path")) for each in self.triggers)

    @property
    def is_running(self) -> bool:
        """Whether the unit is active, as in `UnitState`."""
        return self.active_state in RUNNING_STATES

    @property
    def is_inactive(self) -> bool:
        """Whether systemd reports the unit stopped, as in `UnitState`."""
        return self.active_state in DOWN_STATES


@dataclass(frozen=True, slots=True)
class Script:
    """A hook's file: whether it sets a timeout, and the tool whose exit code it returns, if that is a tool's."""

    path: str
    is_bounded: bool
    raw_tool: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """The hooks: how one run of each ended, or why they were not run, and their files.

    `elapsed_s` is the time in seconds that the slowest took. `is_directory` means that monitor_hook is a directory.
    `similar` is an executable with a similar name in the same directory, if monitor_hook does not exist.
    """

    outcomes: tuple[HookOutcome, ...] = ()
    not_run: str = ""
    scripts: tuple[Script, ...] = ()
    elapsed_s: float = 0.0
    is_directory: bool = False
    similar: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent's file on this host.

    `path` is empty if there is none; `is_foreign` means that the file is not an agent of ocf-systemd. `version` is
    from its metadata, `failure` why root cannot read them, `unreadable` why other users cannot. `is_current` means that
    this package would install the same file. `unsafe` is why others than root can change what root runs.
    """

    path: str = ""
    standard: str = ""
    is_foreign: bool = False
    version: str = ""
    failure: str = ""
    unreadable: str = ""
    is_current: bool = True
    unsafe: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """This host: versions (empty if unknown), and DefaultTimeoutStopSec= in seconds."""

    systemd: str = ""
    pacemaker: str = ""
    package: str = ""
    stop_timeout_s: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All facts: `given` is the unit's name on the command line, `why_unusable` why the agent rejects it.

    `similar` are names of similar units. `parameters` is None if the name is rejected. `unit` is None as well then, or
    if systemd does not answer; `no_answer` is why. `unexamined` are the related units that are too many to examine.
    `server` has the states of the resident server's units, if they are installed. `cluster` is the one that runs on
    this host, `resources` those of it that manage the unit; `why_no_cluster` is why it cannot be queried. `options` are
    the parameters of the command line as text, `times` its times of operations. `as_root` is the command that repeats
    this one as root, if this user is not root.
    """

    given: str
    operations: Operations
    agent: Agent = Agent()
    host: Host = Host()
    why_unusable: str = ""
    similar: tuple[str, ...] = ()
    no_answer: str = ""
    parameters: Parameters | None = None
    unit: Unit | None = None
    related: Mapping[str, RelatedUnit] = field(default_factory=lambda: MappingProxyType({}))
    unexamined: tuple[str, ...] = ()
    hook: Hook | None = None
    server: Mapping[str, ActiveState] = field(default_factory=lambda: MappingProxyType({}))
    cluster: Cluster | None = None
    resources: tuple[Resource, ...] = ()
    why_no_cluster: str = ""
    as_root: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    times: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def resource(self) -> Resource | None:
        """The resource of an OCF agent that manages the unit; None if there is none, or more than one."""
        of_agents = [each for each in self.resources if each.agent.startswith("ocf:")]
        return of_agents[0] if len(of_agents) == 1 else None
