"""Units that fail, that take their time, that come back by themselves, that are not there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

FAILING = ("ExecStart=sh -c 'echo one; echo the last word >&2; exit 3'", "Type=oneshot")
NEVER_READY = ("Type=notify", "ExecStart=sleep infinity")
LATE = ("Type=notify", "NotifyAccess=all", "ExecStart=sh -c 'sleep 1; systemd-notify --ready; exec sleep infinity'")
SOON_S = 5.0  # of the 20 s that are granted: at once, on a machine that has other things to do
INTERVALS = [pytest.param(0, id="probe"), pytest.param(10, id="recurring")]


class TestFailedStart:
    """All of these end at once: nothing will change any more."""

    @pytest.mark.fault(
        "A unit fails to start.",
        "The start returns 1 at once. The reason has the unit's `Result`, its exit status and its last log line.",
    )
    def test_exit(self, agent: Agent, box: Box) -> None:
        """A unit that fails is 1; the reason has Result, exit status and the unit's last log line."""
        unit = box.service(*FAILING)
        result = agent("start", unit=unit, measured=False)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert result.reason == f"{unit} failed: exit-code, status 3: the last word"

    @pytest.mark.fault(
        "A unit is active for a moment, and fails before its hook passes.",
        "The start returns 1 at once. The reason has the unit's `Result` and its exit status.",
    )
    def test_early_exit_of_a_simple_one(self, agent: Agent, box: Box) -> None:
        """A unit that is active for a moment and fails before its hook passes is 1 at once."""
        unit = box.service("ExecStart=sh -c 'sleep 0.3; exit 3'")
        result = agent("start", unit=unit, monitor_hook=box.hook("exit 7"), measured=False)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert f"{unit} failed: exit-code, status 3" in result.reason

    @pytest.mark.fault(
        "The program of a unit is missing.",
        "The start returns 1 at once. The reason has systemd's exit status for a missing program, 203.",
    )
    def test_missing_program(self, agent: Agent, box: Box) -> None:
        """A unit whose program does not exist is 1 with systemd's own exit status for that."""
        unit = box.service("Type=exec", "ExecStart=/no/such/program")
        result = agent("start", unit=unit, measured=False)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert f"{unit} failed: exit-code, status 203" in result.reason

    @pytest.mark.fault(
        "A condition of a unit is not met.", "The start returns 1 at once, and the reason names the condition."
    )
    def test_condition(self, agent: Agent, box: Box) -> None:
        """A unit whose condition is not met is 1, although systemctl exits with 0."""
        result = agent("start", unit=box.service(before="[Unit]\nConditionPathExists=/no/such\n"), measured=False)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert "unmet condition check" in result.reason
        assert "ConditionPathExists=/no/such" in result.reason

    @pytest.mark.fault("An assertion of a unit fails.", "The start returns 1 at once, and the reason states this.")
    def test_assertion(self, agent: Agent, box: Box) -> None:
        """A unit whose assertion fails is 1."""
        result = agent("start", unit=box.service(before="[Unit]\nAssertPathExists=/no/such\n"), measured=False)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert "start job assert" in result.reason

    @pytest.mark.fault("A dependency of a unit fails.", "The start returns 1 at once, and the reason states this.")
    def test_dependency(self, agent: Agent, box: Box) -> None:
        """A unit that needs one that fails is 1."""
        needed = box.service(*FAILING)
        unit = box.service(before=f"[Unit]\nRequires={needed}\nAfter={needed}\n")
        result = agent("start", unit=unit, measured=False)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert f"{unit} inactive: start job dependency" in result.reason

    @pytest.mark.fault("The start job is cancelled.", "The start returns 1 at once, and the reason states this.")
    def test_cancelled(self, agent: Agent, box: Box) -> None:
        """A start whose job is cancelled meanwhile is 1."""
        unit = box.service(*NEVER_READY)
        call = agent.begin("start", unit=unit, measured=False)
        box.wait_for(unit, "activating")
        box.sh('systemctl stop -- "$1"', unit)
        result = call.finish()
        agent.audit(call, result)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert "start job canceled" in result.reason

    @pytest.mark.fault(
        "A unit has reached its start limit.",
        "The start succeeds, because the agent calls `systemctl reset-failed` first.",
    )
    def test_start_limit_hit(self, agent: Agent, box: Box) -> None:
        """A unit that systemd would start no more, after too many starts, is started."""
        limit = "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=2\n"
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=ls /run/test/well", before=limit)
        box.sh('for _ in 1 2 3; do systemctl start -- "$1"; done', unit, check=False)
        box.sh("mkdir -p /run/test; touch /run/test/well")
        assert box.sh('systemctl start -- "$1" 2>/dev/null; echo $?', unit) == "1"
        assert agent("start", unit=unit).code == 0


