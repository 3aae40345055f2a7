"""A stop that comes near its deadline: when it kills, what, and how; and what it never kills."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.agent import Agent
    from tests.system.box import Box

LOGGED = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
FOREVER = "TimeoutStopSec=infinity"
VERBS = 'for word; do case $word in -*) ;; *) echo "$word" >>/run/test/verbs; break ;; esac; done'
IGNORES_TERM = """sh -c 'trap "" TERM; touch /run/test/trap; exec sleep 9876'"""
PARENTS = 40
FORKS = f"""trap "" TERM
for _ in $(seq {PARENTS}); do
    (for _ in $(seq 1000); do sleep 9876; done) &
done
wait
"""


def escalations(box: Box) -> int:
    """Return how often the log reports an escalation."""
    return sum("sending SIGKILL" in line for line in box.marks("log"))


@contextmanager
def visitor(box: Box, directory: str) -> Iterator[None]:
    """Run a process in the box during the block that works in a directory and belongs to no unit."""
    with subprocess.Popen(box.sandbox.command(["sleep", "9877"], cwd=directory)) as process:
        try:
            box.wait_for_visitor("sleep 9877")
            yield
        finally:
            box.sh('kill -KILL $(pgrep -x -f "sleep 9877")', check=False)
            process.wait(10)


@COLD_ONLY
class TestMoment:
    @pytest.mark.fault(
        "A unit with `TimeoutStopSec=90` ignores SIGTERM, and the stop has a timeout of 8 s or 26 s.",
        "The agent sends SIGKILL before the agent deadline, by a quarter of the time until that deadline, but by at "
        "most 5 s. It sends no SIGKILL earlier. The stop returns 0.",
    )
    def test_a_quarter_before_the_deadline(self, agent: Agent, box: Box) -> None:
        """The unit has as much time to stop as leaves the agent enough to observe the end of a killed one."""
        moments_s = {8: 5.4, 26: 18.4}  # timeout - reserve - a quarter of that
        units = {timeout_s: box.stubborn("TimeoutStopSec=90") for timeout_s in moments_s}
        for unit in units.values():
            box.sh('rm -f /run/test/trap; systemctl start -- "$1"', unit)
        calls = [
            agent.begin("stop", unit=unit, timeout_s=timeout_s, variables=LOGGED, measured=False)
            for timeout_s, unit in units.items()
        ]
        results = [call.finish() for call in calls]
        for call, result, moment_s in zip(calls, results, moments_s.values(), strict=True):
            agent.audit(call, result)
            assert result.code == 0
            assert moment_s <= result.elapsed_s
        assert escalations(box) == len(units)
        assert results[-1].elapsed_s < 22  # of a deadline of 23.4 s: it is dead at once

    @pytest.mark.fault(
        "A unit ignores SIGTERM, and its `TimeoutStopSec=` ends before the agent would send SIGKILL.",
        "systemd sends SIGKILL, and the agent sends none. The stop returns 0.",
    )
    def test_systemd_first(self, agent: Agent, box: Box) -> None:
        """A shorter limit of the unit expires first, and systemd kills the unit then."""
        unit = box.stubborn("TimeoutStopSec=1")
        box.sh('systemctl start -- "$1"', unit)
        result = agent("stop", unit=unit, timeout_s=20, variables=LOGGED)
        assert result.code == 0
        assert 1 <= result.elapsed_s < 10
        assert box.show(unit, "Result") == "timeout"
        assert escalations(box) == 0


@COLD_ONLY
class TestHow:
    @pytest.mark.fault(
        "A unit with `ExecStopPost=` and `TimeoutStopSec=infinity` ignores SIGTERM.",
        "The agent sends SIGKILL to each pid, and does not use `cgroup.kill`. Then `ExecStopPost=` runs to its end.",
    )
    def test_stop_post(self, agent: Agent, box: Box) -> None:
        """What a unit does after its end, as unmounting, is done: only what does not stop is killed."""
        post = "ExecStopPost=sh -c 'sleep 0.1; touch /run/test/post'"
        unit = box.stubborn(FOREVER, post, "ExecStartPre=rm -f /run/test/post")
        path = box.in_front_of_systemctl(VERBS)
        box.sh('systemctl start -- "$1"', unit)
        # A file laid over the kernel's own keeps what is written to it.
        box.write("/run/test/kill", "")
        box.sh('mount --bind /run/test/kill "/sys/fs/cgroup/system.slice/$1/cgroup.kill"', unit)
        result = agent("stop", unit=unit, timeout_s=10, variables={"PATH": path, **LOGGED})
        assert result.code == 0
        assert escalations(box) == 1
        assert box.path("/run/test/post").exists()
        assert box.marks("kill") == []
        assert "stop" in box.marks("verbs")
        assert "kill" not in box.marks("verbs")

    @pytest.mark.fault(
        "A unit with `TimeoutStopSec=infinity` ignores SIGTERM, and its `ExecStopPost=` hangs.",
        "The agent sends SIGKILL to the unit's processes, and later to `ExecStopPost=`. The stop returns 0.",
    )
    def test_stop_post_that_hangs(self, agent: Agent, box: Box) -> None:
        """It has a share of the time, and not all of it."""
        unit = box.stubborn(FOREVER, f"ExecStopPost={IGNORES_TERM}")
        box.sh('systemctl start -- "$1"', unit)
        assert agent("stop", unit=unit, timeout_s=12).code == 0

    @pytest.mark.fault(
        "Forty processes of a unit ignore SIGTERM. Each of them starts a child, and a new child whenever that child "
        "ends.",
        "The stop kills all of these processes and returns 0.",
    )
    def test_many_that_come_again(self, agent: Agent, box: Box) -> None:
        """Processes that appear while others are killed are killed as well, until there are none."""
        box.write("/run/test/forks", FORKS)
        unit = box.started("ExecStart=sh /run/test/forks", FOREVER)
        group = box.path(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs")
        deadline = time.monotonic() + 20
        while len(group.read_text(encoding="ascii").split()) < 2 * PARENTS:
            assert time.monotonic() < deadline, "the processes do not appear"
            time.sleep(0.05)
        assert agent("stop", unit=unit, timeout_s=16).code == 0
        assert not group.exists() or not group.read_text(encoding="ascii")


class TestNever:
    @pytest.mark.fault(
        "The file system of a mount unit is busy.",
        "The stop returns 1 with the message of `umount`, and kills no process that uses the file system. When the "
        "file system is no longer in use, a stop returns 0.",
    )
    def test_busy_mount(self, agent: Agent, box: Box) -> None:
        """A file system that is in use cannot be unmounted; the processes that use it must not be killed."""
        unit = box.unit("srv-busy.mount", "[Mount]\nWhat=none\nWhere=/srv/busy\nType=tmpfs\n")
        box.sh('systemctl daemon-reload; systemctl start "$1"', unit)
        user = box.started("ExecStart=sh -c 'cd /srv/busy; exec sleep 9876'")
        main = box.show(user, "MainPID")
        with visitor(box, "/srv/busy"):
            result = agent("stop", unit=unit, timeout_s=4)
            assert result.code == 1
            assert result.reason.startswith(f"{unit} active")
            assert "target is busy" in result.reason
            assert "sleep 9877" in {command.rstrip() for command in box.visitors().values()}
            assert box.show(user, "MainPID") == main
        box.sh('systemctl stop -- "$1"', user)
        assert agent("stop", unit=unit).code == 0

    @pytest.mark.fault(
        "A unit that is not a service does not stop in time.",
        "The stop returns 1 with the unit's state, and kills nothing.",
    )
    def test_no_processes(self, agent: Agent, box: Box) -> None:
        """A socket whose stop waits for a program is not a service: what it runs is left alone."""
        box.sh("mkdir -p /run/test")
        stop = "TimeoutSec=60\nExecStopPre=sh -c 'sleep 4; touch /run/test/done'\n"
        unit = box.unit("probe-slow.socket", f"[Socket]\nListenStream=/run/probe-slow.sock\n{stop}")
        box.unit("probe-slow.service", "[Service]\nExecStart=sleep infinity\n")
        box.sh('systemctl daemon-reload; systemctl start "$1"', unit)
        result = agent("stop", unit=unit, timeout_s=3, leaves_job=True)
        assert result.code == 1
        assert result.reason.startswith(f"{unit} deactivating")
        box.wait_for(unit, "inactive")
        assert box.path("/run/test/done").exists()
