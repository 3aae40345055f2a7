"""Checks of a service's settings: that it starts, stops and stays down as the cluster wants, and in its time."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ocf_systemd.core.observations import LoadState
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.timeouts import least_stop_timeout_s, least_timeout_s
from ocf_systemd.doctor.facts import FOREVER_S, Facts, Service, Unit
from ocf_systemd.doctor.findings import (
    HOOK,
    Check,
    Finding,
    Outcome,
    Sound,
    drop_in,
    quoted,
    time_span,
    update,
)

_AT_ONCE = frozenset({"simple", "exec", "idle"})
_SIGNALLERS = frozenset({"kill", "pkill", "killall", "true", ":"})
_SHELLS = frozenset({"sh", "bash", "dash"})
_LEAVING = frozenset({"none", "process"})
_EXAMPLE_S = 300.0  # a limit to begin with, and what is still reasonable to wait for
_USUAL_RATE_S = 2.0  # systemd's own limit: 5 starts in 10 s


def _loaded(facts: Facts) -> tuple[Unit, Service, Parameters] | None:
    """Return what a check of a service looks at, where there is one."""
    unit = facts.unit
    if unit is None or unit.service is None or unit.load_state is not LoadState.LOADED or facts.parameters is None:
        return None
    return unit, unit.service, facts.parameters


def restart(facts: Facts) -> Outcome:
    """Check that systemd leaves restarts to Pacemaker."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit, service, parameters = loaded
    why = "systemd starts it again behind the cluster's back: beside a recovery, or while it runs elsewhere already."
    if service.forces_restart and not parameters.order_at_shutdown:
        what = f"RestartForceExitStatus= of {unit.id} restarts it whatever Restart= says"
        return Finding(what, why, drop_in(unit.id, "RestartForceExitStatus="))
    if service.restart == "no":
        return Sound("Restart=no")
    if parameters.order_at_shutdown:
        return Sound(f"Restart={service.restart}; no, from when the cluster starts it")
    what = f"Restart={service.restart}, and order_at_shutdown=no keeps the agent from setting it to no"
    return Finding(what, why, drop_in(unit.id, "Restart=no"))


def overridden(facts: Facts) -> Outcome:
    """Check that the agent's drop-in gets its way."""
    if facts.unit is None or facts.parameters is None or not facts.parameters.order_at_shutdown:
        return None
    unit = facts.unit
    if unit.shadow:
        aside = unit.shadow.replace("zz-ocf-systemd.conf", "40-local.conf")
        return Finding(
            f"{unit.shadow} hides the agent's drop-in of that name in /run",
            "So the host's shutdown may stop the service before Pacemaker can move it, and Restart=no is not in force.",
            (f"mv {quoted(unit.shadow)} {quoted(aside)}", "systemctl daemon-reload"),
        )
    if unit.later_restarts:
        last = unit.later_restarts[0].rpartition("/")[2].removesuffix(".conf")
        return Finding(
            f"{unit.later_restarts[0]} sets Restart= after the agent's zz-ocf-systemd.conf",
            "Drop-ins are read in order of name, wherever they lie. The last one wins, so systemd restarts the service "
            "behind the cluster's back.",
            drop_in(unit.id, "Restart=no", name=f"{last}z-cluster.conf"),  # which sorts after it
        )
    return Sound("the agent's is in force" if unit.has_drop_in else "nothing overrides the agent's")


