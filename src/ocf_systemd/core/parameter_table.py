"""The one table of the agent's parameters.

Parsing, meta-data, documentation and completion all read it.
"""

from collections.abc import Callable
from typing import Literal

from ocf_systemd.core.durations import duration_s
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.parameter_values import (
    absolute_path,
    arguments,
    boolean,
    one_of,
    optional_duration_s,
    unit_name,
    user,
    whole_number,
)
from ocf_systemd.core.records import Record

PREFIX = "OCF_RESKEY_"
_YES_OR_NO = ("yes", "no")  # the booleans that completion offers; others are valid, too
GATED = "gated"
_HOOK_ORDERS = ("concurrent", GATED)


class Parameter(Record):
    """One row of the table.

    `parse` turns the text of a value into what the agent works with; it raises `ValueError`, whose message
    completes the sentence "NAME='value' …". `default` is text, too, as the meta-data show it. `choices` are the values
    to offer, if they can be listed. `content_type` is one that every OCF schema accepts. `field` is the name of the
    field in `Parameters`, if that is not `name`. `is_confidential` means that no reason and no log shows the value.
    """

    name: str
    parse: Callable[[str], object]
    shortdesc: str
    longdesc: str
    default: str = ""
    choices: tuple[str, ...] = ()
    content_type: Literal["string", "integer", "boolean"] = "string"
    required: bool = False
    reloadable: bool = True
    field: str = ""
    is_confidential: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that carries the value."""
        return PREFIX + self.name

    @property
    def default_value(self) -> object:
        """The parsed default; a required parameter has no default, and this is the empty string."""
        return "" if self.required else self.parse(self.default)


UNIT = Parameter(
    "unit",
    unit_name,
    "systemd unit",
    "The systemd unit to manage: a service, socket, mount, timer, path or target. A name without a suffix gets "
    ".service. A template needs its instance, as in web@1. The unit must not be enabled: Pacemaker starts it.",
    required=True,
    reloadable=False,
)

MONITOR_HOOK = Parameter(
    "monitor_hook",
    absolute_path,
    "health hook, or directory of hooks",
    "Absolute path of an executable that tests whether the service works. By default, a recurring monitor runs it "
    "concurrently with systemctl. Exit code 0 is running, 7 not running, 190 degraded; for others see "
    "monitor_hook_protocol. If it is a directory, the agent runs all executable files in it whose names have only "
    "letters, digits, - and _ (not check.sh), at most 64 in all and 16 at a time; any failure wins. A probe (a "
    "monitor without interval or with role=Stopped) runs the hook only once the unit is known to be active. A hook "
    "that runs as root must be owned by root and writable by nobody else, as must every directory on the way to it.",
)

MONITOR_HOOK_ARGS = Parameter(
    "monitor_hook_args",
    arguments,
    "arguments of the hook",
    "Arguments for the hook, split by the quoting rules of the shell; no shell is started.",
    is_confidential=True,
)

MONITOR_HOOK_USER = Parameter(
    "monitor_hook_user",
    user,
    "user to run the hook as",
    "The user, by name or number, to run the hook as. Not set: the agent's own, root.",
)

TABLE: tuple[Parameter, ...] = (
    UNIT,
    MONITOR_HOOK,
    MONITOR_HOOK_ARGS,
    Parameter(
        "monitor_hook_protocol",
        lambda text: HookProtocol(one_of(*HookProtocol)(text)),
        "meaning of the hook's exit codes",
        "ocf: unchanged; note that 2, 4 and 5 are hard errors to Pacemaker (the resource may not run on this node "
        "until cleanup or failure-timeout) and 6 stops it on every node. 8, 9 and 191 are for promotable resources and "
        "become 1. nagios: 0 is running, 1 degraded, all others failed, so that any monitoring plugin serves as a "
        "hook. plain: 0 is running, all others failed. lsb: 0 is running, 3 not running, all others failed, as for the "
        "status action of an init script.",
        default=HookProtocol.OCF,
        choices=tuple(HookProtocol),
    ),
    Parameter(
        "monitor_hook_timeout",
        optional_duration_s,
        "longest run of the hook",
        "How long one run of the hook may take before it is ended, with all it started. Not set: the time left until "
        "the agent's deadline (the timeout less a reserve of at most 5 s), or half of it where another run may follow.",
        field="monitor_hook_timeout_s",
    ),
    Parameter(
        "monitor_hook_retries",
        whole_number,
        "retries of a failed hook",
        "Maximum number of retries in a monitor, after any result but 0 and 190, poll_interval apart, until the "
        "deadline.",
        default="0",
        content_type="integer",
    ),
    Parameter(
        "monitor_hook_level",
        whole_number,
        "lowest check level of the hook",
        "The lowest OCF_CHECK_LEVEL at which a monitor runs the hook; below it the unit's state alone counts. Start "
        "and reload run the hook whatever the level.",
        default="0",
        content_type="integer",
    ),
    MONITOR_HOOK_USER,
    Parameter(
        "monitor_hook_order",
        one_of(*_HOOK_ORDERS),
        "when the hook starts",
        "concurrent: together with systemctl; when the unit turns out not to run, the hook is ended and its result "
        "dropped. gated: only once systemctl reports the unit active, for a hook that must not run while it is down. A "
        "probe is always gated.",
        default="concurrent",
        choices=_HOOK_ORDERS,
    ),
    Parameter(
        "poll_interval",
        duration_s,
        "longest pause between two polls",
        "The longest pause between two polls of a unit that starts or stops, and the pause before a retry of a failed "
        "hook. The first pauses of a start or stop are much shorter.",
        default="1s",
        field="poll_interval_s",
    ),
    Parameter(
        "start_poll_limit",
        whole_number,
        "maximum number of polls after start",
        "The number of polls of the unit and its hook after which start gives up. 0: no limit.",
        default="0",
        content_type="integer",
    ),
    Parameter(
        "stop_poll_limit",
        whole_number,
        "maximum number of polls after stop",
        "The number of polls of the unit after which stop gives up. 0: no limit.",
        default="0",
        content_type="integer",
    ),
    Parameter(
        "stop_verify",
        boolean,
        "stop waits for the hook too",
        "Whether stop also waits for the hook to return 7 (not running): for a unit whose ExecStop= returns before the "
        "service has stopped. It needs a hook of the ocf or lsb protocol.",
        default="no",
        choices=_YES_OR_NO,
        content_type="boolean",
    ),
    Parameter(
        "stop_escalate",
        boolean,
        "kill what does not stop in time",
        "Whether a stop that nears its timeout sends SIGKILL to each process of a service: 5 s before the agent's "
        "deadline, or a quarter of the time until the deadline if that is less. With the advertised timeout that is "
        "later than systemd's default TimeoutStopSec, 90 s. A failed stop means fencing.",
        default="yes",
        choices=_YES_OR_NO,
        content_type="boolean",
    ),
    Parameter(
        "order_at_shutdown",
        boolean,
        "order the unit after Pacemaker at shutdown",
        "Whether start writes a drop-in under /run that makes systemd stop Pacemaker before it stops the unit at "
        "shutdown, and that disables systemd's own restarts (Restart=no and no RestartForceExitStatus=). stop removes "
        "it.",
        default="yes",
        choices=_YES_OR_NO,
        content_type="boolean",
    ),
)
