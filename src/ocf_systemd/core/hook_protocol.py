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


# The OCF exit code for each exit code of a hook; ocf keeps codes that are not listed, the others turn them into 1.
PROTOCOL_CODES: Mapping[HookProtocol, Mapping[int, int]] = {
    HookProtocol.NAGIOS: {0: ExitCode.SUCCESS, 1: ExitCode.DEGRADED},
    HookProtocol.PLAIN: {0: ExitCode.SUCCESS},
    HookProtocol.LSB: {0: ExitCode.SUCCESS, 3: ExitCode.NOT_RUNNING},
}


# Pacemaker takes them for the promoted role, and calls demote.
_PROMOTED = frozenset({ExitCode.RUNNING_PROMOTED, ExitCode.FAILED_PROMOTED, ExitCode.DEGRADED_PROMOTED})


def exit_code_of(raw: int, protocol: HookProtocol) -> int:
    """Return the OCF exit code that a hook's exit code stands for."""
    if (codes := PROTOCOL_CODES.get(protocol)) is not None:
        return codes.get(raw, ExitCode.ERR_GENERIC)
    return ExitCode.ERR_GENERIC if raw in _PROMOTED else raw


def reports_not_running(protocol: HookProtocol) -> bool:
    """Return whether a hook of this protocol can report that the service is not running."""
    return protocol not in PROTOCOL_CODES or ExitCode.NOT_RUNNING in PROTOCOL_CODES[protocol].values()
