"""Checks of the hook: that it can be run, that it ends, and that it says what is so."""

import math
import re

from ocf_systemd.core.judgement import PASSING_CODES, HookProtocol, judge_hooks
from ocf_systemd.core.observations import Exited, HookMissing, HookRan, HookUnsafe, TimedOut
from ocf_systemd.core.ocf import Action, ExitCode, code_name
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.timeouts import least_timeout_s
from ocf_systemd.doctor.facts import Facts, Hook
from ocf_systemd.doctor.findings import Check, Finding, Outcome, Sound, quoted, time_span, update

_HARD_OR_FATAL = frozenset(range(2, 7))
_SLOW_SHARE = 0.5
_SPARE = 3  # times as long as it takes: an interval that leaves room


def _hooked(facts: Facts) -> tuple[Hook, Parameters] | None:
    """Return what a check of the hook looks at, where there is one."""
    if facts.hook is None or facts.parameters is None or facts.parameters.monitor_hook is None:
        return None
    return facts.hook, facts.parameters


def _can_be_run(hook: Hook) -> bool:
    return all(isinstance(outcome, HookRan) for outcome in hook.outcomes)


def there(facts: Facts) -> Outcome:
    """Check that the hook can be run at all."""
    if (hooked := _hooked(facts)) is None:
        return Sound("none: what hangs goes unseen") if facts.parameters else None
    hook, parameters = hooked
    missing = [outcome for outcome in hook.outcomes if isinstance(outcome, HookMissing)]
    if not missing:
        return Sound(parameters.monitor_hook or "")
    return Finding(
        f"hook {missing[0].hook} cannot be run: {missing[0].why}",
        "Start and monitor answer 5, to Pacemaker a "
        f"{consequence(Action.MONITOR, ExitCode.ERR_INSTALLED, recurring=True)}.",
        _installing(missing[0], parameters),
    )


def _installing(missing: HookMissing, parameters: Parameters) -> tuple[str, ...]:
    path = quoted(missing.hook)
    if missing.why.startswith("there is no user"):
        return (f"getent passwd {quoted(parameters.monitor_hook_user or '')}", update("monitor_hook_user="))
    if missing.why == "it is not executable":
        return (f"chmod 0755 {path}",)
    if "CR LF" in missing.why:
        return (f"sed -i 's/\\r$//' {path}",)
    if "interpreter" in missing.why:
        return (f"head -n 1 {path}   # is to name one that is there: #!/bin/sh",)
    return (f"install -D -m 0755 -o root -g root ./{path.rpartition('/')[2]} {path}   # on every node",)


def safe(facts: Facts) -> Outcome:
    """Check that nobody but root can change the hook."""
    if (hooked := _hooked(facts)) is None:
        return None
    unsafe = [outcome for outcome in hooked[0].outcomes if isinstance(outcome, HookUnsafe)]
    if not unsafe:
        return Sound("only root can change it") if _can_be_run(hooked[0]) else None
    return Finding(
        f"hook {unsafe[0].hook} is not safe to run: {unsafe[0].why}",
        "Whoever can change it is root at the next monitor. The agent refuses with 4, to Pacemaker a "
        f"{consequence(Action.MONITOR, ExitCode.ERR_PERM, recurring=True)}.",
        _securing(unsafe[0].why),
    )


def _securing(why: str) -> tuple[str, ...]:
    for pattern, command in (
        ("(.*) is owned by uid .*", "chown root:root"),
        ("(.*) is writable by everyone", "chmod o-w"),
        ("(.*) is writable by group .*", "chmod g-w"),
        ("(.*) may be writable by others", "setfacl --remove-all"),
    ):
        if match := re.match(pattern, why):
            return (f"{command} {quoted(match[1])}",)
    return ("install -D -m 0755 -o root -g root ./HOOK /usr/local/lib/ocf-systemd/hooks/HOOK",)


def bounded(facts: Facts) -> Outcome:
    """Check that the hook ends by itself when the service hangs."""
    if (hooked := _hooked(facts)) is None or not hooked[0].scripts:
        return None
    hook, parameters = hooked
    own_s, limit_s = facts.operations.own_time_s(Action.MONITOR), parameters.monitor_hook_timeout_s
    advised_s = max(math.floor(own_s / 2), 1)
    if limit_s is not None and limit_s <= own_s:
        return Sound(f"monitor_hook_timeout={limit_s:g}s")
    if limit_s is not None:
        return Finding(
            f"monitor_hook_timeout={limit_s:g}s is more than the {time_span(own_s)} a monitor has",
            "It bounds nothing.",
            (update(f"monitor_hook_timeout={advised_s}s"),),
        )
    unbounded = [script.path for script in hook.scripts if not script.is_bounded]
    is_plugin = parameters.monitor_hook_protocol is HookProtocol.NAGIOS
    if not unbounded or is_plugin:
        return Sound("a plugin's own 10 s" if unbounded else "has a time-out of its own")
    first_s = facts.operations.own_time_s(Action.START) / 2
    return Finding(
        f"hook {unbounded[0]} has no time-out that could be seen, and monitor_hook_timeout is not set",
        f"When the service hangs, so does the hook: each monitor takes its whole {time_span(own_s)}, and the first try "
        f"of a start takes {time_span(first_s)}.",
        (update(f"monitor_hook_timeout={advised_s}s"), "# or, in the hook: timeout --foreground 5 COMMAND"),
    )


