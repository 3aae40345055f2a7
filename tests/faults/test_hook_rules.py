"""How hooks are run and how their results count: levels, retries, protocols, directories, users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.box import HOOKS
from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

MANY, AT_ONCE = 64, 16
LEVEL_10 = {"OCF_CHECK_LEVEL": "10"}


class TestExitCodes:
    @pytest.mark.fault(
        "A monitoring plugin fails.", "The reason has the first line of the plugin's output, without performance data."
    )
    def test_plugin(self, agent: Agent, box: Box) -> None:
        """A plugin's first line is its message; long output and performance data follow."""
        hook = box.hook("echo 'HTTP CRITICAL - 503 | time=0.1s;;;0'; echo details; exit 2")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_protocol="nagios")
        assert (result.code, result.reason) == (1, "hook hook: HTTP CRITICAL - 503 (exit 2)")

    @pytest.mark.fault(
        "The hook is the `status` action of an init script.",
        "3 becomes 7, not running. Every other code except 0 becomes 1.",
    )
    @pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 1), (2, 1), (3, 7), (4, 1), (7, 1)])
    def test_lsb(self, agent: Agent, box: Box, code: int, expected: int) -> None:
        """The codes of the LSB's status."""
        hook = box.hook(f"exit {code}")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_protocol="lsb")
        assert result.code == expected


class TestWhen:
    @COLD_ONLY
    @pytest.mark.fault("`monitor_hook_level` is greater than 0.", "A start waits for the hook nevertheless.")
    def test_start_whatever_the_level(self, agent: Agent, box: Box) -> None:
        """A start is done when the service is ready, however rarely the hook is run later."""
        unit, hook = box.service(), box.hook("[ -e /run/test/ready ] || { echo not yet >&2; exit 1; }")
        box.path("/run/test").mkdir(exist_ok=True)
        result = agent("start", unit=unit, monitor_hook=hook, monitor_hook_level="10", timeout_s=3)
        assert (result.code, result.reason) == (1, "hook hook: not yet (exit 1)")
        assert agent("monitor", unit=unit, monitor_hook=hook, monitor_hook_level="10").code == 0
        box.write("/run/test/ready", "")
        assert agent("start", unit=unit, monitor_hook=hook, monitor_hook_level="10").code == 0

    @COLD_ONLY
    @pytest.mark.fault(
        "A hook fails for a moment after a reload.", "The reload waits until the hook passes, and returns 0."
    )
    def test_reload_waits(self, agent: Agent, box: Box) -> None:
        """The unit and its hook are polled as after a start."""
        unit = box.started(
            "ExecStart=sleep infinity", "ExecReload=sh -c 'mkdir -p /run/test; date +%%s.%%N >/run/test/at'"
        )
        script = "now=$(date +%s); at=$(cut -d. -f1 /run/test/at) || exit 1; [ $((now - at)) -ge 2 ]"
        result = agent("reload", unit=unit, monitor_hook=box.hook(script))
        assert result.code == 0
        assert result.elapsed_s > 1

    @pytest.mark.fault(
        "A hook fails twice, and retries are configured.",
        "The monitor pauses for `poll_interval` before each retry, and returns 0.",
    )
    def test_retries_are_spaced(self, agent: Agent, box: Box) -> None:
        """Three tries take two intervals, not half a second."""
        box.path("/run/test").mkdir(exist_ok=True)
        hook = box.hook("echo >>/run/test/tries; [ $(wc -l </run/test/tries) -ge 3 ]")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_retries="2", poll_interval="1.5s")
        assert result.code == 0
        assert result.elapsed_s > 3
        assert len(box.marks("tries")) == 3


class TestValues:
    @pytest.mark.fault(
        "`monitor_hook` contains arguments.", "The monitor returns 5, and the reason names `monitor_hook_args`."
    )
    def test_arguments_in_the_hook(self, agent: Agent, box: Box) -> None:
        """The reason names the parameter to use."""
        hook = f"{box.hook('exit 0')} --port 25"
        result = agent("monitor", unit=box.started(), monitor_hook=hook)
        assert result.code == 5
        assert "monitor_hook_args" in result.reason


