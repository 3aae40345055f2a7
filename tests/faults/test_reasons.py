"""Reasons: Pacemaker keeps 128 bytes, so the message comes first; the log has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.agent import as_variables
from tests.system.box import HOOKS
from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

KEPT = 128  # bytes that Pacemaker before 3.0.2 keeps
LOGGED = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
LAST_WORD = "fatal: bad string length 0 < 1: setgid_group ="


class TestHook:
    @pytest.mark.fault(
        "A hook with a long path prints much and fails.",
        "The first 128 bytes of the reason contain the hook's message. The log has the path and all output.",
    )
    @pytest.mark.parametrize(
        ("script", "outcome"),
        [
            pytest.param("exit 42", "exit 42", id="exit"),
            pytest.param("kill -SEGV $$", "killed by SIGSEGV", id="signal"),
            pytest.param("sleep 999", "timed out after ", id="time-out"),
        ],
    )
    def test_message_first(self, agent: Agent, box: Box, script: str, outcome: str) -> None:
        """A reason is read in crm_mon: first what is wrong, then where and how that was noticed."""
        message = "no greeting within 5 s from mail.example.org port 25 after 3 tries"
        hook = box.hook(f"echo one; echo {message} >&2; {script}", "a-name-that-tells")
        box.sh("mkdir -p /run/test")
        given = {"monitor_hook": hook, "monitor_hook_timeout": "500ms"}
        result = agent("monitor", unit=box.started(), variables={**as_variables(given), **LOGGED})
        assert result.reason.startswith(f"hook a-name-that-tells: {message} ({outcome}")
        assert message in result.reason.encode()[:KEPT].decode()
        log = "\n".join(box.marks("log"))
        for text in (f"WARNING: {hook}: one", f"ERROR: hook {hook}: {message} ("):
            assert text in log

    @pytest.mark.fault(
        "A hook fails without a message.", "The reason has the name of the hook, the meaning of its code, and the code."
    )
    @pytest.mark.parametrize(
        ("code", "outcome"), [(1, "failed (exit 1)"), (7, "not running (exit 7)"), (190, "degraded (exit 190)")]
    )
    def test_no_message(self, agent: Agent, box: Box, code: int, outcome: str) -> None:
        """A reason without a message explains the code."""
        result = agent("monitor", unit=box.started(), monitor_hook=box.hook(f"exit {code}"))
        assert result.reason == f"hook hook: {outcome}"

    @pytest.mark.fault(
        "The hooks of a directory contradict each other.", "The monitor returns 1 and names all of these hooks."
    )
    def test_disagreement(self, agent: Agent, box: Box) -> None:
        """Some not running and some running is a failure of its own."""
        for name, code in (("a", 0), ("b", 7), ("c", 190)):
            box.hook(f"exit {code}", name)
        result = agent("monitor", unit=box.started(), monitor_hook=HOOKS)
        assert (result.code, result.reason) == (1, "hooks disagree: b not running; a, c running")


class TestLastWords:
    @pytest.mark.fault(
        "A unit fails to start, and the parameter `unit` is an alias of it.",
        "The reason has the unit's last log line, as it has with the unit's own name.",
    )
    @pytest.mark.parametrize("kind", ["alias", "link-to-link"])
    def test_alias(self, agent: Agent, box: Box, kind: str) -> None:
        """The journal knows a unit by its real name alone: mysql is mariadb there."""
        unit = box.service("Type=oneshot", f"ExecStart=sh -c 'echo \"{LAST_WORD}\" >&2; exit 3'")
        alias = box.unit(f"by-{unit}", "")
        box.sh('cd /etc/systemd/system; ln -sfn "$1" "$2"', unit, alias)
        if kind == "link-to-link":
            alias, first = box.unit(f"by-by-{unit}", ""), alias
            box.sh('cd /etc/systemd/system; ln -sfn "$1" "$2"', first, alias)
        box.sh("systemctl daemon-reload")
        result = agent("start", unit=alias, measured=False)
        assert result.code == 1
        assert result.reason == f"{alias} failed: exit-code, status 3: {LAST_WORD}"

    @COLD_ONLY
    @pytest.mark.fault(
        "`ExecStop=` of a unit fails, and the unit does not stop.", "The stop returns 1 with the unit's last log line."
    )
    def test_failed_stop(self, agent: Agent, box: Box) -> None:
        """The reason of a failed stop has the unit's last log line, as that of a failed start."""
        lines = ("ExecStop=sh -c 'echo cannot flush: disk full'", "TimeoutStopSec=infinity")
        unit = box.stubborn(*lines)
        box.sh('systemctl start -- "$1"', unit)
        result = agent("stop", unit=unit, timeout_s=6, stop_escalate="no", leaves_job=True)
        assert result.code == 1
        assert result.reason.startswith(f"{unit} deactivating")
        assert result.reason.endswith(": cannot flush: disk full")

    @pytest.mark.fault(
        "A unit fails to start and logs nothing.",
        "The reason has the last line that systemd has logged about the unit.",
    )
    def test_no_output(self, agent: Agent, box: Box) -> None:
        """Without log lines of the unit the reason has PID 1's."""
        unit = box.service(before="[Unit]\nConditionPathExists=/no/such\nConditionVirtualization=!yes\n")
        result = agent("start", unit=unit, measured=False)
        assert result.code == 1
        assert "unmet condition check" in result.reason
