"""Writes a result as Pacemaker reads it: an exit code, and an exit reason as the last line on standard error."""

from collections.abc import Mapping

from ocf_systemd.core.ocf import REASON_PREFIX, ActionResult, ExitCode, defused
from ocf_systemd.core.text import printable

REASON_MAX = 128
"""Pacemaker before 3.0.2 keeps only this many bytes of an exit reason (EXIT_REASON_MAX_LEN)."""

_CONTINUATION_BYTES = range(0x80, 0xC0)  # all bytes of a UTF-8 character but its first (RFC 3629)


def reason_line(result: ActionResult, environment: Mapping[str, str]) -> bytes:
    """Return the line that gives a result's reason, as ocf_exit_reason of ocf-shellfuncs prints it; empty: none."""
    if not result.reason or result.code == ExitCode.SUCCESS:
        return b""
    prefix = environment.get("OCF_EXIT_REASON_PREFIX") or REASON_PREFIX
    reason = defused(printable(result.reason), prefix).encode(errors="backslashreplace")
    return prefix.encode(errors="surrogateescape") + _divisible(reason) + b"\n"


def _divisible(reason: bytes) -> bytes:
    """Return a reason that Pacemaker can cut after `REASON_MAX` bytes without cutting a character in two.

    With half a character, the CIB of Pacemaker 2.1.5 is not valid UTF-8: `cibadmin --query` and pcs fail on every node.
    If a character would be cut, blanks are inserted before it, so that all its bytes come after the limit. The agent
    cannot know whether the executor on this node cuts: the feature set that it gets is that of the cluster.
    """
    start = min(REASON_MAX, len(reason))
    while 0 < start < len(reason) and reason[start] in _CONTINUATION_BYTES:
        start -= 1
    padding = b" " * (REASON_MAX - start) if start < len(reason) else b""
    return reason[:start] + padding + reason[start:]


def agent_name(called_by: str, environment: Mapping[str, str]) -> str:
    """Return the name of the agent: as Pacemaker passes it or, if it passes none, `called_by`, the name of its file."""
    return printable(environment.get("OCF_RESOURCE_TYPE", "")) or printable(called_by)


def result_of_bug(error: BaseException) -> ActionResult:
    """Return the result of an action that failed because of a bug, or because the host lacks memory or the like."""
    cause = cause_of(error)
    return ActionResult(ExitCode.ERR_GENERIC, f"internal error: {type(cause).__name__}: {cause}")


def cause_of(error: BaseException) -> BaseException:
    """Return the error itself or, if it is an exception group (a task group raises these), the first error in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
