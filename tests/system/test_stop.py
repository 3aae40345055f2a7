"""stop: 0 only when the unit is observed stopped, and 0 whenever it is; whatever became of the hook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box


def test_running(agent: Agent, box: Box) -> None:
    """A unit that runs is stopped; the second stop finds it so."""
    unit = box.started()
    assert [agent("stop", unit=unit).code for _ in (1, 2)] == [0, 0]
    assert box.state(unit) == "inactive"


def test_failed(agent: Agent, box: Box) -> None:
    """A unit that failed is stopped."""
    unit = box.started("ExecStart=false")
    box.wait_for(unit, "failed")
    assert agent("stop", unit=unit).code == 0


def test_hook_is_not_run(agent: Agent, box: Box) -> None:
    """The unit's state counts: stop returns 0 even if the hook reports the service running."""
    unit, hook = box.started(), box.marking("ran")
    assert agent("stop", unit=unit, monitor_hook=hook).code == 0
    assert box.marks("ran") == []


class TestVerify:
    # The unit's stop only triggers that of a process which the unit does not know.
    TRIGGER = ("Type=oneshot", "RemainAfterExit=yes", "ExecStart=touch /run/served")
    STOP = "ExecStop=systemd-run --no-block sh -c 'sleep 2; rm /run/served'"

    @pytest.fixture
    def trigger(self, box: Box) -> str:
        return box.started(*self.TRIGGER, self.STOP)

    def test_waits_for_the_hook(self, agent: Agent, box: Box) -> None:
        """stop_verify=yes waits until the hook returns 7 as well; without it stop does not wait."""
        # The service ends once a hook has reported that it still runs.
        ending = "until [ -e /run/seen ]; do sleep 0.05; done; rm /run/served /run/seen"
        unit = box.started(*self.TRIGGER, f"ExecStop=systemd-run --no-block sh -c '{ending}'")
        hook = box.hook("[ -e /run/served ] || exit 7; touch /run/seen")
        assert agent("stop", unit=unit, monitor_hook=hook, stop_verify="yes").code == 0
        assert box.sh("ls /run/served", check=False) == ""
        assert agent("start", unit=unit).code == 0
        assert agent("stop", unit=unit, monitor_hook=hook).code == 0
        assert box.sh("ls /run/served") == "/run/served"
        box.sh("touch /run/seen; while [ -e /run/seen ]; do sleep 0.05; done")

    def test_hook_that_goes_on_running(self, agent: Agent, box: Box, trigger: str) -> None:
        """A hook that goes on saying running makes the stop 1 in time."""
        hook = box.hook("exit 0")
        result = agent("stop", unit=trigger, monitor_hook=hook, stop_verify="yes", timeout_s=4)
        assert result.code == 1
        assert result.reason == "hook hook: running, expected not running after stop"

    @pytest.mark.parametrize("prepare", [pytest.param("rm H", id="missing"), pytest.param("chmod 777 H", id="unsafe")])
    def test_hook_that_cannot_be_run(self, agent: Agent, box: Box, trigger: str, prepare: str) -> None:
        """A hook that never returns 7 does not get the node fenced."""
        hook = box.hook("exit 7")
        box.sh(prepare.replace("H", hook))
        assert agent("stop", unit=trigger, monitor_hook=hook, stop_verify="yes").code == 0

    def test_poll_limit(self, agent: Agent, box: Box, trigger: str) -> None:
        """stop_poll_limit is the number of looks."""
        hook = box.marking("ran")
        result = agent("stop", unit=trigger, monitor_hook=hook, stop_verify="yes", stop_poll_limit="3")
        assert result.code == 1
        assert len(box.marks("ran")) == 3