class TestDirectory:
    @pytest.mark.fault("A directory contains 64 hooks.", "All hooks run, at most 16 at a time.")
    def test_many(self, agent: Agent, box: Box) -> None:
        """Each notes how many run with it."""
        box.path("/run/test").mkdir(exist_ok=True)
        script = (
            "mkdir /run/test/$$; ls /run/test | grep -c '^[0-9]' >>/run/test/together; sleep 0.1; rmdir /run/test/$$"
        )
        for number in range(MANY):
            box.hook(script, f"hook{number}")
        assert agent("monitor", unit=box.started(), monitor_hook=HOOKS, measured=False).code == 0
        together = list(map(int, box.marks("together")))
        assert len(together) == MANY
        assert 2 <= max(together) <= AT_ONCE

    @pytest.mark.fault("A directory contains more than 64 hooks.", "The monitor returns 5 and runs none of the hooks.")
    def test_too_many(self, agent: Agent, box: Box) -> None:
        """A directory that was named by mistake, such as /usr/bin, runs nothing."""
        hook = box.marking("ran")
        for number in range(MANY):
            box.sh(f'cp "$1" {HOOKS}/hook{number}', hook)
        result = agent("monitor", unit=box.started(), monitor_hook=HOOKS)
        assert result.code == 5
        assert (
            result.reason
            == "hook hooks: cannot be run: the directory holds 65 executable files, at most 64 are allowed"
        )
        assert box.marks("ran") == []


class TestUser:
    @pytest.mark.fault(
        "A hook that runs as another user writes to `/dev/stderr`.",
        "The write succeeds, and the reason has the hook's message.",
    )
    @pytest.mark.parametrize("stream", ["/dev/stderr", "/dev/stdout", "/proc/self/fd/2"])
    def test_opens_its_streams(self, agent: Agent, box: Box, stream: str) -> None:
        """The pipes are its own to open again."""
        hook = box.hook(f"echo said >{stream} || exit 9; exit 3")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_user="nobody")
        assert (result.code, result.reason) == (3, "hook hook: said (exit 3)")

    @pytest.mark.fault(
        "The user of a hook may not execute it.", "A start, and `validate-all` at level 10, return 5 with that reason."
    )
    @pytest.mark.parametrize("action", ["validate-all", "start"])
    def test_may_not_execute(self, agent: Agent, box: Box, action: str) -> None:
        """Root could run it; the hook's user cannot."""
        hook = box.hook("exit 0", mode=0o700)
        result = agent(action, unit=box.service(), monitor_hook=hook, monitor_hook_user="nobody", variables=LEVEL_10)
        assert (result.code, result.reason) == (5, "hook hook: cannot be run: user nobody may not execute it")

    @pytest.mark.fault(
        "A hook is on a file system that is mounted noexec.",
        "Start, monitor, and `validate-all` at level 10, return 5.",
    )
    @pytest.mark.parametrize("action", ["validate-all", "start", "monitor"])
    def test_noexec(self, agent: Agent, box: Box, action: str) -> None:
        """Its mode allows execution, and its mount does not."""
        box.sh("mkdir -p /srv/noexec && mount -t tmpfs -o noexec,mode=0755 noexec /srv/noexec")
        try:
            box.write("/srv/noexec/hook", "#!/bin/sh\nexit 0\n", 0o755)
            result = agent(action, unit=box.started(), monitor_hook="/srv/noexec/hook", variables=LEVEL_10)
        finally:
            box.sh("umount /srv/noexec")
        assert (result.code, result.reason) == (5, "hook hook: cannot be run: its file system is mounted noexec")

    @pytest.mark.fault("The interpreter of a hook is missing.", "`validate-all` at level 10 returns 5.")
    def test_interpreter(self, agent: Agent, box: Box) -> None:
        """It is found before a start."""
        hook = box.hook("exit 0", shebang="#!/no/such/sh\n")
        result = agent("validate-all", unit=box.service(), monitor_hook=hook, variables=LEVEL_10)
        assert result.code == 5
        assert "its interpreter /no/such/sh cannot be run" in result.reason
