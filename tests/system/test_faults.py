"""The agent itself is killed, starved or cut off; and the audit, which must see what it is there to see."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Agent, Box, Call

HANG = "touch /run/test/hook; trap '' TERM; while :; do sleep 1; done"


def wait_for_file(box: Box, path: str) -> None:
    file = Path(f"/proc/{box.sandbox.pid}/root{path}")
    deadline = time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)


def wait_until_gone(box: Box, call: Call) -> None:
    """Wait until nothing of a call is left: who was killed may still be ending."""
    deadline = time.monotonic() + 2
    while left := {pid: words for pid, words in box.visitors().items() if pid not in call.before}:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def interpreters(box: Box, call: Call) -> list[int]:
    """Return the agent's own process, as the host counts."""
    return [pid for pid, words in box.visitors().items() if pid not in call.before and "pacemaker/systemd" in words]


class TestSignals:
    @pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP], ids=lambda number: number.name)
    @pytest.mark.parametrize("action", ["monitor", "start"])
    def test_ends_early(self, agent: Agent, box: Box, action: str, number: Signals) -> None:
        """A signal that asks for an end gets one: 1 with its name, and no hook left."""
        box.sh("mkdir -p /run/test")
        call = agent.begin(action, unit=box.started(), monitor_hook=box.hook(HANG))
        wait_for_file(box, "/run/test/hook")
        for pid in interpreters(box, call):
            os.kill(pid, number)
        answer = call.finish()
        agent.audit(call, answer)
        assert answer.code == 1
        assert answer.elapsed_s < 5
        assert f"interrupted by {number.name}" in answer.reason

    @pytest.mark.parametrize("action", ["monitor", "start"])
    def test_group_is_killed(self, agent: Agent, box: Box, action: str) -> None:
        """What Pacemaker does to a late agent: SIGKILL to its group leaves no hook, and the next action is right."""
        box.sh("mkdir -p /run/test")
        hook = box.hook(HANG)
        unit = box.service() if action == "start" else box.started()
        call = agent.begin(action, unit=unit, monitor_hook=hook)
        wait_for_file(box, "/run/test/hook")
        os.killpg(os.getpgid(interpreters(box, call)[0]), SIGKILL)
        call.finish()
        box.hook("exit 0")
        wait_until_gone(box, call)
        assert [agent(each, unit=unit, monitor_hook=hook).code for each in ("monitor", "start", "stop")] == [0, 0, 0]

    @pytest.mark.parametrize("delay_s", [0.1, 0.2, 0.3])
    @pytest.mark.parametrize("action", ["start", "stop"])
    def test_killed_at_any_step(self, agent: Agent, box: Box, action: str, delay_s: float) -> None:
        """Killed with its group anywhere on its way, the same action is right the next time, drop-in included."""
        unit = box.service()
        if action == "stop":
            assert agent("start", unit=unit).code == 0
        call = agent.begin(action, unit=unit)
        time.sleep(delay_s)
        if groups := {os.getpgid(pid) for pid in interpreters(box, call)}:
            os.killpg(groups.pop(), SIGKILL)
        call.finish()
        assert agent(action, unit=unit).code == 0
        assert ("pacemaker.service" in box.show(unit, "Before")) == (action == "start")
        assert box.sh("ls -A /run/systemd/system", check=False).count(".50-ocf") == 0


def test_nobody_reads(agent: Agent, box: Box) -> None:
    """The executor may be gone before the answer: an action goes on to its end."""
    unit = box.service()
    call = agent.begin("start", unit=unit, monitor_hook=box.hook("exit 190"))
    assert call.process.stdout is not None
    assert call.process.stderr is not None
    call.process.stdout.close()
    call.process.stderr.close()
    assert call.process.wait(20) == 0
    assert box.state(unit) == "active"


