"""What the origin's author did by hand: his loop, his service, his hook; and the point of it all."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.system.ways import COLD_ONLY
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.agent import Agent
    from tests.system.box import Box
    from tests.system.requirements import Requirements

SMTP = Path(__file__).parent.parent.parent / "examples" / "hooks" / "smtp"
ORIGIN_HOOK = "echo quit | nc 127.0.0.1 25 2>/dev/null | grep -q ^220 || exit 7"
CYCLE = [action for action in ("monitor", "stop", "monitor", "start", "monitor") for _ in (1, 2)]
POSTFIX = RELEASE.postfix


@pytest.fixture
def postfix(box: Box, require: Requirements) -> Iterator[Box]:
    require.package("/lib/systemd/system/postfix.service", "postfix")
    require.package("nc", "netcat-openbsd")
    yield box
    box.put_back(f"{POSTFIX}.service")


@pytest.fixture(params=RELEASE.smtp_hooks)
def smtp_hook(request: pytest.FixtureRequest, postfix: Box) -> str:
    text = SMTP.read_text(encoding="utf-8") if request.param == "example" else f"#!/bin/sh\n{ORIGIN_HOOK}\n"
    return postfix.hook(text, "smtp", shebang="")


def test_loop(agent: Agent, smtp_hook: str) -> None:
    """The origin's loop over a real postfix, from stopped to running, every action twice."""
    codes = [agent(action, unit=POSTFIX, monitor_hook=smtp_hook, timeout_s=30).code for action in CYCLE]
    assert codes == [7, 7, 0, 0, 7, 7, 0, 0, 0, 0]


def test_service_that_hangs(agent: Agent, postfix: Box) -> None:
    """The point: a postfix that hangs is active to systemd; the hook sees it, and sees it recover."""
    hook = postfix.hook(SMTP.read_text(encoding="utf-8"), "smtp", shebang="")
    assert agent("start", unit=POSTFIX, monitor_hook=hook, timeout_s=30).code == 0
    postfix.sh(f"systemctl kill --signal=STOP {POSTFIX}")
    result = agent("monitor", unit=POSTFIX, monitor_hook=hook, monitor_hook_args="127.0.0.1 25 1")
    assert postfix.sh(f"systemctl is-active {POSTFIX}") == "active"
    assert result.code == 1
    assert result.reason.startswith("hook smtp: ")
    postfix.sh(f"systemctl kill --signal=CONT {POSTFIX}")
    assert agent("monitor", unit=POSTFIX, monitor_hook=hook).code == 0


def test_service_that_hangs_is_detected_before_the_deadline(agent: Agent, postfix: Box) -> None:
    """A hook without a limit of its own hangs with the service it queries; the agent still returns in time."""
    hook = postfix.hook(ORIGIN_HOOK, "smtp")
    assert agent("start", unit=POSTFIX, monitor_hook=hook, timeout_s=30).code == 0
    postfix.sh(f"systemctl kill --signal=STOP {POSTFIX}")
    result = agent("monitor", unit=POSTFIX, monitor_hook=hook, timeout_s=3)
    assert result.code == 1
    assert result.reason.startswith("hook smtp: timed out after ")


def test_systemctl_and_hook_run_at_once(agent: Agent, box: Box) -> None:
    """With a systemctl of 3 s and a hook of 3 s, a monitor takes less than 5 s."""
    path = box.in_front_of_systemctl("sleep 3")
    hook = box.hook("sleep 3")
    unit = box.started()
    result = agent("monitor", unit=unit, monitor_hook=hook, variables={"PATH": path}, measured=False)
    assert result.code == 0
    assert 3 <= result.elapsed_s < 5


def test_hook_of_a_stopped_unit_is_not_waited_for(agent: Agent, box: Box) -> None:
    """With the unit down, a monitor does not wait for its hook, which would take 30 s."""
    path = box.in_front_of_systemctl("sleep 1")
    hook = box.hook("sleep 30")
    unit = box.service()
    result = agent("monitor", unit=unit, monitor_hook=hook, variables={"PATH": path}, measured=False)
    assert result.code == 7
    assert 1 <= result.elapsed_s < 10


@COLD_ONLY
def test_ready_is_detected_at_once(agent: Agent, box: Box) -> None:
    """A start whose hook passes 0.3 s after the unit's start takes little longer than one whose hook passes at once."""
    ready = "sleep {}; touch /run/%N/yes; sleep 99"
    pauses_s = {
        box.service("Type=exec", "RuntimeDirectory=%N", f"ExecStart=sh -c '{ready.format(pause_s)}'"): pause_s
        for pause_s in (0.0, 0.3)
    }

    def medians_of_five_s() -> list[float]:
        took_s: dict[float, list[float]] = {pause_s: [] for pause_s in pauses_s.values()}
        for unit, pause_s in 5 * list(pauses_s.items()):
            hook = box.hook(f"[ -e /run/{unit.removesuffix('.service')}/yes ] || exit 7", unit)
            result = agent("start", unit=unit, monitor_hook=hook, measured=False)
            assert result.code == 0
            assert result.elapsed_s >= pause_s
            took_s[pause_s].append(result.elapsed_s - pause_s)
            assert agent("stop", unit=unit, monitor_hook=hook, measured=False).code == 0
        return [median(each) for each in took_s.values()]

    def is_at_once() -> bool:
        at_once_s, later_s = medians_of_five_s()
        return later_s < 2 * at_once_s

    # A machine that has other things to do for a while gets another chance; an agent that is slow does not.
    assert any(is_at_once() for _ in range(3))


# Hooks by what is wrong with them. All run at the same moment: each would take all of its five seconds.
NEVER_PASSING = {
    "not-running": "exit 7",
    "failing": "exit 1",
    "hanging": "sleep 1000",
    "ignoring-TERM": "trap '' TERM; while :; do sleep 1; done",
    "in-a-session-of-its-own": "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & wait",
}
HANGING = {name: script for name, script in NEVER_PASSING.items() if not script.startswith("exit")}


@pytest.mark.parametrize(
    ("action", "hooks"),
    [pytest.param("start", NEVER_PASSING, id="start"), pytest.param("monitor", HANGING, id="monitor")],
)
def test_deadline(agent: Agent, box: Box, action: str, hooks: dict[str, str]) -> None:
    """With 5000 ms and a hook that never passes, the result is 1 within that time, and the reason names the hook."""
    units = [box.service() if action == "start" else box.started() for _ in hooks]
    paths = [box.hook(script, name) for name, script in hooks.items()]
    calls = [
        agent.begin(action, unit=unit, monitor_hook=path, timeout_s=5, measured=False)
        for unit, path in zip(units, paths, strict=True)
    ]
    results = [call.finish() for call in calls]
    for call, name, result in zip(calls, hooks, results, strict=True):
        agent.audit(call, result)
        assert result.code == 1
        assert result.elapsed_s < 5
        assert result.reason.startswith(f"hook {name}: ")