def ready(facts: Facts) -> Outcome:
    """Check that something tells when it serves."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit, service, parameters = loaded
    if service.type not in _AT_ONCE:
        return Sound(f"Type={service.type}")
    if parameters.monitor_hook:  # which start runs whatever monitor_hook_level says
        return Sound(f"Type={service.type}, and the hook tells when it serves")
    return Finding(
        f"Type={service.type}, and no hook",
        "systemd calls it active as soon as its process is there. A start succeeds before it serves, even if it dies "
        "a second later; what depends on it starts too early.",
        _with_hook(unit.id),
    )


def stays_active(facts: Facts) -> Outcome:
    """Check that it stays active once it has done its work."""
    if (loaded := _loaded(facts)) is None or loaded[1].type != "oneshot":
        return None
    unit, service, _ = loaded
    if service.remain_after_exit:
        return Sound("RemainAfterExit=yes")
    return Finding(
        "Type=oneshot without RemainAfterExit=yes",
        "It is inactive as soon as its command has ended. So a start fails, and the cluster tries node after node.",
        drop_in(unit.id, "RemainAfterExit=yes"),
    )


def main_process(facts: Facts) -> Outcome:
    """Check that systemd knows which process is the service."""
    if (loaded := _loaded(facts)) is None or loaded[1].type != "forking":
        return None
    unit, service, parameters = loaded
    if service.pid_file:
        return Sound(f"PIDFile={service.pid_file}")
    if unit.is_running and service.main_pid:
        return Sound(f"no PIDFile=, but systemd has found it: {service.main_pid}")
    if parameters.monitor_hook:
        return Sound("no PIDFile=, but the hook sees what dies")
    guesses = "has to guess" if service.guess_main_pid else "does not know"
    return Finding(
        f"Type=forking without PIDFile=: systemd {guesses} which process is the service",
        "When that one dies and another lives on, the unit may stay active, and a monitor without a hook sees nothing.",
        (*_with_hook(unit.id), "# or a drop-in with PIDFile=, if the service writes one"),
    )


def _with_hook(unit: str) -> tuple[str, ...]:
    return (f"ocf-systemd doctor --unit {quoted(unit)} --monitor-hook {HOOK}", update(f"monitor_hook={HOOK}"))


def _only_signals(command: str) -> bool:
    """Tell whether a command, as systemctl prints it, returns at once, with the service still on its way down."""
    words = command.split()
    if not words:
        return False
    name = words[0].rpartition("/")[2]
    if name in _SHELLS and words[1:2] == ["-c"]:
        script = " ".join(words[2:]).rstrip("; ")
        return not re.search("[;&|]", script) and _only_signals(script)
    if name == "start-stop-daemon":
        return not any(word.startswith(("--retry", "-R")) for word in words)
    return name in _SIGNALLERS or (name, *words[1:2]) == ("systemctl", "kill")


def exec_stop(facts: Facts) -> Outcome:
    """Check that it is down when its ExecStop= has returned."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit, service, _ = loaded
    if not service.exec_stop:
        return Sound("no ExecStop=: systemd signals, and waits")
    if service.kill_mode not in _LEAVING:
        return Sound("systemd waits for all processes after it")
    if not all(map(_only_signals, service.exec_stop)):
        return Sound("waits, as far as can be seen")
    return Finding(
        f"ExecStop={service.exec_stop[-1]} returns at once, and KillMode={service.kill_mode}",
        "systemd calls it stopped while it still runs; the cluster starts it on another node: two at once.",
        drop_in(unit.id, "KillMode=control-group"),
    )


def kill_mode(facts: Facts) -> Outcome:
    """Check that a stop ends all of its processes."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit, service, _ = loaded
    if service.kill_mode not in _LEAVING:
        return Sound(f"KillMode={service.kill_mode}")
    left = "all processes" if service.kill_mode == "none" else "all but the main process"
    return Finding(
        f"KillMode={service.kill_mode} leaves {left} running after a stop",
        "The cluster takes it for stopped and starts it elsewhere, while what was left here works on the same data.",
        drop_in(unit.id, "KillMode=control-group"),
    )


def send_sigkill(facts: Facts) -> Outcome:
    """Check that a stop ends what does not want to."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit, service, parameters = loaded
    if service.send_sigkill:
        return Sound("SendSIGKILL=yes")
    after_s = facts.operations.escalation_after_s
    if service.kill_mode in _LEAVING:
        harm = "The cluster takes it for stopped and starts it elsewhere, while they may still write."
    elif parameters.stop_escalate:
        harm = f"To the agent it is not stopped yet: the stop sends SIGKILL to them itself, after {time_span(after_s)}."
    else:
        harm = "To the agent it is not stopped: the stop fails, and the cluster fences the node."
    return Finding(
        "SendSIGKILL=no",
        f"Once TimeoutStopSec={time_span(service.stop_timeout_s)} is over, systemd calls the unit failed and leaves "
        f"its processes running. {harm}",
        drop_in(unit.id, "SendSIGKILL=yes"),
    )


def start_timeout(facts: Facts) -> Outcome:
    """Check that the cluster waits as long for a start as systemd does."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit, service, _ = loaded
    own_s, limit_s = facts.operations.own_time_s(Action.START), service.start_timeout_s
    if limit_s <= own_s:
        return Sound(f"{time_span(limit_s)}, and the agent waits {time_span(own_s)}")
    if limit_s == FOREVER_S and (service.type == "oneshot" or "start" in facts.operations.chosen):
        return Sound(f"no limit of its own: the agent's {time_span(own_s)} count")
    return Finding(
        f"TimeoutStartSec={time_span(limit_s)}, but the agent gives up after {time_span(own_s)}",
        "A start that systemd would still wait for, a database's recovery from a crash for one, fails: the cluster "
        "stops it in the midst and tries the next node.",
        _agreeing(unit.id, _Limit("start", "TimeoutStartSec", limit_s, own_s, least_timeout_s)),
    )


@dataclass(frozen=True, slots=True)
class _Limit:
    """A unit's own limit and the agent's, in seconds; `timeout_for` gives the operation's timeout for a limit."""

    action: str
    setting: str
    of_unit_s: float
    of_agent_s: float
    timeout_for: Callable[[float], int]


def _whole(seconds: float) -> int:
    return max(int(seconds), 1)  # 0 would be no limit


