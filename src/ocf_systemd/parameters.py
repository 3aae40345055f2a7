"""The one table of parameters, and what the environment gives: `Parameters`, and the `Operation` with its deadline.

Parsing, metadata, documentation and completion all read this table. Nothing here touches the host.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Generic, Literal, TypeVar

from ocf_systemd.judgement import HookProtocol
from ocf_systemd.observations import printable
from ocf_systemd.records import Record

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

PREFIX = "OCF_RESKEY_"
UNIT_TYPES = ("service", "socket", "mount", "timer", "path", "target")
_OTHER_UNIT_TYPES = ("automount", "device", "scope", "slice", "swap")
_UNIT_NAME_MAX = 255  # unit-name.h: UNIT_NAME_MAX, less its final NUL
_UNIT_CHARACTERS = re.compile(r"[A-Za-z0-9:_.\\@-]+")  # unit-name.c: VALID_CHARS and "@"

DEFAULT_TIMEOUT_S = 20.0
_TIMEOUT_MAX_MS = 2**31 - 1  # Pacemaker's executor keeps it in an int
_RESERVE_SHARE, _RESERVE_MIN_S, _RESERVE_MAX_S = 0.10, 0.25, 5.0

ESCALATE_SHARE = 0.75
"""What a stop gives the unit of its time to stop by itself, before it sends SIGKILL where it may."""

# crm_get_msec() in Pacemaker: a whole number and one of these units, in either case; none: seconds.
# Without the blanks around it: with two places for them a value of 128 KiB would be looked at for a minute.
_DURATION = re.compile(r"([0-9]{1,9})\s*([a-z]*)", re.IGNORECASE)
_SECONDS_PER = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6}
_SECONDS_PER |= {"m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}

# ocf_is_true() in ocf-shellfuncs, crm_str_to_boolean() in Pacemaker.
_BOOLEANS = dict.fromkeys(("yes", "true", "on", "1", "y"), True) | dict.fromkeys(
    ("no", "false", "off", "0", "n"), False
)

_YES_OR_NO = ("yes", "no")  # of these words, the ones for people
_HOOK_ORDERS = ("concurrent", "gated")


class ParameterError(Exception):
    """Parameters are wrong; the message tells all that is, so that one round mends it. OCF code: 6."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Parameter(Record, Generic[T_co]):
    """One row of the table.

    `parse` turns the text of a value into what the agent works with; it raises `ValueError`, whose message
    completes the sentence "NAME='value' …". `default` is text too, as metadata shows it. `choices` are the values
    there are, where they can be told. `content_type` is one that every OCF schema accepts.
    """

    name: str
    parse: Callable[[str], T_co]
    shortdesc: str
    longdesc: str
    default: str = ""
    choices: tuple[str, ...] = ()
    content_type: Literal["string", "integer", "boolean"] = "string"
    required: bool = False
    reloadable: bool = True

    @property
    def variable(self) -> str:
        """The environment variable that carries the value."""
        return PREFIX + self.name


def unit_name(text: str) -> str:
    """Return a unit's full name, with `.service` where no unit suffix stands (systemd.unit(5), unit-name.c)."""
    if not _UNIT_CHARACTERS.fullmatch(text):
        raise ValueError("has characters that a unit name cannot have (allowed: letters, digits and :-_.\\@)")
    if text.startswith(("-", "@", ".")):
        raise ValueError(f"starts with {text[0]!r}, which no name of a unit to manage does")
    stem, _, suffix = text.rpartition(".")
    if suffix in _OTHER_UNIT_TYPES and stem:
        raise ValueError(f"is a {suffix} unit, expected one of {', '.join(UNIT_TYPES)}")
    name = text if stem and suffix in UNIT_TYPES else f"{text}.service"
    if len(name) > _UNIT_NAME_MAX:
        raise ValueError(f"is longer than the {_UNIT_NAME_MAX} characters a unit name can have")
    if name.rpartition(".")[0].endswith("@") and name.count("@") == 1:
        raise ValueError("is a template, expected an instance of it, as in getty@tty1")
    return name


