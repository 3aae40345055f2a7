"""monitor, with real units and hooks; those that misbehave are in tests/faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box


class TestUnitStates:
    def test_active(self, agent: Agent, box: Box) -> None:
        """A unit that runs is 0; a good monitor writes nothing."""
        result = agent("monitor", unit=box.started())
        assert (result.code, result.stdout, result.stderr) == (0, "", "")

    def test_unit_without_its_suffix(self, agent: Agent, box: Box) -> None:
        """A name without a suffix is a service's."""
        assert agent("monitor", unit=box.started().removesuffix(".service")).code == 0

    @pytest.mark.parametrize("interval_s", [pytest.param(0, id="probe"), pytest.param(10, id="recurring")])
    @pytest.mark.parametrize("code", [0, 42])
    def test_inactive(self, agent: Agent, box: Box, interval_s: float, code: int) -> None:
        """A unit that is down is 7, whatever its hook returns."""
        result = agent("monitor", unit=box.service(), monitor_hook=box.hook(f"exit {code}"), interval_s=interval_s)
        assert result.code == 7
        assert bool(result.reason) == (interval_s > 0)

    def test_failed(self, agent: Agent, box: Box) -> None:
        """A unit that failed is 7, and the reason has Result and exit status."""
        unit = box.started("ExecStart=sh -c 'exit 3'")
        box.wait_for(unit, "failed")
        result = agent("monitor", unit=unit)
        assert result.code == 7
        assert result.reason == f"{unit} failed: exit-code, status 3"

    def test_killed(self, agent: Agent, box: Box) -> None:
        """A unit that was killed is 7, and the reason names the signal."""
        unit = box.started()
        box.kill(unit)
        box.wait_for(unit, "failed")
        result = agent("monitor", unit=unit)
        assert result.code == 7
        assert result.reason == f"{unit} failed: signal, SIGKILL"


class TestHookAnswers:
    @pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 10, 42, 190, 192, 255])
    def test_codes_pass(self, agent: Agent, box: Box, code: int) -> None:
        """A running unit's hook is passed on as it is; all but 0 with a reason that names hook and code."""
        hook = box.hook(f"echo told >&2; exit {code}")
        result = agent("monitor", unit=box.started(), monitor_hook=hook)
        assert result.code == code
        if code:
            assert result.reason == f"hook hook: told (exit {code})"

    def test_group_root(self, agent: Agent, box: Box) -> None:
        """A hook that a group may write to is no danger if that group is root's."""
        unit, hook = box.started(), box.hook("exit 0")
        box.sh('chmod g+w "$1"', hook)
        assert agent("monitor", unit=unit, monitor_hook=hook).code == 0

    def test_sticky_directory(self, agent: Agent, box: Box) -> None:
        """A hook in /tmp is 4: once it is gone, by systemd-tmpfiles(8) for example, anyone can create that name."""
        unit, hook = box.started(), box.hook("exit 0")
        box.sh('mv "$1" /tmp/sticky-hook', hook)
        result = agent("monitor", unit=unit, monitor_hook="/tmp/sticky-hook")  # noqa: S108
        box.sh("rm /tmp/sticky-hook")
        assert result.code == 4
        assert result.reason == "hook sticky-hook: not safe to run: /tmp is writable by everyone"
