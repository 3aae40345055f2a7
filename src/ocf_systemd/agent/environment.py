"""The environment that Pacemaker gives an agent, for those who call it in its place: debug, doctor and rehearse."""

from collections.abc import Mapping

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.host.hooks import SEARCH_PATH

_INTERVAL_MS = 10_000  # a recurring monitor's; the metadata advertises it
_HOST_LEVEL = "10"  # validate-all for a person at this host is about this host


def pacemaker_environment(action: Action, options: Mapping[str, str], timeout_s: float) -> dict[str, str]:
    """Return the environment that Pacemaker's executor gives an agent, and nothing of the caller's own."""
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
        f"{PREFIX}CRM_meta_timeout": str(round(timeout_s * 1000)),
    }
    if action is Action.MONITOR:
        environment[f"{PREFIX}CRM_meta_interval"] = str(_INTERVAL_MS)
    if action is Action.VALIDATE_ALL:
        environment["OCF_CHECK_LEVEL"] = _HOST_LEVEL
    return environment | {name if name.startswith("OCF_") else PREFIX + name: value for name, value in options.items()}
