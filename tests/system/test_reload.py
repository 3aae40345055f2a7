"""reload, reload-agent and validate-all: none of them restarts anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

RELOADABLE = ("ExecStart=sleep infinity", "ExecReload=sh -c 'mkdir -p /run/test; touch /run/test/reloaded'")


class TestReload:
    def test_reloads(self, agent: Agent, box: Box) -> None:
        """A unit that can is reloaded, not restarted."""
        unit = box.started(*RELOADABLE)
        process = box.show(unit, "MainPID")
        assert agent("reload", unit=unit).code == 0
        assert box.sh("ls /run/test/reloaded") == "/run/test/reloaded"
        assert box.show(unit, "MainPID") == process

    def test_monitors(self, agent: Agent, box: Box) -> None:
        """The result is that of the monitor after it."""
        result = agent("reload", unit=box.started(*RELOADABLE), monitor_hook=box.hook("exit 42"))
        assert result.code == 42

    def test_cannot(self, agent: Agent, box: Box) -> None:
        """A unit that cannot reload is 3."""
        unit = box.started()
        result = agent("reload", unit=unit)
        assert result.code == 3
        assert f"{unit} cannot reload" in result.reason

    def test_down(self, agent: Agent, box: Box) -> None:
        """A unit that is down is 7, and stays down."""
        unit = box.service(*RELOADABLE)
        assert agent("reload", unit=unit).code == 7
        assert box.state(unit) == "inactive"

    def test_fails(self, agent: Agent, box: Box) -> None:
        """A reload that fails is 1 though the unit runs on."""
        unit = box.started("ExecStart=sleep infinity", "ExecReload=false")
        result = agent("reload", unit=unit)
        assert result.code == 1
        assert f"{unit} not reloaded: reload job failed" in result.reason
        assert box.state(unit) == "active"

    def test_hangs(self, agent: Agent, box: Box) -> None:
        """A reload that takes longer than there is time is 1 in time."""
        unit = box.started("ExecStart=sleep infinity", "ExecReload=sleep infinity")
        result = agent("reload", unit=unit, timeout_s=3, leaves_job=True)
        assert result.code == 1


class TestReloadAgent:
    def test_nothing_is_restarted(self, agent: Agent, box: Box) -> None:
        """A new hook is taken over, and the unit does not notice."""
        unit = box.service(*RELOADABLE)
        assert agent("start", unit=unit, monitor_hook=box.hook("exit 0", "old")).code == 0
        process = box.show(unit, "MainPID")
        new = box.hook("exit 190", "new")
        assert agent("reload-agent", unit=unit, monitor_hook=new).code == 0
        assert agent("monitor", unit=unit, monitor_hook=new).code == 190
        assert box.show(unit, "MainPID") == process
        assert box.sh("ls /run/test/reloaded", check=False) == ""

    @pytest.mark.parametrize(
        ("hook", "code"),
        [pytest.param("hooks/x", 6, id="wrong"), pytest.param("/no/such/hook", 5, id="missing")],
    )
    def test_validates(self, agent: Agent, box: Box, hook: str, code: int) -> None:
        """A wrong new value is reported."""
        assert agent("reload-agent", unit=box.started(), monitor_hook=hook).code == code

    def test_drop_in(self, agent: Agent, box: Box) -> None:
        """order_at_shutdown can be changed while the unit runs."""
        unit = box.service()
        assert agent("start", unit=unit).code == 0
        for ordered in ("no", "yes"):
            assert agent("reload-agent", unit=unit, order_at_shutdown=ordered).code == 0
            assert ("pacemaker.service" in box.show(unit, "Before")) == (ordered == "yes")


class TestValidateAll:
    @pytest.mark.parametrize(
        ("level", "code"),
        [pytest.param("", 0, id="unset"), pytest.param("0", 0, id="0"), pytest.param("10", 5, id="10")],
    )
    @pytest.mark.parametrize("missing", ["unit", "hook"])
    def test_levels(self, agent: Agent, box: Box, level: str, code: int, missing: str) -> None:
        """Level 0 judges the values alone; level 10 what this host has as well."""
        unit = "absent" if missing == "unit" else box.service()
        hook = "/no/such/hook" if missing == "hook" else box.hook("exit 0")
        variables = {"OCF_CHECK_LEVEL": level} if level else {}
        result = agent("validate-all", unit=unit, monitor_hook=hook, variables=variables)
        assert result.code == code

    def test_unsafe_hook(self, agent: Agent, box: Box) -> None:
        """At level 10 a hook that others could change is 4."""
        hook = box.hook("exit 0", mode=0o777)
        result = agent("validate-all", unit=box.service(), monitor_hook=hook, variables={"OCF_CHECK_LEVEL": "10"})
        assert result.code == 4

    def test_nothing_is_wrong(self, agent: Agent, box: Box) -> None:
        """At level 10 a unit and a hook that are there are 0, and the hook is not run."""
        hook = box.marking("ran", 7)
        result = agent("validate-all", unit=box.service(), monitor_hook=hook, variables={"OCF_CHECK_LEVEL": "10"})
        assert result.code == 0
        assert box.marks("ran") == []

    def test_level_0_needs_no_systemd(self, agent: Agent, box: Box) -> None:
        """Tools such as pcs validate on machines without a running systemd, without a PATH."""
        with box.freeze():
            result = agent("validate-all", unit="any", variables={"PATH": ""}, timeout_s=5)
        assert result.code == 0
