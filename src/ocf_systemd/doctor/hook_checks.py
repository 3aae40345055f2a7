"""Checks of the hook: it can be run, only root can change it, it ends in time, and its exit code is right."""

import math
import re

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.judgement import PASSING_CODES, judge_hooks
from ocf_systemd.core.observations import (
    OF_INTERPRETER,
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookUnsafe,
    TimedOut,
)
from ocf_systemd.core.ocf import Action, ExitCode, code_name
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.timeouts import least_timeout_s
from ocf_systemd.doctor.check import Check, needs
from ocf_systemd.doctor.cluster_checks import NO_ANSWER
from ocf_systemd.doctor.facts import Facts, Hook
from ocf_systemd.doctor.fixes import HOOKS, OTHER_HOOKS, OWN, quoted, response, time_span, update, with_hook

NOT_RUN = "the hook was not run"
"""The first words of the reason for which a check is skipped if the hook was not run."""
_HARD_OR_FATAL = frozenset(range(2, 7))  # exit codes: Pacemaker's hard errors (2 to 5) and its fatal error (6)
_SLOW_SHARE = 0.5  # a hook is slow if it takes more than this share of a monitor's interval, or of its time limit
_INSTALL = "install -D -m 0755 -o root -g root"
# What `HookUnsafe.why` states about a path, and the command that corrects this for a path below `OWN`.
_OWN_FIXES = {"is owned": "chown root:root", "is writable": "chmod go-w", "may be writable": "setfacl --remove-all"}
_SPARE = 3  # a proposed interval or timeout leaves the hook at least this many times the time that it took

_Hooked = tuple[Facts, Hook, Parameters]


def _find_hook(facts: Facts) -> _Hooked | str:
    if facts.hook is None or facts.parameters is None or facts.parameters.monitor_hook is None:
        return NO_ANSWER if facts.why_no_cluster else "there is no hook"
    return facts, facts.hook, facts.parameters


def _find_runnable_hook(facts: Facts) -> _Hooked | str:
    hooked = _find_hook(facts)
    return hooked if isinstance(hooked, str) or _can_be_run(hooked[1]) else "the hook cannot be run"


def _find_hook_that_ran(facts: Facts) -> _Hooked | str:
    hooked = _find_runnable_hook(facts)
    return f"{NOT_RUN}: {hooked[1].not_run}" if not isinstance(hooked, str) and hooked[1].not_run else hooked


def _can_be_run(hook: Hook) -> bool:
    return all(isinstance(outcome, HookAttempted) for outcome in hook.outcomes)


@needs(_find_hook)
def check_hook(check: Check, hooked: _Hooked) -> CheckResult:
    """Check that the hook can be run."""
    _, hook, parameters = hooked
    missing = [outcome for outcome in hook.outcomes if isinstance(outcome, HookMissing)]
    similar = f"; did you mean {hook.similar}?" if hook.similar else ""
    if not missing:
        not_run = f", not run: {hook.not_run}" if hook.not_run else ""
        return check.ok(f"{parameters.monitor_hook}{not_run}")
    return check.error(
        f"hook {missing[0].hook} cannot be run: {missing[0].why}{similar}",
        f"start and monitor return 5. {response(Action.MONITOR, ExitCode.ERR_INSTALLED)}",
        *_installing(missing[0], hook, parameters),
    )


def _installing(missing: HookMissing, hook: Hook, parameters: Parameters) -> tuple[str, ...]:
    path = quoted(missing.hook)
    if missing.why.startswith("there is no user"):
        return (f"getent passwd {quoted(parameters.monitor_hook_user or '')}", update("monitor_hook_user=USER"))
    if "monitor_hook_args" in missing.why:
        arguments = (parameters.monitor_hook or "").removeprefix(missing.hook).strip()
        return (update(f"monitor_hook={path}", f"monitor_hook_args={quoted(arguments)}"),)
    if missing.why.endswith("may not execute it") and not missing.hook.startswith(f"{OWN}/"):
        return _moving(hook, parameters, HOOKS)
    for why, command in (
        ("CR LF", f"sed -i 's/\\r$//' {path}"),
        ("interpreter", f"head -n 1 {path}   # must name an interpreter that exists, such as #!/bin/sh"),
        ("not executable", f"chmod a+x {path}"),
        ("may not execute it", f"chmod a+rx {path}"),
    ):
        if why in missing.why:
            return (command,)
    set_similar = (update(f"monitor_hook={quoted(hook.similar)}"),) if hook.similar else ()
    if not missing.hook.startswith(f"{HOOKS}/"):  # such as /usr/bin/nope
        return set_similar or with_hook(parameters.unit)
    or_else = ("# or:",) if set_similar else ()
    return (*set_similar, *or_else, f"{_INSTALL} ./{path.rpartition('/')[2]} {path}   # on every node")


