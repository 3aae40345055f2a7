"""Hooks that hang, that leave others behind, that print too much or the wrong thing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.box import HOOKS
from tests.unit.builders import UNTIL_ASLEEP
from tests.unit.odd_processes import SLEEPER

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

IGNORES_TERM = "trap '' TERM; while :; do sleep 1; done"
PEAK_KIB_MAX = 100_000  # an agent that kept what its hook prints would need 2,000,000


class TestHang:
    @pytest.mark.fault(
        "A hook hangs in a monitor or in a start.",
        "The action returns 1 with the hook's name in the reason, before Pacemaker's timeout.",
    )
    @pytest.mark.parametrize("action", ["monitor", "start"])
    def test_hangs(self, agent: Agent, box: Box, action: str) -> None:
        """A hook that hangs is 1 with the time it had."""
        hook = box.hook("sleep 1000")
        result = agent(action, unit=box.started(), monitor_hook=hook, timeout_s=2)
        assert result.code == 1
        assert re.fullmatch(r"hook hook: timed out after [01]\.\d s", result.reason)

    @pytest.mark.fault(
        "A hook hangs in its first run of a start.", "The start has enough time left to run the hook again."
    )
    def test_hangs_once(self, agent: Agent, box: Box) -> None:
        """A hook that hangs the first time is run again within the deadline."""
        box.sh("mkdir -p /run/test")
        hook = box.hook("[ -e /run/test/second ] || { touch /run/test/second; sleep 1000; }")
        assert agent("start", unit=box.service(), monitor_hook=hook, timeout_s=6).code == 0

    @pytest.mark.fault(
        "A hook hangs, and `monitor_hook_timeout` is set.",
        "The monitor returns 1 when that time is up, and the reason has the elapsed time.",
    )
    def test_time_limit(self, agent: Agent, box: Box) -> None:
        """A hook that hangs is not waited for longer than it is allowed to take."""
        hook = box.hook("sleep 1000")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_timeout="300ms", measured=False)
        assert result.code == 1
        assert result.elapsed_s < 3
        assert result.reason.startswith("hook hook: timed out after 0.")

    @pytest.mark.fault(
        "A hook ignores SIGTERM when its time is up.",
        "The hook gets SIGTERM and, at most 1 s later, SIGKILL. The monitor returns 1.",
    )
    def test_ignores_term(self, agent: Agent, box: Box) -> None:
        """A hook that ignores SIGTERM gets it, and a second later SIGKILL."""
        box.sh("mkdir -p /run/test")
        hook = box.hook("trap 'echo TERM >>/run/test/got' TERM; while :; do sleep 0.1; done")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_timeout="1s", measured=False)
        assert result.code == 1
        assert 2 <= result.elapsed_s < 5
        assert "timed out" in result.reason
        assert box.marks("got") == ["TERM"]


class TestLeftovers:
    @pytest.mark.fault(
        "A hook leaves a child that holds standard output open.",
        "The monitor returns the hook's code at once. The agent kills the child, and the log names it.",
    )
    def test_child_that_holds_the_output(self, agent: Agent, box: Box) -> None:
        """A hook's own exit counts at once, even if another process keeps its output open; that one is ended."""
        log = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
        box.sh("mkdir -p /run/test")
        hook = box.hook(f"sleep 999 & {UNTIL_ASLEEP}; exit 42")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, variables=log, measured=False)
        assert result.code == 42
        assert result.elapsed_s < 2
        assert any("a hook left a process behind, killed now: sleep[" in line for line in box.marks("log"))

    @pytest.mark.fault(
        "The main process of a hook has ended, and its children ignore SIGTERM. Another hook hangs until its time is "
        "up.",
        "The agent kills the children.",
    )
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(f"sh -c '{IGNORES_TERM.replace(chr(39), chr(34))}' & wait", id="leader-dies-of-TERM"),
            pytest.param(f"({IGNORES_TERM}) & exit 0", id="leader-leaves-at-once"),
        ],
    )
    def test_tree_without_leader(self, agent: Agent, box: Box, script: str) -> None:
        """What a hook started is ended with it when time is up, though its leader went before; another hook hangs."""
        box.hook(script, "leaves")
        hanging = box.hook("sleep 1000", "hangs")
        directory = str(Path(hanging).parent)
        result = agent("monitor", unit=box.started(), monitor_hook=directory, monitor_hook_timeout="300ms")
        assert result.code == 1
        assert re.match(r"hook hangs: timed out after 0\.", result.reason)

    @pytest.mark.fault(
        "A hook starts a process by a double fork with `setsid`, and that process hangs.",
        "The agent finds the process and ends it.",
    )
    @pytest.mark.parametrize(
        ("script", "code"),
        [
            pytest.param("(setsid setsid sleep 999 >/dev/null 2>&1 &) ; exit 0", 0, id="and-leaves"),
            pytest.param("(setsid setsid sleep 999 &) ; sleep 999", 1, id="and-hangs-too"),
            pytest.param(f"(setsid sh -c '{IGNORES_TERM.replace(chr(39), chr(34))}' &) ; wait", 0, id="ignoring-TERM"),
        ],
    )
    def test_session_of_its_own(self, agent: Agent, box: Box, script: str, code: int) -> None:
        """What a hook hides in another session, forked twice, is ended with the call."""
        hook = box.hook(script)
        assert agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_timeout="300ms").code == code

    @pytest.mark.fault(
        "A hook leaves a process in a session of its own. The process is in a sleep that only SIGKILL ends "
        "(`TASK_KILLABLE`).",
        "The agent finds the process and ends it.",
    )
    def test_asleep(self, agent: Agent, box: Box) -> None:
        """As on a disk that is slow, or in vfork(2): it is not given up for one that cannot be killed."""
        box.sh("mkdir -p /run/test; mkfifo /run/test/pipe")
        box.write("/run/test/sleeper", SLEEPER)
        hook = box.hook(f"(setsid {sys.executable} -I -S /run/test/sleeper /run/test/pipe &); sleep 0.5; exit 190")
        unit = box.started()
        for _ in range(3):
            assert agent("monitor", unit=unit, monitor_hook=hook).code == 190