@pytest.mark.fault(
    "A unit with `Restart=always` crashes again and again.",
    "A start returns 1 by the agent deadline. A stop ends the loop.",
)
@pytest.mark.parametrize("ordered", ["yes", "no"])
def test_crash_loop(agent: Agent, box: Box, ordered: str) -> None:
    """A unit that crashes and restarts for ever is 1 before the deadline, and stop ends it."""
    lines = ("ExecStart=sh -c 'sleep 0.1; exit 3'", "Restart=always", "RestartSec=50ms")
    unit = box.service(*lines, before="[Unit]\nStartLimitIntervalSec=0\n")
    hook = box.hook("exit 7")
    result = agent("start", unit=unit, monitor_hook=hook, order_at_shutdown=ordered, timeout_s=4, leaves_job=True)
    assert result.code == 1
    assert result.reason
    assert agent("stop", unit=unit, monitor_hook=hook, order_at_shutdown=ordered).code == 0
    restarts = box.show(unit, "NRestarts")
    time.sleep(0.3)  # twice as long as it took to come back before
    assert (box.state(unit), box.show(unit, "NRestarts")) in {("inactive", restarts), ("failed", restarts)}


class TestSlowStart:
    @pytest.mark.fault("A unit starts slowly.", "Start and monitor wait, and return 0.")
    def test_becomes_ready(self, agent: Agent, box: Box) -> None:
        """Start and a concurrent monitor wait for a unit that is ready late."""
        unit = box.service(*LATE)
        starting = agent.begin("start", unit=unit)
        box.wait_for(unit, "activating")
        watching = agent.begin("monitor", unit=unit, monitor_hook=box.hook("exit 0"))
        results = [call.finish() for call in (starting, watching)]
        for call, result in zip((starting, watching), results, strict=True):
            agent.audit(call, result)
            assert result.code == 0
        assert results[0].elapsed_s > 1
        assert results[1].elapsed_s > 0.3

    @pytest.mark.fault(
        "A unit is still starting at the agent deadline.", "Start and monitor return 1 with the unit's state, never 7."
    )
    def test_never_ready(self, agent: Agent, box: Box) -> None:
        """A unit that is still about to run at the deadline is 1, not 7; and it can be stopped."""
        unit = box.service(*NEVER_READY)
        for action in ("start", "monitor"):
            result = agent(action, unit=unit, timeout_s=2, leaves_job=True)
            assert result.code == 1
            assert f"{unit} activating" in result.reason
        assert agent("stop", unit=unit).code == 0


class TestSlowStop:
    @pytest.mark.fault("A unit stops slowly.", "Stop and monitor wait. The stop returns 0, and the monitor returns 7.")
    def test_stops(self, agent: Agent, box: Box) -> None:
        """A unit that takes its time to stop is given it, and a monitor meanwhile waits for its end."""
        unit = box.started("ExecStart=sleep infinity", "ExecStop=sh -c 'sleep 1; touch /run/test/done'")
        box.sh("mkdir -p /run/test")
        stopping = agent.begin("stop", unit=unit)
        box.wait_for(unit, "deactivating")
        watching = agent.begin("monitor", unit=unit, monitor_hook=box.hook("exit 0"))
        results = [call.finish() for call in (stopping, watching)]
        for call, result in zip((stopping, watching), results, strict=True):
            agent.audit(call, result)
        assert [result.code for result in results] == [0, 7]
        assert box.sh("ls /run/test/done") == "/run/test/done"

    @pytest.mark.fault(
        "A unit with `TimeoutStopSec=infinity` ignores SIGTERM.",
        "A monitor while the unit is deactivating returns 1 at the agent deadline, not 7.",
    )
    def test_monitor_of_one_that_does_not_stop(self, agent: Agent, box: Box) -> None:
        """A unit that ignores TERM is not stopped: 1 at the deadline, not 7."""
        unit = box.stubborn("TimeoutStopSec=infinity")
        box.sh('systemctl start -- "$1" && systemctl stop --no-block -- "$1"', unit)
        box.wait_for(unit, "deactivating")
        result = agent("monitor", unit=unit, timeout_s=2, leaves_job=True)
        assert result.code == 1
        assert f"{unit} deactivating" in result.reason

    @pytest.mark.fault(
        "A unit with `TimeoutStopSec=infinity` ignores SIGTERM.", "The stop sends SIGKILL, and returns 0 in time."
    )
    def test_kills_what_does_not_stop(self, agent: Agent, box: Box) -> None:
        """A unit that ignores TERM for ever is killed late in the stop's time, and stop is 0."""
        unit = box.stubborn("TimeoutStopSec=infinity")
        box.sh('systemctl start -- "$1"', unit)
        result = agent("stop", unit=unit, timeout_s=4)
        assert result.code == 0
        assert result.elapsed_s > 2

    @pytest.mark.fault(
        "`ExecStop=` of a unit with `TimeoutStopSec=infinity` hangs.", "The stop sends SIGKILL, and returns 0 in time."
    )
    def test_exec_stop_that_hangs(self, agent: Agent, box: Box) -> None:
        """An ExecStop= that hangs for ever is killed with the rest, and stop is 0."""
        unit = box.started("ExecStart=sleep infinity", "ExecStop=sleep infinity", "TimeoutStopSec=infinity")
        assert agent("stop", unit=unit, timeout_s=4).code == 0

    @pytest.mark.fault(
        "A unit with `TimeoutStopSec=infinity` ignores SIGTERM.",
        "With `stop_escalate=no` the stop returns 1 in time, never 0.",
    )
    def test_escalation_not_wanted(self, agent: Agent, box: Box) -> None:
        """With stop_escalate=no such a unit is left alone: 1 in time, with its state."""
        unit = box.stubborn("TimeoutStopSec=infinity")
        box.sh('systemctl start -- "$1"', unit)
        result = agent("stop", unit=unit, timeout_s=2, stop_escalate="no", leaves_job=True)
        assert result.code == 1
        assert f"{unit} deactivating" in result.reason


