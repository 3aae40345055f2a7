"""The environment that Pacemaker gives an agent, for commands that run actions: debug, doctor and rehearse."""

from collections.abc import Mapping

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.host.programs import SEARCH_PATH

_HOST_LEVEL = "10"  # OCF_CHECK_LEVEL at which validate-all also checks this host


def pacemaker_environment(action: Action, options: Mapping[str, str], operations: Operations) -> dict[str, str]:
    """Return the environment that Pacemaker's executor gives an agent; it contains nothing of the caller's own.

    `options` gives values by name: of parameters, and of variables of the operation (`OCF_CHECK_LEVEL`,
    `CRM_meta_interval`). `operations` has the timeout of the action and the interval of the monitor.
    """
    environment = {
        "PATH": SEARCH_PATH,
        "LC_ALL": "C",
        "HA_debug": "0",
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": "debug",
        "OCF_RESOURCE_PROVIDER": "pacemaker",
        "OCF_RESOURCE_TYPE": "systemd",
        f"{PREFIX}CRM_meta_name": action.value,
        f"{PREFIX}CRM_meta_timeout": _milliseconds(operations.timeout_s(action)),
    }
    if action is Action.MONITOR:
        environment[f"{PREFIX}CRM_meta_interval"] = _milliseconds(operations.interval_s)
    if action is Action.VALIDATE_ALL:
        environment["OCF_CHECK_LEVEL"] = _HOST_LEVEL
    return environment | {name if name.startswith("OCF_") else PREFIX + name: value for name, value in options.items()}


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
