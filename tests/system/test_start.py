"""start, with real units; those that fail or hang are in tests/faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

DROP_IN = "/run/systemd/system/{}.d/zz-ocf-systemd.conf"


def test_idempotent(agent: Agent, box: Box) -> None:
    """A second start of a running unit is 0 and restarts nothing."""
    unit = box.service()
    assert agent("start", unit=unit).code == 0
    process = box.show(unit, "MainPID")
    assert agent("start", unit=unit).code == 0
    assert box.show(unit, "MainPID") == process


def test_forgets_an_earlier_failure(agent: Agent, box: Box) -> None:
    """A unit that failed before is started."""
    unit = box.started("ExecStart=sh -c '[ -e /run/test/well ] || exit 3; exec sleep infinity'")
    box.wait_for(unit, "failed")
    box.sh("mkdir -p /run/test; touch /run/test/well")
    assert agent("start", unit=unit).code == 0


class TestDropIn:
    def test_written_and_in_force(self, agent: Agent, box: Box) -> None:
        """A start writes it, for all to read, and systemd goes by it at once."""
        unit = box.service("ExecStart=sleep infinity", "Restart=always")
        assert agent("start", unit=unit).code == 0
        assert box.sh(f"stat --format='%a %U' {DROP_IN.format(unit)}") == "644 root"
        assert box.sh(f"stat --format='%a %U' $(dirname {DROP_IN.format(unit)})") == "755 root"
        assert "Before=pacemaker.service pacemaker_remote.service" in box.sh(f"cat {DROP_IN.format(unit)}")
        assert {"pacemaker.service", "pacemaker_remote.service"} <= set(box.show(unit, "Before").split())
        assert (box.show(unit, "Restart"), box.show(unit, "NeedDaemonReload")) == ("no", "no")

    @pytest.mark.parametrize(
        ("stays_loaded", "expected"),
        [pytest.param(True, [1, 1, 2, 2], id="stays loaded"), pytest.param(False, [0, 0, 0, 0], id="forgotten")],
    )
    def test_one_daemon_reload(self, agent: Agent, box: Box, expected: list[int], *, stays_loaded: bool) -> None:
        """There is one daemon-reload for a start that writes it, or a stop that removes it; none if it is so already.

        Nor is there any for a unit that systemd forgets by itself while it is down, and loads with it.
        """
        path = box.in_front_of_systemctl(
            'for word; do [ "$word" != daemon-reload ] || echo x >>/run/test/reloads; done'
        )
        unit = box.service()
        if stays_loaded:
            box.remember(unit)
        counts = []
        for action in ("start", "start", "stop", "stop"):
            assert agent(action, unit=unit, variables={"PATH": path}).code == 0
            counts.append(len(box.marks("reloads")))
            assert ("pacemaker.service" in box.show(unit, "Before").split()) is (action == "start")
        assert counts == expected

    def test_removed(self, agent: Agent, box: Box) -> None:
        """A stop removes it with its directory, and systemd forgets it."""
        unit = box.service()
        assert [agent(action, unit=unit).code for action in ("start", "stop")] == [0, 0]
        assert box.sh(f"ls -d $(dirname {DROP_IN.format(unit)})", check=False) == ""
        assert "pacemaker.service" not in box.show(unit, "Before")

    def test_directory_with_more_in_it(self, agent: Agent, box: Box) -> None:
        """Another drop-in next to it stays."""
        unit = box.service()
        other = DROP_IN.format(unit).replace("zz-ocf-systemd", "60-other")
        box.write(other, "[Service]\nNice=3\n")
        assert [agent(action, unit=unit).code for action in ("start", "stop")] == [0, 0]
        assert box.sh(f"ls $(dirname {other})") == "60-other.conf"

    def test_not_wanted(self, agent: Agent, box: Box) -> None:
        """order_at_shutdown=no writes none."""
        unit = box.service()
        assert agent("start", unit=unit, order_at_shutdown="no").code == 0
        assert box.sh(f"ls {DROP_IN.format(unit)}", check=False) == ""

    def test_written_but_not_loaded(self, agent: Agent, box: Box) -> None:
        """The next start loads a drop-in of a start that died before its daemon-reload."""
        unit = box.service()
        assert agent("start", unit=unit).code == 0
        text = box.sh(f"cat {DROP_IN.format(unit)}")  # less its last newline
        assert agent("stop", unit=unit).code == 0
        box.sh('systemctl start -- "$1"', unit)
        box.write(DROP_IN.format(unit), f"{text}\n")
        assert "pacemaker.service" not in box.show(unit, "Before")
        assert agent("start", unit=unit).code == 0
        assert box.show(unit, "NeedDaemonReload") == "no"
        assert "pacemaker.service" in box.show(unit, "Before")


class TestOneshot:
    def test_leaves_nothing(self, agent: Agent, box: Box) -> None:
        """Type=oneshot without RemainAfterExit= never becomes active: 1."""
        unit = box.service("Type=oneshot", "ExecStart=true")
        result = agent("start", unit=unit, measured=False)
        assert result.code == 1
        assert result.elapsed_s < 5
        assert result.reason.startswith(f"{unit} inactive: start job done")

    def test_remains(self, agent: Agent, box: Box) -> None:
        """Type=oneshot with RemainAfterExit= is started, monitored and stopped like any other."""
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=true")
        codes = [agent(action, unit=unit).code for action in ("start", "monitor", "stop", "monitor")]
        assert codes == [0, 0, 0, 7]


class TestHook:
    def test_degraded_is_running(self, agent: Agent, box: Box) -> None:
        """The start succeeds if the hook returns degraded."""
        assert agent("start", unit=box.service(), monitor_hook=box.hook("exit 190")).code == 0

    def test_poll_limit(self, agent: Agent, box: Box) -> None:
        """start_poll_limit is the number of looks."""
        result = agent("start", unit=box.service(), monitor_hook=box.marking("ran", 7), start_poll_limit="3")
        assert result.code == 1
        assert len(box.marks("ran")) == 3
