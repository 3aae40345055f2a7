"""Reads the environment of an action: `Parameters`, by the table of parameters, and `Operation` with the deadline."""

import re
from collections.abc import Mapping

from ocf_systemd.core.hook_protocol import HookProtocol, reports_not_running
from ocf_systemd.core.parameter_table import GATED, PREFIX, TABLE, Parameter
from ocf_systemd.core.parameter_values import whole_number
from ocf_systemd.core.records import Record, record_of, replace
from ocf_systemd.core.text import printable
from ocf_systemd.core.timeouts import DEFAULT_TIMEOUT_S, reserve_s

_TIMEOUT_MAX_MS = 2**31 - 1  # Pacemaker's executor keeps a timeout in an int


class ParameterError(Exception):
    """Parameters are wrong; the message names all problems, so that all of them can be corrected at once."""


class Parameters(Record):
    """The parameters of one resource, parsed; what each means is in the table. Durations are seconds."""

    unit: str
    monitor_hook: str | None
    monitor_hook_args: tuple[str, ...]
    monitor_hook_protocol: HookProtocol
    monitor_hook_timeout_s: float | None
    monitor_hook_retries: int
    monitor_hook_level: int
    monitor_hook_user: str | None
    monitor_hook_order: str
    poll_interval_s: float
    start_poll_limit: int
    stop_poll_limit: int
    stop_verify: bool
    stop_escalate: bool
    order_at_shutdown: bool

    @property
    def gated(self) -> bool:
        """Whether hooks run only once the unit is known to be active."""
        return self.monitor_hook_order == GATED


def _quoted(text: str, limit: int = 60) -> str:
    shown = printable(text)
    return f"'{shown}'" if len(shown) <= limit else f"'{shown[:limit]}…'"


def read_parameters(environment: Mapping[str, str]) -> Parameters:
    """Return the parameters that the environment's `OCF_RESKEY_*` give.

    An empty value counts as not set; blanks around a value are removed. Raises `ParameterError` with all problems.
    """
    parameters, problems = read_leniently(environment)
    if problems:
        raise ParameterError("; ".join(problems))
    return parameters


def read_leniently(environment: Mapping[str, str]) -> tuple[Parameters, tuple[str, ...]]:
    """Return the parameters with each wrong value replaced by its default, and the problems of the wrong values.

    `unit` has no default: if it is wrong or missing, the returned unit is the empty string.
    """
    problems: list[str] = []
    fields = {row.field or row.name: _read(row, environment, problems) for row in TABLE}
    parameters = record_of(Parameters, fields)
    if parameters.stop_verify and (problem := _why_not_verifiable(parameters)):
        problems.append(problem)
        parameters = replace(parameters, stop_verify=False)
    return parameters, tuple(problems)


def wrong_values(options: Mapping[str, str]) -> dict[str, str]:
    """Return the problem of each wrong parameter by the parameter's name; `options` are parameters as text, by name."""
    _, problems = read_leniently({PREFIX + name: text for name, text in options.items()})
    return {re.split("[= ]", problem, maxsplit=1)[0]: problem for problem in problems}


def _read(row: Parameter, environment: Mapping[str, str], problems: list[str]) -> object:
    """Return a parameter's value; if it is wrong, add the problem and return the default."""
    text = environment.get(row.variable, "").strip() or row.default
    if not text and row.required:
        problems.append(f"{row.name} is not set, expected {row.shortdesc}")
        return row.default_value
    try:
        return row.parse(text)
    except ValueError as error:
        value = "" if row.is_confidential else f"={_quoted(text)}"
        problems.append(f"{row.name}{value} {error}")
        return row.default_value


def _why_not_verifiable(parameters: Parameters) -> str:
    if parameters.monitor_hook is None:
        return "stop_verify=yes needs a monitor_hook"
    if not reports_not_running(parameters.monitor_hook_protocol):
        protocols = " or ".join(protocol for protocol in HookProtocol if reports_not_running(protocol))
        return f"stop_verify=yes needs monitor_hook_protocol={protocols}: no other can report not running"
    return ""


class Operation(Record):
    """What Pacemaker passes about the operation.

    `timeout_s` is the operation's timeout in seconds, and `check_level` is its OCF_CHECK_LEVEL. `is_recurring` means
    that it has an interval. `expects_stopped` means that it has role=Stopped: such a monitor recurs on the nodes where
    the resource does not run. `warnings` explain which values the agent had to assume.
    """

    timeout_s: float = DEFAULT_TIMEOUT_S
    is_recurring: bool = False
    check_level: int = 0
    warnings: tuple[str, ...] = ()
    expects_stopped: bool = False

    @property
    def is_probe(self) -> bool:
        """Whether a monitor reports where the service runs, rather than whether it works there."""
        return not self.is_recurring or self.expects_stopped

    @property
    def reserve_s(self) -> float:
        """The seconds from the agent deadline to Pacemaker's timeout.

        In this time the interpreter ends or, if the action hangs, the cancel scope or the watchdog ends the action: the
        reason is written before Pacemaker sends SIGKILL.
        """
        return reserve_s(self.timeout_s)

    def deadline(self, started: float) -> float:
        """Return the agent deadline of an action that began at `started`, as a time on the same clock."""
        return started + self.timeout_s - self.reserve_s


def read_operation(environment: Mapping[str, str]) -> Operation:
    """Return the operation that the environment describes (Pacemaker's `CRM_meta_*`, OCF_CHECK_LEVEL)."""
    warnings: list[str] = []
    timeout = environment.get(f"{PREFIX}CRM_meta_timeout", "")
    timeout_s = DEFAULT_TIMEOUT_S
    if re.fullmatch("0*[1-9][0-9]*", timeout):
        timeout_s = min(float(timeout), _TIMEOUT_MAX_MS) / 1000
    else:
        problem = (
            f"CRM_meta_timeout={_quoted(timeout)} is not a number of milliseconds" if timeout else "no timeout is set"
        )
        warnings.append(f"{problem}: assuming {DEFAULT_TIMEOUT_S:.0f} s")
    level = environment.get("OCF_CHECK_LEVEL") or "0"
    try:
        check_level = whole_number(level)
    except ValueError as error:
        check_level = 0
        warnings.append(f"OCF_CHECK_LEVEL={_quoted(level)} {error}: assuming 0")
    interval = environment.get(f"{PREFIX}CRM_meta_interval", "")
    is_recurring = bool(re.fullmatch("[0-9]+", interval)) and bool(interval.strip("0"))
    expects_stopped = environment.get(f"{PREFIX}CRM_meta_role", "") == "Stopped"
    return Operation(timeout_s, is_recurring, check_level, tuple(warnings), expects_stopped)