def peak_kib(pid: int) -> int:
    """Return the most memory that a process had so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


class TestOutput:
    @pytest.mark.fault(
        "A hook prints 2 GB on one stream or on both.",
        "The agent's memory stays below 100 MB, and the result does not change.",
    )
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("head -c 2G /dev/zero", id="stdout"),
            pytest.param("head -c 2G /dev/zero >&2", id="stderr"),
            pytest.param("head -c 2G /dev/zero & head -c 2G /dev/zero >&2; wait", id="both"),
        ],
    )
    def test_two_gigabytes(self, agent: Agent, box: Box, script: str) -> None:
        """However much a hook prints, the agent keeps only its end, and the hook's code counts."""
        box.sh("mkdir -p /run/test")
        released = "until [ -e /run/test/seen ]; do sleep 0.05; done"
        hook = box.hook(f"{script}; touch /run/test/printed; {released}; echo at last >&2; exit 42")
        call = agent.begin("monitor", unit=box.started(), monitor_hook=hook, timeout_s=60)
        box.wait_for_file("/run/test/printed", within_s=60)
        peak = peak_kib(call.agent)
        box.write("/run/test/seen", "")
        result = call.finish()
        agent.audit(call, result)
        assert peak < PEAK_KIB_MAX
        assert result.code == 42
        assert result.reason == "hook hook: at last (exit 42)"

    @pytest.mark.fault(
        "A hook prints `ocf-exit-reason:`, ESC, NUL, bytes that are not UTF-8, or rich markup.",
        "Pacemaker shows the agent's own reason. The agent removes the prefix and the control characters from the "
        "hook's text.",
    )
    @pytest.mark.parametrize(
        ("printed", "quoted"),
        [
            pytest.param("ocf-exit-reason:forged", "forged", id="reason"),
            pytest.param("x\\rocf-exit-reason:forged", "forged", id="reason-after-cr"),
            pytest.param("\\033[31mred\\033[0m", "red", id="colour"),
            pytest.param("\\033]0;title\\007told", "told", id="title"),
            pytest.param("a\\000b", "ab", id="nul"),
            pytest.param("told \\377\\376", "told \\xff\\xfe", id="no-utf-8"),
            pytest.param("[red]markup[/red]", "[red]markup[/red]", id="markup"),
        ],
    )
    def test_forgery(self, agent: Agent, box: Box, printed: str, quoted: str) -> None:
        """Nothing that a hook prints passes for the agent's reason, or moves a terminal, in the log neither."""
        hook = box.hook(f"printf '{printed}\\n'; printf '{printed}\\n' >&2; exit 42")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, variables={"HA_LOGFACILITY": ""})
        assert result.code == 42
        assert result.reason == f"hook hook: {quoted} (exit 42)"
        assert not set(result.stderr) & {"\x1b", "\x00", "\r", "\x07"}