@needs(_find_hook)
def check_safety(check: Check, hooked: _Hooked) -> CheckResult:
    """Check that only root can change the hook."""
    _, hook, parameters = hooked
    unsafe = [outcome for outcome in hook.outcomes if isinstance(outcome, HookUnsafe)]
    if not unsafe:
        return check.ok("only root can change it") if _can_be_run(hook) else check.skipped("the hook cannot be run")
    return check.error(
        f"hook {unsafe[0].hook} is not safe to run: {unsafe[0].why}",
        "A user who can change it can run commands as root. So the agent does not run it and returns 4. "
        f"{response(Action.MONITOR, ExitCode.ERR_PERM)}",
        *_securing(hook, parameters, unsafe[0].why),
    )


def _securing(hook: Hook, parameters: Parameters, why: str) -> tuple[str, ...]:
    """Return the commands after which only root can change the hook: they correct a path below `OWN` or move it."""
    if why.endswith(OF_INTERPRETER):
        return ("# Let its first line name an interpreter that only root can change, such as #!/bin/sh.",)
    match = re.match("(/.*?) (is owned|is writable|may be writable) ", why)
    unsafe = match[1] if match else ""
    if match and f"{unsafe}/".startswith(f"{OWN}/"):
        return (f"{_OWN_FIXES[match[2]]} {quoted(unsafe)}",)
    return _moving(hook, parameters, OTHER_HOOKS if match and f"{HOOKS}/".startswith(f"{unsafe}/") else HOOKS)


def _moving(hook: Hook, parameters: Parameters, directory: str) -> tuple[str, ...]:
    path = (parameters.monitor_hook or "").rstrip("/")
    source, target = quoted(path), quoted(f"{directory}/{path.rpartition('/')[2]}")
    copy = f"-t {target} {source}/*" if hook.is_directory else f"{source} {target}"
    return (f"{_INSTALL} {copy}   # on every node, after you have read it", update(f"monitor_hook={target}"))


@needs(_find_hook)
def check_timeout(check: Check, hooked: _Hooked) -> CheckResult:
    """Check that a time limit ends the hook when the service hangs, before the monitor's own time is up."""
    facts, hook, parameters = hooked
    if not hook.scripts:
        return check.skipped("the hook cannot be run")
    deadline_s, limit_s = facts.operations.agent_deadline_s(Action.MONITOR), parameters.monitor_hook_timeout_s
    set_timeout = update(f"monitor_hook_timeout={max(math.floor(deadline_s / 2), 1)}s")
    if limit_s is not None and limit_s <= deadline_s:
        return check.ok(f"monitor_hook_timeout={limit_s:g}s")
    if limit_s is not None:
        return check.warning(
            f"monitor_hook_timeout={limit_s:g}s is longer than the {time_span(deadline_s)} that a monitor may take",
            "It has no effect: if the service hangs, each monitor takes its whole time.",
            set_timeout,
        )
    unbounded = [script.path for script in hook.scripts if not script.is_bounded]
    is_plugin = parameters.monitor_hook_protocol is HookProtocol.NAGIOS
    if not unbounded or is_plugin:
        return check.ok("a plugin's own timeout of 10 s" if unbounded else "the hook sets a timeout")
    first_s = facts.operations.agent_deadline_s(Action.START) / 2
    return check.warning(
        f"no timeout was found in hook {unbounded[0]}, and monitor_hook_timeout is not set",
        f"If the service hangs, so does the hook: each monitor takes {time_span(deadline_s)}, and the first attempt of "
        f"a start takes {time_span(first_s)}.",
        set_timeout,
        "# or, in the hook: timeout --foreground 5 COMMAND",
    )


@needs(_find_hook_that_ran)
def check_speed(check: Check, hooked: _Hooked) -> CheckResult:
    """Check that the hook is fast enough for the monitor."""
    facts, hook, parameters = hooked
    operations, deadline_s = facts.operations, facts.operations.agent_deadline_s(Action.MONITOR)
    late = list(filter(_is_late, hook.outcomes))
    if late and facts.unit and facts.unit.is_running:
        return check.error(
            f"hook {late[0].hook} did not end within {time_span(hook.elapsed_s)}",
            f"A monitor fails. {response(Action.MONITOR, ExitCode.ERR_GENERIC)}",
            f"ocf-systemd debug monitor {quoted(parameters.unit)} --monitor-hook {quoted(late[0].hook)}",
        )
    if hook.elapsed_s <= min(operations.interval_s, deadline_s) * _SLOW_SHARE:
        return check.ok(f"took {hook.elapsed_s:.3f} s")
    interval_s = max(math.ceil(operations.interval_s), math.ceil(hook.elapsed_s * _SPARE))
    timeout_s = max(math.ceil(operations.timeout_s(Action.MONITOR)), least_timeout_s(hook.elapsed_s * _SPARE))
    return (check.error if late else check.warning)(
        f"the hook took {time_span(hook.elapsed_s)}; a monitor may take {time_span(deadline_s)} and runs every "
        f"{time_span(operations.interval_s)}",
        "Under load the monitor may time out, and the cluster then restarts a service that is only slow.",
        update(f"op monitor interval={interval_s}s timeout={timeout_s}s"),
    )