def _agreeing(unit: str, limit: _Limit) -> tuple[str, ...]:
    """Return how the unit's limit and the cluster's are made to agree."""
    if limit.of_unit_s <= _EXAMPLE_S:
        return (
            update(f"op {limit.action} timeout={limit.timeout_for(limit.of_unit_s)}s"),
            f"# or, if a {limit.action} is never to take so long:",
            *drop_in(unit, f"{limit.setting}={_whole(limit.of_agent_s)}s"),
        )
    timeout_s = limit.timeout_for(_EXAMPLE_S)
    return (
        f"# Decide how long a {limit.action} may take. For {time_span(_EXAMPLE_S)}:",
        update(f"op {limit.action} timeout={timeout_s}s"),
        *(() if limit.of_unit_s == FOREVER_S else drop_in(unit, f"{limit.setting}={_EXAMPLE_S:.0f}s")),
        f"ocf-systemd doctor --unit {quoted(unit)} --op {limit.action}={timeout_s}s   # look again",
    )


def stop_timeout(facts: Facts) -> Outcome:
    """Check that the cluster waits as long for a stop as systemd does."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit, service, parameters = loaded
    operations, limit_s = facts.operations, service.stop_timeout_s
    own_s, kill_s = operations.own_time_s(Action.STOP), operations.escalation_after_s
    if not parameters.stop_escalate:
        return _unescalated_stop(unit.id, service, own_s)
    if limit_s <= kill_s:
        return Sound(f"{time_span(limit_s)}, and the agent kills after {time_span(kill_s)}")
    # Nobody has chosen systemd's own default for this unit, and to be killed a little earlier harms few.
    if limit_s == facts.host.stop_timeout_s and limit_s <= own_s:
        return Sound(f"{time_span(limit_s)} by default; the agent kills after {time_span(kill_s)}")
    if limit_s == FOREVER_S and "stop" in operations.chosen:
        return Sound(f"no limit of its own: the agent kills after {time_span(kill_s)}")
    return Finding(
        f"TimeoutStopSec={time_span(limit_s)}, but the agent sends SIGKILL after {time_span(kill_s)}",
        "A stop that fails fences the node, so the agent kills what has not stopped shortly before its deadline: a "
        "database in its last checkpoint, say, which then has to recover.",
        _agreeing(unit.id, _Limit("stop", "TimeoutStopSec", limit_s, kill_s, least_stop_timeout_s)),
    )


def _unescalated_stop(unit: str, service: Service, own_s: float) -> Outcome:
    # Its time runs anew for each ExecStop= command, and once more for the processes (systemd.service(5)).
    longest_s = service.stop_timeout_s * (1 + len(service.exec_stop))
    if longest_s <= own_s:
        return Sound(f"at most {time_span(longest_s)}, and the agent waits {time_span(own_s)}")
    lower = drop_in(unit, f"TimeoutStopSec={_whole(own_s / (1 + len(service.exec_stop)))}s")
    raised = () if longest_s == FOREVER_S else (update(f"op stop timeout={least_timeout_s(longest_s)}s"), "# or:")
    return Finding(
        f"systemd may take {time_span(longest_s)} for a stop, and stop_escalate=no: the agent waits {time_span(own_s)}",
        "A stop that is not done by then has failed, and the cluster fences the node.",
        (*raised, *lower),
    )


def start_limit(facts: Facts) -> Outcome:
    """Check that it can be started as often as the cluster wants."""
    if (loaded := _loaded(facts)) is None:
        return None
    unit = loaded[0]
    for limit in unit.helpers:
        if limit.burst and limit.interval_s / limit.burst > _USUAL_RATE_S:
            return Finding(
                f"{limit.unit}, which starts and stops with it, may start {limit.burst} times in "
                f"{time_span(limit.interval_s)}",
                f"The agent has systemd forget the starts of {unit.id}, not those of what it requires: after a few "
                "failovers it cannot be started.",
                drop_in(limit.unit, "StartLimitIntervalSec=0", section="Unit"),
            )
    limit = unit.start_limit
    if not limit.burst or not limit.interval_s:
        return Sound("no limit")
    return Sound(f"{limit.burst} in {time_span(limit.interval_s)}, which each start forgets")


def emergency(facts: Facts) -> Outcome:
    """Check that its failure does nothing to the whole host."""
    if (unit := facts.unit) is None:
        return None
    if not unit.emergencies:
        return Sound("its failure is the cluster's to deal with")
    names = tuple(setting.partition("=")[0] for setting in unit.emergencies)
    return Finding(
        f"{', '.join(unit.emergencies)}",
        "What becomes of the host is Pacemaker's to decide: this takes down all its other resources, with no failover.",
        drop_in(unit.id, *(f"{name}=none" for name in names), section="Unit"),
    )


CHECKS = (
    Check("restart", restart),
    Check("drop-in", overridden),
    Check("readiness", ready),
    Check("remains", stays_active),
    Check("main-process", main_process),
    Check("exec-stop", exec_stop),
    Check("kill-mode", kill_mode),
    Check("send-sigkill", send_sigkill),
    Check("start-timeout", start_timeout),
    Check("stop-timeout", stop_timeout),
    Check("start-limit", start_limit),
    Check("emergency", emergency),
)
