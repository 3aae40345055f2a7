"""Units that are inactive while a job of theirs is queued: on their way up again, and not stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

QUERIED_WITHIN_S = 1.5  # the time in which agents that have been started query the unit's state
HELD = "/run/test/held"
# Its start takes as long as there is that file: what requires it is inactive meanwhile.
SLOW = (
    "Type=oneshot",
    "RemainAfterExit=yes",
    f"ExecStart=sh -c 'while [ -e {HELD} ]; do sleep 0.05; done'",
)


def needed_and_unit(box: Box, dependency: str) -> tuple[str, str]:
    """Return a unit that starts slowly the next time, and one that needs it; both run."""
    needed = box.service(*SLOW)
    unit = box.service(before=f"[Unit]\n{dependency}={needed}\nAfter={needed}\n")
    box.sh('mkdir -p /run/test; systemctl start -- "$@"', needed, unit)
    return needed, unit


def restart(box: Box, needed: str, unit: str) -> None:
    """Restart a unit whose start is then held, and wait until the one that needs it is inactive, its start queued."""
    box.write(HELD, "")
    box.sh('systemctl restart --no-block -- "$1"', needed)
    deadline = time.monotonic() + 10
    while (box.state(unit), box.show(unit, "Job") != "") != ("inactive", True):
        assert time.monotonic() < deadline, "the unit is not inactive with a job queued"
        time.sleep(0.02)


def release(box: Box) -> None:
    """Let the start of the restarted unit end."""
    box.path(HELD).unlink()


@pytest.mark.fault(
    "A unit that the managed unit requires is restarted, and starts slowly. The managed unit is inactive, and its "
    "start job is queued.",
    "Monitor and probe wait. They return 0 when the unit runs again, and never 7.",
)
@pytest.mark.parametrize("dependency", ["Requires", "BindsTo", "PartOf"])
def test_restart_of_a_dependency(agent: Agent, box: Box, dependency: str) -> None:
    """A restart that passes through `inactive` is waited for: 7 would have the cluster recover what is not lost."""
    needed, unit = needed_and_unit(box, dependency)
    hook = box.hook("exit 190")
    restart(box, needed, unit)
    calls = [agent.begin("monitor", unit=unit, monitor_hook=hook, interval_s=interval_s) for interval_s in (0, 10)]
    calls.append(agent.begin("monitor", unit=unit))
    time.sleep(QUERIED_WITHIN_S)
    assert box.state(unit) == "inactive"
    release(box)
    results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result)
    assert [result.code for result in results] == [190, 190, 0]


@pytest.mark.fault(
    "A start job is queued for longer than the agent deadline.",
    "Monitor and probe return 1, never 7. A stop cancels the job and returns 0.",
)
def test_beyond_the_deadline(agent: Agent, box: Box) -> None:
    """A unit that may start at any moment is not stopped, and the reason explains why."""
    needed, unit = needed_and_unit(box, "Requires")
    restart(box, needed, unit)
    calls = [agent.begin("monitor", unit=unit, timeout_s=4, interval_s=interval_s) for interval_s in (0, 10)]
    results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result, leaves_job=True)
        assert result.code == 1
        assert result.reason == f"{unit} inactive: start job queued"
    assert agent("stop", unit=unit, leaves_job=True).code == 0
    assert (box.state(unit), box.show(unit, "Job")) == ("inactive", "")
    assert agent("monitor", unit=unit, leaves_job=True).code == 7


@pytest.mark.fault(
    "A start job is queued, and then the dependency that it waits for fails.",
    "The monitor returns 7 when the job is gone.",
)
def test_dependency_fails(agent: Agent, box: Box) -> None:
    """After a job that fails the unit is down, and 7 is returned."""
    needed, unit = needed_and_unit(box, "Requires")
    restart(box, needed, unit)
    call = agent.begin("monitor", unit=unit)
    time.sleep(0.5)
    box.kill(needed)
    result = call.finish()
    agent.audit(call, result)
    assert result.code == 7


@pytest.mark.fault("A start finds the unit's start job queued already.", "The start waits for this job and returns 0.")
def test_start(agent: Agent, box: Box) -> None:
    """A start merges into the job that is there."""
    needed, unit = needed_and_unit(box, "Requires")
    restart(box, needed, unit)
    call = agent.begin("start", unit=unit)
    time.sleep(QUERIED_WITHIN_S)
    release(box)
    result = call.finish()
    agent.audit(call, result)
    assert result.code == 0