@pytest.mark.fault(
    "A unit reloads for several seconds.", "A monitor returns the hook's result, or 0 without a hook. A stop returns 0."
)
def test_reloading(agent: Agent, box: Box) -> None:
    """A unit that reloads for seconds goes on serving: the hook decides; it can be stopped."""
    unit = box.started("ExecStart=sleep infinity", "ExecReload=sleep 30")
    box.sh('systemctl reload --no-block -- "$1"', unit)
    box.wait_for(unit, "reloading")
    assert agent("monitor", unit=unit, leaves_job=True).code == 0
    assert agent("monitor", unit=unit, monitor_hook=box.hook("exit 7"), leaves_job=True).code == 7
    assert box.state(unit) == "reloading"
    assert agent("stop", unit=unit).code == 0


class TestNotThere:
    @pytest.mark.fault(
        "systemd does not find the unit.",
        "Start and recurring monitor return 5, a probe returns 7 and a stop returns 0.",
    )
    def test_not_found(self, agent: Agent) -> None:
        """A unit that is not installed is 7 to a probe, 5 otherwise; it is stopped."""
        for action in ("start", "monitor"):
            result = agent(action, unit="absent")
            assert result.code == 5
            assert result.reason == "absent.service not found"
        assert agent("monitor", unit="absent", interval_s=0).code == 7
        assert [agent("stop", unit="absent", monitor_hook=hook).code for hook in ("", "/no/such/hook")] == [0, 0]

    @pytest.mark.fault("systemd cannot parse the unit file.", "A start returns 5.")
    def test_not_loadable(self, agent: Agent, box: Box) -> None:
        """A unit file that means nothing is 5."""
        unit = box.service("ExecStart=relative/path")
        result = agent("start", unit=unit)
        assert result.code == 5
        assert result.reason == f"{unit} does not load: bad-setting"

    @pytest.mark.fault(
        "A unit is masked while it runs.",
        "A monitor returns 0 while the unit runs, and 7 when it is down. A stop returns 0. A start of the stopped unit "
        "returns 5.",
    )
    @pytest.mark.parametrize("interval_s", INTERVALS)
    def test_masked(self, agent: Agent, box: Box, interval_s: float) -> None:
        """The ActiveState of a masked unit counts: running is 0, down is 7; it is not started."""
        unit = box.started()
        box.sh('rm "/etc/systemd/system/$1"; systemctl mask -- "$1"', unit)
        assert box.show(unit, "LoadState") == "masked"
        assert agent("monitor", unit=unit, interval_s=interval_s).code == 0
        assert agent("stop", unit=unit).code == 0
        assert agent("monitor", unit=unit, interval_s=interval_s).code == 7
        result = agent("start", unit=unit)
        assert result.code == 5
        assert result.reason == f"{unit} masked"

    @pytest.mark.fault(
        "The file of a unit is removed while the unit runs.",
        "A monitor returns 0 while the unit runs. A stop returns 0. When the unit is down, a recurring monitor returns "
        "5 and a probe returns 7.",
    )
    @pytest.mark.parametrize(
        ("interval_s", "code_when_down"), [pytest.param(0, 7, id="probe"), pytest.param(10, 5, id="recurring")]
    )
    def test_unit_file_removed(self, agent: Agent, box: Box, interval_s: float, code_when_down: int) -> None:
        """The ActiveState of a unit whose file was removed while it ran counts until it is down: it is missing then."""
        unit = box.started()
        box.sh('rm "/etc/systemd/system/$1"; systemctl daemon-reload', unit)
        assert box.show(unit, "LoadState") == "not-found"
        assert agent("monitor", unit=unit, interval_s=interval_s).code == 0
        assert agent("stop", unit=unit).code == 0
        assert agent("monitor", unit=unit, interval_s=interval_s).code == code_when_down
