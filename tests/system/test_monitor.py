"""The table of monitor, row by row, with real units; then hooks that misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Agent, Box

NEVER_READY = ("Type=notify", "ExecStart=sleep infinity")
LATE = "Type=notify", "NotifyAccess=all", "ExecStart=sh -c 'sleep 1; systemd-notify --ready; exec sleep infinity'"
SLOW_STOP = ("ExecStop=sleep 1",)


class TestUnitStates:
    def test_active(self, agent: Agent, box: Box) -> None:
        """A unit that runs is 0; a good monitor writes nothing."""
        answer = agent("monitor", unit=box.started())
        assert (answer.code, answer.stdout, answer.stderr) == (0, "", "")

    def test_unit_without_its_suffix(self, agent: Agent, box: Box) -> None:
        """A name without a suffix is a service's."""
        assert agent("monitor", unit=box.started().removesuffix(".service")).code == 0

    def test_reloading(self, agent: Agent, box: Box) -> None:
        """A unit that reloads for seconds goes on serving: the hook decides."""
        unit = box.started("ExecStart=sleep infinity", "ExecReload=sleep 5")
        box.sh('systemctl reload --no-block -- "$1"', unit)
        box.wait_for(unit, "reloading")
        assert agent("monitor", unit=unit, leaves_job=True).code == 0
        assert agent("monitor", unit=unit, monitor_hook=box.hook("exit 7"), leaves_job=True).code == 7
        assert box.state(unit) == "reloading"

    def test_activating_settles(self, agent: Agent, box: Box) -> None:
        """A unit that is about to run is waited for."""
        unit = box.service(*LATE)
        box.sh('systemctl start --no-block -- "$1"', unit)
        box.wait_for(unit, "activating")
        answer = agent("monitor", unit=unit, monitor_hook=box.hook("exit 0"))
        assert answer.code == 0
        assert answer.elapsed_s > 0.3

    def test_activating_at_the_deadline(self, agent: Agent, box: Box) -> None:
        """A unit that is still about to run at the deadline is 1, not 7."""
        unit = box.service(*NEVER_READY)
        box.sh('systemctl start --no-block -- "$1"', unit)
        box.wait_for(unit, "activating")
        answer = agent("monitor", unit=unit, timeout_s=2, leaves_job=True)
        assert answer.code == 1
        assert f"{unit} is activating" in answer.reason

    def test_deactivating_settles(self, agent: Agent, box: Box) -> None:
        """A unit that is about to stop is waited for, and is 7 once it has."""
        unit = box.started("ExecStart=sleep infinity", *SLOW_STOP)
        box.sh('systemctl stop --no-block -- "$1"', unit)
        box.wait_for(unit, "deactivating")
        assert agent("monitor", unit=unit, monitor_hook=box.hook("exit 0")).code == 7

    def test_deactivating_at_the_deadline(self, agent: Agent, box: Box) -> None:
        """A unit that ignores TERM is not stopped: 1 at the deadline, not 7."""
        unit = box.stubborn("TimeoutStopSec=infinity")
        box.sh('systemctl start -- "$1" && systemctl stop --no-block -- "$1"', unit)
        box.wait_for(unit, "deactivating")
        answer = agent("monitor", unit=unit, timeout_s=2, leaves_job=True)
        assert answer.code == 1
        assert f"{unit} is deactivating" in answer.reason

    @pytest.mark.parametrize("interval_s", [pytest.param(0, id="probe"), pytest.param(10, id="recurring")])
    @pytest.mark.parametrize("code", [0, 42])
    def test_inactive(self, agent: Agent, box: Box, interval_s: float, code: int) -> None:
        """A unit that is down is 7, whatever its hook says."""
        answer = agent("monitor", unit=box.service(), monitor_hook=box.hook(f"exit {code}"), interval_s=interval_s)
        assert answer.code == 7
        assert bool(answer.reason) == (interval_s > 0)

    def test_failed(self, agent: Agent, box: Box) -> None:
        """A unit that failed is 7, and the reason tells Result and exit status."""
        unit = box.started("ExecStart=sh -c 'exit 3'")
        box.wait_for(unit, "failed")
        answer = agent("monitor", unit=unit)
        assert answer.code == 7
        assert f"{unit} is failed (Result=exit-code, status=3)" in answer.reason

    def test_killed(self, agent: Agent, box: Box) -> None:
        """A unit that was killed is 7, and the reason tells the signal."""
        unit = box.started()
        box.sh('systemctl kill --signal=KILL -- "$1"', unit)
        box.wait_for(unit, "failed")
        answer = agent("monitor", unit=unit)
        assert answer.code == 7
        assert f"{unit} is failed (Result=signal, signal=" in answer.reason

    @pytest.mark.parametrize(
        ("interval_s", "code"), [pytest.param(0, 7, id="probe"), pytest.param(10, 5, id="recurring")]
    )
    def test_not_found(self, agent: Agent, interval_s: float, code: int) -> None:
        """A unit that is not installed is 7 to a probe, and 5 otherwise."""
        answer = agent("monitor", unit="absent", interval_s=interval_s)
        assert answer.code == code
        if interval_s:
            assert "absent.service is not found" in answer.reason

    @pytest.mark.parametrize("interval_s", [pytest.param(0, id="probe"), pytest.param(10, id="recurring")])
    def test_masked(self, agent: Agent, box: Box, interval_s: float) -> None:
        """A masked unit goes by its ActiveState: still running is 0, down is 7."""
        unit = box.started()
        box.sh('systemctl mask --runtime -- "$1"; rm "/etc/systemd/system/$1"; systemctl daemon-reload', unit)
        assert box.show(unit, "LoadState") == "masked"
        assert agent("monitor", unit=unit, interval_s=interval_s).code == 0
        box.sh('systemctl stop -- "$1"', unit)
        assert agent("monitor", unit=unit, interval_s=interval_s).code == 7
        box.sh('systemctl unmask --runtime -- "$1"', unit)

    @pytest.mark.parametrize(
        ("interval_s", "code_when_down"), [pytest.param(0, 7, id="probe"), pytest.param(10, 5, id="recurring")]
    )
    def test_unit_file_removed(self, agent: Agent, box: Box, interval_s: float, code_when_down: int) -> None:
        """A unit whose file was removed while it ran goes by its ActiveState, until it is down: then it is missing."""
        unit = box.started()
        box.sh('rm "/etc/systemd/system/$1"; systemctl daemon-reload', unit)
        assert box.show(unit, "LoadState") == "not-found"
        assert agent("monitor", unit=unit, interval_s=interval_s).code == 0
        assert agent("stop", unit=unit).code == 0
        assert agent("monitor", unit=unit, interval_s=interval_s).code == code_when_down

    @pytest.mark.parametrize(
        ("interval_s", "state"),
        [pytest.param(10, "active", id="recurring"), pytest.param(0, "inactive", id="probe")],
    )
    def test_systemd_does_not_answer(self, agent: Agent, box: Box, interval_s: float, state: str) -> None:
        """A systemd that does not answer is 1 before the deadline: in doubt is not stopped."""
        unit = box.started() if state == "active" else box.service()
        with box.freeze():
            answer = agent("monitor", unit=unit, monitor_hook=box.hook("exit 7"), timeout_s=2, interval_s=interval_s)
        assert answer.code == 1
        assert "systemd does not answer" in answer.reason
        assert agent("monitor", unit=unit, interval_s=interval_s).code == (0 if state == "active" else 7)

    def test_systemd_answers_again(self, agent: Agent, box: Box) -> None:
        """A systemd that answers late, but in time, is asked until it does."""
        unit = box.started()
        with box.freeze():
            call = agent.begin("monitor", unit=unit, timeout_s=10)
            box.sandbox.run(["sleep", "1"])
        answer = call.finish()
        agent.audit(call, answer)
        assert answer.code == 0

    def test_systemctl_fails(self, agent: Agent, box: Box) -> None:
        """A systemctl that fails for a while, as during daemon-reexec, is asked again."""
        mark = "/run/test/tried"
        path = box.in_front_of_systemctl(f'[ "$(cat {mark} | wc -l)" -ge 2 ] || {{ echo >>{mark}; exit 1; }}')
        box.sh(f"touch {mark}")
        assert agent("monitor", unit=box.started(), variables={"PATH": path}).code == 0

    def test_private_socket_unusable(self, agent: Agent, box: Box) -> None:
        """Without systemd's socket and the bus nobody knows: 1 from monitor and from stop, never 7 or 0."""
        unit = box.service()
        sockets = ("/run/systemd/private", "/run/dbus/system_bus_socket")
        for socket in sockets:
            box.sh('mount --bind /dev/null "$1"', socket)
        try:
            answers = [agent.begin(action, unit=unit, timeout_s=2).finish() for action in ("monitor", "stop")]
        finally:
            for socket in sockets:
                box.sh('umount "$1"', socket)
        assert [answer.code for answer in answers] == [1, 1]
        assert all("systemd does not answer" in answer.reason for answer in answers)

    def test_bus_down(self, agent: Agent, box: Box) -> None:
        """A dead D-Bus daemon does not matter: root talks to systemd itself."""
        unit = box.started()
        box.sh("systemctl stop dbus.socket dbus.service")
        try:
            codes = [agent(action, unit=unit).code for action in ("monitor", "stop", "start")]
        finally:
            box.sh("systemctl start dbus.socket dbus.service")
        assert codes == [0, 0, 0]