class TestShortage:
    @pytest.mark.parametrize(
        "limit",
        [
            pytest.param("--nofile=6", id="6-descriptors"),
            pytest.param("--nofile=9", id="9-descriptors"),
            pytest.param("--nofile=12", id="12-descriptors"),
        ],
    )
    def test_descriptors(self, agent: Agent, box: Box, limit: str) -> None:
        """Without descriptors nobody knows how the unit is: 1 or, when they sufficed, the truth; never 7."""
        unit = box.started()
        call = agent.begin("monitor", unit=unit, monitor_hook=box.hook("exit 0"), limits=[limit], timeout_s=3)
        answer = call.finish()
        agent.audit(call, answer)
        assert answer.code in {0, 1}

    def test_memory(self, agent: Agent, box: Box) -> None:
        """Two gigabytes of a hook's output fit into a few hundred megabytes of address space."""
        hook = box.hook("head -c 2G /dev/zero & head -c 2G /dev/zero >&2; wait; echo at last >&2; exit 42")
        call = agent.begin("monitor", unit=box.started(), monitor_hook=hook, limits=["--as=500000000"], timeout_s=60)
        answer = call.finish()
        agent.audit(call, answer)
        assert answer.code == 42
        assert answer.reason.endswith(": at last")

    def test_disk_full(self, agent: Agent, box: Box) -> None:
        """A full /run makes start fail telling why; stop is not kept from its work."""
        unit = box.started()
        box.sh("mount -t tmpfs -o nr_inodes=1 full /run/systemd/system")
        try:
            answers = [agent(action, unit=unit) for action in ("start", "monitor", "stop")]
        finally:
            box.sh("umount /run/systemd/system")
        assert [answer.code for answer in answers] == [1, 0, 0]
        assert "cannot be written: No space left on device" in answers[0].reason


def test_reexecution(agent: Agent, box: Box) -> None:
    """No start and no stop fails while systemd reloads and re-executes itself in a loop."""
    unit = box.service()
    script = "until [ -e /run/test/enough ]; do systemctl daemon-reexec; systemctl daemon-reload; done"
    with subprocess.Popen(box.sandbox.command(["sh", "-c", script]), stderr=subprocess.DEVNULL) as loop:
        answers = [agent.begin(action, unit=unit).finish() for action in ("start", "monitor", "stop", "monitor") * 2]
        box.sh("mkdir -p /run/test; touch /run/test/enough")
        loop.wait(20)
    assert [answer.code for answer in answers] == [0, 0, 0, 7] * 2, answers


class TestAudit:
    """It sees what it is there to see."""

    def test_process(self, agent: Agent, box: Box) -> None:
        """A process that a call left behind."""
        call = agent.begin("monitor", unit=box.started())
        answer = call.finish()
        with subprocess.Popen(box.sandbox.command(["sleep", "99"])) as stray:
            wait_for_process(box, "sleep 99")
            with pytest.raises(AssertionError, match="left behind: sleep 99"):
                agent.audit(call, answer)
            for pid, words in box.visitors().items():
                if words.startswith("sleep 99"):
                    os.kill(pid, SIGKILL)
            stray.wait(10)
        agent.audit(call, answer)

    def test_job(self, agent: Agent, box: Box) -> None:
        """A job that is queued."""
        unit = box.service("Type=notify", "ExecStart=sleep infinity")
        call = agent.begin("monitor", unit=box.started())
        answer = call.finish()
        box.sh('systemctl start --no-block -- "$1"', unit)
        with pytest.raises(AssertionError, match=f"job queued: .*{re.escape(unit)}"):
            agent.audit(call, answer)

    def test_state(self, agent: Agent, box: Box) -> None:
        """An answer that is not what systemd says."""
        unit = box.started()
        call = agent.begin("monitor", unit=unit)
        answer = call.finish()
        box.sh('systemctl stop -- "$1"', unit)
        with pytest.raises(AssertionError, match=f"{re.escape(unit)} is inactive"):
            agent.audit(call, answer)


def wait_for_process(box: Box, words: str) -> None:
    deadline = time.monotonic() + 10
    while not any(line.startswith(words) for line in box.visitors().values()):
        assert time.monotonic() < deadline, f"{words} does not appear"
        time.sleep(0.01)
