"""The audit itself: it sees what it is there to see."""

from __future__ import annotations

import os
import re
import subprocess
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.system.agent_result import AgentResult

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box


def test_process(agent: Agent, box: Box) -> None:
    """It sees a process that a call left behind."""
    call = agent.begin("monitor", unit=box.started())
    result = call.finish()
    with subprocess.Popen(box.sandbox.command(["sleep", "99"])) as leftover:
        box.wait_for_visitor("sleep 99")
        with pytest.raises(AssertionError, match="left behind: sleep 99"):
            agent.audit(call, result)
        for pid, command in box.visitors().items():
            if command.startswith("sleep 99"):
                os.kill(pid, SIGKILL)
        leftover.wait(10)
    agent.audit(call, result)


def test_job(agent: Agent, box: Box) -> None:
    """It sees a job that is queued."""
    unit = box.service("Type=notify", "ExecStart=sleep infinity")
    call = agent.begin("monitor", unit=box.started())
    result = call.finish()
    box.sh('systemctl start --no-block -- "$1"', unit)
    with pytest.raises(AssertionError, match=f"job queued: .*{re.escape(unit)}"):
        agent.audit(call, result)


def test_state(agent: Agent, box: Box) -> None:
    """The audit detects a result that disagrees with systemd."""
    unit = box.started()
    call = agent.begin("monitor", unit=unit)
    result = call.finish()
    box.sh('systemctl stop -- "$1"', unit)
    with pytest.raises(AssertionError, match=f"{re.escape(unit)} is inactive"):
        agent.audit(call, result)


FORMS = [
    pytest.param(
        AgentResult(1, "", "Traceback (most recent call last):\nocf-exit-reason:x\n", 1), "traceback", id="traceback"
    ),
    pytest.param(AgentResult(1, "", "ocf-exit-reason:x\n", 19.99), "took 19.99 s of 20", id="late"),
    pytest.param(
        AgentResult(1, "", "ocf-exit-reason:x\nocf-exit-reason:x\n", 1), "more than one reason", id="two-reasons"
    ),
    pytest.param(AgentResult(1, "", "ocf-exit-reason:x\nmore\n", 1), "the reason is not the last line", id="not-last"),
    pytest.param(AgentResult(1, "", "", 1), "no reason", id="no-reason"),
    pytest.param(AgentResult(7, "", "ocf-exit-reason: \n", 1), "no reason", id="empty-reason"),
    pytest.param(AgentResult(0, "", "ocf-exit-reason:x\n", 1), "a reason for success", id="reason-for-success"),
]


@pytest.mark.parametrize(("result", "complaint"), FORMS)
def test_form(agent: Agent, box: Box, result: AgentResult, complaint: str) -> None:
    """The audit detects a result that is late, lacks its reason, or has other output."""
    call = agent.begin("monitor", unit=box.started())
    call.finish()
    with pytest.raises(AssertionError, match=complaint):
        agent.audit(call, result, agrees=False)
