"""A host that systemd did not boot, as a container or a remote node: no unit can run there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.system.agent import Agent
    from tests.system.agent_result import AgentResult, Call
    from tests.system.box import Box

BOOTED = "/run/systemd/system"  # sd_booted(3)
AT_ONCE_S = 4.0  # of the 20 s that are granted, on a machine that has other things to do
CODES = {"start": 5, "monitor": 5, "reload": 5, "reload-agent": 5, "validate-all": 5, "stop": 0}
# Private to the agent, as in a container that has the program but no systemd.
EMPTY_RUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run/systemd && exec "$@"', "sh")
FAULT = "systemd did not boot the host."


@contextmanager
def moved_aside(box: Box) -> Iterator[None]:
    """Have the box look as if systemd had not booted it for the time of the block."""
    place, aside = box.path(BOOTED), box.path(f"{BOOTED}.aside")
    place.rename(aside)
    try:
        yield
    finally:
        aside.rename(place)


def perform(
    agent: Agent, box: Box, unit: str, through: Sequence[str] = (), path: str = ""
) -> list[tuple[Call, AgentResult]]:
    """Perform every action, and a probe, one after the other."""
    hook, performed = box.marking("ran"), []
    variables = {"OCF_CHECK_LEVEL": "10", **({"PATH": path} if path else {})}
    for action, interval_s in (*((action, 10) for action in CODES), ("monitor", 0)):
        call = agent.begin(
            action,
            interval_s=interval_s,
            variables=variables,
            through=through,
            measured=False,
            unit=unit,
            monitor_hook=hook,
        )
        performed.append((call, call.finish()))
    return performed


def check(agent: Agent, box: Box, performed: list[tuple[Call, AgentResult]]) -> None:
    """Check code, reason and time of each action; no hook has been run."""
    for call, result in performed:
        agent.audit(call, result, agrees=False)
        code = CODES[call.action]
        assert result.code == code, call.action
        assert result.reason == ("this host was not booted by systemd" if code else "")
        assert result.elapsed_s < AT_ONCE_S
    assert box.marks("ran") == []


@pytest.mark.fault(
    FAULT,
    "Start, probe, monitor, reload, `reload-agent`, and `validate-all` at level 10, return 5 at once, and a stop "
    "returns 0 at once. The agent does not run `systemctl`.",
)
@pytest.mark.parametrize("state", ["active", "inactive", "absent"])
def test_every_action(agent: Agent, box: Box, state: str) -> None:
    """Nothing can run, so stop is 0; all other actions return 5 with the cause, at once."""
    unit = {"active": box.started, "inactive": box.service, "absent": lambda: "absent.service"}[state]()
    path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
    with moved_aside(box):
        performed = perform(agent, box, unit, path=path)
    check(agent, box, performed)
    assert box.marks("systemctl") == []


@COLD_ONLY
@pytest.mark.fault(
    "The agent's mount namespace has no `/run/systemd`, with or without `systemctl` in `PATH`.",
    "Start, probe, monitor, reload, `reload-agent`, and `validate-all` at level 10, return 5 at once. A stop returns 0 "
    "at once.",
)
@pytest.mark.parametrize("path", [pytest.param("", id="systemctl"), pytest.param("/usr/sbin", id="no-systemctl")])
def test_container(agent: Agent, box: Box, path: str) -> None:
    """It is the agent's own view of the host that counts."""
    check(agent, box, perform(agent, box, box.started(), EMPTY_RUN, path))


@pytest.mark.fault(
    FAULT, "`meta-data`, and `validate-all` without a check level, return 0, because they do not need systemd."
)
def test_what_needs_no_systemd(agent: Agent, box: Box) -> None:
    """Tools validate values, and read metadata, on machines of any kind."""
    with moved_aside(box):
        calls = [agent.begin(action, unit="any") for action in ("validate-all", "meta-data")]
        results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result)
        assert result.code == 0
