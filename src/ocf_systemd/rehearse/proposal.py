"""What a rehearsal proposes: the timeouts of the operations, an interval, and the commands to configure them. Pure.

The rules are those of docs/pacemaker.md, "Timeouts": the agent's own deadline comes up to 5 s before Pacemaker's, and a
stop sends SIGKILL up to 5 s before that.
"""

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.timeouts import ADVERTISED_TIMEOUT_S, least_stop_timeout_s, least_timeout_s
from ocf_systemd.rehearse.facts import Measured, UnitFacts

_RESERVE_S = 5.0
_STEP_S = 5.0
_SPARE = 3.0  # a cluster's nodes are busiest when it matters
_MONITOR_MIN_S, _INTERVAL_MIN_S = 20.0, 10.0
_HOOK_SHARE = 0.1  # of the interval that a hook may take
_HOOK_LIMIT_MIN_S = 5.0
_NO_PARAMETERS = ("CRM_meta_", "OCF_")
_AGENT = "ocf:pacemaker:systemd"
# crmsh 4.4 writes what it has read as text and reads that anew: in between it escapes quotes, but no backslashes
# (doublequote() in crmsh/utils.py), and breaks lines and tabs.
_NOT_FOR_CRM = re.compile(r'\\("|\Z)|[\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Proposal:
    """Timeouts and an interval in whole seconds, why each, and the commands that configure them."""

    start_s: int
    stop_s: int
    monitor_s: int
    interval_s: int
    why: Mapping[str, str]
    pcs: str
    crm: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for: parameters as they were given and as they were read, and the monitor's OCF_CHECK_LEVEL."""

    options: Mapping[str, str]
    parameters: Parameters
    check_level: int = 0


def propose(wishes: Wishes, facts: UnitFacts, measured: Measured) -> Proposal:
    """Return what suits a unit with these settings, which took these times."""
    parameters = wishes.parameters
    start_s, why_start = _start(facts, measured)
    stop_s, why_stop = _stop(parameters, facts, measured)
    limit_s = _hook_limit_s(parameters, measured)
    monitor_s, why_monitor = _monitor(parameters, measured, limit_s)
    interval_s = _rounded(max(_INTERVAL_MIN_S, (measured.hook_s or 0.0) / _HOOK_SHARE))
    chosen = {name: value for name, value in wishes.options.items() if not name.startswith(_NO_PARAMETERS)}
    if limit_s and parameters.monitor_hook_timeout_s is None:
        chosen["monitor_hook_timeout"] = f"{limit_s}s"
    operations = _Operations(start_s, stop_s, monitor_s, interval_s, wishes.check_level)
    hang_s = limit_s if measured.hook_was_cut else measured.hang_s
    why_interval = _why_interval(measured.hook_s, hang_s, interval_s)
    why = {"start": why_start, "stop": why_stop, "monitor": why_monitor, "interval": why_interval}
    name = resource_name(parameters.unit)
    return Proposal(
        *(start_s, stop_s, monitor_s, interval_s, why),
        pcs=_pcs(name, chosen, operations),
        crm=_crm(name, chosen, operations),
    )


def _rounded(seconds: float) -> int:
    return math.ceil(round(seconds / _STEP_S, 6)) * int(_STEP_S)


def _start(facts: UnitFacts, measured: Measured) -> tuple[int, str]:
    seen_s = (measured.start_s or 0.0) * _SPARE
    ready_s = (measured.ready_s or 0.0) * _SPARE
    if facts.start_timeout_s is None:
        return _rounded(
            max(seen_s + _RESERVE_S, ADVERTISED_TIMEOUT_S[Action.START])
        ), "no TimeoutStartSec: three times what was measured"
    # More than the sum: a start that systemd gives up is told better by systemd than by our own deadline.
    needed_s = max(facts.start_timeout_s + ready_s, seen_s) + _RESERVE_S + 1
    waits = ", the hook" if ready_s else ""
    return _rounded(needed_s), f"above TimeoutStartSec={facts.start_timeout_s:g}s{waits} and 5 s"


def _stop(parameters: Parameters, facts: UnitFacts, measured: Measured) -> tuple[int, str]:
    seen_s = (measured.stop_s or 0.0) * _SPARE
    timeout_for = least_stop_timeout_s if parameters.stop_escalate else least_timeout_s
    if facts.stop_timeout_s is None:
        return _rounded(
            max(timeout_for(seen_s), ADVERTISED_TIMEOUT_S[Action.STOP])
        ), "no TimeoutStopSec: three times what was measured"
    spare = "10 s" if parameters.stop_escalate else "5 s"
    limit_s = facts.stop_timeout_s + parameters.stop_escalate  # systemd's own SIGKILL must come before the agent's
    return _rounded(timeout_for(max(limit_s, seen_s))), (f"TimeoutStopSec={facts.stop_timeout_s:g}s and up to {spare}")


def _hook_limit_s(parameters: Parameters, measured: Measured) -> int:
    """Return the limit that one run of the hook is to have; 0: it has one of its own, or there is no hook."""
    if parameters.monitor_hook_timeout_s is not None:
        return math.ceil(parameters.monitor_hook_timeout_s)
    if not measured.hook_was_cut:
        return 0
    return math.ceil(max(_HOOK_LIMIT_MIN_S, (measured.hook_s or 0.0) * _SPARE))


def _monitor(parameters: Parameters, measured: Measured, limit_s: int) -> tuple[int, str]:
    longest_s = limit_s * (parameters.monitor_hook_retries + 1)
    if not measured.hook_was_cut:
        longest_s = max(longest_s, math.ceil(measured.hang_s or 0.0))
    needed_s = max(_MONITOR_MIN_S, longest_s * 2, (measured.monitor_s or 0.0) * _SPARE + _RESERVE_S)
    if parameters.monitor_hook is None:
        return _rounded(needed_s), "no hook"
    return _rounded(
        needed_s
    ), f"well above the {longest_s} s that a hang may take" if longest_s else "well above the hook"


def _why_interval(hook_s: float | None, hang_s: float | None, interval_s: int) -> str:
    if hook_s is None:
        return "no hook"
    busy = f"the hook takes {hook_s:.2f} s"
    return busy if hang_s is None else f"{busy}, a hang shows in {interval_s + math.ceil(hang_s)} s"


def resource_name(unit: str) -> str:
    """Return an id for the resource: the unit's name as far as an XML id can have it."""
    stem = unit.rpartition(".")[0].replace("\\", "-").replace("@", "-")
    name = re.sub("[^A-Za-z0-9_.-]+", "-", stem).strip("-.")
    return name if re.match("[A-Za-z_]", name) else f"unit-{name}".rstrip("-")


@dataclass(frozen=True, slots=True)
class _Operations:
    start_s: int
    stop_s: int
    monitor_s: int
    interval_s: int
    level: int

    @property
    def monitor(self) -> Iterator[str]:
        yield from (f"interval={self.interval_s}s", f"timeout={self.monitor_s}s")
        if self.level:
            yield f"OCF_CHECK_LEVEL={self.level}"


def _pcs(name: str, options: Mapping[str, str], operations: _Operations) -> str:
    given = [f"{option}={shlex.quote(value)}" for option, value in options.items()]
    return " \\\n    ".join(
        (
            f"pcs resource create {name} {_AGENT}",
            *given,
            f"op start timeout={operations.start_s}s",
            f"stop timeout={operations.stop_s}s",
            f"monitor {' '.join(operations.monitor)}",
            "--agent-validation",
        )
    )


def _crm(name: str, options: Mapping[str, str], operations: _Operations) -> str:
    if spoiled := [option for option, value in options.items() if _NOT_FOR_CRM.search(value)]:
        harm = "a backslash before a quote or at the end, tabs and line breaks"
        return f"# crm spoils {harm}, as in {', '.join(spoiled)}"
    given = [f"{option}={crm_quoted(value)}" for option, value in options.items()]
    return " \\\n    ".join(
        (
            f"crm configure primitive {name} {_AGENT} params",
            *given,
            f"op start timeout={operations.start_s}s interval=0",
            f"op stop timeout={operations.stop_s}s interval=0",
            f"op monitor {' '.join(operations.monitor)}",
        )
    )


def crm_quoted(value: str) -> str:
    """Return a value as the shell has to hand it to crm, which joins its arguments and splits them once more.

    crm quotes an argument that has a blank by itself, with double quotes, unless it holds these and single ones as well
    (add_quotes() in crmsh/main.py): so those join in where its own quoting would not do.
    """
    needs_care = re.search(r"[^\w@%+=:,./ -]", value, re.ASCII)
    if not needs_care:
        return shlex.quote(value)
    quoted = shlex.quote(value)
    return shlex.quote(f'{quoted}""' if " " in value else quoted)
