"""The agent is killed, alone or with its process group, or terminated, at any step; or its output has no reader."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from random import Random
from signal import SIGHUP, SIGINT, SIGTERM, Signals
from typing import TYPE_CHECKING

import pytest

from tests.faults.endings import Ending, Lane, finish, perform
from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.agent_result import Call
    from tests.system.box import Box

HANG = "touch /run/test/hook; trap '' TERM; while :; do sleep 1; done"
HANG_WITH_CHILD = "sh -c 'trap \"\" TERM; sleep 1000' & touch /run/test/hook; wait"

# Stands in front of systemctl; holds the agent's call of a verb, before or after it did its work, the n-th of its kind.
HOLD = """
unit=$OCF_RESKEY_unit
set -- "$@"
for word; do
    case $word in show | daemon-reload | reset-failed | start | stop) verb=$word; break ;; esac
done
echo x >>"/run/test/$unit.$verb"
if [ "$HOLD" = "$verb $(wc -l <"/run/test/$unit.$verb") before" ]; then
    touch "/run/test/$unit.held"
    exec sleep 1000
fi
if [ "$HOLD" = "$verb $(wc -l <"/run/test/$unit.$verb") after" ]; then
    /usr/bin/systemctl "$@"
    touch "/run/test/$unit.held"
    exec sleep 1000