class TestEnd:
    @pytest.mark.fault("A hook is killed by a signal.", "The monitor returns 1, and the reason names the signal.")
    @pytest.mark.parametrize("signal", ["SEGV", "KILL", "TERM", "HUP"])
    def test_signal(self, agent: Agent, box: Box, signal: str) -> None:
        """A hook that dies by a signal is 1 with the signal's name."""
        hook = box.hook(f"kill -{signal} $$")
        result = agent("monitor", unit=box.started(), monitor_hook=hook)
        assert result.code == 1
        assert result.reason == f"hook hook: killed by SIG{signal}"

    @pytest.mark.fault(
        "A hook exits with 8, 9 or 191, which Pacemaker takes for the promoted role.",
        "Monitor, probe, start and reload return 1, with the hook's own code in the reason.",
    )
    @pytest.mark.parametrize("code", [8, 9, 191])
    def test_promoted(self, agent: Agent, box: Box, code: int) -> None:
        """This agent has no roles: Pacemaker would demote the resource and exclude the node. wget exits with 8."""
        unit, hook = (
            box.started("ExecStart=sleep infinity", "ExecReload=true"),
            box.hook(f"echo not found; exit {code}"),
        )
        given = [("monitor", 10), ("monitor", 0), ("start", 0), ("reload", 0)]
        calls = [
            agent.begin(action, unit=unit, monitor_hook=hook, interval_s=interval_s, timeout_s=3)
            for action, interval_s in given
        ]
        results = [call.finish() for call in calls]
        for call, result in zip(calls, results, strict=True):
            agent.audit(call, result)
            assert (result.code, result.reason) == (1, f"hook hook: not found (exit {code})")

    @pytest.mark.fault(
        "A hook of a directory exits with 8, 9 or 191.", "The monitor returns 1, whatever the other hooks return."
    )
    @pytest.mark.parametrize("codes", [(0, 8), (7, 9), (191, 190), (9, 8)])
    def test_promoted_of_several(self, agent: Agent, box: Box, codes: tuple[int, int]) -> None:
        """Such a code is a failure like any other."""
        for number, code in enumerate(codes):
            box.hook(f"exit {code}", f"hook{number}")
        assert agent("monitor", unit=box.started(), monitor_hook=HOOKS).code == 1

    @pytest.mark.fault(
        "A hook exits with 8, 9 or 191, and `monitor_hook_protocol` is not `ocf`.", "The monitor returns 1 as well."
    )
    @pytest.mark.parametrize("protocol", ["nagios", "plain", "lsb"])
    def test_promoted_by_protocol(self, agent: Agent, box: Box, protocol: str) -> None:
        """No protocol lets one through."""
        unit = box.started()
        for code in (8, 9, 191):
            result = agent("monitor", unit=unit, monitor_hook=box.hook(f"exit {code}"), monitor_hook_protocol=protocol)
            assert (result.code, result.reason) == (1, f"hook hook: failed (exit {code})")

    @pytest.mark.fault(
        "A hook reads its standard input, or closes its streams.", "The monitor returns the hook's code."
    )
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("cat; exit 190", id="reads-input"),
            pytest.param("exec 0<&- 1>&- 2>&-; sleep 0.1; exit 190", id="closes-streams"),
        ],
    )
    def test_streams(self, agent: Agent, box: Box, script: str) -> None:
        """A hook that reads its input, or closes its streams, has its exit code like any other."""
        assert agent("monitor", unit=box.started(), monitor_hook=box.hook(script)).code == 190
