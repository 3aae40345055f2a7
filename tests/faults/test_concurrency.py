"""Ten concurrent calls for one unit: each result is correct for some moment during its run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

# sd-messages.h: what PID 1 logs as a unit has started, is about to stop, has stopped, is about to start.
STARTED, STOPPING = "39f53479d3a045ac8e11786248231fbf", "de5b426a63be47a7b6ac3eaac82e2f6f"
STOPPED, STARTING = "9d1aaa27d60140bd96365438aad20286", "7d4958e842da4a758f6c1cdc7b36dcc5"
TOLD = {STARTED: "up", STOPPING: "stopping", STOPPED: "down", STARTING: "starting"}
LATE_S = 0.1  # how much later PID 1 may have logged it than it was


@dataclass(frozen=True, slots=True)
class History:
    """What a unit was, from when to when, on the monotonic clock."""

    spans: tuple[tuple[str, float, float], ...]

    @classmethod
    def read(cls, box: Box, unit: str) -> History:
        """Read it from the journal, which must have all that happened to the unit."""
        lines = box.sh('journalctl --sync; journalctl --quiet --output=json _PID=1 "UNIT=$1"', unit).splitlines()
        ahead_s = time.time() - time.monotonic()
        turns: list[tuple[str, float]] = []
        for line in lines:
            entry = json.loads(line)
            state = TOLD.get(entry["MESSAGE_ID"])
            at = int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 - ahead_s
            if state in {"starting", "up"} and turns and turns[-1][0] == "stopping":
                # PID 1 does not report a stop as done whose job a start has replaced.
                turns.append(("down", at))
            if state:
                turns.append((state, at))
        down_at = int(box.show(unit, "InactiveEnterTimestampMonotonic")) / 1e6
        if turns[-1][0] == "stopping" and down_at >= turns[-1][1]:
            turns.append(("down", down_at))  # nor if another stop has replaced that start in turn
        spans = [("down", 0.0, turns[0][1])]
        for (state, since), (_, until) in zip(turns, [*turns[1:], ("", time.monotonic())], strict=True):
            spans.append((state, since, until))
        return cls(tuple(spans))

    def was(self, state: str, since: float, until: float) -> bool:
        """Return whether the unit was in a state at some moment of a time."""
        return any(each == state and begin - LATE_S <= until and end >= since for each, begin, end in self.spans)


@pytest.mark.fault("Ten monitors of one unit run at once.", "Each monitor returns the unit's state.")
def test_monitors(agent: Agent, box: Box) -> None:
    """Monitors do not disturb each other."""
    unit, hook = box.started(), box.hook("exit 0")
    calls = [agent.begin("monitor", unit=unit, monitor_hook=hook) for _ in range(10)]
    results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result)
    assert [result.code for result in results] == [0] * 10


@pytest.mark.fault("Ten starts, or ten stops, of one unit run at once.", "Each of them returns 0.")
@pytest.mark.parametrize(("action", "state"), [("start", "active"), ("stop", "inactive")])
def test_same_action(agent: Agent, box: Box, action: str, state: str) -> None:
    """Ten that want the same get it."""
    unit = box.service() if action == "start" else box.started()
    calls = [agent.begin(action, unit=unit, timeout_s=30) for _ in range(10)]
    results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result)
    assert [result.code for result in results] == [0] * 10
    assert box.state(unit) == state


# States that must have existed at some moment of a call's run for its result to be correct.
TRUE_OF = {
    ("start", 0): {"up"},
    ("start", 1): {"stopping", "starting", "down"},
    ("stop", 0): {"down"},
    ("monitor", 0): {"up"},
    ("monitor", 7): {"down"},
}


@pytest.mark.fault(
    "Ten starts, stops and monitors of one unit run at once.",
    "Each result is correct for some moment during its action.",
)
@pytest.mark.parametrize("lines", [pytest.param((), id="quick"), pytest.param(("ExecStop=sleep 0.3",), id="slow")])
def test_all_actions(agent: Agent, box: Box, lines: tuple[str, ...]) -> None:
    """Starts, stops and monitors in any order: only correct results, and no trace of the other calls."""
    unit = box.started("ExecStart=sleep infinity", *lines)
    actions = ["start", "stop", "monitor", "monitor", "stop", "start", "monitor", "start", "stop", "monitor"]
    calls = [agent.begin(action, unit=unit, timeout_s=30) for action in actions]
    results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result, agrees=False)
    history = History.read(box, unit)
    for call, result in zip(calls, results, strict=True):
        states = TRUE_OF.get((call.action, result.code), set())
        run = (call.began, call.began + result.elapsed_s)
        assert any(history.was(state, *run) for state in states), f"{call.action}: {result}, {run} in {history}"
    assert agent("stop", unit=unit).code == 0
    assert box.sh(f"ls /run/systemd/system/{unit}.d", check=False) == ""
