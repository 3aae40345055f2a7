"""The one table of parameters, and what the environment gives: `Parameters`, and the `Operation` with its deadline.

Parsing, metadata, documentation and completion all read this table. Nothing here touches the host.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Generic, Literal, TypeVar

from ocf_systemd.core.durations import duration_s
from ocf_systemd.core.judgement import HookProtocol
from ocf_systemd.core.records import Record, replace
from ocf_systemd.core.text import printable
from ocf_systemd.core.timeouts import DEFAULT_TIMEOUT_S, reserve_s

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

PREFIX = "OCF_RESKEY_"
UNIT_TYPES = ("service", "socket", "mount", "timer", "path", "target")
_OTHER_UNIT_TYPES = ("automount", "device", "scope", "slice", "swap")
_UNIT_NAME_MAX = 255  # unit-name.h: UNIT_NAME_MAX, less its final NUL
_UNIT_CHARACTERS = re.compile(r"[A-Za-z0-9:_.\\@-]+")  # unit-name.c: VALID_CHARS and "@"

_TIMEOUT_MAX_MS = 2**31 - 1  # Pacemaker's executor keeps it in an int


# ocf_is_true() in ocf-shellfuncs, crm_str_to_boolean() in Pacemaker.
_BOOLEANS = dict.fromkeys(("yes", "true", "on", "1", "y"), True) | dict.fromkeys(
    ("no", "false", "off", "0", "n"), False
)

_YES_OR_NO = ("yes", "no")  # of these words, the ones for people
_HOOK_ORDERS = ("concurrent", "gated")


class ParameterError(Exception):
    """Parameters are wrong; the message names all problems, so that one round fixes them. OCF code: 6."""

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


def boolean(text: str) -> bool:
    """Return whether a word means yes, by the words that ocf-shellfuncs and Pacemaker know."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("is neither yes nor no") from None


def whole_number(text: str) -> int:
    """Return a non-negative integer."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError("must be a non-negative integer")
    return int(text)


def _optional_duration_s(text: str) -> float | None:
    return duration_s(text) if text else None


def _absolute_path(text: str) -> str | None:
    if not text:
        return None
    if not PurePosixPath(text).is_absolute():
        raise ValueError("is not an absolute path")
    return text


def _words(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    import shlex  # only for those who have arguments

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None


def _user(text: str) -> str | None:
    # useradd(8) is stricter; directory services are not. What must not pass is an option or a path.
    if text and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,254}\$?", text):
        raise ValueError("is not a user name or number")
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
    "Absolute path of an executable that tests whether the service works. Every monitor runs it concurrently with "
    "systemctl. Exit code 0 is running, 7 not running, 190 degraded; for others see monitor_hook_protocol. Of a "
    "directory, all executable files run, at most 64 in all and 16 at a time, except those with a dot in their name, "
    "such as check.sh; any failure wins. A probe (a monitor without interval or with role=Stopped) runs the hook only "
    "once the unit is known to be active. A hook that runs as root must be owned by root and writable by nobody else, "
    "as must every directory on the way to it.",
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
    "ocf: unchanged; beware that 2, 4 and 5 are hard errors to Pacemaker (the resource may not run on this node until "
    "cleanup) and 6 stops it on every node. 8, 9 and 191 are for promotable resources and become 1. nagios: 0 is "
    "running, 1 degraded, all others failed, so that any monitoring plugin serves as a hook. plain: 0 is running, all "
    "others failed. lsb: 0 is running, 3 not running, all others failed, as for the status action of an init script.",
    default=HookProtocol.OCF,
    choices=tuple(HookProtocol),
)
MONITOR_HOOK_TIMEOUT = Parameter(
    "monitor_hook_timeout",
    _optional_duration_s,
    "longest run of the hook",
    "How long one run of the hook may take before it is ended, with all it started. Not set: what is left until the "
    "agent's own deadline; while polling, half of it.",
)
MONITOR_HOOK_RETRIES = Parameter(
    "monitor_hook_retries",
    whole_number,
    "further tries of a failed hook",
    "How often a monitor runs a failed hook again, poll_interval apart, while its timeout lasts.",
    default="0",
    content_type="integer",
)
MONITOR_HOOK_LEVEL = Parameter(
    "monitor_hook_level",
    whole_number,
    "lowest check level of the hook",
    "The lowest OCF_CHECK_LEVEL at which a monitor runs the hook; below it the unit's state alone counts. Start and "
    "reload run the hook whatever the level.",
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
    "dropped. gated: only once systemctl reports the unit active, for a hook that must not run while it is down. "
    "A probe is always gated.",
    default="concurrent",
    choices=_HOOK_ORDERS,
)
POLL_INTERVAL = Parameter(
    "poll_interval",
    duration_s,
    "longest pause between two polls",
    "The longest pause between two polls of a unit that starts or stops, and the pause between two tries of a failed "
    "hook. The first pauses of a start or stop are much shorter.",
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
    "It needs a hook of the ocf or lsb protocol.",
    default="no",
    choices=_YES_OR_NO,
    content_type="boolean",
)
STOP_ESCALATE = Parameter(
    "stop_escalate",
    boolean,
    "kill what does not stop in time",
    "Whether a stop that nears its timeout sends SIGKILL to each process of a service: 5 s before the agent's own "
    "deadline, or a quarter of the agent's time if that is less. With the advertised timeout that is later than "
    "systemd's default TimeoutStopSec, 90 s. A failed stop means fencing.",
    default="yes",
    choices=_YES_OR_NO,
    content_type="boolean",
)
ORDER_AT_SHUTDOWN = Parameter(
    "order_at_shutdown",
    boolean,
    "order the unit after Pacemaker at shutdown",
    "Whether start writes a drop-in by which the host's shutdown stops Pacemaker, and so its resources, before the "
    "unit, and which leaves restarts to Pacemaker (Restart=no and no RestartForceExitStatus=). It is a file below /run "
    "that stop removes.",
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
    """Reads parameters out of an environment and collects the problems of their values."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def read(self, parameter: Parameter[T], fallback: T) -> T:
        """Return a parameter's value; where it is wrong, record the problem and return `fallback`."""
        text = self._environment.get(parameter.variable, "").strip() or parameter.default
        if not text and parameter.required:
            self.problems.append(f"{parameter.name} is not set, expected {parameter.shortdesc}")
            return fallback
        try:
            return parameter.parse(text)
        except ValueError as error:
            self.problems.append(f"{parameter.name}={_quoted(text)} {error}")
            return fallback