def duration_s(text: str) -> float:
    """Return seconds from a duration as Pacemaker writes it: `20`, `20s`, `500ms`, `2min`."""
    match = _DURATION.fullmatch(text.strip())
    factor = _SECONDS_PER.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError("is no duration, expected one such as 20, 20s, 500ms or 2min")
    if not int(match[1]):
        raise ValueError("must be longer than nothing")
    return int(match[1]) * factor


def boolean(text: str) -> bool:
    """Return whether a word means yes, by the words that ocf-shellfuncs and Pacemaker know."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("is neither yes nor no") from None


def whole_number(text: str) -> int:
    """Return a whole number from 0 up."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError("is no whole number from 0 up")
    return int(text)


def _optional_duration_s(text: str) -> float | None:
    return duration_s(text) if text else None


def _absolute_path(text: str) -> str | None:
    if not text:
        return None
    if not PurePosixPath(text).is_absolute():
        raise ValueError("is no absolute path")
    return text


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None


def _user(text: str) -> str | None:
    # useradd(8) is stricter; directory services are not. What must not pass is an option or a path.
    if text and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,254}\$?", text):
        raise ValueError("is no user name or number")
    return text or None


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"is none of {', '.join(values)}")
        return text

    return parse


UNIT = Parameter(
    "unit",
    unit_name,
    "systemd unit",
    "The systemd unit to manage. .service is added where no unit suffix stands; services, sockets, mounts, timers, "
    "paths and targets can be managed. A template needs its instance, as in postfix@-. The unit must not be enabled: "
    "it is Pacemaker's to start.",
    required=True,
    reloadable=False,
)
MONITOR_HOOK = Parameter(
    "monitor_hook",
    _absolute_path,
    "health hook, or directory of hooks",
    "Absolute path of an executable that says whether the service works, run beside systemctl at every monitor: "
    "exit code 0 is running, 7 not running, 190 degraded; see monitor_hook_protocol for others. A directory: every "
    "executable file in it runs at once, but for names with a dot, such as check.sh; any failure wins. "
    "A hook run as root must be owned by root "
    "and writable by nobody else, as must every directory on the way to it.",
)
MONITOR_HOOK_ARGS = Parameter(
    "monitor_hook_args",
    _words,
    "arguments of the hook",
    "Arguments for the hook, split into words by the shell's quoting rules; no shell is involved.",
)
MONITOR_HOOK_PROTOCOL = Parameter(
    "monitor_hook_protocol",
    lambda text: HookProtocol(_one_of(*HookProtocol)(text)),
    "how the hook's exit code is read",
    "ocf: as it is; beware that to Pacemaker 2, 4 and 5 ban the node and 6 stops the resource everywhere. nagios: 0 is "
    "running, 1 degraded, all else failed, so that any monitoring plugin serves as a hook. plain: 0 is running, all "
    "else failed.",
    default=HookProtocol.OCF,
    choices=tuple(HookProtocol),
)
MONITOR_HOOK_TIMEOUT = Parameter(
    "monitor_hook_timeout",
    _optional_duration_s,
    "longest run of the hook",
    "How long one run of the hook may take before it is ended, with all it started. Not set: what is left of the "
    "operation's timeout; while polling, half of it.",
)
MONITOR_HOOK_RETRIES = Parameter(
    "monitor_hook_retries",
    whole_number,
    "further tries of a failed hook",
    "How often a monitor tries a hook again that did not say running, while its timeout lasts.",
    default="0",
    content_type="integer",
)
MONITOR_HOOK_LEVEL = Parameter(
    "monitor_hook_level",
    whole_number,
    "lowest check level of the hook",
    "The lowest OCF_CHECK_LEVEL at which the hook runs; below it the unit's state alone counts.",
    default="0",
    content_type="integer",
)
MONITOR_HOOK_USER = Parameter(
    "monitor_hook_user",
    _user,
    "user to run the hook as",
    "The user, by name or number, to run the hook as. Not set: the agent's own, root.",
)
MONITOR_HOOK_ORDER = Parameter(
    "monitor_hook_order",
    _one_of(*_HOOK_ORDERS),
    "when the hook starts",
    "concurrent: together with systemctl; when the unit turns out not to run, the hook is ended and its result "
    "dropped. gated: only once systemctl says that the unit runs, for a hook that must not run while it is down.",
    default="concurrent",
    choices=_HOOK_ORDERS,
)
POLL_INTERVAL = Parameter(
    "poll_interval",
    duration_s,
    "longest pause between two polls",
    "The longest pause between two looks at a unit that starts or stops. The first pauses are much shorter.",
    default="1s",
)
START_POLL_LIMIT = Parameter(
    "start_poll_limit",
    whole_number,
    "most polls after start",
    "How often start looks at the unit and its hook before it gives up. 0: until its timeout.",
    default="0",
    content_type="integer",
)
STOP_POLL_LIMIT = Parameter(
    "stop_poll_limit",
    whole_number,
    "most polls after stop",
    "How often stop looks at the unit before it gives up. 0: until its timeout.",
    default="0",
    content_type="integer",
)
STOP_VERIFY = Parameter(
    "stop_verify",
    boolean,
    "stop waits for the hook too",
    "Whether stop also waits for the hook to say 7 (not running): for a unit whose ExecStop= only triggers the stop. "
    "It needs a hook of the ocf protocol.",
    default="no",
    choices=_YES_OR_NO,
    content_type="boolean",
)
STOP_ESCALATE = Parameter(
    "stop_escalate",
    boolean,
    "kill what does not stop in time",
    "Whether a stop that nears its timeout sends SIGKILL to all processes of the unit. A failed stop means fencing.",
    default="yes",
    choices=_YES_OR_NO,
    content_type="boolean",
)
ORDER_AT_SHUTDOWN = Parameter(
    "order_at_shutdown",
    boolean,
    "order the unit after Pacemaker at shutdown",
    "Whether start writes a drop-in that makes a host's shutdown stop Pacemaker, and so its resources, before the "
    "unit, and that leaves restarts to Pacemaker (Restart=no). It lives in /run and stop removes it.",
    default="yes",
    choices=_YES_OR_NO,
    content_type="boolean",
)

