"""Checks of a service's settings: that it starts, stops and stays stopped as the cluster expects, and in time."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.observations import LoadState
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.timeouts import propose_start_timeout_s, propose_stop_timeout_s
from ocf_systemd.doctor.check import Check, needs
from ocf_systemd.doctor.facts import FOREVER_S, Facts, Service, Unit
from ocf_systemd.doctor.fixes import check_again, drop_in, is_lsb_script, names, quoted, time_span, update, with_hook

_ACTIVE_AT_ONCE = frozenset({"simple", "exec", "idle"})  # values of Type= that are active once a process exists
_SIGNALLERS = frozenset({"kill", "pkill", "killall", "true", ":"})  # commands that do not wait for the service to end
_SHELLS = frozenset({"sh", "bash", "dash"})
_LEAVES_PROCESSES = frozenset({"none", "process"})  # the values of KillMode= with which processes can outlive a stop
_POSTGRES = frozenset({"postgres", "postmaster", "pg_ctl", "pg_ctlcluster"})
# Prefixes of the names of programs whose main process ends the other processes itself, in order.
_ENDS_CHILDREN = ("sapstart", "sapinit", "hdb", "oracle", "dbstart", "dbora", "lsnrctl", "tnslsnr", "db2start")
_EXAMPLE_S = 300.0  # the limit in seconds that a fix proposes for a unit without a limit, or with a longer one
_USUAL_S_PER_START = 2.0  # seconds per start in systemd's default limit: 5 starts in 10 s


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A service that systemd has loaded, its unit, the parameters of the resource, and all other facts."""

    facts: Facts
    unit: Unit
    service: Service
    parameters: Parameters


def _find_service(facts: Facts) -> _Loaded | str:
    unit = facts.unit
    if unit is None or unit.load_state is not LoadState.LOADED or facts.parameters is None:
        return "the unit is not loaded"
    return "the unit is not a service" if unit.service is None else _Loaded(facts, unit, unit.service, facts.parameters)