def _quoted(text: str, limit: int = 60) -> str:
    shown = printable(text)
    return f"'{shown}'" if len(shown) <= limit else f"'{shown[:limit]}…'"


def read_parameters(environment: Mapping[str, str]) -> Parameters:
    """Return the parameters that the environment's `OCF_RESKEY_*` give.

    An empty value is an unset one; blanks around a value are removed. Raises `ParameterError` with all problems.
    """
    parameters, problems = read_leniently(environment)
    if problems:
        raise ParameterError(list(problems))
    return parameters


def read_leniently(environment: Mapping[str, str]) -> tuple[Parameters, tuple[str, ...]]:
    """Return the parameters with each wrong value replaced by its default, and the problems of the wrong values.

    A wrong or missing `unit` has no default: it is the empty string then.
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
        stop_verify=reader.read(STOP_VERIFY, fallback=False),
        stop_escalate=reader.read(STOP_ESCALATE, fallback=True),
        order_at_shutdown=reader.read(ORDER_AT_SHUTDOWN, fallback=True),
    )
    if parameters.stop_verify and (problem := _why_not_verifiable(parameters)):
        reader.problems.append(problem)
        parameters = replace(parameters, stop_verify=False)
    return parameters, tuple(reader.problems)


def _why_not_verifiable(parameters: Parameters) -> str:
    if parameters.monitor_hook is None:
        return "stop_verify=yes needs a monitor_hook"
    if parameters.monitor_hook_protocol not in {HookProtocol.OCF, HookProtocol.LSB}:
        return "stop_verify=yes needs monitor_hook_protocol=ocf or lsb: no other can report not running"
    return ""


class Operation(Record):
    """What Pacemaker says of the call itself.

    `timeout_s` is its timeout in seconds, `is_recurring` whether it has an interval, `check_level` its OCF_CHECK_LEVEL,
    `expects_stopped` whether it has role=Stopped: such a monitor recurs on the nodes where the resource does not run.
    `warnings` tell what had to be guessed.
    """

    timeout_s: float = DEFAULT_TIMEOUT_S
    is_recurring: bool = False
    check_level: int = 0
    warnings: tuple[str, ...] = ()
    expects_stopped: bool = False

    @property
    def is_probe(self) -> bool:
        """Whether a monitor asks where the service runs, rather than whether it works where it does."""
        return not self.is_recurring or self.expects_stopped

    @property
    def reserve_s(self) -> float:
        """Seconds before Pacemaker's timeout at which the agent's own deadline stands.

        They pay for the interpreter's start and end, so that a reason is out before SIGKILL comes.
        """
        return reserve_s(self.timeout_s)

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
        told = (
            f"CRM_meta_timeout={_quoted(timeout)} is not a number of milliseconds" if timeout else "no timeout is set"
        )
        warnings.append(f"{told}: assuming {DEFAULT_TIMEOUT_S:.0f} s")
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