class TestHookAnswers:
    @pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 8, 42, 190, 255])
    def test_codes_pass(self, agent: Agent, box: Box, code: int) -> None:
        """A running unit's hook is passed on as it is; all but 0 with a reason that names hook and code."""
        hook = box.hook(f"echo told >&2; exit {code}")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook)
        assert answer.code == code
        if code:
            assert answer.reason.startswith(f"hook {hook} exited with {code}")
            assert answer.reason.endswith(": told")

    @pytest.mark.parametrize("signal", ["SEGV", "KILL", "TERM", "HUP"])
    def test_signal(self, agent: Agent, box: Box, signal: str) -> None:
        """A hook that dies by a signal is 1 with the signal's name."""
        hook = box.hook(f"kill -{signal} $$")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook)
        assert answer.code == 1
        assert f"hook {hook} died by SIG{signal}" in answer.reason

    def test_time_out(self, agent: Agent, box: Box) -> None:
        """A hook that hangs is 1 with the time it had."""
        hook = box.hook("sleep 1000")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_timeout="500ms")
        assert answer.code == 1
        assert f"hook {hook} timed out after 0." in answer.reason

    @pytest.mark.parametrize(
        ("prepare", "told"),
        [
            pytest.param("rm H", "No such file or directory", id="missing"),
            pytest.param("chmod -x H", "it is not executable", id="not-executable"),
            pytest.param("printf '#!/no/such\\n' >H", "its interpreter /no/such cannot be run", id="interpreter"),
            pytest.param("printf '#!/bin/sh\\r\\nexit 0\\r\\n' >H", "its first line ends in CR LF", id="crlf"),
            pytest.param("printf 'exit 0\\n' >H", "names no interpreter", id="no-shebang"),
            pytest.param(": >H", "names no interpreter", id="empty"),
            pytest.param("rm H; ln -s /no/such H", "No such file or directory", id="dangling"),
            pytest.param("rm H; ln -s H H", "Too many levels of symbolic links", id="loop"),
        ],
    )
    def test_cannot_be_run(self, agent: Agent, box: Box, prepare: str, told: str) -> None:
        """A hook that cannot be run is 5 with why, for monitor and start; it does not keep a stop from being 0."""
        unit, hook = box.started(), box.hook("exit 0")
        box.sh(prepare.replace("H", hook))
        for action in ("monitor", "start"):
            answer = agent(action, unit=unit, monitor_hook=hook)
            assert answer.code == 5
            assert hook in answer.reason
            assert told in answer.reason
        assert agent("stop", unit=unit, monitor_hook=hook).code == 0
        assert agent("monitor", unit=unit, monitor_hook=hook).code == 7

    @pytest.mark.parametrize(
        ("prepare", "culprit"),
        [
            pytest.param("chmod o+w H", "H", id="writable-by-all"),
            pytest.param("chgrp nogroup H; chmod g+w H", "H", id="writable-by-group"),
            pytest.param("chown nobody H", "H", id="owned-by-nobody"),
            pytest.param("chmod o+w D", "D", id="directory-writable-by-all"),
            pytest.param("chown nobody D", "D", id="directory-owned-by-nobody"),
            pytest.param(
                "mkdir -p /run/test/d; chmod 777 /run/test/d; mv H /run/test/d/; ln -s /run/test/d/hook H",
                "/run/test/d",
                id="behind-a-link",
            ),
        ],
    )
    def test_unsafe(self, agent: Agent, box: Box, prepare: str, culprit: str) -> None:
        """A hook that others could change is 4, names what is at fault and is not run; stop works."""
        unit, hook = box.started(), box.marking("ran")
        directory = hook.rpartition("/")[0]
        box.sh(prepare.replace("H", hook).replace("D", directory))
        for action in ("monitor", "start"):
            answer = agent(action, unit=unit, monitor_hook=hook)
            assert answer.code == 4
            assert f"{culprit.replace('H', hook).replace('D', directory)} is" in answer.reason
        assert agent("stop", unit=unit, monitor_hook=hook).code == 0
        assert box.marks("ran") == []

    def test_safe_below_a_sticky_directory(self, agent: Agent, box: Box) -> None:
        """A directory as open as /tmp is no danger when it is sticky, nor is a group that is root's."""
        unit, hook = box.started(), box.hook("exit 0")
        box.sh('mv "$1" /tmp/sticky-hook; chmod g+w /tmp/sticky-hook', hook)
        assert agent("monitor", unit=unit, monitor_hook="/tmp/sticky-hook").code == 0  # noqa: S108
        box.sh("rm /tmp/sticky-hook")