TABLE: tuple[Parameter[object], ...] = (
    UNIT,
    MONITOR_HOOK,
    MONITOR_HOOK_ARGS,
    MONITOR_HOOK_PROTOCOL,
    MONITOR_HOOK_TIMEOUT,
    MONITOR_HOOK_RETRIES,
    MONITOR_HOOK_LEVEL,
    MONITOR_HOOK_USER,
    MONITOR_HOOK_ORDER,
    POLL_INTERVAL,
    START_POLL_LIMIT,
    STOP_POLL_LIMIT,
    STOP_VERIFY,
    STOP_ESCALATE,
    ORDER_AT_SHUTDOWN,
)


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
    gated: bool
    poll_interval_s: float
    start_poll_limit: int
    stop_poll_limit: int
    stop_verify: bool
    stop_escalate: bool
    order_at_shutdown: bool


class _Reader:
    """Reads parameters out of an environment and gathers what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def read(self, parameter: Parameter[T], otherwise: T) -> T:
        """Return a parameter's value; where it is wrong, note that and return `otherwise` to go on with."""
        text = self._environment.get(parameter.variable) or parameter.default
        if not text and parameter.required:
            self.problems.append(f"{parameter.name} is not set, expected {parameter.shortdesc}")
            return otherwise
        try:
            return parameter.parse(text)
        except ValueError as error:
            self.problems.append(f"{parameter.name}={_quoted(text)} {error}")
            return otherwise


def _quoted(text: str, limit: int = 60) -> str:
    shown = printable(text)
    return f"'{shown}'" if len(shown) <= limit else f"'{shown[:limit]}…'"


