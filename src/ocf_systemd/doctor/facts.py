"""What doctor knows of a unit, its hook, the agent and the host: immutable facts, which the checks examine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ocf_systemd.core.cluster import Cluster, Resource
from ocf_systemd.core.observations import DOWN_STATES, RUNNING_STATES, ActiveState, HookOutcome, LoadState
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import Parameters

FOREVER_S = math.inf
"""The number of seconds that stands for `infinity`: there is no limit."""

PULLING = ("Requires", "BindsTo", "Wants", "Upholds")
"""The properties of a unit that name the units that systemd starts with it."""

STOPPED = ("PartOf", "BindsTo", "Requires", "Requisite", "StopPropagatedFrom")
"""The properties of a unit that name other units: a stop of one of these also stops the unit (systemd.unit(5))."""


_ENABLED = frozenset({"enabled", "enabled-runtime"})


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency by which a unit, `by`, starts another unit.

    `relation` is the property of the started unit that names `by`, such as WantedBy. `link` is the symbolic link that
    causes the dependency, if there is one (.wants/ in systemd.unit(5)).
    """

    relation: str
    by: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class RelatedUnit:
    """A unit related to the checked unit: one starts or stops the other, possibly indirectly, or they are ordered.

    `edges` are the dependencies by which other units start the related unit. `is_unusable` means that systemd cannot
    start the related unit, such as one that is masked or not found. `type` is the Type= of a service or mount, `path`
    the unit's file. `relations` are as in `Unit`. `commands` are those of ExecStart=; for a unit of OnFailure= or
    OnSuccess=, they include the text of scripts.

    `links`, `also` and `users` are known only of triggers and helpers. A trigger is a socket, timer or path unit that
    starts the checked unit: `links` are the administrator's symbolic links that start the trigger, `also` the units
    that `systemctl disable` of the trigger would disable, too. A helper is a service that the checked unit has in
    Wants=. `users` are further units that start the trigger or helper, stop with the trigger, or have the helper as a
    part (PartOf=).
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
        """Whether systemd reports the unit active, reloading or refreshing."""
        return self.active_state in RUNNING_STATES

    @property
    def is_enabled(self) -> bool:
        """Whether `systemctl enable` was used on the unit."""
        return self.file_state in _ENABLED


@dataclass(frozen=True, slots=True)
class StartLimit:
    """At most `burst` starts of a unit within `interval_s` seconds; if either is 0, no limit (systemd.unit(5))."""

    unit: str
    burst: int
    interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The settings of a service, as systemd applies them (systemd.service(5), systemd.kill(5)).

    Times are in seconds. `forces_restart` means that RestartForceExitStatus= is set.
    """

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
    """A command of a service; `setting` is the name of the setting that has the command, such as ExecStart.

    `text` is the command with its arguments, `path` its program. `why_not` is why the kernel would not start the
    program. `session` is the tool that opens a login session or starts another unit, such as `su -l`; `script` is the
    script that calls this tool, or empty if the command calls it directly. `ignores_failure` means that the command has
    the prefix `-`, `runs_as_root` that it has the prefix `+` or `!`, and so ignores User=.
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
    """What a service executes, and what it lacks on this host.

    The missing accounts and files are settings, such as `User=web`. `pam_session` is the value of PAMName= if it opens
    a login session. `why_no_pid_file` is why the service cannot write its PID file where systemd reads it.
    """

    commands: tuple[Command, ...] = ()
    missing_accounts: tuple[str, ...] = ()
    missing_files: tuple[str, ...] = ()
    pam_session: str = ""
    why_no_pid_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit as systemd has loaded it, and its files.

    What starts the unit: `links` are the administrator's symbolic links, `edges` the other dependencies, `bus_files`
    the D-Bus activation files. `also` are the other units that `systemctl disable` of this unit would disable, except
    for triggers that only this unit uses. `alias_link` is the administrator's link that makes the name on the command
    line an alias.

    `unread` are the drop-ins that systemd has not loaded yet. The agent writes a drop-in of its own at a start:
    `has_drop_in` means that systemd has loaded this drop-in, `hidden_by` is a file that hides it, and `later_restarts`
    has the drop-in whose Restart= replaces that of the agent. `failure_actions` are settings such as FailureAction=
    that affect the host. `required_limits` are the limits on starts of required units that start and stop with this
    one.

    `relations` maps properties such as Requires to the units that they name. `accepts` means that the unit is a socket
    that starts an instance of a service for each connection. `refused` are the settings with which systemd refuses to
    start or stop the unit on request. `unmet` are the conditions and assertions that keep the unit from starting now,
    or a text: why they are unknown.
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
        """The commands that make a start fail, because the kernel would not start their program.

        systemd ignores the failure of a command with the prefix `-`. ExecStart= of a service that is not oneshot counts
        nevertheless: without this main process, the service is inactive.
        """
        is_oneshot = self.service is not None and self.service.type == "oneshot"
        return tuple(
            command
            for command in self.execution.commands
            if command.why_not and (not command.ignores_failure or (command.setting == "ExecStart" and not is_oneshot))
        )

    def related_by(self, *properties: str) -> tuple[str, ...]:
        """Return the units that any of these properties, such as Requires, names."""
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
        """Whether only timers or paths start the unit, and its command ends: the unit is never active for long."""
        ends = self.service is not None and self.service.type == "oneshot" and not self.service.remain_after_exit
        return ends and bool(self.triggers) and all(each.endswith((".timer", ".path")) for each in self.triggers)

    @property
    def is_running(self) -> bool:
        """Whether systemd reports the unit active, reloading or refreshing."""
        return self.active_state in RUNNING_STATES

    @property
    def is_inactive(self) -> bool:
        """Whether systemd reports the unit stopped: inactive or failed."""
        return self.active_state in DOWN_STATES


@dataclass(frozen=True, slots=True)
class Script:
    """The file of a hook; `is_bounded` means that its text or its arguments set a timeout.

    `raw_tool` is the tool whose exit code the hook returns unchanged, if some of the tool's codes are hard or fatal
    errors for Pacemaker.
    """

    path: str
    is_bounded: bool
    raw_tool: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """The hooks: the programs that monitor_hook names, and with which a monitor checks the service.

    `outcomes` are how one run of each hook ended, or what is wrong with hooks that cannot be run. `not_run` is why
    doctor did not run hooks that can be run. `scripts` are the files of the hooks. `elapsed_s` is the time in seconds
    that the slowest hook took. `is_directory` means that monitor_hook is a directory. `similar` is an executable with a
    similar name in the same directory, if monitor_hook does not exist.
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

    `path` is empty if there is no file; `is_foreign` means that the file is not an agent of ocf-systemd. `standard` is
    the agent's full name, such as `ocf:pacemaker:systemd`. `version` is from the meta-data that the agent prints,
    `failure` is why it prints none, and `unreadable` is why it prints none for users other than root. `is_current` is
    false if this installation has installed the file, but would write another text now. `unsafe` is why users other
    than root could change what root runs.
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
    """This host: the versions of systemd, Pacemaker and this package, and DefaultTimeoutStopSec= in seconds.

    A version is empty if it is unknown.
    """

    systemd: str = ""
    pacemaker: str = ""
    package: str = ""
    stop_timeout_s: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All facts: `given` is the name of the checked unit on the command line, `why_unusable` why the agent rejects it.

    `similar` are names of similar units, or of instances of a template. `parameters` is None if the agent rejects the
    name. `unit` is None if the agent rejects the name or systemd does not answer; `no_answer` is why systemd does not
    answer. `related` are other units by name, `unexamined` the names of those that are too many to examine. `hook` is
    None if there is no hook.

    `server` has the states of the units of the resident server, which performs monitors for the agent; it is empty if
    they are not installed. `cluster` is the cluster that this host is in, `resources` are its resources that manage the
    unit. `why_no_cluster` is why the cluster cannot be queried.

    From the command line, as text: `options` are the parameters, including those of the resource that `--resource`
    names, and `times` are the times of operations. `operations` has the times of all operations as doctor assumes them.
    `as_root` is the command that repeats this run as root; it is empty if this user is root.
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