class TestHooksThatMisbehave:
    def test_child_that_holds_the_output(self, agent: Agent, box: Box) -> None:
        """A hook's own exit counts at once, whoever keeps its output open; who does is ended."""
        hook = box.hook("sleep 999 & exit 42")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, measured=False)
        assert answer.code == 42
        assert answer.elapsed_s < 2

    def test_child_in_a_session_of_its_own(self, agent: Agent, box: Box) -> None:
        """What a hook hides in another session, forked twice, is ended with the call."""
        hook = box.hook("(setsid setsid sleep 999 >/dev/null 2>&1 &) ; exit 0")
        assert agent("monitor", unit=box.started(), monitor_hook=hook).code == 0

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("cat; exit 0", id="reads-input"),
            pytest.param("exec 0<&- 1>&- 2>&-; sleep 0.1; exit 0", id="closes-streams"),
        ],
    )
    def test_streams(self, agent: Agent, box: Box, script: str) -> None:
        """A hook that reads its input, or closes its streams, answers like any other."""
        assert agent("monitor", unit=box.started(), monitor_hook=box.hook(script)).code == 0

    @pytest.mark.parametrize(
        "printed",
        [
            pytest.param("ocf-exit-reason:forged", id="reason"),
            pytest.param("x\\rocf-exit-reason:forged", id="reason-after-cr"),
            pytest.param("\\033[31mred\\033[0m", id="colour"),
            pytest.param("\\033]0;title\\007", id="title"),
            pytest.param("a\\000b", id="nul"),
            pytest.param("\\377\\376", id="no-utf-8"),
            pytest.param("[red]markup[/red]", id="markup"),
        ],
    )
    def test_forgery(self, agent: Agent, box: Box, printed: str) -> None:
        """Nothing that a hook prints passes for the agent's reason, or moves a terminal, in the log neither."""
        hook = box.hook(f"printf '{printed}\\n'; printf '{printed}\\n' >&2; exit 42")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, variables={"HA_LOGFACILITY": ""})
        assert answer.code == 42
        assert answer.reason.startswith(f"hook {hook} exited with 42")
        assert not set(answer.stderr) & {"\x1b", "\x00", "\r", "\x07"}

    def test_vanished(self, agent: Agent, box: Box) -> None:
        """A hook that vanishes after the start is 5 while the unit runs, 7 once it is down; stop is 0."""
        unit, hook = box.service(), box.hook("exit 0")
        assert agent("start", unit=unit, monitor_hook=hook).code == 0
        box.sh('rm "$1"', hook)
        codes = [agent(action, unit=unit, monitor_hook=hook).code for action in ("monitor", "stop", "monitor")]
        assert codes == [5, 0, 7]
