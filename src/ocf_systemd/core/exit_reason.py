"""Writes a result as Pacemaker reads it: an exit code, and an exit reason as the last line on standard error."""

from collections.abc import Mapping

from ocf_systemd.core.ocf import REASON_PREFIX, ActionResult, ExitCode, defused
from ocf_systemd.core.text import printable

REASON_MAX = 128
"""Bytes of a reason that Pacemaker before 3.0.2 keeps (EXIT_REASON_MAX_LEN)."""

_CONTINUATION_BYTES = range(0x80, 0xC0)  # of a character in UTF-8, all but its first byte (RFC 3629)


def reason_line(result: ActionResult, environment: Mapping[str, str]) -> bytes:
    """Return a result's line for standard error (ocf_exit_reason in ocf-shellfuncs); empty: it needs none."""
    if not result.reason or result.code == ExitCode.SUCCESS:
        return b""
    prefix = environment.get("OCF_EXIT_REASON_PREFIX") or REASON_PREFIX
    reason = defused(printable(result.reason), prefix).encode(errors="backslashreplace")
    return prefix.encode(errors="surrogateescape") + _divisible(reason) + b"\n"


def _divisible(reason: bytes) -> bytes:
    """Return a reason of whose characters none lies across the last byte that Pacemaker keeps.

    Half a character makes the CIB invalid UTF-8 in Pacemaker 2.1.5: `cibadmin --query` and pcs fail on every node.
    Blanks before the character move it as a whole to where older Pacemakers cut.
    """
    start = min(REASON_MAX, len(reason))
    while 0 < start < len(reason) and reason[start] in _CONTINUATION_BYTES:
        start -= 1
    padding = b" " * (REASON_MAX - start) if start < len(reason) else b""
    return reason[:start] + padding + reason[start:]


def agent_name(called_by: str, environment: Mapping[str, str]) -> str:
    """Return the name of the agent, which is the one it is installed under; `called_by` is the name of its file."""
    return printable(environment.get("OCF_RESOURCE_TYPE", "")) or printable(called_by)


def result_of_bug(error: BaseException) -> ActionResult:
    """Return the result of an action that failed because of a bug, or because the host lacks memory or the like."""
    cause = cause_of(error)
    return ActionResult(ExitCode.ERR_GENERIC, f"internal error: {type(cause).__name__}: {cause}")


def cause_of(error: BaseException) -> BaseException:
    """Return the first error in the groups that a task group wraps errors into."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
