"""start, with real units that run, fail, hang, or never were to run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Agent, Box

DROP_IN = "/run/systemd/system/{}.d/50-ocf-systemd.conf"
FAILING = ("ExecStart=sh -c 'echo one; echo the last word >&2; exit 3'", "Type=oneshot")


def test_idempotent(agent: Agent, box: Box) -> None:
    """A second start of a running unit is 0 and restarts nothing."""
    unit = box.service()
    assert agent("start", unit=unit).code == 0
    process = box.show(unit, "MainPID")
    assert agent("start", unit=unit).code == 0
    assert box.show(unit, "MainPID") == process


def test_waits_for_a_slow_unit(agent: Agent, box: Box) -> None:
    """A unit that says late that it is ready is waited for."""
    ready = "ExecStart=sh -c 'sleep 1; systemd-notify --ready; exec sleep infinity'"
    answer = agent("start", unit=box.service("Type=notify", "NotifyAccess=all", ready))
    assert answer.code == 0
    assert answer.elapsed_s > 1


def test_forgets_an_earlier_failure(agent: Agent, box: Box) -> None:
    """A unit that failed before is started."""
    unit = box.started("ExecStart=sh -c '[ -e /run/test/well ] || exit 3; exec sleep infinity'")
    box.wait_for(unit, "failed")
    box.sh("mkdir -p /run/test; touch /run/test/well")
    assert agent("start", unit=unit).code == 0


def test_start_limit_hit(agent: Agent, box: Box) -> None:
    """A unit that systemd would start no more, after too many starts, is started."""
    limit = "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=2\n"
    unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=ls /run/test/well", before=limit)
    box.sh('for _ in 1 2 3; do systemctl start -- "$1"; done', unit, check=False)
    box.sh("mkdir -p /run/test; touch /run/test/well")
    assert box.sh('systemctl start -- "$1" 2>/dev/null; echo $?', unit) == "1"
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

    def test_one_daemon_reload(self, agent: Agent, box: Box) -> None:
        """There is one daemon-reload for a start that writes it, and none for one that finds it."""
        path = box.in_front_of_systemctl(
            'for word; do [ "$word" != daemon-reload ] || echo x >>/run/test/reloads; done'
        )
        unit = box.service()
        counts = []
        for action in ("start", "start", "stop", "stop"):
            assert agent(action, unit=unit, variables={"PATH": path}).code == 0
            counts.append(len(box.marks("reloads")))
        assert counts == [1, 1, 2, 2]

    def test_removed(self, agent: Agent, box: Box) -> None:
        """A stop removes it with its directory, and systemd forgets it."""
        unit = box.service()
        assert [agent(action, unit=unit).code for action in ("start", "stop")] == [0, 0]
        assert box.sh(f"ls -d $(dirname {DROP_IN.format(unit)})", check=False) == ""
        assert "pacemaker.service" not in box.show(unit, "Before")

    def test_directory_with_more_in_it(self, agent: Agent, box: Box) -> None:
        """Another drop-in beside it stays."""
        unit = box.service()
        other = DROP_IN.format(unit).replace("50-ocf-systemd", "60-other")
        box.write(other, "[Service]\nNice=3\n")
        assert [agent(action, unit=unit).code for action in ("start", "stop")] == [0, 0]
        assert box.sh(f"ls $(dirname {other})") == "60-other.conf"

    def test_not_wanted(self, agent: Agent, box: Box) -> None:
        """order_at_shutdown=no writes none."""
        unit = box.service()
        assert agent("start", unit=unit, order_at_shutdown="no").code == 0
        assert box.sh(f"ls {DROP_IN.format(unit)}", check=False) == ""

    def test_written_but_not_told(self, agent: Agent, box: Box) -> None:
        """One that was written by a start that died before it told systemd comes into force with the next."""
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


@pytest.fixture
def read_only(box: Box) -> Iterator[None]:
    box.sh("mount --bind /run/systemd/system /run/systemd/system && mount -o remount,bind,ro /run/systemd/system")
    yield
    box.sh("umount /run/systemd/system")


@pytest.mark.usefixtures("read_only")
def test_drop_in_cannot_be_written(agent: Agent, box: Box) -> None:
    """A start fails and tells why; the unit is not started; a stop is not kept from its work."""
    unit = box.service()
    answer = agent("start", unit=unit)
    assert answer.code == 1
    assert f"drop-in {DROP_IN.format(unit)} cannot be written: Read-only file system" in answer.reason
    assert box.state(unit) == "inactive"
    box.sh('systemctl start -- "$1"', unit)
    assert agent("stop", unit=unit).code == 0


def test_drop_in_cannot_be_removed(agent: Agent, box: Box) -> None:
    """A drop-in that cannot be removed keeps no stop from its work."""
    unit = box.service()
    assert agent("start", unit=unit).code == 0
    box.sh("mount --bind /run/systemd/system /run/systemd/system && mount -o remount,bind,ro /run/systemd/system")
    try:
        assert agent("stop", unit=unit).code == 0
    finally:
        box.sh("umount /run/systemd/system")


class TestFailure:
    """All of these end at once: nothing will change any more. 20 s are granted."""

    def test_exit(self, agent: Agent, box: Box) -> None:
        """A unit that fails is 1; the reason tells Result, exit status and the unit's last words."""
        unit = box.service(*FAILING)
        answer = agent("start", unit=unit, measured=False)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert f"{unit} is failed (start job: failed, Result=exit-code, status=3)" in answer.reason
        assert answer.reason.endswith(": the last word")

    def test_early_exit_of_a_simple_one(self, agent: Agent, box: Box) -> None:
        """A unit that is active for a moment and fails before its hook passes is 1 at once."""
        unit = box.service("ExecStart=sh -c 'sleep 0.3; exit 3'")
        answer = agent("start", unit=unit, monitor_hook=box.hook("exit 7"), measured=False)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert "Result=exit-code, status=3" in answer.reason

    def test_missing_program(self, agent: Agent, box: Box) -> None:
        """A unit whose program does not exist is 1 with systemd's own exit status for that."""
        answer = agent("start", unit=box.service("Type=exec", "ExecStart=/no/such/program"))
        assert answer.code == 1
        assert "Result=exit-code, status=203" in answer.reason

    def test_condition(self, agent: Agent, box: Box) -> None:
        """A unit whose condition is not met is 1: systemctl's own answer would be 0."""
        answer = agent("start", unit=box.service(before="[Unit]\nConditionPathExists=/no/such\n"), measured=False)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert "unmet condition check (ConditionPathExists=/no/such)" in answer.reason

    def test_assertion(self, agent: Agent, box: Box) -> None:
        """A unit whose assertion fails is 1."""
        answer = agent("start", unit=box.service(before="[Unit]\nAssertPathExists=/no/such\n"), measured=False)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert "start job: assert" in answer.reason

    def test_dependency(self, agent: Agent, box: Box) -> None:
        """A unit that needs one that fails is 1."""
        needed = box.service(*FAILING)
        unit = box.service(before=f"[Unit]\nRequires={needed}\nAfter={needed}\n")
        answer = agent("start", unit=unit, measured=False)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert "dependency failed" in answer.reason

    def test_cancelled(self, agent: Agent, box: Box) -> None:
        """A start whose job is cancelled meanwhile is 1."""
        unit = box.service("Type=notify", "ExecStart=sleep infinity")
        call = agent.begin("start", unit=unit, measured=False)
        box.wait_for(unit, "activating")
        box.sh('systemctl stop -- "$1"', unit)
        answer = call.finish()
        agent.audit(call, answer)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert "start job: canceled" in answer.reason

    def test_oneshot_that_leaves_nothing(self, agent: Agent, box: Box) -> None:
        """Type=oneshot without RemainAfterExit= never becomes active: 1."""
        answer = agent("start", unit=box.service("Type=oneshot", "ExecStart=true"), measured=False)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert "is inactive (start job done), expected active" in answer.reason

    def test_oneshot_that_remains(self, agent: Agent, box: Box) -> None:
        """Type=oneshot with RemainAfterExit= is started, monitored and stopped like any other."""
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=true")
        codes = [agent(action, unit=unit).code for action in ("start", "monitor", "stop", "monitor")]
        assert codes == [0, 0, 0, 7]

    @pytest.mark.parametrize("ordered", ["yes", "no"])
    def test_crash_loop(self, agent: Agent, box: Box, ordered: str) -> None:
        """A unit that crashes and restarts for ever is 1 before the deadline, and stop ends it."""
        lines = ("ExecStart=sh -c 'sleep 0.1; exit 3'", "Restart=always", "RestartSec=50ms")
        unit = box.service(*lines, before="[Unit]\nStartLimitIntervalSec=0\n")
        hook = box.hook("exit 7")
        answer = agent("start", unit=unit, monitor_hook=hook, order_at_shutdown=ordered, timeout_s=4, leaves_job=True)
        assert answer.code == 1
        assert answer.reason
        assert agent("stop", unit=unit, monitor_hook=hook, order_at_shutdown=ordered).code == 0
        restarts = box.show(unit, "NRestarts")
        time.sleep(0.3)
        assert (box.state(unit), box.show(unit, "NRestarts")) in {("inactive", restarts), ("failed", restarts)}

    def test_start_that_takes_too_long(self, agent: Agent, box: Box) -> None:
        """A unit that never gets ready is 1 at the deadline with its state."""
        unit = box.service("Type=notify", "ExecStart=sleep infinity")
        answer = agent("start", unit=unit, timeout_s=3, leaves_job=True)
        assert answer.code == 1
        assert f"{unit} is activating" in answer.reason
        assert agent("stop", unit=unit).code == 0