def quick(facts: Facts) -> Outcome:
    """Check that the hook is quick enough for the monitor."""
    if (hooked := _hooked(facts)) is None or not _can_be_run(hooked[0]) or hooked[0].not_run:
        return None
    hook, parameters = hooked
    operations = facts.operations
    late = [ran for ran in hook.outcomes if isinstance(ran, HookRan) and isinstance(ran.outcome, TimedOut)]
    if late and facts.unit and facts.unit.is_running:
        return Finding(
            f"hook {late[0].hook} did not end within {time_span(hook.elapsed_s)}",
            f"A monitor fails so: Pacemaker {consequence(Action.MONITOR, 1, recurring=True)}.",
            (f"ocf-systemd debug monitor --unit {quoted(parameters.unit)} --monitor-hook {quoted(late[0].hook)}",),
        )
    bound_s = min(operations.interval_s, operations.own_time_s(Action.MONITOR))
    if hook.elapsed_s <= bound_s * _SLOW_SHARE:
        return Sound(f"took {hook.elapsed_s:.3f} s")
    interval_s = math.ceil(hook.elapsed_s * _SPARE)
    timeout_s = max(math.ceil(operations.timeout_s(Action.MONITOR)), least_timeout_s(hook.elapsed_s * _SPARE))
    return Finding(
        f"the hook took {time_span(hook.elapsed_s)}; a monitor has {time_span(operations.own_time_s(Action.MONITOR))} "
        f"and comes every {time_span(operations.interval_s)}",
        "On a busy day it is not done in time, and a service that only is slow is restarted.",
        (update(f"op monitor interval={interval_s}s timeout={timeout_s}s"),),
    )


def answer(facts: Facts) -> Outcome:
    """Check that the hook says what is so."""
    if (hooked := _hooked(facts)) is None or not _can_be_run(hooked[0]) or facts.unit is None:
        return None
    hook, parameters = hooked
    if hook.not_run:
        return Sound(f"not run: {hook.not_run}")
    result = judge_hooks(hook.outcomes, parameters.monitor_hook_protocol)
    if facts.unit.is_running:
        if result.code in PASSING_CODES:
            return Sound("degraded" if result.code == ExitCode.DEGRADED else "running, and so the unit is")
        return Finding(
            f"{facts.unit.id} is active, but {result.reason}",
            f"A monitor would answer {code_name(result.code)} now, to which Pacemaker "
            f"{consequence(Action.MONITOR, result.code, recurring=True)}.",
            (f"ocf-systemd debug monitor --unit {quoted(parameters.unit)} {_hook_options(parameters)}",),
        )
    return _answer_while_down(hook, result.code, parameters) if facts.unit.is_down else None


def _hook_options(parameters: Parameters) -> str:
    options = [f"--monitor-hook {quoted(parameters.monitor_hook or '')}"]
    if parameters.monitor_hook_args:
        options.append(f"-o monitor_hook_args={quoted(' '.join(map(quoted, parameters.monitor_hook_args)))}")
    if parameters.monitor_hook_protocol is not HookProtocol.OCF:
        options.append(f"-o monitor_hook_protocol={parameters.monitor_hook_protocol}")
    return " ".join(options)


def _answer_while_down(hook: Hook, code: int, parameters: Parameters) -> Outcome:
    by_hand = " ".join(map(quoted, (hook.outcomes[0].hook, *parameters.monitor_hook_args))) + "; echo $?"
    if code in PASSING_CODES:
        return Finding(
            f"the unit is down, and hook {hook.outcomes[0].hook} says running",
            "It asks somebody else, or nobody: a start is done before the service serves, and no monitor sees it hang.",
            (by_hand, "ss --listening --numeric --processes   # who answers in its place?"),
        )
    if code != ExitCode.NOT_RUNNING and parameters.stop_verify:
        return Finding(
            f"the hook says {code} while the unit is down, and stop_verify=yes waits for 7",
            "So no stop ever succeeds, and a failed stop fences the node.",
            (update("stop_verify=no"), f"{by_hand}   # is to print 7"),
        )
    return Sound(f"{code}, and the unit is down")


def codes(facts: Facts) -> Outcome:
    """Check that the hook's exit codes are such as Pacemaker recovers from."""
    if (hooked := _hooked(facts)) is None or not _can_be_run(hooked[0]):
        return None
    hook, parameters = hooked
    if parameters.monitor_hook_protocol is not HookProtocol.OCF:
        return Sound(f"monitor_hook_protocol={parameters.monitor_hook_protocol} keeps them in")
    exits = [(ran.hook, ran.outcome) for ran in hook.outcomes if isinstance(ran, HookRan)]
    seen = [(name, ended.code) for name, ended in exits if isinstance(ended, Exited) and ended.code in _HARD_OR_FATAL]
    raw = [(script.path, script.raw_tool) for script in hook.scripts if script.raw_tool]
    if not seen and not raw:
        return Sound("none seen that is a hard or fatal error to Pacemaker")
    name, code = seen[0] if seen else (raw[0][0], 0)
    what = f"hook {name} exited with {code}" if seen else f"hook {name} passes on the exit code of {raw[0][1]}"
    meant = f"a {consequence(Action.MONITOR, code or ExitCode.ERR_ARGS, recurring=True)}"
    return Finding(
        what,
        f"To Pacemaker that is {meant}." if seen else f"To Pacemaker 2 to 5 are {meant}; 6 stops it everywhere.",
        (
            update(f"monitor_hook_protocol={'nagios' if _is_plugin(hook) else 'plain'}"),
            "# or have the hook end by itself: COMMAND || exit 1",
        ),
    )


def _is_plugin(hook: Hook) -> bool:
    return any(script.path.rpartition("/")[2].startswith("check_") for script in hook.scripts)


CHECKS = (
    Check("hook", there),
    Check("hook-safety", safe),
    Check("hook-timeout", bounded),
    Check("hook-speed", quick),
    Check("hook-answer", answer),
    Check("hook-codes", codes),
)
