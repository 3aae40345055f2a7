"""Proposes timeouts of the operations, an interval of the monitor, and the commands that configure them. Pure.

The timeouts of start and stop are from `core.timeouts`, which computes them for doctor as well.
"""

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.timeouts import SPARE_FACTOR, propose_start_timeout_s, propose_stop_timeout_s, rounded_up_s
from ocf_systemd.rehearse.facts import Measured, UnitFacts

_RESERVE_S = 5.0  # added for a monitor: the agent deadline is at most this long before Pacemaker's timeout
_MONITOR_MIN_S, _INTERVAL_MIN_S = 20.0, 10.0  # the least timeout and the least interval that are proposed
_HOOK_SHARE = 0.1  # the largest share of the interval that the hook may take
_HOOK_LIMIT_MIN_S = 5.0  # the least monitor_hook_timeout that is proposed
_NO_PARAMETERS = ("CRM_meta_", "OCF_")  # prefixes of options that are no parameters of the agent
_AGENT = "ocf:pacemaker:systemd"
# crmsh 4.4 writes its arguments as text, and reads this text again. When it writes the text, it escapes quotes, but no
# backslashes (doublequote() in crmsh/utils.py). It does not preserve line breaks and tabs.
_NOT_FOR_CRM = re.compile(r'\\("|\Z)|[\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Proposal:
    """Timeouts and an interval in whole seconds, and the resource that they are for.

    `why` has the reason for each time, by the name of the operation or `interval`. `resource` is the id of the
    resource, `options` are its parameters as text. `check_level` is the monitor's OCF_CHECK_LEVEL; 0: it is not set.
    """

    start_s: int
    stop_s: int
    monitor_s: int
    interval_s: int
    why: Mapping[str, str]
    resource: str
    options: Mapping[str, str]
    check_level: int = 0

    @property
    def pcs(self) -> str:
        """The pcs command that configures the resource."""
        return " \\\n    ".join(
            (
                f"pcs resource create {self.resource} {_AGENT}",
                *(f"{option}={shlex.quote(value)}" for option, value in self.options.items()),
                f"op start timeout={self.start_s}s",
                f"stop timeout={self.stop_s}s",
                f"monitor {self._monitor}",
                "--agent-validation",
            )
        )

    @property
    def crm(self) -> str:
        """The crm command that configures the resource, or a comment that says why there is none."""
        if names := [option for option, value in self.options.items() if _NOT_FOR_CRM.search(value)]:
            unsupported = "a backslash before a quote or at the end, a tab or a line break"
            return f"# crm does not support {unsupported} in a value, as in {', '.join(names)}"
        return " \\\n    ".join(
            (
                f"crm configure primitive {self.resource} {_AGENT} params",
                *(f"{option}={crm_quoted(value)}" for option, value in self.options.items()),
                f"op start timeout={self.start_s}s interval=0",
                f"op stop timeout={self.stop_s}s interval=0",
                f"op monitor {self._monitor}",
            )
        )

    @property
    def _monitor(self) -> str:
        level = f" OCF_CHECK_LEVEL={self.check_level}" if self.check_level else ""
        return f"interval={self.interval_s}s timeout={self.monitor_s}s{level}"


def propose(
    options: Mapping[str, str], parameters: Parameters, check_level: int, facts: UnitFacts, measured: Measured
) -> Proposal:
    """Return the proposal for a resource.

    `options` are the resource's parameters as text, and `parameters` are the same ones, parsed. `check_level` is the
    monitor's OCF_CHECK_LEVEL. `measured` are the times that the rehearsal has measured.
    """
    start_s, why_start = _start(facts, measured)
    stop_s, why_stop = _stop(parameters, facts, measured)
    limit_s = _hook_limit_s(parameters, measured)
    monitor_s, why_monitor = _monitor(parameters, measured, limit_s)
    interval_s = rounded_up_s(max(_INTERVAL_MIN_S, (measured.hook_s or 0.0) / _HOOK_SHARE))
    chosen = {name: value for name, value in options.items() if not name.startswith(_NO_PARAMETERS)}
    if limit_s and parameters.monitor_hook_timeout_s is None:
        chosen["monitor_hook_timeout"] = f"{limit_s}s"
    hang_s = limit_s if measured.hook_was_ended else measured.hang_s
    why_interval = _why_interval(measured.hook_s, hang_s, interval_s)
    why = {"start": why_start, "stop": why_stop, "monitor": why_monitor, "interval": why_interval}
    name = resource_name(parameters.unit)
    return Proposal(start_s, stop_s, monitor_s, interval_s, why, name, chosen, check_level)


def _start(facts: UnitFacts, measured: Measured) -> tuple[int, str]:
    wait_s = measured.ready_s or 0.0
    timeout_s = propose_start_timeout_s(facts.start_timeout_s, start_s=measured.start_s or 0.0, hook_wait_s=wait_s)
    if facts.start_timeout_s == math.inf:
        return timeout_s, "no TimeoutStartSec: longer than 3 times what was measured, at least 100 s"
    return timeout_s, f"longer than TimeoutStartSec={facts.start_timeout_s:g}s, and than 3 times what was measured"


def _stop(parameters: Parameters, facts: UnitFacts, measured: Measured) -> tuple[int, str]:
    escalates, stop_s = parameters.stop_escalate, measured.stop_s or 0.0
    timeout_s = propose_stop_timeout_s(
        facts.stop_timeout_s, escalates=escalates, commands=facts.stop_commands, stop_s=stop_s
    )
    if facts.stop_timeout_s == math.inf:
        return timeout_s, "no TimeoutStopSec: longer than 3 times what was measured, at least 110 s"
    times = f"{1 + facts.stop_commands} times " if facts.stop_commands and not escalates else ""
    limit = f"{times}TimeoutStopSec={facts.stop_timeout_s:g}s"
    return timeout_s, f"longer than {limit}, and than 3 times what was measured"


def _hook_limit_s(parameters: Parameters, measured: Measured) -> int:
    """Return the monitor_hook_timeout in seconds, set or proposed; 0: it is neither set nor needed."""
    if parameters.monitor_hook_timeout_s is not None:
        return math.ceil(parameters.monitor_hook_timeout_s)
    if not measured.hook_was_ended:
        return 0
    return math.ceil(max(_HOOK_LIMIT_MIN_S, (measured.hook_s or 0.0) * SPARE_FACTOR))


def _monitor(parameters: Parameters, measured: Measured, limit_s: int) -> tuple[int, str]:
    longest_s = limit_s * (parameters.monitor_hook_retries + 1)
    if not measured.hook_was_ended:
        longest_s = max(longest_s, math.ceil(measured.hang_s or 0.0))
    needed_s = max(_MONITOR_MIN_S, longest_s * 2, (measured.monitor_s or 0.0) * SPARE_FACTOR + _RESERVE_S)
    if parameters.monitor_hook is None:
        return rounded_up_s(needed_s), "no hook"
    why = (
        f"well above the {longest_s} s that a hang may take" if longest_s else "well above the time that the hook takes"
    )
    return rounded_up_s(needed_s), why


def _why_interval(hook_s: float | None, hang_s: float | None, interval_s: int) -> str:
    if hook_s is None:
        return "no hook"
    busy = f"the hook takes {hook_s:.2f} s"
    return busy if hang_s is None else f"{busy}, a hang is detected in {interval_s + math.ceil(hang_s)} s"


def resource_name(unit: str) -> str:
    """Return an id for the resource: the unit's name, without characters that an XML id cannot have."""
    stem = unit.rpartition(".")[0].replace("\\", "-").replace("@", "-")
    name = re.sub("[^A-Za-z0-9_.-]+", "-", stem).strip("-.")
    return name if re.match("[A-Za-z_]", name) else f"unit-{name}".rstrip("-")


def crm_quoted(value: str) -> str:
    """Return a value quoted for the shell and for crm, which joins its arguments and splits them again.

    Before crm joins its arguments, it puts double quotes around an argument with a blank, or single quotes if the
    argument contains double quotes (add_quotes() in crmsh/main.py). It leaves an argument with both kinds of quotes as
    it is. So this function quotes a value with special characters twice: for crm, and for the shell. If such a value
    also has a blank, the function appends an empty pair of double quotes, so that the argument has both kinds. For
    example, for the value `a $b` crm gets the argument `'a $b'""`, leaves it as it is, and splits it into `a $b`.
    """
    quoted = shlex.quote(value)
    if not re.search(r"[^\w@%+=:,./ -]", value, re.ASCII):
        return quoted
    return shlex.quote(f'{quoted}""' if " " in value else quoted)
