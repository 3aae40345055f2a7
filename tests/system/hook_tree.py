"""A hook in a tree of its own, for tests of who may change it and of what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.agent_result import AgentResult
    from tests.system.box import Box

TREE = "/run/test"
HOOK = f"{TREE}/opt/hooks/smtp"
MARKS = f"{TREE}/marks"
"""Where everyone may write, and hooks do."""

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")


def plant(box: Box) -> Box:
    """Put the tree into a box, with a hook that leaves a mark and returns 190; `bad` is writable by everyone."""
    box.sh(f"rm -rf {TREE}; mkdir -p {TREE}/opt/hooks; cd {TREE}; mkdir -m 1777 marks; mkdir -m 777 bad")
    box.write(HOOK, f"#!/bin/sh\n: >{MARKS}/$$\nexit 190\n", 0o755)
    return box


def runs(box: Box) -> int:
    """Return how often the hook has left its mark."""
    return len(list(box.path(MARKS).iterdir()))


def monitored_by_nobody(agent: Agent, unit: str, hook: str, user: str = "") -> AgentResult:
    """Have the agent run a monitor as a user that is not root; `user` is the one to run the hook as."""
    call = agent.begin(
        "monitor", through=AS_NOBODY, measured=False, unit=unit, monitor_hook=hook, monitor_hook_user=user
    )
    result = call.finish()
    agent.audit(call, result)
    return result
