"""The checks of doctor: for each, facts with a problem and facts without."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.cluster import Resource
from ocf_systemd.core.observations import (
    ActiveState,
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookUnsafe,
    LoadState,
    NotStarted,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.parameters import Parameters, read_parameters
from ocf_systemd.doctor import hook_checks, host_checks, service_checks, unit_checks, value_checks
from ocf_systemd.doctor.checks import CHECKS, run_checks
from ocf_systemd.doctor.facts import (
    FOREVER_S,
    Agent,
    Edge,
    Facts,
    Hook,
    Host,
    RelatedUnit,
    Script,
    Service,
    StartLimit,
    Unit,
)
from ocf_systemd.doctor.fixes import drop_in, time_span
from ocf_systemd.host.drop_in import drop_in_path
from tests.unit.builders import HOOK

NAME = "web.service"
BY_NAME = {check.name: check for check in CHECKS}
ACTIVE = ActiveState.ACTIVE


def parameters(**given: str) -> Parameters:
    return read_parameters({f"OCF_RESKEY_{name}": value for name, value in {"unit": NAME, **given}.items()})


def known(
    unit: Unit | None = None,
    /,
    *related: RelatedUnit,
    hook: Hook | None = None,
    agent: Agent | None = None,
    host: Host | None = None,
    operations: Operations | None = None,
    **given: str,
) -> Facts:
    """Return facts of a service without problems, except for the given ones."""
    return Facts(
        given=given.get("unit", NAME),
        operations=operations or Operations(),
        agent=agent or Agent("/agent", "ocf:pacemaker:systemd", version="1.0"),
        host=host or Host("252.1", "2.1.5", "1.0"),
        parameters=parameters(**{**({"monitor_hook": HOOK} if hook else {}), **given}),
        unit=unit or of(),
        related={each.name: each for each in related},
        hook=hook,
    )


def served(socket: ActiveState, service: ActiveState) -> Facts:
    """Return facts of a host with a resident server in these states."""
    return replace(known(), server={"ocf-systemd.socket": socket, "ocf-systemd.service": service})


def of(**settings: object) -> Unit:
    """Return a service that is disabled and stopped, except for the given settings."""
    unit = Unit(id=NAME, service=Service())
    return replace(unit, **settings)  # type: ignore[arg-type]


def ran(code: int = 0, elapsed_s: float = 0.1) -> HookAttempted:
    return HookAttempted(HOOK, Exited(elapsed_s, code=code))


def hooked(*outcomes: HookOutcome, script: Script | None = None, elapsed_s: float = 0.1, not_run: str = "") -> Hook:
    """Return a hook that was run, and sets a timeout."""
    return Hook(
        outcomes or (() if not_run else (ran(7),)), not_run, (script or Script(HOOK, is_bounded=True),), elapsed_s
    )


UP, DOWN = of(active_state=ACTIVE), of()
WANTED, UPHELD = Edge("WantedBy", "portal.service"), Edge("UpheldBy", "portal.service")
LINKED = Edge("WantedBy", "multi-user.target", "/usr/lib/systemd/system/multi-user.target.wants/web.service")
SOCKET = Edge("TriggeredBy", "web.socket")
BOUND, NEEDED = Edge("BoundBy", "portal.service"), Edge("RequiredBy", "www.service")
PATH = RelatedUnit("web.path", "enabled", links=("/run/systemd/system/paths.target.wants/web.path",))
REMOTE = Edge("WantedBy", "a.target", "/etc/systemd/system/a.target.wants/portal.service")
WITH_IT = Edge("WantedBy", NAME, "/etc/systemd/system/web.service.wants/web.socket")
ITSELF = RelatedUnit("www.service", "enabled")
MOVED = "/usr/local/lib/ocf-systemd/hooks/smtp"
LATE = HookAttempted(HOOK, TimedOut(18.0))


def unsafe_hook(hook: str, why: str, *, is_directory: bool = False) -> Facts:
    return known(hook=Hook((HookUnsafe(hook, why),), is_directory=is_directory), monitor_hook=hook)


# Commands of services whose main process ends the others itself.
IN_ORDER = (
    "/usr/sap/HDB/HDB00/exe/sapstartsrv pf=/usr/sap/HDB/SYS/profile/HDB_HDB00_n1",
    "/bin/su - oracle -c '/opt/oracle/bin/dbstart /opt/oracle'",
    "/opt/oracle/bin/lsnrctl start",
    "/usr/lib/postgresql/15/bin/postgres -D /srv",
)


def unusable(given: str, why: str, *similar: str) -> Facts:
    facts = replace(known(), server={"ocf-systemd.socket": ActiveState.ACTIVE})
    return replace(facts, given=given, why_unusable=why, similar=similar, parameters=None, unit=None)


def portal(file_state: str = "disabled", active_state: ActiveState = ActiveState.INACTIVE, *edges: Edge) -> RelatedUnit:
    return RelatedUnit("portal.service", file_state, active_state, edges)


def socket(file_state: str = "disabled", active_state: ActiveState = ActiveState.INACTIVE) -> RelatedUnit:
    links = ("/etc/systemd/system/sockets.target.wants/web.socket",) if file_state == "enabled" else ()
    return RelatedUnit("web.socket", file_state, active_state, links=links)


def serving(unit_state: ActiveState = ActiveState.INACTIVE, /, **settings: object) -> Unit:
    return of(active_state=unit_state, service=replace(Service(), **settings))  # type: ignore[arg-type]


def operating(**chosen: float) -> Operations:
    return Operations(chosen)


JOB = replace(serving(type="oneshot"), edges=(Edge("TriggeredBy", "web.timer"),))
ROWS: dict[str, tuple[list[tuple[str, Facts]], list[tuple[str, Facts]]]] = {
    "name": (
        [("blank", unusable("a b", "has characters")), ("slice", unusable("x.slice", "is a slice unit"))],
        [("service", known())],
    ),
    "template": (
        [
            ("without suffix", unusable("web@", "is a template")),
            ("with suffix", unusable("web@.service", "is a template", "web@1.service")),
        ],
        [("instance", known(replace(DOWN, id="web@1.service"), unit="web@1"))],
    ),
    "found": (
        [
            ("not found", known(of(load_state=LoadState.NOT_FOUND))),
            ("something like it", replace(known(of(load_state=LoadState.NOT_FOUND)), similar=("webd.service",))),
            ("no answer", replace(known(), unit=None, no_answer="timed out")),
        ],
        [("loaded", known()), ("masked", known(of(load_state=LoadState.MASKED)))],
    ),
    "loads": (
        [
            ("bad setting", known(of(load_state=LoadState.BAD_SETTING))),
            ("error", known(of(load_state=LoadState.ERROR))),
        ],
        [("loaded", known())],
    ),
    "masked": (
        [
            ("permanently", known(of(load_state=LoadState.MASKED, file_state="masked"))),
            ("until the next boot", known(of(load_state=LoadState.MASKED, file_state="masked-runtime"))),
        ],
        [("loaded", known())],
    ),
    "alias": (
        [("that is removed", known(replace(DOWN, id="webd.service", alias_link="/etc/systemd/system/web.service")))],
        [("that is kept", known(replace(DOWN, id="webd.service")))],
    ),
    "daemon-reload": (
        [
            ("changed", known(replace(DOWN, needs_daemon_reload=True))),
            ("not loaded", known(replace(DOWN, unread=("/etc/systemd/system/web.service.d/a.conf",)))),
        ],
        [("loaded", known())],
    ),
    "placeholder": (
        [
            ("true", known(serving(type="oneshot", exec_start=("/bin/true",)))),
            (
                "of other units",
                known(
                    of(
                        consists_of=("web@1.service",),
                        service=Service(type="oneshot", exec_start=("/bin/true", "/usr/bin/true")),
                    )
                ),
            ),
        ],
        [("a command", known(serving(type="oneshot", exec_start=("/sbin/ip link add a type dummy",))))],
    ),
    "enabled": (
        [
            ("permanently", known(of(file_state="enabled", links=("/etc/systemd/system/m.target.wants/web.service",)))),
            (
                "until the next boot",
                known(of(file_state="enabled-runtime", links=("/run/systemd/system/m.target.wants/web.service",))),
            ),
            ("with Also= of another unit", known(of(links=("/etc/m.target.wants/web.service",), also=("log.socket",)))),
            (
                "and running",
                known(replace(UP, links=("/etc/systemd/system/m.target.wants/web.service",), file_state="enabled")),
            ),
        ],
        [
            ("disabled", known()),
            ("only a generator's link", known(of(file_state="enabled-runtime"))),
            ("only an alias", known(of(file_state="enabled"))),
        ],
    ),
    "wanted": (
        [
            ("by an enabled unit", known(of(edges=(WANTED,)), portal("enabled"))),
            ("by every boot", known(of(edges=(LINKED,)))),
            ("by a running unit that upholds it", known(of(edges=(UPHELD,)), portal("disabled", ACTIVE))),
            (
                "by an active target",
                known(of(edges=(Edge("UpheldBy", "x.target"),)), RelatedUnit("x.target", "", ACTIVE)),
            ),
            (
                "by a unit that is started by another",
                known(
                    of(edges=(WANTED,)),
                    portal("static", ActiveState.INACTIVE, Edge("RequiredBy", "shop.service")),
                    RelatedUnit("shop.service", "enabled"),
                ),
            ),
            ("by fstab", known(replace(of(edges=(Edge("RequiredBy", "local-fs.target"),)), source="/etc/fstab"))),
            (
                "by a unit that is enabled for boot",
                known(of(edges=(WANTED,)), portal("enabled", ActiveState.INACTIVE, LINKED)),
            ),
            ("by an init script's links", known(of(edges=(LINKED,), source="/etc/init.d/web"))),
            ("by an enabled unit that binds to it", known(of(edges=(BOUND,)), portal("enabled"))),
        ],
        [
            ("by no unit", known()),
            ("by a disabled unit", known(of(edges=(WANTED,)), portal("disabled"))),
            ("by a disabled unit that upholds it", known(of(edges=(UPHELD,)), portal("disabled"))),
            ("by an unknown unit", known(of(edges=(WANTED,)))),
            ("by a running unit that is disabled", known(of(edges=(WANTED,)), portal("disabled", ACTIVE))),
            ("by a socket, which `triggered` reports", known(of(edges=(SOCKET,)), socket("enabled"))),
            (
                "by a unit that binds to it, and that only it starts",
                known(of(edges=(BOUND,), names=(NAME, "www.service")), portal("static", ACTIVE, NEEDED), ITSELF),
            ),
            (
                "by a unit that is enabled to start with it",
                known(of(edges=(BOUND,)), portal("enabled", ActiveState.INACTIVE, WITH_IT)),
            ),
            (
                "by a unit that is enabled for a target that is not",
                known(of(edges=(WANTED,)), portal("enabled", ActiveState.INACTIVE, REMOTE), RelatedUnit("a.target")),
            ),
            (
                "in a cycle",
                known(
                    of(edges=(WANTED,)),
                    portal("static", ActiveState.INACTIVE, Edge("WantedBy", "shop.service")),
                    RelatedUnit("shop.service", "static", edges=(WANTED,)),
                ),
            ),
        ],
    ),
    "triggered": (
        [
            ("enabled", known(of(edges=(SOCKET,)), socket("enabled"))),
            ("active", known(of(edges=(SOCKET,)), socket("disabled", ACTIVE))),
            ("active, as the unit is", known(replace(UP, edges=(SOCKET,)), socket("enabled", ACTIVE))),
            ("two", known(of(edges=(SOCKET, Edge("TriggeredBy", "web.path"))), socket("enabled", ACTIVE), PATH)),
            ("used by another unit", known(of(edges=(SOCKET,)), replace(socket("enabled"), users=("a.service",)))),
            (
                "one of two used by others",
                known(
                    of(edges=(SOCKET, Edge("TriggeredBy", "web.path"))),
                    replace(socket("enabled"), users=("a.service", "b.service")),
                    PATH,
                ),
            ),
            (
                "automount of fstab",
                known(
                    of(edges=(Edge("TriggeredBy", "web.automount"),), source="/etc/fstab"),
                    RelatedUnit("web.automount", "generated", ACTIVE),
                ),
            ),
            (
                "timer",
                known(of(edges=(Edge("TriggeredBy", "web.timer"),)), RelatedUnit("web.timer", "enabled")),
            ),
            (
                "automount",
                known(of(edges=(Edge("TriggeredBy", "web.automount"),)), RelatedUnit("web.automount", "", ACTIVE)),
            ),
        ],
        [
            ("none", known()),
            ("disabled and inactive", known(of(edges=(SOCKET,)), socket())),
            ("enabled to start with it", known(of(edges=(SOCKET,)), replace(socket("enabled"), edges=(WITH_IT,)))),
            ("stops with it", known(of(edges=(SOCKET,), consists_of=("web.socket",)), socket("disabled", ACTIVE))),
        ],
    ),
    "d-bus": (
        [
            ("of a package", known(replace(DOWN, bus_files=("/usr/share/dbus-1/system-services/org.web.service",)))),
            (
                "of the administrator",
                known(replace(DOWN, bus_files=("/usr/local/share/dbus-1/system-services/org.web.service",))),
            ),
        ],
        [("none", known())],
    ),
    "part-of": (
        [
            ("of an enabled unit", known(of(part_of=("portal.service",)), portal("enabled"))),
            ("of a running unit", known(of(part_of=("portal.service",)), portal("disabled", ACTIVE))),
            ("of a unit that starts it", known(of(part_of=("portal.service",), edges=(WANTED,)), portal("enabled"))),
            (
                "of a target that groups services",
                known(of(part_of=("multi-user.target", "ceph.target")), RelatedUnit("ceph.target", "enabled", ACTIVE)),
            ),
            (
                "of a running unit that would start it",
                known(of(part_of=("portal.service",), edges=(WANTED,)), portal("disabled", ACTIVE)),
            ),
        ],
        [
            ("of a stopped unit", known(of(part_of=("portal.service",)), portal())),
            (
                "of a boot target",
                known(of(part_of=("multi-user.target",)), RelatedUnit("multi-user.target", "static", ACTIVE)),
            ),
            (
                "of a target that stops only at shutdown",
                known(of(part_of=("network-online.target",)), RelatedUnit("network-online.target", "static", ACTIVE)),
            ),
        ],
    ),
    "restart": (
        [
            ("without the drop-in", known(serving(restart="always"), order_at_shutdown="no")),
            ("forced, without the drop-in", known(serving(forces_restart=True), order_at_shutdown="no")),
        ],
        [
            ("no", known()),
            ("overridden by the drop-in", known(serving(restart="always"))),
            ("forced, overridden by the drop-in", known(serving(forces_restart=True))),
            ("no, without the drop-in", known(order_at_shutdown="no")),
        ],
    ),
    "drop-in": (
        [
            ("hidden", known(replace(DOWN, hidden_by="/etc/systemd/system/web.service.d/zz-ocf-systemd.conf"))),
            ("overridden", known(replace(DOWN, later_restarts=("/etc/systemd/system/web.service.d/override.conf",)))),
        ],
        [("not written yet", known()), ("written", known(replace(UP, has_drop_in=True)))],
    ),
    "readiness": (
        [
            ("simple", known(serving(type="simple"))),
            ("exec", known(serving(type="exec"))),
        ],
        [
            ("notify", known()),
            ("a hook", known(serving(type="simple"), hook=hooked())),
            ("a hook of a higher level", known(serving(type="simple"), hook=hooked(), monitor_hook_level="10")),
        ],
    ),
    "remain-after-exit": (
        [("no", known(serving(type="oneshot"))), ("a job", known(JOB, RelatedUnit("web.timer", "enabled")))],
        [("yes", known(serving(type="oneshot", remain_after_exit=True)))],
    ),
    "main-process": (
        [
            ("guessed", known(serving(type="forking"))),
            ("unknown", known(serving(type="forking", guess_main_pid=False))),
            ("unknown while running", known(serving(ACTIVE, type="forking", guess_main_pid=False))),
        ],
        [
            ("PIDFile", known(serving(type="forking", pid_file="/run/web.pid"))),
            ("found", known(serving(ACTIVE, type="forking", main_pid=42))),
            ("a hook", known(serving(type="forking"), hook=hooked())),
        ],
    ),
    "exec-stop": (
        [
            (command, known(serving(kill_mode=mode, exec_stop=(command,))))
            for mode, command in (
                ("none", "/bin/kill -TERM $MAINPID"),
                ("none", "/bin/sh -c kill $MAINPID"),
                ("none", "start-stop-daemon --stop --pidfile /run/web.pid"),
                ("none", "systemctl kill web"),
            )
        ],
        [
            ("no ExecStop", known()),
            ("KillMode=control-group", known(serving(exec_stop=("/bin/kill -TERM $MAINPID",)))),
            ("KillMode=mixed", known(serving(kill_mode="mixed", exec_stop=("/bin/true",)))),
            ("KillMode=process", known(serving(kill_mode="process", exec_stop=("/bin/true",)))),
            ("waits", known(serving(kill_mode="none", exec_stop=("start-stop-daemon --stop --retry 5",)))),
            ("unknown", known(serving(kill_mode="none", exec_stop=("/usr/bin/web shutdown",)))),
            ("one waits", known(serving(kill_mode="none", exec_stop=("/bin/true", "/usr/bin/web shutdown")))),
            ("waits in a shell", known(serving(kill_mode="none", exec_stop=("sh -c kill $MAINPID; sleep 5",)))),
            ("empty", known(serving(kill_mode="none", exec_stop=("",)))),
        ],
    ),
    "kill-mode": (
        [
            ("none", known(serving(kill_mode="none"))),
            ("process", known(serving(kill_mode="process"))),
            *((f"{mode} of containers", known(serving(kill_mode=mode, delegate=True))) for mode in ("process", "none")),
            *((f"none of {program}", known(serving(kill_mode="none", exec_start=(program,)))) for program in IN_ORDER),
            ("process of postgres", known(serving(kill_mode="process", exec_start=("/usr/bin/pg_ctl start",)))),
        ],
        [
            ("control-group", known()),
            ("mixed", known(serving(kill_mode="mixed"))),
            ("of an init script", known(replace(serving(kill_mode="process"), source="/etc/init.d/web"))),
        ],
    ),
    "send-sigkill": (
        [
            ("no", known(serving(send_sigkill=False))),
            ("the agent's SIGKILL is first", known(serving(send_sigkill=False, stop_timeout_s=900.0))),
            ("no SIGKILL", known(serving(send_sigkill=False, stop_timeout_s=900.0), stop_escalate="no")),
            ("processes that stay", known(serving(send_sigkill=False, kill_mode="process"))),
        ],
        [("yes", known())],
    ),
    "start-timeout": (
        [
            ("longer", known(serving(start_timeout_s=900.0))),
            ("a little longer", known(serving(start_timeout_s=96.0))),
            ("no limit, and none chosen", known(serving(start_timeout_s=FOREVER_S))),
            ("a short operation", known(operations=operating(start=60.0))),
        ],
        [
            ("default", known()),
            ("exactly", known(serving(start_timeout_s=95.0))),
            ("chosen", known(serving(start_timeout_s=FOREVER_S), operations=operating(start=300.0))),
            ("oneshot", known(serving(type="oneshot", start_timeout_s=FOREVER_S))),
            ("of an init script", known(replace(serving(start_timeout_s=300.0), source="/etc/init.d/web"))),
        ],
    ),
    "stop-timeout": (
        [
            ("longer", known(serving(stop_timeout_s=900.0))),
            ("longer than until the agent's SIGKILL", known(serving(stop_timeout_s=101.0))),
            ("a little longer", known(serving(stop_timeout_s=90.5), operations=operating(stop=100.0))),
            ("no limit, and none chosen", known(serving(stop_timeout_s=FOREVER_S))),
            ("a short operation", known(operations=operating(stop=60.0))),
            ("twice, and no escalation", known(serving(exec_stop=("/x",)), stop_escalate="no")),
            ("infinity, and no escalation", known(serving(stop_timeout_s=FOREVER_S), stop_escalate="no")),
        ],
        [
            ("systemd's default", known()),
            ("shorter", known(serving(stop_timeout_s=5.0))),
            ("systemd's default, and SIGKILL a little earlier", known(operations=operating(stop=99.0))),
            ("exactly", known(serving(stop_timeout_s=80.0), operations=operating(stop=90.0))),
            ("as advertised", known(serving(stop_timeout_s=100.0))),
            ("chosen", known(serving(stop_timeout_s=FOREVER_S), operations=operating(stop=405.0))),
            ("in time, and no escalation", known(stop_escalate="no")),
            ("of an init script", known(replace(serving(stop_timeout_s=300.0), source="/etc/init.d/web"))),
        ],
    ),
    "start-limit": (
        [("of a required unit", known(replace(DOWN, required_limits=(StartLimit("db.service", 3, 3600.0),))))],
        [
            ("own", known(replace(DOWN, start_limit=StartLimit(NAME, 1, 3600.0)))),
            ("default of a required unit", known(replace(DOWN, required_limits=(StartLimit("db.service", 5, 10.0),)))),
            ("none of a required unit", known(replace(DOWN, required_limits=(StartLimit("db.service", 0, 0.0),)))),
            ("none", known(replace(DOWN, start_limit=StartLimit(NAME, 0, 10.0)))),
        ],
    ),
    "failure-action": (
        [("reboots", known(replace(DOWN, failure_actions=("FailureAction=reboot", "StartLimitAction=reboot"))))],
        [("none", known())],
    ),
    "hook": (
        [
            (why, known(hook=Hook((HookMissing(HOOK, why),))))
            for why in (
                "No such file or directory",
                "it is not executable",
                "its first line ends in CR LF, expected LF",
                "its interpreter /bin/zsh cannot be run",
                "there is no user web",
            )
        ],
        [("runnable", known(hook=hooked()))],
    ),
    "hook-safety": (
        [
            (why, known(hook=Hook((HookUnsafe(HOOK, why),))))
            for why in (
                "/opt is owned by uid 1000",
                "/opt is writable by everyone",
                "/opt is writable by group 50",
                "/opt may be writable by others: it has an access control list",
                "/opt/x resolves to a different file than its symbolic links name",
            )
        ],
        [("only root", known(hook=hooked()))],
    ),
    "hook-timeout": (
        [
            ("none found", known(hook=hooked(script=Script(HOOK, is_bounded=False)))),
            ("longer than the monitor", known(hook=hooked(), monitor_hook_timeout="30s")),
        ],
        [
            ("own", known(hook=hooked())),
            ("a parameter", known(hook=hooked(script=Script(HOOK, is_bounded=False)), monitor_hook_timeout="5s")),
            ("a plugin", known(hook=hooked(script=Script(HOOK, is_bounded=False)), monitor_hook_protocol="nagios")),
        ],
    ),
    "hook-speed": (
        [
            ("slow against the interval", known(UP, hook=hooked(ran(0, 6.0), elapsed_s=6.0))),
            (
                "slow against the timeout",
                known(UP, hook=hooked(ran(0, 3.0), elapsed_s=3.0), operations=operating(monitor=6.0)),
            ),
            ("hangs", known(UP, hook=hooked(LATE, elapsed_s=18.0))),
            ("hangs while the unit is stopped", known(hook=hooked(LATE, elapsed_s=18.0))),
        ],
        [
            ("fast", known(UP, hook=hooked(ran()))),
            (
                "fast enough",
                known(UP, hook=hooked(ran(0, 6.0), elapsed_s=6.0), operations=operating(interval=60.0)),
            ),
        ],
    ),
    "hook-answer": (
        [
            ("running, and the unit is stopped", known(hook=hooked(ran(0)))),
            ("degraded, and the unit is stopped", known(hook=hooked(ran(190)))),
            ("not running, and the unit is active", known(UP, hook=hooked(ran(7)))),
            ("failed, and the unit is active", known(UP, hook=hooked(ran(1)), monitor_hook_args="'a b' c")),
            ("plugin failed, and the unit is active", known(UP, hook=hooked(ran(2)), monitor_hook_protocol="nagios")),
            ("killed, and the unit is active", known(UP, hook=hooked(HookAttempted(HOOK, Signalled(0.1, signal=9))))),
            ("not 7, for which a stop waits", known(hook=hooked(ran(1)), stop_verify="yes")),
        ],
        [
            ("7, and the unit is stopped", known(hook=hooked())),
            ("failed, and the unit is stopped", known(hook=hooked(ran(1)))),
            ("running, and the unit is active", known(UP, hook=hooked(ran(0)))),
            ("degraded, and the unit is active", known(UP, hook=hooked(ran(190)))),
            ("plugin failed, and the unit is stopped", known(hook=hooked(ran(2)), monitor_hook_protocol="nagios")),
            ("not started", known(hook=hooked(HookAttempted(HOOK, NotStarted(24, "Too many open files"))))),
        ],
    ),
    "hook-codes": (
        [
            *((f"{code}", known(UP, hook=hooked(ran(code)))) for code in (2, 3, 4, 5, 6)),
            ("a raw curl", known(hook=hooked(script=Script(HOOK, is_bounded=True, raw_tool="curl")))),
            (
                "a raw plugin",
                known(hook=hooked(script=Script("/x/check_web", is_bounded=True, raw_tool="check_web"))),
            ),
        ],
        [
            *((f"{code}", known(UP, hook=hooked(ran(code)))) for code in (0, 1, 7, 8, 190)),
            ("translated", known(UP, hook=hooked(ran(2)), monitor_hook_protocol="nagios")),
        ],
    ),
    "times": (
        [
            ("seconds for milliseconds", replace(known(poll_interval="5000"), options={"poll_interval": "5000"})),
            ("milliseconds for seconds", known(operations=operating(start=0.1))),
            ("no other unit", known(operations=operating(stop=40000.0))),
            ("too short", known(operations=operating(start=1.9))),
            ("too short in the resource", known(operations=Operations(configured={"monitor": 1.0}))),
            (
                "of the resource",
                replace(
                    known(monitor_hook_timeout="2h"),
                    resources=(Resource("web", "ocf:pacemaker:systemd", NAME, {"monitor_hook_timeout": "2h"}),),
                ),
            ),
        ],
        [
            ("default", known()),
            ("long", known(operations=operating(start=1800.0), monitor_hook_timeout="30s", poll_interval="500ms")),
        ],
    ),
    "agent": (
        [
            ("none", known(agent=Agent())),
            ("another agent", known(agent=Agent("/agent", is_foreign=True))),
            ("failed", known(agent=Agent("/agent", failure="No module named click"))),
        ],
        [("runnable", known())],
    ),
    "agent-readable": (
        [("not readable", known(agent=Agent("/agent", version="1.0", unreadable="the mode of /root keeps them out")))],
        [("readable", known())],
    ),
    "agent-safety": (
        [
            ("environment", known(agent=Agent("/ocf/agent", unsafe="/srv/env is writable by everyone"))),
            ("agent", known(agent=Agent("/ocf/agent", unsafe="/ocf/agent is writable by group 5"))),
            ("directory", known(agent=Agent("/ocf/agent", unsafe="/ocf is owned by uid 5"))),
            ("root", known(agent=Agent("/ocf/agent", unsafe="/ is owned by uid 5"))),
        ],
        [("root's", known())],
    ),
    "agent-current": (
        [
            ("another version", known(agent=Agent("/agent", version="0.9"))),
            ("another file", known(agent=Agent("/agent", version="1.0", is_current=False))),
        ],
        [("the same", known())],
    ),
    "systemd": (
        [("old", known(host=Host("249.11-0ubuntu3", "2.1.5", "1.0")))],
        [("tested", known()), ("later", known(host=Host("257~rc2", "2.1.5", "1.0")))],
    ),
    "pacemaker": (
        [("old", known(host=Host("252", "2.0.5", "1.0")))],
        [("tested", known()), ("later", known(host=Host("252", "3.0.1", "1.0")))],
    ),
    "server": (
        [
            ("no socket", served(ActiveState.INACTIVE, ActiveState.INACTIVE)),
            ("failed", served(ActiveState.ACTIVE, ActiveState.FAILED)),
        ],
        [
            ("idle", served(ActiveState.ACTIVE, ActiveState.INACTIVE)),
            ("busy", served(ActiveState.ACTIVE, ActiveState.ACTIVE)),
        ],
    ),
}

PROBLEMS = [pytest.param(name, facts, id=f"{name}: {row}") for name, rows in ROWS.items() for row, facts in rows[0]]
PASSING = [pytest.param(name, facts, id=f"{name}: {row}") for name, rows in ROWS.items() for row, facts in rows[1]]


def test_every_check_is_tested_with_and_without_a_problem() -> None:
    """No check is in the table without facts for both."""
    # test_doctor_{findings,cluster}.py: the others
    modules = (unit_checks, service_checks, hook_checks, value_checks, host_checks)
    assert list(ROWS) == [check.name for module in modules for check in module.CHECKS]
    assert all(problems and passing for problems, passing in ROWS.values())


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_problem(name: str, facts: Facts) -> None:
    """It states what is wrong, why that matters, and how to fix it, with lines for a shell, or what to decide."""
    result = BY_NAME[name].run(facts)
    assert result.name == name
    assert result.is_problem
    assert result.what
    assert result.why.endswith(".")
    assert not result.what.endswith(".")
    assert result.fix or "Decide " in result.why
    assert all(line and "\n" not in line for line in result.fix)


@pytest.mark.parametrize(("name", "facts"), PASSING)
def test_passes(name: str, facts: Facts) -> None:
    """The result describes the state in a few words."""
    result = BY_NAME[name].run(facts)
    assert (result.name, result.status) == (name, Status.OK)
    assert 0 < len(result.what) < 80


SKIPPED = [
    ("loads", known(of(load_state=LoadState.MASKED))),
    ("hook-safety", known(hook=Hook((HookMissing(HOOK, "it is not executable"),)))),
    ("hook-timeout", known(hook=Hook((HookMissing(HOOK, "it is not executable"),)))),
    ("hook-speed", known(hook=hooked(not_run="only root can run it"))),
    ("hook-answer", known(of(active_state=ActiveState.ACTIVATING), hook=hooked())),
    ("hook-answer", known(UP, hook=hooked(LATE, elapsed_s=18.0))),  # which `hook-speed` reports
    ("hook-answer", known(of(active_state=ActiveState.MAINTENANCE), hook=hooked())),
    ("restart", known(Unit(id="srv.mount"))),
    ("kill-mode", known(serving(kill_mode="none", exec_stop=("/bin/true",)))),  # which `exec-stop` reports
    ("alias", known()),
    ("triggered", known(JOB, RelatedUnit("web.timer", "enabled"))),  # which `remain-after-exit` reports
]


@pytest.mark.parametrize(("name", "facts"), SKIPPED)
def test_skipped(name: str, facts: Facts) -> None:
    """A check that does not apply reports why."""
    result = BY_NAME[name].run(facts)
    assert result.status is Status.SKIPPED
    assert result.what


WARNINGS = {
    *(
        "daemon-reload",
        "part-of",
        "readiness",
        "start-timeout",
        "start-limit",
        "hook-timeout",
    ),  # and those of SEVERITIES
    *("agent-readable", "agent-current", "systemd", "pacemaker", "times"),
}
SEVERITIES = [
    ("kill-mode", known(serving(kill_mode="none")), Status.ERROR),
    ("kill-mode", known(serving(kill_mode="process")), Status.WARNING),
    ("wanted", known(of(edges=(WANTED,)), portal("enabled")), Status.WARNING),
    ("wanted", known(of(edges=(LINKED,)), portal("enabled")), Status.ERROR),
    ("wanted", known(of(edges=(BOUND,)), portal("enabled")), Status.WARNING),
    ("triggered", known(of(edges=(SOCKET,)), socket("enabled")), Status.ERROR),
    ("triggered", known(of(edges=(SOCKET,)), replace(socket("enabled"), users=("a.service",))), Status.WARNING),
    ("send-sigkill", known(serving(send_sigkill=False)), Status.WARNING),
    ("send-sigkill", known(serving(send_sigkill=False), stop_escalate="no"), Status.ERROR),
    ("send-sigkill", known(serving(send_sigkill=False, kill_mode="process")), Status.ERROR),
    ("stop-timeout", known(serving(stop_timeout_s=900.0)), Status.WARNING),
    ("stop-timeout", known(serving(stop_timeout_s=900.0), stop_escalate="no"), Status.ERROR),
    ("hook-speed", known(UP, hook=hooked(ran(0, 6.0), elapsed_s=6.0)), Status.WARNING),
    ("hook-speed", known(UP, hook=hooked(LATE, elapsed_s=18.0)), Status.ERROR),
    ("hook-speed", known(hook=hooked(LATE, elapsed_s=18.0)), Status.ERROR),
    ("server", served(ActiveState.INACTIVE, ActiveState.INACTIVE), Status.WARNING),
]


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_only_a_warning_leaves_the_decision_to_the_administrator(name: str, facts: Facts) -> None:
    """An error has commands. A warning without them says what to decide, and has none that could do harm."""
    result = BY_NAME[name].run(facts)
    assert ("Decide " in result.why) == (not result.fix) or name == "triggered"
    assert result.fix or result.status is Status.WARNING


CHANGES_UNITS = re.compile("systemctl .*(stop|disable|mask|kill|restart|enable|edit|set-property)")
CHANGES_FILES = re.compile("chown|chmod|setfacl|mv|rm|sed -i")


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_no_fix_changes_what_is_not_this_units(name: str, facts: Facts) -> None:
    """No command stops, disables or masks another unit than this one and its triggers, or changes others' files.

    A hook is this unit's; a directory is not, except for the one of ocf-systemd.
    """
    own = {NAME, *(edge.by for edge in facts.unit.edges if edge.relation == "TriggeredBy")} if facts.unit else set()
    files = {HOOK, *(facts.unit.bus_files if facts.unit else ()), *(facts.unit.links if facts.unit else ())}
    for line in BY_NAME[name].run(facts).fix:
        command, _, _ = line.partition("#")
        if CHANGES_UNITS.match(command):
            assert set(command.split()[2:]) - {"--runtime"} <= own
        if drop_in_of := re.match(r"cd /etc/systemd/system && mkdir -p (\S+)\.d$", command):
            assert drop_in_of[1] in own
        if CHANGES_FILES.match(command):
            *_, file = command.split()
            assert file in files or file.startswith(("/usr/local/lib/ocf-systemd", f"/etc/systemd/system/{NAME}.d/"))
        assert "pip install ocf-systemd" not in command


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_severity(name: str, facts: Facts) -> None:
    """An error would make the cluster run the unit twice, fence a node, or fail to start, stop or monitor the unit."""
    if name not in {name for name, _, _ in SEVERITIES}:
        assert BY_NAME[name].run(facts).status == (Status.WARNING if name in WARNINGS else Status.ERROR)


@pytest.mark.parametrize(("name", "facts", "status"), SEVERITIES)
def test_severity_by_facts(name: str, facts: Facts, status: Status) -> None:
    """Some checks find errors and warnings: a failed stop fences, but a SIGKILL by the agent does not."""
    assert BY_NAME[name].run(facts).status is status


def names(facts: Facts, *statuses: Status) -> list[str]:
    """Return the names of the checks with these statuses, or of all that are not skipped."""
    wanted = statuses or set(Status) - {Status.SKIPPED}
    return [result.name for result in run_checks(facts) if result.status in wanted]


def problems(facts: Facts) -> list[str]:
    return names(facts, Status.WARNING, Status.ERROR)


def test_no_problems() -> None:
    """A service that fits a cluster has none."""
    assert problems(known(hook=hooked())) == []


def test_every_check_has_a_result() -> None:
    """The results are those of the table, in its order; a check that is skipped says why."""
    for facts in (known(), known(Unit(id="srv.mount")), unusable("a b", "has characters"), replace(known(), unit=None)):
        results = run_checks(facts)
        assert [result.name for result in results] == [check.name for check in CHECKS]
        assert all(result.what for result in results)


OF_THE_HOST = [check.name for check in host_checks.CHECKS]


def test_a_name_that_the_agent_rejects() -> None:
    """The agent and the host are checked, the unit and the hook are not."""
    assert names(unusable("a b", "has characters")) == ["name", *OF_THE_HOST]


def test_a_template_is_reported_once() -> None:
    """Its name is no second problem; without an agent, nothing is reported about the users that can read it."""
    facts = replace(unusable("web@", "is a template"), agent=Agent())
    assert problems(facts) == ["template", "agent"]
    assert names(facts, Status.OK) == [name for name in OF_THE_HOST if not name.startswith("agent")]


def test_a_unit_that_is_not_found() -> None:
    """The other checks of the unit are skipped."""
    facts = replace(known(), unit=Unit(id=NAME, load_state=LoadState.NOT_FOUND))
    assert problems(facts) == ["found"]
    assert "enabled" not in names(facts)


def test_a_unit_of_another_type() -> None:
    """The checks of services are skipped for a mount."""
    found = names(known(Unit(id="srv.mount")))
    assert "enabled" in found
    assert not {"restart", "kill-mode", "start-timeout", "start-limit"} & set(found)


def test_a_host_with_unknown_versions() -> None:
    """An unknown version is not an old version: Pacemaker may not be installed yet."""
    assert not {"systemd", "pacemaker"} & set(names(known(host=Host("", "", "1.0"))))


def test_a_hook_that_was_not_run() -> None:
    """The reason is reported; checks of its run are skipped."""
    facts = known(hook=hooked(not_run="only root can run it"))
    assert not {"hook-answer", "hook-speed"} & set(names(facts))
    assert "only root can run it" in BY_NAME["hook"].run(facts).what


@pytest.mark.parametrize("state", list(ActiveState))
def test_the_state_of_a_unit_has_one_meaning(state: ActiveState) -> None:
    """Whether a unit is running or stopped is what `UnitState` has."""
    expected, unit = UnitState(NAME, LoadState.LOADED, state), of(active_state=state)
    assert (unit.is_running, unit.is_inactive) == (expected.is_running, expected.is_inactive)
    assert RelatedUnit(NAME, active_state=state).is_running == expected.is_running


@pytest.mark.parametrize("path", [pytest.param("/usr/bin/nope", id="programs"), pytest.param(HOOK, id="other")])
def test_a_hook_is_installed_only_where_hooks_belong(path: str) -> None:
    """For another path, doctor does not propose to install a file there."""
    facts = known(hook=Hook((HookMissing(path, "No such file or directory"),)), monitor_hook=path)
    fix = BY_NAME["hook"].run(facts).fix
    assert fix
    assert not any(line.startswith("install") for line in fix)


def text_of(result: CheckResult) -> str:
    return "\n".join((result.what, result.why, *result.fix))


FIXES = [
    ("remain-after-exit", known(JOB, RelatedUnit("web.timer", "enabled")), "ocf-systemd doctor web.timer"),
    (
        "hook-speed",
        known(UP, hook=hooked(ran(0, 3.0), elapsed_s=3.0), operations=operating(monitor=6.0, interval=60.0)),
        "op monitor interval=60s ",
    ),
    ("template", unusable("web@", "is a template", "web@1.service"), "ocf-systemd doctor web@1.service"),
    ("template", unusable("web@", "is a template"), "ocf-systemd doctor web@INSTANCE"),
    ("masked", known(of(load_state=LoadState.MASKED, file_state="masked-runtime")), "systemctl unmask --runtime web"),
    ("enabled", known(of(file_state="enabled", links=("/etc/x",))), "systemctl disable web.service"),
    ("enabled", known(of(file_state="enabled-runtime", links=("/run/x",))), "systemctl disable --runtime web.service"),
    (
        "enabled",
        known(of(links=("/etc/a", "/run/b", "/etc/c"))),
        "systemctl disable web.service\nsystemctl disable --runtime web.service",
    ),
    ("enabled", known(of(links=("/etc/a", "/etc/b"), also=("x.socket",))), "rm /etc/a /etc/b\nsystemctl daemon-reload"),
    ("wanted", known(of(edges=(LINKED,), source="/etc/init.d/web")), "\nsystemctl disable web.service"),
    (
        "triggered",
        known(of(edges=(SOCKET, Edge("TriggeredBy", "web.path"))), socket("enabled", ACTIVE), PATH),
        "systemctl disable web.socket\nsystemctl stop web.socket\nsystemctl disable --runtime web.path",
    ),
    ("triggered", known(replace(UP, edges=(SOCKET,)), socket("disabled", ACTIVE)), "[Unit]\\nPartOf=web.service\\n"),
    (
        "triggered",
        known(of(edges=(SOCKET,)), replace(socket("enabled"), users=("a.service", "b.service"))),
        "a.service and b.service use web.socket.",
    ),
    ("kill-mode", known(serving(kill_mode="process", exec_start=("/usr/bin/pg_ctl start",))), "KillMode=mixed"),
    ("kill-mode", known(serving(kill_mode="none")), "KillMode=control-group"),
    ("wanted", known(of(edges=(LINKED,))), "ln -s /dev/null /etc/systemd/system/multi-user.target.wants/web.service"),
    (
        "wanted",
        known(
            of(
                edges=(
                    LINKED,
                    Edge("RequiredBy", "default.target", "/run/systemd/generator/default.target.requires/web.service"),
                )
            )
        ),
        "ln -s /dev/null /etc/systemd/system/default.target.requires/web.service",
    ),
    ("start-timeout", known(serving(start_timeout_s=120.0)), "op start timeout=130s"),
    ("start-timeout", known(serving(start_timeout_s=900.0)), "TimeoutStartSec=300s"),
    ("stop-timeout", known(serving(stop_timeout_s=104.0)), "op stop timeout=115s"),
    ("stop-timeout", known(serving(stop_timeout_s=900.0)), "op stop timeout=315s"),
    ("stop-timeout", known(serving(exec_stop=("/x",)), stop_escalate="no"), "op stop timeout=185s"),
    ("start-timeout", known(operations=operating(start=1.0)), "TimeoutStartSec=1s"),
    ("hook", known(hook=Hook((HookMissing(HOOK, "it is not executable"),))), f"chmod a+x {HOOK}"),
    ("hook", known(hook=Hook((HookMissing(HOOK, "user web may not execute it"),))), f"root {HOOK} {MOVED}"),
    (
        "hook",
        known(hook=Hook((HookMissing(MOVED, "user web may not execute it"),)), monitor_hook=MOVED),
        f"chmod a+rx {MOVED}",
    ),
    (
        "hook",
        known(
            hook=Hook((HookMissing("/x/smtp", "its arguments belong in monitor_hook_args, not in monitor_hook"),)),
            monitor_hook="/x/smtp -p 25",
        ),
        "update RESOURCE monitor_hook=/x/smtp monitor_hook_args='-p 25'",
    ),
    (
        "hook",
        known(hook=Hook((HookMissing(MOVED, "No such file or directory"),)), monitor_hook=MOVED),
        f"root ./smtp {MOVED}",
    ),
    (
        "hook",
        known(hook=Hook((HookMissing(HOOK, "No such file or directory"),))),
        "monitor_hook=/usr/local/lib/ocf-systemd/hooks/HOOK",
    ),
    (
        "hook",
        known(hook=Hook((HookMissing(HOOK, "No such file or directory"),), similar="/usr/local/lib/hooks/smtps")),
        "did you mean /usr/local/lib/hooks/smtps?",
    ),
    (
        "hook",
        known(hook=Hook((HookMissing(HOOK, "No such file or directory"),), similar="/usr/local/lib/hooks/smtps")),
        "update RESOURCE monitor_hook=/usr/local/lib/hooks/smtps",
    ),
    ("hook-safety", unsafe_hook("/home/joe/smtp", "/home/joe is owned by uid 1000"), f"root /home/joe/smtp {MOVED}"),
    ("hook-safety", unsafe_hook("/home/joe/smtp", "/home/joe is owned by uid 1000"), f"monitor_hook={MOVED}"),
    ("hook-safety", unsafe_hook("/a b/smtp", "/a b is writable by everyone"), f"root '/a b/smtp' {MOVED}"),
    (
        "hook-safety",
        unsafe_hook("/a b/web/", "/a b/web is writable by group 50", is_directory=True),
        "root -t /usr/local/lib/ocf-systemd/hooks/web '/a b/web'/*",
    ),
    ("hook-safety", unsafe_hook(MOVED, f"{MOVED} is writable by group 50"), f"chmod go-w {MOVED}"),
    ("hook-safety", unsafe_hook(MOVED, f"{MOVED} is owned by uid 1000"), f"chown root:root {MOVED}"),
    ("hook-safety", unsafe_hook(MOVED, "/usr/local is writable by group 50"), f"{MOVED} /etc/ocf-systemd/hooks/smtp"),
    ("hook-safety", unsafe_hook("/x/smtp", "/x/smtp resolves to a different file"), f"/x/smtp {MOVED}"),
    ("hook-codes", known(hook=hooked(ran(6))), consequence(Action.MONITOR, 6, recurring=True)),
    ("hook-answer", known(UP, hook=hooked(ran(1))), consequence(Action.MONITOR, 1, recurring=True)),
    ("hook-timeout", known(hook=hooked(script=Script(HOOK, is_bounded=False))), "monitor_hook_timeout=9s"),
    ("hook-speed", known(UP, hook=hooked(ran(0, 6.0), elapsed_s=6.0)), "op monitor interval=18s timeout=20s"),
    ("times", replace(known(), options={"poll_interval": "5000"}), "poll_interval=5000 is 5000 s (83 min)"),
    ("times", replace(known(), options={"poll_interval": "5000"}), "pcs resource update RESOURCE poll_interval=5000ms"),
    ("times", replace(known(operations=operating(start=90000.0)), times={"start": "90000"}), "is 90000 s (25 h)"),
    ("times", replace(known(operations=operating(stop=0.02)), times={"stop": "20ms"}), "op stop timeout=20s"),
    ("times", known(operations=operating(monitor=1.0)), "less than the 2 s that the agent needs"),
    ("times", replace(known(operations=operating(interval=5000.0))), "op monitor interval=5000ms"),
]


@pytest.mark.parametrize(("name", "facts", "expected"), [pytest.param(*row, id=row[2]) for row in FIXES])
def test_fix(name: str, facts: Facts, expected: str) -> None:
    """The fix has the names and the times of the facts."""
    assert expected in text_of(BY_NAME[name].run(facts))


@pytest.mark.parametrize("limit_s", [1.0, 5.0, 44.0, 80.0, 90.0, 299.0, 300.0, 900.0, FOREVER_S])
def test_following_the_advice_passes(limit_s: float) -> None:
    """With the proposed timeout of the operation, and the proposed limit of the unit if any, the check passes."""
    for action, setting in (("start", "start_timeout_s"), ("stop", "stop_timeout_s")):
        check = BY_NAME[f"{action}-timeout"]
        # A unit without a limit has a problem only if no timeout is chosen for the operation.
        chosen = {} if limit_s == FOREVER_S else {"start": 10.0, "stop": 10.0}
        result = check.run(known(serving(**{setting: limit_s}), operations=Operations(chosen)))
        if result.status is Status.OK:
            assert limit_s < 10
            continue
        proposed = next(line for line in result.fix if f"op {action} timeout=" in line)
        timeout_s = float(proposed.rpartition("=")[2].removesuffix("s"))
        lowered = 300.0 if 300 < limit_s < FOREVER_S else limit_s
        fixed = known(serving(**{setting: lowered}), operations=operating(**{action: timeout_s}))
        assert check.run(fixed).status is Status.OK


SPANS = [(0.034, "0.034 s"), (1.5, "1.5 s"), (90.0, "90 s"), (60.0, "60 s"), (71.25, "71 s"), (5400.0, "90 min")]
SPANS += [(900.0, "15 min"), (3600.0, "1 h"), (FOREVER_S, "infinity")]


@pytest.mark.parametrize(("seconds", "expected"), SPANS)
def test_times_for_people(seconds: float, expected: str) -> None:
    """They are short and have a unit."""
    assert time_span(seconds) == expected


def test_names_are_quoted_for_a_shell() -> None:
    """A name with a backslash is quoted."""
    assert "'srv-a\\x2db.mount.d/zzz-cluster.conf'" in drop_in(r"srv-a\x2db.mount", "X=y", section="Mount")[1]


def test_a_drop_in_has_the_settings_as_they_are() -> None:
    """printf(1) reads neither a backslash nor a percent sign of a setting."""
    assert drop_in("a.mount", r"X=/srv-a\x2db.mount.d/%n", section="Unit")[1].startswith(
        r"printf '[Unit]\nX=/srv-a\\x2db.mount.d/%%n\n' >>"
    )


def test_the_proposed_drop_in_applies_last() -> None:
    """A drop-in that doctor proposes sorts after the agent's, which would override it otherwise."""
    assert "web.service.d/zzz-cluster.conf" in drop_in("web.service", "Restart=no")[1]
    assert drop_in_path("web.service").name < "zzz-cluster.conf"
