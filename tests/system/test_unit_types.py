"""Units that are no services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

SECTIONS = [
    pytest.param("probe.socket", "[Socket]\nListenStream=127.0.0.1:7777\nAccept=no\n", id="socket"),
    pytest.param("probe.timer", "[Timer]\nOnActiveSec=1d\n", id="timer"),
    pytest.param("probe.path", "[Path]\nPathExists=/no/such\n", id="path"),
    pytest.param("probe.target", "[Unit]\nDescription=Nothing\n", id="target"),
    pytest.param("media.mount", "[Mount]\nWhat=none\nWhere=/media\nType=tmpfs\n", id="mount"),
]


@pytest.mark.parametrize(("name", "text"), SECTIONS)
def test_cycle(agent: Agent, box: Box, name: str, text: str) -> None:
    """Any type of unit is started, monitored and stopped, and its hook is run, as with a service."""
    unit = box.unit(name, text)
    box.unit("probe.service", "[Service]\nExecStart=sleep infinity\n")
    hook = box.hook("exit 190")
    codes = [agent(action, unit=unit, monitor_hook=hook).code for action in ("start", "monitor", "stop", "monitor")]
    assert codes == [0, 190, 0, 7]


def test_drop_in_of_a_socket(agent: Agent, box: Box) -> None:
    """The drop-in of a unit that is no service has no section for one."""
    unit = box.unit("probe.socket", "[Socket]\nListenStream=127.0.0.1:7777\n")
    box.unit("probe.service", "[Service]\nExecStart=sleep infinity\n")
    assert agent("start", unit=unit).code == 0
    text = box.sh(f"cat /run/systemd/system/{unit}.d/zz-ocf-systemd.conf")
    assert "Before=pacemaker.service" in text
    assert "[Service]" not in text


def test_instance_of_a_template(agent: Agent, box: Box) -> None:
    """An instance of a template is a unit like any other."""
    box.unit("probe@.service", "[Service]\nExecStart=sleep %i\n")
    codes = [agent(action, unit="probe@1000").code for action in ("start", "monitor", "stop", "monitor")]
    assert codes == [0, 0, 0, 7]


def test_escaped_name(agent: Agent, box: Box) -> None:
    """A name with systemd's own escapes is passed on as it is."""
    unit = box.unit("probe-a\\x2db:c_d.service", "[Service]\nExecStart=sleep infinity\n")
    codes = [agent(action, unit=unit).code for action in ("start", "monitor", "stop", "monitor")]
    assert codes == [0, 0, 0, 7]