@needs(_find_service)
def check_restart(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that systemd leaves restarts to Pacemaker."""
    unit, service, writes_drop_in = loaded.unit, loaded.service, loaded.parameters.order_at_shutdown
    why = "systemd restarts it without the cluster knowing: during a recovery, or while it runs on another node."
    if service.forces_restart and not writes_drop_in:
        what = f"RestartForceExitStatus= of {unit.id} restarts it even with Restart=no"
        return check.error(what, why, *drop_in(unit.id, "RestartForceExitStatus="))
    if service.restart == "no":
        return check.ok("Restart=no")
    if writes_drop_in:
        return check.ok(f"Restart={service.restart}; the agent sets Restart=no when it starts the unit")
    what = f"Restart={service.restart}, and with order_at_shutdown=no the agent does not set Restart=no"
    return check.error(what, why, *drop_in(unit.id, "Restart=no"))


def check_drop_in(check: Check, facts: Facts) -> CheckResult:
    """Check that no file overrides the agent's drop-in in /run, which sets Restart=no and the order at shutdown."""
    if facts.unit is None or facts.parameters is None or not facts.parameters.order_at_shutdown:
        return check.skipped("the agent does not write a drop-in")
    unit = facts.unit
    if unit.hidden_by:
        renamed = unit.hidden_by.replace("zz-ocf-systemd.conf", "40-local.conf")
        return check.error(
            f"{unit.hidden_by} hides the agent's drop-in of the same name in /run",
            "Restart=no does not apply, and at shutdown systemd may stop the service before Pacemaker has moved it.",
            f"mv --no-clobber {quoted(unit.hidden_by)} {quoted(renamed)}",
            "systemctl daemon-reload",
        )
    if unit.later_restarts:
        last = unit.later_restarts[0].rpartition("/")[2].removesuffix(".conf")
        return check.error(
            f"{unit.later_restarts[0]} sets Restart= after the agent's zz-ocf-systemd.conf",
            "systemd applies drop-ins in the order of their names, whatever their directory, and the last one wins. So "
            "systemd restarts the service without the cluster knowing.",
            *drop_in(unit.id, "Restart=no", name=f"{last}z-cluster.conf"),  # this name sorts after `last`
        )
    return check.ok("the agent's drop-in applies" if unit.has_drop_in else "nothing overrides the agent's drop-in")


@needs(_find_service)
def check_readiness(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that systemd or a hook detects when the service is ready."""
    service_type = loaded.service.type
    if service_type not in _ACTIVE_AT_ONCE:
        return check.ok(f"Type={service_type}")
    if loaded.parameters.monitor_hook:  # a start runs the hook, whatever monitor_hook_level is
        return check.ok(f"Type={service_type}, and the hook detects when it is ready")
    return check.warning(
        f"Type={service_type} without a hook",
        "systemd reports it active as soon as its process exists. A start succeeds before the service is ready, even "
        "if it fails a second later, and resources that depend on it start too early.",
        *with_hook(loaded.unit.id),
    )


@needs(_find_service)
def check_remain_after_exit(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that a oneshot service stays active after its command has ended."""
    if loaded.service.type != "oneshot":
        return check.skipped("the unit is not a oneshot service")
    if loaded.service.remain_after_exit:
        return check.ok("RemainAfterExit=yes")
    if loaded.unit.is_triggered_command:
        return check.error(
            f"{loaded.unit.id} is a command that {names(loaded.unit.triggers)} starts",
            "It is inactive as soon as its command has ended, so a start fails. The cluster can manage what starts it.",
            check_again(loaded.unit.triggers[0]),
        )
    return check.error(
        "Type=oneshot without RemainAfterExit=yes",
        "It is inactive as soon as its command has ended. So a start fails, and the cluster tries each node in turn.",
        *drop_in(loaded.unit.id, "RemainAfterExit=yes"),
    )


@needs(_find_service)
def check_main_process(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that systemd knows the main process of a forking service."""
    unit, service = loaded.unit, loaded.service
    if service.type != "forking":
        return check.skipped("the unit is not a forking service")
    if service.pid_file:
        return check.ok(f"PIDFile={service.pid_file}")
    if unit.is_running and service.main_pid:
        return check.ok(f"no PIDFile=, but systemd has found the main process: {service.main_pid}")
    if loaded.parameters.monitor_hook:
        return check.ok("no PIDFile=, but the hook detects a failure")
    verb = "must guess" if service.guess_main_pid else "does not know"
    return check.error(
        f"Type=forking without PIDFile=: systemd {verb} the main process",
        "If the main process dies while another one lives, the unit may stay active, and a monitor without a hook does "
        "not detect the failure.",
        *with_hook(unit.id),
        "# or a drop-in with PIDFile=, if the service writes one",
    )


def _only_signals(command: str) -> bool:
    """Return whether a command, as systemctl prints it, sends at most a signal, and does not wait for the service."""
    tokens = command.split()
    if not tokens:
        return False
    name = tokens[0].rpartition("/")[2]
    if name in _SHELLS and tokens[1:2] == ["-c"]:
        script = " ".join(tokens[2:]).rstrip("; ")
        return not re.search("[;&|]", script) and _only_signals(script)
    if name == "start-stop-daemon":
        return not any(token.startswith(("--retry", "-R")) for token in tokens)
    return name in _SIGNALLERS or (name, *tokens[1:2]) == ("systemctl", "kill")


def _leaves_all(service: Service) -> bool:
    """Return whether a stop waits for no process: KillMode=none, and the ExecStop= commands send at most a signal."""
    return service.kill_mode == "none" and bool(service.exec_stop) and all(map(_only_signals, service.exec_stop))


@needs(_find_service)
def check_exec_stop(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that the service has stopped when its ExecStop= returns."""
    service = loaded.service
    if not service.exec_stop:
        return check.ok("no ExecStop=: systemd sends a signal and waits")
    if service.kill_mode != "none":
        return check.ok("after ExecStop=, systemd ends the main process and waits for it")
    if not _leaves_all(service):
        return check.ok("ExecStop= does more than send a signal")
    return _report_kill_mode(
        check,
        loaded,
        f"ExecStop={service.exec_stop[-1]} does not wait, and KillMode={service.kill_mode}",
        "systemd reports the unit stopped while its processes still run, and the agent waits only for the main "
        "process. The cluster starts the service on another node, while the other processes still use the same data.",
    )


@needs(_find_service)
def check_kill_mode(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that a stop ends all processes of the service."""
    kill_mode = loaded.service.kill_mode
    if kill_mode not in _LEAVES_PROCESSES:
        return check.ok(f"KillMode={kill_mode}")
    if is_lsb_script(loaded.unit):
        return check.ok(f"KillMode={kill_mode}; the init script ends the processes")
    if _leaves_all(loaded.service):
        return check.skipped("`exec-stop` reports it")
    return _report_kill_mode(
        check,
        loaded,
        f"KillMode={kill_mode} leaves processes running after a stop",
        "The cluster considers the service stopped once its main process has ended, and starts it on another node. "
        "Other processes that are left may then use the same data on both.",
    )


def _report_kill_mode(check: Check, loaded: _Loaded, what: str, why: str) -> CheckResult:
    """Return the problem. Its fix is a safer KillMode=, unless that may kill what must outlive the main process."""
    service = loaded.service
    programs = {word.rpartition("/")[2] for command in service.exec_start for word in re.split("[\\s\"';]+", command)}
    if service.delegate:
        decide = (
            "The service manages cgroups of its own (Delegate=yes), such as those of containers, and another KillMode= "
            "would kill what is in them. Decide what must stop with the service, and stop that in its ExecStop=."
        )
    elif programs & _POSTGRES:
        # postgres ends its child processes itself, in order: only what is left after its end may be killed.
        return check.error(what, why, *drop_in(loaded.unit.id, "KillMode=mixed"))
    elif any(program.startswith(_ENDS_CHILDREN) for program in programs):
        decide = (
            "The main process ends the others itself, in order, and another KillMode= would interrupt it. Decide "
            f"whether that is enough: after a stop, `systemd-cgls --unit {quoted(loaded.unit.id)}` shows what is left."
        )
    elif service.kill_mode == "process":
        decide = (
            "Packages set KillMode=process for processes that must outlive the service, such as sessions, jobs and "
            "virtual machines. Decide whether these may run here while the service runs on another node."
        )
    else:
        return check.error(what, why, *drop_in(loaded.unit.id, "KillMode=control-group"))
    return check.warning(what, f"{why} {decide}")


@needs(_find_service)
def check_send_sigkill(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that systemd sends SIGKILL to processes that do not end."""
    service = loaded.service
    if service.send_sigkill:
        return check.ok("SendSIGKILL=yes")
    report = check.error
    if service.kill_mode in _LEAVES_PROCESSES:
        harm = (
            "The agent waits only for the main process. The cluster then starts the service on another node, while the "
            "other processes may still write."
        )
    elif loaded.parameters.stop_escalate:
        report, after = check.warning, time_span(loaded.facts.operations.escalation_after_s)
        harm = f"The agent does not consider it stopped, and sends SIGKILL itself after {after}."
    else:
        harm = "The agent does not consider it stopped: the stop fails, and the cluster fences the node."
    return report(
        "SendSIGKILL=no",
        f"After TimeoutStopSec={time_span(service.stop_timeout_s)}, systemd reports the unit failed and leaves its "
        f"processes running. {harm}",
        *drop_in(loaded.unit.id, "SendSIGKILL=yes"),
    )


@needs(_find_service)
def check_start_timeout(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that the agent waits for a start as long as systemd does."""
    operations, limit_s = loaded.facts.operations, loaded.service.start_timeout_s
    deadline_s = operations.agent_deadline_s(Action.START)
    if limit_s <= deadline_s:
        return check.ok(f"{time_span(limit_s)}; the agent waits {time_span(deadline_s)}")
    if is_lsb_script(loaded.unit):
        return check.ok(f"{time_span(limit_s)} by default for an init script; the agent waits {time_span(deadline_s)}")
    if limit_s == FOREVER_S and (loaded.service.type == "oneshot" or Action.START in operations.chosen):
        return check.ok(f"the unit has no limit; the agent waits {time_span(deadline_s)}")
    return check.warning(
        f"TimeoutStartSec={time_span(limit_s)}, but the agent waits only {time_span(deadline_s)}",
        "A start that takes longer, such as the recovery of a database after a crash, fails although systemd would "
        "wait for it: the cluster stops the service and tries the next node.",
        *_match_limits(
            loaded.unit.id, _Limit(Action.START, "TimeoutStartSec", limit_s, deadline_s, propose_start_timeout_s)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Limit:
    """The limits in seconds of an action: that of the unit, which `setting` sets, and that of the agent.

    `timeout_for(seconds)` returns an operation's timeout with which the agent's limit is at least that long.
    """

    action: Action
    setting: str
    of_unit_s: float
    of_agent_s: float
    timeout_for: Callable[[float], int]


def _whole(seconds: float) -> int:
    return max(int(seconds), 1)  # systemd takes 0 as no limit


def _match_limits(unit: str, limit: _Limit) -> tuple[str, ...]:
    """Return the commands after which the agent waits as long as systemd does."""
    if limit.of_unit_s <= _EXAMPLE_S:
        return (
            update(f"op {limit.action} timeout={limit.timeout_for(limit.of_unit_s)}s"),
            f"# or, if a {limit.action} must not take that long:",
            *drop_in(unit, f"{limit.setting}={_whole(limit.of_agent_s)}s"),
        )
    timeout_s = limit.timeout_for(_EXAMPLE_S)
    return (
        f"# Decide how long a {limit.action} may take. For {time_span(_EXAMPLE_S)}:",
        update(f"op {limit.action} timeout={timeout_s}s"),
        *(() if limit.of_unit_s == FOREVER_S else drop_in(unit, f"{limit.setting}={_EXAMPLE_S:.0f}s")),
        f"{check_again(unit, f'--op {limit.action}={timeout_s}s')}   # check again",
    )


@needs(_find_service)
def check_stop_timeout(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that the agent waits for a stop as long as systemd does."""
    operations, limit_s = loaded.facts.operations, loaded.service.stop_timeout_s
    deadline_s, kill_s = operations.agent_deadline_s(Action.STOP), operations.escalation_after_s
    if not loaded.parameters.stop_escalate:
        return _check_unescalated_stop(check, loaded, deadline_s)
    if limit_s <= kill_s:
        return check.ok(f"{time_span(limit_s)}; the agent sends SIGKILL after {time_span(kill_s)}")
    # systemd's default was not chosen for this unit, and a SIGKILL a little earlier rarely does harm.
    is_default = limit_s == loaded.facts.host.stop_timeout_s and limit_s <= deadline_s
    if is_default or is_lsb_script(loaded.unit):
        return check.ok(f"{time_span(limit_s)} by default; the agent sends SIGKILL after {time_span(kill_s)}")
    if limit_s == FOREVER_S and Action.STOP in operations.chosen:
        return check.ok(f"the unit has no limit; the agent sends SIGKILL after {time_span(kill_s)}")
    timeout_for = partial(propose_stop_timeout_s, escalates=True)
    return check.warning(
        f"TimeoutStopSec={time_span(limit_s)}, but the agent sends SIGKILL after {time_span(kill_s)}",
        "A failed stop fences the node, so the agent kills the processes that are left shortly before its deadline. A "
        "database that is killed during its last checkpoint must recover at the next start.",
        *_match_limits(loaded.unit.id, _Limit(Action.STOP, "TimeoutStopSec", limit_s, kill_s, timeout_for)),
    )


def _check_unescalated_stop(check: Check, loaded: _Loaded, deadline_s: float) -> CheckResult:
    # TimeoutStopSec= applies to each ExecStop= command, and once more to the processes (systemd.service(5)).
    periods = 1 + len(loaded.service.exec_stop)
    longest_s = loaded.service.stop_timeout_s * periods
    if longest_s <= deadline_s:
        return check.ok(f"at most {time_span(longest_s)}; the agent waits {time_span(deadline_s)}")
    timeout_s = propose_stop_timeout_s(loaded.service.stop_timeout_s, escalates=False, commands=periods - 1)
    raised = () if longest_s == FOREVER_S else (update(f"op stop timeout={timeout_s}s"), "# or:")
    return check.error(
        f"a stop may take {time_span(longest_s)}, but with stop_escalate=no the agent waits only "
        f"{time_span(deadline_s)}",
        "A stop that takes longer fails, and the cluster fences the node.",
        *raised,
        *drop_in(loaded.unit.id, f"TimeoutStopSec={_whole(deadline_s / periods)}s"),
    )


@needs(_find_service)
def check_start_limit(check: Check, loaded: _Loaded) -> CheckResult:
    """Check that no limit on starts keeps the cluster from starting the unit."""
    unit = loaded.unit
    for limit in unit.required_limits:
        if limit.burst and limit.interval_s / limit.burst > _USUAL_S_PER_START:
            return check.warning(
                f"{limit.unit}, which starts and stops with {unit.id}, may start only {limit.burst} times in "
                f"{time_span(limit.interval_s)}",
                f"Before a start, the agent resets the count of {unit.id}, but not that of the units it requires. So a "
                f"start fails after a few failovers. Decide whether {limit.unit} may have StartLimitIntervalSec=0.",
            )
    limit = unit.start_limit
    if not limit.burst or not limit.interval_s:
        return check.ok("no limit")
    return check.ok(f"{limit.burst} in {time_span(limit.interval_s)}; the agent resets the count before a start")


def check_failure_action(check: Check, facts: Facts) -> CheckResult:
    """Check that neither a failure nor any other end of the unit reboots or powers off the host."""
    if (unit := facts.unit) is None:
        return check.skipped("the unit is not found")
    if not unit.failure_actions:
        return check.ok("a failure does not affect the host")
    names = tuple(setting.partition("=")[0] for setting in unit.failure_actions)
    return check.error(
        ", ".join(unit.failure_actions),
        "This takes down all other resources of the node without a failover. Pacemaker must decide when to fence it.",
        *drop_in(unit.id, *(f"{name}=none" for name in names), section="Unit"),
    )


CHECKS = (
    Check("restart", check_restart),
    Check("drop-in", check_drop_in),
    Check("readiness", check_readiness),
    Check("remain-after-exit", check_remain_after_exit),
    Check("main-process", check_main_process),
    Check("exec-stop", check_exec_stop),
    Check("kill-mode", check_kill_mode),
    Check("send-sigkill", check_send_sigkill),
    Check("start-timeout", check_start_timeout),
    Check("stop-timeout", check_stop_timeout),
    Check("start-limit", check_start_limit),
    Check("failure-action", check_failure_action),
)
