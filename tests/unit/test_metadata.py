"""The metadata have every row of the table and every action, and are well-formed."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from ocf_systemd import __version__
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameter_table import TABLE, Parameter


@pytest.fixture
def agent() -> ET.Element:
    return ET.fromstring(metadata_xml("systemd"))  # noqa: S314  # our own text


def found(element: ET.Element, path: str) -> ET.Element:
    child = element.find(path)
    assert child is not None, path
    return child


def test_the_agent_names_itself_and_its_standard(agent: ET.Element) -> None:
    """The name it is installed under, its own version, and that of OCF."""
    assert agent.attrib == {"name": "systemd", "version": __version__}
    assert found(agent, "version").text == "1.1"
    assert [child.tag for child in agent] == ["version", "longdesc", "shortdesc", "parameters", "actions"]


def test_the_document_type_allows_what_its_dtd_does_not_know() -> None:
    """ra-api-1.dtd with an internal subset that declares reloadable, and actions of any name."""
    head = metadata_xml("x").split("<resource-agent ")[0]
    assert head.startswith('<?xml version="1.0"?>\n<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [\n')
    assert '<!ATTLIST parameter reloadable (1|0) "0">' in head
    assert "<!ATTLIST action name CDATA #REQUIRED>" in head


def test_every_row_of_the_table_in_order(agent: ET.Element) -> None:
    """No parameter is left out, none is added."""
    names = [parameter.get("name") for parameter in agent.findall("parameters/parameter")]
    assert names == [row.name for row in TABLE]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE])
def test_a_parameter_as_its_row_has_it(agent: ET.Element, row: Parameter) -> None:
    """Flags, descriptions, type and default; `unique` is what Pacemakers before OCF 1.1 read for `reloadable`."""
    parameter = found(agent, f"parameters/parameter[@name='{row.name}']")
    is_unit = row.name == "unit"
    assert parameter.attrib == {
        "name": row.name,
        "required": "1" if is_unit else "0",
        "reloadable": "0" if is_unit else "1",
        "unique": "1" if is_unit else "0",
    }
    assert found(parameter, "longdesc").text == row.longdesc
    assert found(parameter, "shortdesc").text == row.shortdesc
    assert found(parameter, "longdesc").get("lang") == found(parameter, "shortdesc").get("lang") == "en"
    content = found(parameter, "content")
    assert content.get("type") in {"string", "integer", "boolean"}
    assert content.attrib == {"type": row.content_type, **({"default": row.default} if row.default else {})}


@pytest.mark.parametrize(
    ("name", "default", "content_type"),
    [
        pytest.param("unit", None, "string", id="unit"),
        pytest.param("monitor_hook", None, "string", id="monitor_hook"),
        pytest.param("monitor_hook_args", None, "string", id="monitor_hook_args"),
        pytest.param("monitor_hook_protocol", "ocf", "string", id="monitor_hook_protocol"),
        pytest.param("monitor_hook_timeout", None, "string", id="monitor_hook_timeout"),
        pytest.param("monitor_hook_retries", "0", "integer", id="monitor_hook_retries"),
        pytest.param("monitor_hook_level", "0", "integer", id="monitor_hook_level"),
        pytest.param("monitor_hook_user", None, "string", id="monitor_hook_user"),
        pytest.param("monitor_hook_order", "concurrent", "string", id="monitor_hook_order"),
        pytest.param("poll_interval", "1s", "string", id="poll_interval"),
        pytest.param("start_poll_limit", "0", "integer", id="start_poll_limit"),
        pytest.param("stop_poll_limit", "0", "integer", id="stop_poll_limit"),
        pytest.param("stop_verify", "no", "boolean", id="stop_verify"),
        pytest.param("stop_escalate", "yes", "boolean", id="stop_escalate"),
        pytest.param("order_at_shutdown", "yes", "boolean", id="order_at_shutdown"),
    ],
)
def test_the_advertised_defaults_are_the_designs(
    agent: ET.Element, name: str, default: str | None, content_type: str
) -> None:
    """The contract with configurations: these names, defaults and types."""
    content = found(agent, f"parameters/parameter[@name='{name}']/content")
    assert (content.get("default"), content.get("type")) == (default, content_type)


def test_every_action_with_its_timeout(agent: ET.Element) -> None:
    """Start 100 s, since systemd itself waits 90 s; stop 110 s, so that it sends SIGKILL later; monitor each 10 s."""
    actions = [dict(action.attrib) for action in agent.findall("actions/action")]
    assert actions == [
        {"name": "start", "timeout": "100s"},
        {"name": "stop", "timeout": "110s"},
        {"name": "monitor", "timeout": "20s", "interval": "10s", "depth": "0"},
        {"name": "reload", "timeout": "20s"},
        {"name": "reload-agent", "timeout": "20s"},
        {"name": "validate-all", "timeout": "20s"},
        {"name": "meta-data", "timeout": "5s"},
    ]
    assert {action["name"] for action in actions} == set(Action)


def test_what_is_special_in_xml_is_escaped() -> None:
    """Neither a name nor a description can break out of its place."""
    name = """<&>"'\u00fc"""
    agent = ET.fromstring(metadata_xml(name))  # noqa: S314  # our own text
    assert agent.get("name") == name


def test_descriptions_are_for_people(agent: ET.Element) -> None:
    """Each has some text, a short one fits a column, and no two are alike."""
    short = sorted(element.text or "" for element in agent.iter("shortdesc"))
    assert all(3 < len(text) < 60 and not text.endswith(".") for text in short)
    assert all(one != other for one, other in pairwise(short))
    assert all((element.text or "").endswith((".", "it.")) for element in agent.iter("longdesc"))
