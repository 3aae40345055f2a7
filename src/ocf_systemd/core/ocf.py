"""The vocabulary of the OCF resource agent API 1.1: actions, exit codes, and an action's result."""

from enum import IntEnum, StrEnum

from ocf_systemd.core.records import Record


class Action(StrEnum):
    """The actions of this agent, by the names that Pacemaker calls (OCF 1.1, Actions)."""

    START = "start"
    STOP = "stop"
    MONITOR = "monitor"
    RELOAD = "reload"
    RELOAD_AGENT = "reload-agent"
    VALIDATE_ALL = "validate-all"
    META_DATA = "meta-data"


class ExitCode(IntEnum):
    """The exit codes of an action (OCF 1.1, Exit Codes; 190 and 191 are Pacemaker's own)."""

    SUCCESS = 0
    ERR_GENERIC = 1
    ERR_ARGS = 2
    ERR_UNIMPLEMENTED = 3
    ERR_PERM = 4
    ERR_INSTALLED = 5
    ERR_CONFIGURED = 6
    NOT_RUNNING = 7
    RUNNING_PROMOTED = 8
    FAILED_PROMOTED = 9
    DEGRADED = 190
    DEGRADED_PROMOTED = 191


HARD_ERRORS = frozenset({ExitCode.ERR_ARGS, ExitCode.ERR_UNIMPLEMENTED, ExitCode.ERR_PERM, ExitCode.ERR_INSTALLED})
"""Hard errors to Pacemaker: the resource may not run on this node until cleanup, or until failure-timeout has passed.

3 is a hard error only from an operation without interval: if a recurring monitor returns 3, Pacemaker recovers the
resource.
"""


class ActionResult(Record):
    """The result of an action.

    `code` is an `ExitCode` or, from a hook of the ocf protocol, any number from 0 to 255. `reason` is one line for
    people: what failed, its message, and last the numbers, since Pacemaker before 3.0.2 keeps only 128 bytes.
    """

    code: int
    reason: str | None = None


def code_name(code: int) -> str:
    """Return the name of an exit code for people: `OCF_NOT_RUNNING`, or `exit code 42`."""
    try:
        return f"OCF_{ExitCode(code).name}"
    except ValueError:
        return f"exit code {code}"


REASON_PREFIX = "ocf-exit-reason:"
"""The prefix of an exit reason on standard error, unless OCF_EXIT_REASON_PREFIX names another."""


def defused(text: str, prefix: str = REASON_PREFIX) -> str:
    """Return text without the prefix of an exit reason: Pacemaker searches for the prefix anywhere in a line."""
    return text.replace(prefix, "[...]")