def read_parameters(environment: Mapping[str, str]) -> Parameters:
    """Return the parameters that the environment's `OCF_RESKEY_*` give.

    An empty value is an unset one. Raises `ParameterError` with all that is wrong.
    """
    reader = _Reader(environment)
    parameters = Parameters(
        unit=reader.read(UNIT, ""),
        monitor_hook=reader.read(MONITOR_HOOK, None),
        monitor_hook_args=reader.read(MONITOR_HOOK_ARGS, ()),
        monitor_hook_protocol=reader.read(MONITOR_HOOK_PROTOCOL, HookProtocol.OCF),
        monitor_hook_timeout_s=reader.read(MONITOR_HOOK_TIMEOUT, None),
        monitor_hook_retries=reader.read(MONITOR_HOOK_RETRIES, 0),
        monitor_hook_level=reader.read(MONITOR_HOOK_LEVEL, 0),
        monitor_hook_user=reader.read(MONITOR_HOOK_USER, None),
        gated=reader.read(MONITOR_HOOK_ORDER, "") == "gated",
        poll_interval_s=reader.read(POLL_INTERVAL, 1.0),
        start_poll_limit=reader.read(START_POLL_LIMIT, 0),
        stop_poll_limit=reader.read(STOP_POLL_LIMIT, 0),
        stop_verify=reader.read(STOP_VERIFY, otherwise=False),
        stop_escalate=reader.read(STOP_ESCALATE, otherwise=True),
        order_at_shutdown=reader.read(ORDER_AT_SHUTDOWN, otherwise=True),
    )
    if parameters.stop_verify and parameters.monitor_hook is None:
        reader.problems.append("stop_verify=yes needs a monitor_hook")
    elif parameters.stop_verify and parameters.monitor_hook_protocol is not HookProtocol.OCF:
        reader.problems.append("stop_verify=yes needs monitor_hook_protocol=ocf: no other can say not running")
    if reader.problems:
        raise ParameterError(reader.problems)
    return parameters


class Operation(Record):
    """What Pacemaker says of the call itself.

    `timeout_s` is its timeout in seconds, `is_recurring` whether it has an interval (a monitor without one
    is a probe), `check_level` its OCF_CHECK_LEVEL. `warnings` tell what had to be guessed.
    """

    timeout_s: float = DEFAULT_TIMEOUT_S
    is_recurring: bool = False
    check_level: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def reserve_s(self) -> float:
        """Seconds before Pacemaker's timeout at which the agent's own deadline stands.

        They pay for the interpreter's start and end, so that a reason is out before SIGKILL comes.
        """
        reserve = min(max(self.timeout_s * _RESERVE_SHARE, _RESERVE_MIN_S), _RESERVE_MAX_S)
        return min(reserve, self.timeout_s / 2)

    def deadline(self, started: float) -> float:
        """Return the moment by which the answer must stand, on the clock that `started` was read from."""
        return started + self.timeout_s - self.reserve_s


def read_operation(environment: Mapping[str, str]) -> Operation:
    """Return what the environment says of the operation (Pacemaker's `CRM_meta_*`, OCF_CHECK_LEVEL)."""
    warnings: list[str] = []
    timeout = environment.get(f"{PREFIX}CRM_meta_timeout", "")
    timeout_s = DEFAULT_TIMEOUT_S
    if re.fullmatch("0*[1-9][0-9]*", timeout):
        timeout_s = min(float(timeout), _TIMEOUT_MAX_MS) / 1000
    else:
        told = f"CRM_meta_timeout={_quoted(timeout)} is no number of milliseconds" if timeout else "no timeout is set"
        warnings.append(f"{told}: going by {DEFAULT_TIMEOUT_S:.0f} s")
    level = environment.get("OCF_CHECK_LEVEL") or "0"
    try:
        check_level = whole_number(level)
    except ValueError as error:
        check_level = 0
        warnings.append(f"OCF_CHECK_LEVEL={_quoted(level)} {error}: going by 0")
    interval = environment.get(f"{PREFIX}CRM_meta_interval", "")
    is_recurring = bool(re.fullmatch("[0-9]+", interval)) and bool(interval.strip("0"))
    return Operation(timeout_s, is_recurring, check_level, tuple(warnings))