class TestRefused:
    def test_masked(self, agent: Agent, box: Box) -> None:
        """A masked unit is 5."""
        unit = box.service()
        box.sh('rm "/etc/systemd/system/$1"; systemctl mask -- "$1"', unit)
        answer = agent("start", unit=unit)
        assert answer.code == 5
        assert f"{unit} is masked" in answer.reason

    def test_not_found(self, agent: Agent) -> None:
        """A unit that is not installed is 5."""
        answer = agent("start", unit="absent")
        assert answer.code == 5
        assert "absent.service is not found" in answer.reason

    def test_not_loadable(self, agent: Agent, box: Box) -> None:
        """A unit file that means nothing is 5."""
        answer = agent("start", unit=box.service("ExecStart=relative/path"))
        assert answer.code == 5
        assert "does not load (LoadState=bad-setting)" in answer.reason

    def test_systemd_does_not_answer(self, agent: Agent, box: Box) -> None:
        """A systemd that does not answer is 1 before the deadline."""
        unit = box.service()
        with box.freeze():
            answer = agent("start", unit=unit, timeout_s=2)
        assert answer.code == 1
        assert "systemd does not answer" in answer.reason


class TestHook:
    def test_degraded_is_running(self, agent: Agent, box: Box) -> None:
        """A hook that says degraded lets the unit count as started."""
        assert agent("start", unit=box.service(), monitor_hook=box.hook("exit 190")).code == 0

    def test_a_hang_leaves_room_for_another_try(self, agent: Agent, box: Box) -> None:
        """A hook that hangs the first time is run again within the deadline."""
        box.sh("mkdir -p /run/test")
        hook = box.hook("[ -e /run/test/second ] || { touch /run/test/second; sleep 1000; }")
        assert agent("start", unit=box.service(), monitor_hook=hook, timeout_s=6).code == 0

    def test_poll_limit(self, agent: Agent, box: Box) -> None:
        """start_poll_limit is the number of looks."""
        answer = agent("start", unit=box.service(), monitor_hook=box.marking("ran", 7), start_poll_limit="3")
        assert answer.code == 1
        assert len(box.marks("ran")) == 3
