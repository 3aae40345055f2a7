"""What the exit code of a hook means, by the protocol that the hook follows."""

from collections.abc import Mapping
from enum import StrEnum

from ocf_systemd.core.ocf import ExitCode


class HookProtocol(StrEnum):
    """How a hook's exit code is read."""

    OCF = "ocf"
    NAGIOS = "nagios"
    PLAIN = "plain"
    LSB = "lsb"


# For each protocol but ocf: the OCF exit codes for a hook's exit codes. A code that is not listed becomes 1. With ocf,
# a hook's exit code is the OCF exit code, unless it is in _PROMOTED.
PROTOCOL_CODES: Mapping[HookProtocol, Mapping[int, int]] = {
    HookProtocol.NAGIOS: {0: ExitCode.SUCCESS, 1: ExitCode.DEGRADED},
    HookProtocol.PLAIN: {0: ExitCode.SUCCESS},
    HookProtocol.LSB: {0: ExitCode.SUCCESS, 3: ExitCode.NOT_RUNNING},
}


# These codes become 1, because Pacemaker takes them for the promoted role, and calls the action demote.
_PROMOTED = frozenset({ExitCode.RUNNING_PROMOTED, ExitCode.FAILED_PROMOTED, ExitCode.DEGRADED_PROMOTED})


def exit_code_of(raw: int, protocol: HookProtocol) -> int:
    """Return the OCF exit code that a hook's exit code stands for."""
    if (codes := PROTOCOL_CODES.get(protocol)) is not None:
        return codes.get(raw, ExitCode.ERR_GENERIC)
    return ExitCode.ERR_GENERIC if raw in _PROMOTED else raw


def reports_not_running(protocol: HookProtocol) -> bool:
    """Return whether a hook of this protocol can report that the service is not running."""
    return protocol not in PROTOCOL_CODES or ExitCode.NOT_RUNNING in PROTOCOL_CODES[protocol].values()