fi
"""
STEPS = {
    "start": (
        *("show 1 before", "show 2 before", "daemon-reload 1 before", "daemon-reload 1 after", "reset-failed 1 after"),
        *("start 1 before", "start 1 after", "show 3 before", "show 3 after"),
    ),
    "stop": (
        *("stop 1 before", "stop 1 after", "show 1 before", "show 1 after", "show 2 before", "show 3 before"),
        *("daemon-reload 1 before", "daemon-reload 1 after"),
    ),
}


def lanes_of(agent: Agent, box: Box, count: int, *lines: str) -> list[Lane]:
    hook = box.hook("exit 0")
    return [Lane(agent, box.service(*lines), hook) for _ in range(count)]


@COLD_ONLY
@pytest.mark.fault(
    "The agent gets SIGTERM, or the agent or its process group gets SIGKILL, at each step of a start and of a stop.",
    "The next start and the next stop return the right results, and write or remove the drop-in. No process of a hook "
    "is left.",
)
@pytest.mark.parametrize("action", ["start", "stop"])
@pytest.mark.parametrize("ending", Ending, ids=lambda ending: ending.name)
def test_every_step(agent: Agent, box: Box, action: str, ending: Ending) -> None:
    """Whatever it was about when its end came, the same action and its opposite are right the next time."""
    path = box.in_front_of_systemctl(HOLD)
    steps = STEPS[action]
    lanes = lanes_of(agent, box, len(steps))
    box.remember(*(lane.unit for lane in lanes))  # which is where a start and a stop need a daemon-reload
    if action == "stop":
        perform(lanes, ["start"] * len(lanes))
    results = []
    for lane, step in zip(lanes, steps, strict=True):
        # One after the other: agents take turns at a daemon-reload, and one's reload saves another's.
        call = lane.begin(action, {"PATH": path, "HOLD": step})
        box.wait_for_file(f"/run/test/{lane.unit}.held", within_s=30)
        ending.come(call.agent)
        results += finish(box, [call])
    assert all(result.code != 0 for result in results)
    if ending is Ending.TERMINATED:
        assert all(result.code == 1 and "was interrupted by SIGTERM" in result.reason for result in results), results
    perform(lanes, [action] * len(lanes))
    perform(lanes, ["stop" if action == "start" else "start"] * len(lanes))


@COLD_ONLY
@pytest.mark.fault(
    "The agent gets SIGTERM, or the agent or its process group gets SIGKILL, at a hundred random moments of starts and "
    "stops.",
    "The next action returns the right result. No process of a hook is left.",
)
@pytest.mark.parametrize("seed", range(10))
def test_random_moments(agent: Agent, box: Box, seed: int) -> None:
    """Ten actions at once, each interrupted at another moment; then the next ones, undisturbed."""
    random = Random(seed)  # noqa: S311  # dice
    hook = box.hook("sleep 0.1")
    slow = ("Type=oneshot", "RemainAfterExit=yes", "ExecStart=sleep 0.1", "ExecStop=sleep 0.1")
    lanes = [Lane(agent, box.service(*slow), hook) for _ in range(10)]
    actions = [random.choice(["start", "stop"]) for _ in lanes]
    box.sh('systemctl start -- "$@"', *(lane.unit for lane, each in zip(lanes, actions, strict=True) if each == "stop"))
    # Most of them early: the machine determines how long ten actions at once take.
    moments = sorted((random.uniform(0, random.choice([0.3, 0.6, 1.2])), number) for number in range(10))
    endings = [random.choice(list(Ending)) for _ in lanes]
    calls = [lane.begin(each) for lane, each in zip(lanes, actions, strict=True)]
    began = time.monotonic()
    for moment, number in moments:
        time.sleep(max(began + moment - time.monotonic(), 0))
        with suppress(LookupError):
            endings[number].come(calls[number].agent)
    results = finish(box, calls)
    assert any(result.code != 0 for result in results), "no action was cut short"
    perform(lanes, [random.choice(["start", "stop"]) for _ in lanes])


class TestHookOfKilledAgent:
    @pytest.mark.fault(
        "The agent gets SIGKILL while its hook runs.",
        "A second later no process of the hook is left. The next actions return the right results.",
    )
    @pytest.mark.parametrize("ending", [Ending.KILLED, Ending.GROUP_KILLED], ids=lambda ending: ending.name)
    @pytest.mark.parametrize(
        "script", [pytest.param(HANG, id="ignoring-TERM"), pytest.param(HANG_WITH_CHILD, id="with-a-child")]
    )
    @pytest.mark.parametrize("action", ["monitor", "start"])
    def test_no_leftover(self, agent: Agent, box: Box, action: str, script: str, ending: Ending) -> None:
        """What Pacemaker does to a late agent, to its group or with on-fail=block to it alone, leaves no hook."""
        box.sh("mkdir -p /run/test")
        unit, hook = box.started(), box.hook(script)
        call = agent.begin(action, unit=unit, monitor_hook=hook, through=["setsid"])
        box.wait_for_file("/run/test/hook")
        ending.come(call.agent)
        finish(box, [call])
        box.hook("exit 0")
        assert [agent(each, unit=unit, monitor_hook=hook).code for each in ("monitor", "start", "stop")] == [0, 0, 0]


class TestSignals:
    @pytest.mark.fault(
        "The agent gets SIGTERM, SIGINT or SIGHUP.",
        "The action returns 1 at once, and the reason names the signal. No process of the hook is left.",
    )
    @pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP], ids=lambda number: number.name)
    @pytest.mark.parametrize("action", ["monitor", "start"])
    def test_ends_early(self, agent: Agent, box: Box, action: str, number: Signals) -> None:
        """A termination signal results in 1 with its name, and no hook left."""
        box.sh("mkdir -p /run/test")
        call = agent.begin(action, unit=box.started(), monitor_hook=box.hook(HANG))
        box.wait_for_file("/run/test/hook")
        os.kill(call.agent, number)
        result = call.finish()
        agent.audit(call, result)
        assert result.code == 1
        assert result.elapsed_s < 5
        assert f"interrupted by {number.name}" in result.reason


def close_streams(call: Call) -> None:
    assert call.process.stdout is not None
    assert call.process.stderr is not None
    call.process.stdout.close()
    call.process.stderr.close()


@pytest.mark.fault(
    "Pacemaker's executor ends before the action has a result.",
    "The action continues to its end, and ignores that it cannot write the reason (EPIPE).",
)
@pytest.mark.parametrize(("hook_code", "code"), [pytest.param(190, 0, id="good"), pytest.param(5, 1, id="bad")])
def test_nobody_reads(agent: Agent, box: Box, hook_code: int, code: int) -> None:
    """If the executor has gone, an action continues to its end, good or bad."""
    unit = box.service()
    hook = box.hook(f"exit {hook_code}")
    call = agent.begin("start", unit=unit, monitor_hook=hook, start_poll_limit="1")
    close_streams(call)
    assert call.process.wait(20) == code
    box.wait_until_gone(call.before)
    assert box.state(unit) == "active"
