"""The agent's description of itself: the table of parameters and the actions as OCF meta-data (ra-api-1.dtd, OCF 1.1).

The action meta-data needs neither anyio nor systemd nor any parameter.
"""

from xml.etree import ElementTree as ET

from ocf_systemd import __version__
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameter_table import TABLE, Parameter
from ocf_systemd.core.timeouts import ADVERTISED_INTERVAL_S, ADVERTISED_TIMEOUT_S

# The DTD that ocf-tester validates against is older than OCF 1.1: it knows neither reloadable parameters nor the
# action reload-agent. The internal subset declares both, so that the meta-data are valid for that DTD as well as for
# pcs's OCF 1.1 schema.
_HEAD = '<?xml version="1.0"?>\n'
_DOCUMENT_TYPE = """\
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
<!ATTLIST parameter reloadable (1|0) "0">
<!ATTLIST action name CDATA #REQUIRED>
]>
"""

_LONGDESC = """\
Manages a systemd unit: systemctl performs start, stop and reload; monitor queries systemd and, concurrently, runs \
a health hook that tests whether the service works. A service that hangs is active to systemd; the hook notices it."""


def metadata_xml(agent_name: str, *, has_document_type: bool = True) -> str:
    """Return the meta-data of an agent that is installed as `agent_name`."""
    agent = ET.Element("resource-agent", name=agent_name, version=__version__)
    ET.SubElement(agent, "version").text = "1.1"
    _describe(agent, "systemd unit with a health hook", _LONGDESC)
    parameters = ET.SubElement(agent, "parameters")
    for row in TABLE:
        parameters.append(_parameter(row))
    actions = ET.SubElement(agent, "actions")
    for action, timeout_s in ADVERTISED_TIMEOUT_S.items():
        attributes = {"interval": f"{ADVERTISED_INTERVAL_S}s", "depth": "0"} if action is Action.MONITOR else {}
        ET.SubElement(actions, "action", {"name": action.value, "timeout": f"{timeout_s}s", **attributes})
    ET.indent(agent)
    return f"{_HEAD}{_DOCUMENT_TYPE if has_document_type else ''}{ET.tostring(agent, encoding='unicode')}\n"


def _parameter(row: Parameter) -> ET.Element:
    flag = {True: "1", False: "0"}
    element = ET.Element("parameter", name=row.name, required=flag[row.required], reloadable=flag[row.reloadable])
    # A Pacemaker older than OCF 1.1 takes unique="1" as reloadable="0". pcs takes it to mean that no two resources may
    # have the same value.
    element.set("unique", flag[not row.reloadable])
    _describe(element, row.shortdesc, row.longdesc)
    content = ET.SubElement(element, "content", type=row.content_type)
    if row.default:
        content.set("default", row.default)
    return element


def _describe(element: ET.Element, shortdesc: str, longdesc: str) -> None:
    ET.SubElement(element, "longdesc", lang="en").text = longdesc
    ET.SubElement(element, "shortdesc", lang="en").text = shortdesc
