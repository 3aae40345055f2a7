"""Hooks that hang, that leave others behind, that print too much or the wrong thing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

IGNORES_TERM = "trap '' TERM; while :; do sleep 1; done"
PEAK_KIB_MAX = 100_000  # an agent that kept what its hook prints would need 2,000,000


class TestHang:
    @pytest.mark.fault("hook hangs", "1 with its reason, before Pacemaker's timeout")
    @pytest.mark.parametrize("action", ["monitor", "start"])
    def test_hangs(self, agent: Agent, box: Box, action: str) -> None:
        """A hook that hangs is 1 with the time it had."""
        hook = box.hook("sleep 1000")
        answer = agent(action, unit=box.started(), monitor_hook=hook, timeout_s=2)
        assert answer.code == 1
        assert re.search(rf"hook {hook} timed out after [01]\.\d s", answer.reason)

    @pytest.mark.fault("hook hangs", "one hang leaves a start room for another try")
    def test_hangs_once(self, agent: Agent, box: Box) -> None:
        """A hook that hangs the first time is run again within the deadline."""
        box.sh("mkdir -p /run/test")
        hook = box.hook("[ -e /run/test/second ] || { touch /run/test/second; sleep 1000; }")
        assert agent("start", unit=box.service(), monitor_hook=hook, timeout_s=6).code == 0

    @pytest.mark.fault("hook hangs", "within `monitor_hook_timeout`, 1 with the time it had")
    def test_time_limit(self, agent: Agent, box: Box) -> None:
        """A hook that hangs is not waited for longer than it is allowed to take."""
        hook = box.hook("sleep 1000")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_timeout="300ms", measured=False)
        assert answer.code == 1
        assert answer.elapsed_s < 3
        assert f"hook {hook} timed out after 0." in answer.reason

    @pytest.mark.fault("hook ignores TERM", "TERM, at most 1 s of grace, KILL; 1")
    def test_ignores_term(self, agent: Agent, box: Box) -> None:
        """A hook that ignores SIGTERM gets it, and a second later SIGKILL."""
        box.sh("mkdir -p /run/test")
        hook = box.hook("trap 'echo TERM >>/run/test/got' TERM; while :; do sleep 0.1; done")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_timeout="300ms", measured=False)
        assert answer.code == 1
        assert 1.3 <= answer.elapsed_s < 3
        assert "timed out" in answer.reason
        assert box.marks("got") == ["TERM"]


class TestLeftovers:
    @pytest.mark.fault(
        "hook leaves a child that holds stdout", "its own code, at once; the leftover is ended, and named in the log"
    )
    def test_child_that_holds_the_output(self, agent: Agent, box: Box) -> None:
        """A hook's own exit counts at once, whoever keeps its output open; who does is ended, and told."""
        log = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
        box.sh("mkdir -p /run/test")
        hook = box.hook("sleep 999 & exit 42")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, variables=log, measured=False)
        assert answer.code == 42
        assert answer.elapsed_s < 2
        assert any("a hook left a process behind, ended now: sleep 999" in line for line in box.marks("log"))

    @pytest.mark.fault("hook's tree at the deadline, its leader already gone", "the tree is ended")
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
        answer = agent("monitor", unit=box.started(), monitor_hook=directory, monitor_hook_timeout="300ms")
        assert answer.code == 1
        assert f"{hanging} timed out" in answer.reason

    @pytest.mark.fault("hook double-forks with setsid and hangs", "found and ended")
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


def peak_kib(pid: int) -> int:
    """Return the most memory that a process had so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


class TestOutput:
    @pytest.mark.fault(
        "hook prints 2 GB, on one stream or both", "memory stays bounded (100 MB at most), verdict unaffected"
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
        """However much a hook prints, the agent keeps the end of it and little else, and goes by its code."""
        box.sh("mkdir -p /run/test")
        seen = "until [ -e /run/test/seen ]; do sleep 0.05; done"
        hook = box.hook(f"{script}; touch /run/test/printed; {seen}; echo at last >&2; exit 42")
        call = agent.begin("monitor", unit=box.started(), monitor_hook=hook, timeout_s=60)
        box.wait_for_file("/run/test/printed", within_s=60)
        peak = peak_kib(call.agent)
        box.write("/run/test/seen", "")
        answer = call.finish()
        agent.audit(call, answer)
        assert peak < PEAK_KIB_MAX
        assert answer.code == 42
        assert answer.reason.endswith(": at last")

    @pytest.mark.fault(
        "hook prints `ocf-exit-reason:`, ESC, NUL, bytes that are no UTF-8, rich markup",
        "our reason is the one that counts; nothing is mangled",
    )
    @pytest.mark.parametrize(
        ("printed", "quoted"),
        [
            pytest.param("ocf-exit-reason:forged", "forged", id="reason"),
            pytest.param("x\\rocf-exit-reason:forged", "forged", id="reason-after-cr"),
            pytest.param("\\033[31mred\\033[0m", "red", id="colour"),
            pytest.param("\\033]0;title\\007told", "told", id="title"),
            pytest.param("a\\000b", "b", id="nul"),
            pytest.param("told \\377\\376", "told", id="no-utf-8"),
            pytest.param("[red]markup[/red]", "[red]markup[/red]", id="markup"),
        ],
    )
    def test_forgery(self, agent: Agent, box: Box, printed: str, quoted: str) -> None:
        """Nothing that a hook prints passes for the agent's reason, or moves a terminal, in the log neither."""
        hook = box.hook(f"printf '{printed}\\n'; printf '{printed}\\n' >&2; exit 42")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, variables={"HA_LOGFACILITY": ""})
        assert answer.code == 42
        assert answer.reason.startswith(f"hook {hook} exited with 42")
        assert quoted in answer.reason
        assert not set(answer.stderr) & {"\x1b", "\x00", "\r", "\x07"}


class TestEnd:
    @pytest.mark.fault("hook dies by a signal", "1, the signal's name")
    @pytest.mark.parametrize("signal", ["SEGV", "KILL", "TERM", "HUP"])
    def test_signal(self, agent: Agent, box: Box, signal: str) -> None:
        """A hook that dies by a signal is 1 with the signal's name."""
        hook = box.hook(f"kill -{signal} $$")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook)
        assert answer.code == 1
        assert f"hook {hook} died by SIG{signal}" in answer.reason

    @pytest.mark.fault("hook reads stdin, closes its streams", "no effect")
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("cat; exit 190", id="reads-input"),
            pytest.param("exec 0<&- 1>&- 2>&-; sleep 0.1; exit 190", id="closes-streams"),
        ],
    )
    def test_streams(self, agent: Agent, box: Box, script: str) -> None:
        """A hook that reads its input, or closes its streams, answers like any other."""
        assert agent("monitor", unit=box.started(), monitor_hook=box.hook(script)).code == 190