def _is_late(hook: HookOutcome) -> bool:
    return isinstance(hook, HookAttempted) and isinstance(hook.outcome, TimedOut)


@needs(_find_hook_that_ran)
def check_answer(check: Check, hooked: _Hooked) -> CheckResult:
    """Check that the hook's exit code agrees with the state of the unit."""
    facts, hook, parameters = hooked
    if (unit := facts.unit) is None or not (unit.is_running or unit.is_inactive):
        return check.skipped("the unit is neither running nor stopped")
    if unit.is_inactive:
        return _check_while_stopped(check, hooked, judge_hooks(hook.outcomes, parameters.monitor_hook_protocol).code)
    in_time = tuple(ran for ran in hook.outcomes if not _is_late(ran))
    if not in_time:
        return check.skipped("`hook-speed` reports that the hook did not end")
    result = judge_hooks(in_time, parameters.monitor_hook_protocol)
    if result.code in PASSING_CODES:
        return check.ok("degraded" if result.code == ExitCode.DEGRADED else "running, and so is the unit")
    return check.error(
        f"{unit.id} is active, but {result.reason}",
        f"A monitor would now return {code_name(result.code)}. {response(Action.MONITOR, result.code)}",
        f"ocf-systemd debug monitor {quoted(parameters.unit)} {_hook_options(parameters)}",
    )


def _hook_options(parameters: Parameters) -> str:
    options = [f"--monitor-hook {quoted(parameters.monitor_hook or '')}"]
    if parameters.monitor_hook_args:
        options.append(f"-o monitor_hook_args={quoted(' '.join(map(quoted, parameters.monitor_hook_args)))}")
    if parameters.monitor_hook_protocol is not HookProtocol.OCF:
        options.append(f"-o monitor_hook_protocol={parameters.monitor_hook_protocol}")
    return " ".join(options)


def _check_while_stopped(check: Check, hooked: _Hooked, code: int) -> CheckResult:
    _, hook, parameters = hooked
    run_hook = " ".join(map(quoted, (hook.outcomes[0].hook, *parameters.monitor_hook_args))) + "; echo $?"
    if code in PASSING_CODES:
        return check.error(
            f"the unit is stopped, but hook {hook.outcomes[0].hook} reports it running",
            "The hook checks another service, or none. So a start succeeds before the service is ready, and a monitor "
            "does not detect a hang.",
            run_hook,
            "ss --listening --numeric --processes   # shows which process accepts the connections",
        )
    if code != ExitCode.NOT_RUNNING and parameters.stop_verify:
        return check.error(
            f"the hook returns {code} while the unit is stopped, but stop_verify=yes waits for 7",
            "Every stop fails, and a failed stop fences the node.",
            update("stop_verify=no"),
            f"{run_hook}   # must print 7",
        )
    return check.ok(f"{code}, and the unit is stopped")


@needs(_find_runnable_hook)
def check_codes(check: Check, hooked: _Hooked) -> CheckResult:
    """Check that no exit code of the hook is a hard or fatal error, which keeps the resource stopped."""
    _, hook, parameters = hooked
    if parameters.monitor_hook_protocol is not HookProtocol.OCF:
        return check.ok(f"monitor_hook_protocol={parameters.monitor_hook_protocol} translates them")
    exits = [(ran.hook, ran.outcome) for ran in hook.outcomes if isinstance(ran, HookAttempted)]
    codes = [(name, ended.code) for name, ended in exits if isinstance(ended, Exited) and ended.code in _HARD_OR_FATAL]
    raw = [(script.path, script.raw_tool) for script in hook.scripts if script.raw_tool]
    if not codes and not raw:
        return check.ok("no exit code that is a hard or fatal error for Pacemaker")
    hard = consequence(Action.MONITOR, ExitCode.ERR_ARGS, recurring=True)
    return check.error(
        f"hook {codes[0][0]} exited with {codes[0][1]}"
        if codes
        else f"hook {raw[0][0]} returns the exit code of {raw[0][1]}",
        response(Action.MONITOR, codes[0][1])
        if codes
        else f"After 2 to 5, Pacemaker {hard}. After 6, it stops the resource on every node.",
        update(f"monitor_hook_protocol={'nagios' if _is_plugin(hook) else 'plain'}"),
        "# or, in the hook: COMMAND || exit 1",
    )


def _is_plugin(hook: Hook) -> bool:
    return any(script.path.rpartition("/")[2].startswith("check_") for script in hook.scripts)


CHECKS = (
    Check("hook", check_hook),
    Check("hook-safety", check_safety),
    Check("hook-timeout", check_timeout),
    Check("hook-speed", check_speed),
    Check("hook-answer", check_answer),
    Check("hook-codes", check_codes),
)
