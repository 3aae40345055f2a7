"""The agent's description of itself: the table of parameters and the actions as OCF metadata (ra-api-1.dtd, OCF 1.1).

Neither anyio nor systemd nor any parameter is needed to tell it.
"""

from xml.etree import ElementTree as ET

from ocf_systemd import __version__
from ocf_systemd.core.durations import duration_s
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import TABLE, Parameter

# The DTD that ocf-tester validates against is older than OCF 1.1: it knows neither reloadable parameters nor the
# action reload-agent. An internal subset declares both, so that the DTD and pcs's OCF 1.1 schema are satisfied.
_HEAD = """\
<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
<!ATTLIST parameter reloadable (1|0) "0">
<!ATTLIST action name CDATA #REQUIRED>
]>
"""

_LONGDESC = """\
Manages a systemd unit: systemctl performs start, stop and reload; monitor queries systemd and, concurrently, runs \
a health hook that tests whether the service works. A service that hangs is active to systemd; the hook notices it."""

# Advertised timeouts. systemd gives a unit 90 s to stop (DefaultTimeoutStopSec=), and the agent's own SIGKILL must come
# later: 10 s before the timeout (`escalation_after_s`).
_ACTIONS: tuple[tuple[Action, dict[str, str]], ...] = (
    (Action.START, {"timeout": "100s"}),
    (Action.STOP, {"timeout": "110s"}),
    (Action.MONITOR, {"timeout": "20s", "interval": "10s", "depth": "0"}),
    (Action.RELOAD, {"timeout": "20s"}),
    (Action.RELOAD_AGENT, {"timeout": "20s"}),
    (Action.VALIDATE_ALL, {"timeout": "20s"}),
    (Action.META_DATA, {"timeout": "5s"}),
)


def advertised_s(action: Action, attribute: str = "timeout") -> float:
    """Return a duration that the metadata advertise for an action, in seconds."""
    return duration_s(dict(_ACTIONS)[action][attribute])


def metadata_xml(agent_name: str) -> str:
    """Return the metadata of an agent that is installed as `agent_name`."""
    agent = ET.Element("resource-agent", name=agent_name, version=__version__)
    ET.SubElement(agent, "version").text = "1.1"
    _describe(agent, "systemd unit with a health hook", _LONGDESC)
    parameters = ET.SubElement(agent, "parameters")
    for row in TABLE:
        parameters.append(_parameter(row))
    actions = ET.SubElement(agent, "actions")
    for action, attributes in _ACTIONS:
        ET.SubElement(actions, "action", {"name": action.value, **attributes})
    ET.indent(agent)
    return f"{_HEAD}{ET.tostring(agent, encoding='unicode')}\n"


def _parameter(row: Parameter[object]) -> ET.Element:
    flag = {True: "1", False: "0"}
    element = ET.Element("parameter", name=row.name, required=flag[row.required], reloadable=flag[row.reloadable])
    # To a Pacemaker before OCF 1.1, "unique" says what reloadable="0" says now; to pcs, that no two resources share it.
    element.set("unique", flag[not row.reloadable])
    _describe(element, row.shortdesc, row.longdesc)
    content = ET.SubElement(element, "content", type=row.content_type)
    if row.default:
        content.set("default", row.default)
    return element


def _describe(element: ET.Element, shortdesc: str, longdesc: str) -> None:
    ET.SubElement(element, "longdesc", lang="en").text = longdesc
    ET.SubElement(element, "shortdesc", lang="en").text = shortdesc
