"""How a call of the agent can be cut short, and what must be true of the action after it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.system.agent import Agent
    from tests.system.agent_result import AgentResult, Call
    from tests.system.box import Box

ACTIVE_AFTER = {"start": True, "stop": False}


class Ending(Enum):
    """What becomes of the agent."""

    KILLED = "SIGKILL to its process alone"
    TERMINATED = "SIGTERM to its process alone"
    GROUP_KILLED = "SIGKILL to its process group"

    def come(self, pid: int) -> None:
        """Have it come over an agent; one that has gone meanwhile does not mind."""
        with suppress(ProcessLookupError):
            match self:
                case Ending.KILLED:
                    os.kill(pid, SIGKILL)
                case Ending.TERMINATED:
                    os.kill(pid, SIGTERM)
                case Ending.GROUP_KILLED:
                    os.killpg(pid, SIGKILL)
                case _:
                    assert_never(self)


@dataclass(frozen=True, slots=True)
class Lane:
    """A unit of its own, with a hook of its own, for an action that is interrupted concurrently with others."""

    agent: Agent
    unit: str
    hook: str

    def begin(self, action: str, variables: Mapping[str, str] | None = None) -> Call:
        """Begin an action, with the agent as the leader of its process group, as under Pacemaker."""
        return self.agent.begin(
            action,
            unit=self.unit,
            monitor_hook=self.hook,
            timeout_s=60,  # all lanes are at it at once
            variables=variables,
            through=["setsid"],
            measured=False,
        )

    def check(self, call: Call, result: AgentResult) -> None:
        """Fail unless an undisturbed start or stop had its full effect, drop-in included."""
        box, active = self.agent.box, ACTIVE_AFTER[call.action]
        assert result.code == 0, result
        assert box.state(self.unit) == ("active" if active else "inactive")
        assert ("pacemaker.service" in box.show(self.unit, "Before").split()) is active
        directory = box.path(f"/run/systemd/system/{self.unit}.d")
        assert [path.name for path in directory.glob("*")] == (["zz-ocf-systemd.conf"] if active else [])


def finish(box: Box, calls: list[Call]) -> list[AgentResult]:
    """Wait for the end of concurrent calls; processes that they left behind have three seconds to end."""
    results = [call.finish() for call in calls]
    box.wait_until_gone(calls[0].before, within_s=3.0)
    return results


def perform(lanes: list[Lane], actions: list[str]) -> None:
    """Have every lane perform its start or stop, all at once, and check and audit each."""
    calls = [lane.begin(action) for lane, action in zip(lanes, actions, strict=True)]
    results = [call.finish() for call in calls]
    for lane, call, result in zip(lanes, calls, results, strict=True):
        lane.check(call, result)
        lane.agent.audit(call, result)
