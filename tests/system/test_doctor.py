"""doctor in the box: each check with real unit files, on the units that Debian ships, and in a real terminal."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from ocf_systemd.doctor.checks import CHECKS
from tests.system.agent import AGENT
from tests.system.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from tests.system.box import Box
    from tests.system.requirements import Requirements

    class Doctor(Protocol):
        def __call__(self, *words: str) -> CompletedProcess[str]: ...


PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "hooks"
HOOKS = "/usr/local/lib/hooks"
ETC = "/etc/systemd/system"

# A daemon as many are: it forks, writes a PID file, and is wanted, triggered and called by others.
DAEMON = """
[Unit]
PartOf=probe-portal.service
BindsTo=probe-helper.service
[Service]
Type=forking
ExecStart=/bin/sh -c 'sleep infinity & echo $! >/run/probe.pid'
ExecStop=/bin/kill -TERM $MAINPID
Restart=always
"""
HELPER = (
    "[Unit]\nStopWhenUnneeded=yes\nStartLimitIntervalSec={interval}\nStartLimitBurst=5\n[Service]\nExecStart=sleep 9\n"
)
PORTAL = "[Unit]\nWants=probe-daemon.service\n[Service]\nExecStart=sleep 9\n[Install]\nWantedBy=sandbox.target\n"
SOCKET = "[Socket]\nListenStream=/run/probe.sock\n[Install]\nWantedBy=sockets.target\n"
BUS_FILE = "/usr/share/dbus-1/system-services/org.example.Probe.service"
BUS = "[D-BUS Service]\nName=org.example.Probe\nExec=/bin/false\nUser=root\nSystemdService=probe-daemon.service\n"

POOR_DAEMON = (
    DAEMON
    + """
KillMode=none
SendSIGKILL=no
TimeoutStartSec=15min
TimeoutStopSec=15min
RestartForceExitStatus=42
[Unit]
FailureAction=reboot
[Install]
WantedBy=multi-user.target
"""
)
GOOD_DAEMON = (
    DAEMON
    + """
PIDFile=/run/probe.pid
TimeoutStopSec=70s
RestartPreventExitStatus=42
[Install]
WantedBy=multi-user.target
"""
)


def findings(done: CompletedProcess[str]) -> set[str]:
    """Return the names of the checks that found something, once the exit code has been seen to say the same."""
    assert done.stderr == ""
    found: list[str] = json.loads(done.stdout)["findings"]
    assert done.returncode == (1 if found else 0)
    return set(found)


@dataclass(slots=True)
class Files:
    """Files put into the box, and taken away again."""

    box: Box
    paths: list[str] = field(default_factory=list)

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        self.box.write(path, text, mode)
        self.paths.append(path)

    def link(self, path: str, target: str) -> None:
        self.box.sh('mkdir -p "${1%/*}"; ln -sfn "$2" "$1"', path, target)
        self.paths.append(path)


@pytest.fixture
def files(box: Box) -> Iterator[Files]:
    kept = Files(box)
    yield kept
    box.sh('rm -rf "$@"; systemctl daemon-reload; systemctl reset-failed', *kept.paths, f"{ETC}/probe-daemon.service.d")


@pytest.fixture
def doctor(box: Box, measuring: Mapping[str, str]) -> Doctor:
    def run(*words: str) -> CompletedProcess[str]:
        return box.sandbox.run([PROGRAM, "doctor", *words], env=measuring, timeout_s=60)

    return run


@dataclass(frozen=True, slots=True)
class Tally:
    """Which checks have found something in a real unit, and which have looked and found nothing."""

    tripped: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)

    def see(self, done: CompletedProcess[str]) -> set[str]:
        """Take in a page, and return what it found."""
        for check in json.loads(done.stdout)["checks"]:
            {"finding": self.tripped, "ok": self.passed, "skipped": set()}[check["status"]].add(check["check"])
        return findings(done)


def _on_this_host(done: CompletedProcess[str]) -> list[str]:
    """Return the commands that a page advises, but for those that are the cluster's."""
    lines = [line for check in json.loads(done.stdout)["checks"] for line in check.get("mend", ())]
    return [line for line in lines if not line.startswith(("pcs ", "ocf-systemd "))]


class TestUnits:
    """Each check trips on a real unit and passes another; `test_none_is_left_out` sees to it."""

    tally = Tally()

    def test_a_daemon_with_everything_wrong(self, box: Box, files: Files, doctor: Doctor) -> None:
        """What starts it, restarts it, keeps it alive or takes too long is told; doing as advised mends all of it."""
        files.put(f"{ETC}/probe-daemon.service", POOR_DAEMON)
        files.put(f"{ETC}/probe-helper.service", HELPER.format(interval="1h"))
        files.put(f"{ETC}/probe-portal.service", PORTAL)
        files.put(f"{ETC}/probe-daemon.socket", SOCKET)
        files.put(f"{ETC}/probe-daemon.service.d/zzz.conf", "[Service]\nRestart=on-failure\n")
        files.put(BUS_FILE, BUS)
        box.sh(
            "systemctl daemon-reload; systemctl enable probe-daemon.service probe-portal.service probe-daemon.socket"
        )
        done = doctor("--unit", "probe-daemon", "--json")
        assert self.tally.see(done) == {
            *("enabled", "wanted", "triggered", "d-bus"),
            *("drop-in", "main-process", "exec-stop", "kill-mode", "send-sigkill"),
            *("start-timeout", "stop-timeout", "start-limit", "emergency"),
        }
        without = doctor("--unit", "probe-daemon", "-o", "order_at_shutdown=no", "--json")
        assert "restart" in self.tally.see(without)  # which the agent's drop-in deals with
        files.paths += ["/usr/local/share/dbus-1", f"{ETC}/probe-helper.service.d"]
        box.sh("\n".join(["set -e", *_on_this_host(done)]))
        mended = ("--op", "start=305s", "--op", "stop=405s", "--monitor-hook", box.hook("timeout 5 true; exit 7"))
        assert findings(doctor("--unit", "probe-daemon", *mended, "--json")) == set()

    def test_a_daemon_with_nothing_wrong(self, box: Box, files: Files, doctor: Doctor) -> None:
        """The same with the same neighbours, which are disabled, and with what its drop-in deals with: no finding."""
        files.put(f"{ETC}/probe-daemon.service", GOOD_DAEMON)
        files.put(f"{ETC}/probe-helper.service", HELPER.format(interval="10s"))
        files.put(f"{ETC}/probe-portal.service", PORTAL)
        files.put(f"{ETC}/probe-daemon.socket", SOCKET)
        files.put(f"{ETC}/probe-daemon.service.d/override.conf", "[Service]\nRestart=on-failure\n")
        files.put(f"{ETC}/probe-daemon.service.d/zzz.conf", "[Service]\nRestartSec=5\n")
        files.put(BUS_FILE, BUS.replace("SystemdService=probe-daemon", "SystemdService=probe-other"))
        box.sh("systemctl daemon-reload")
        done = doctor("--unit", "probe-daemon", "--monitor-hook", box.hook("timeout 5 true; exit 7"), "--json")
        assert self.tally.see(done) == set()
        box.sh("systemctl stop probe-daemon.service probe-helper.service", check=False)

    def test_what_it_is_part_of(self, box: Box, files: Files, doctor: Doctor) -> None:
        """Of a unit that runs: whoever restarts that, restarts this."""
        files.put(f"{ETC}/probe-daemon.service", GOOD_DAEMON.replace("BindsTo=probe-helper.service", ""))
        files.put(f"{ETC}/probe-portal.service", PORTAL.replace("Wants=probe-daemon.service", ""))
        box.sh("systemctl daemon-reload; systemctl start probe-portal.service")
        done = doctor("--unit", "probe-daemon", "--json")
        box.sh("systemctl stop probe-portal.service")
        assert self.tally.see(done) == {"part-of"}

    def test_a_simple_service(self, box: Box, files: Files, doctor: Doctor) -> None:
        """Without a hook nothing tells when it serves; a change that systemd has not read is told as well."""
        unit = box.started()
        files.put(f"{ETC}/{unit}.d/zz-ocf-systemd.conf", "[Service]\nRestart=no\n")
        assert self.tally.see(doctor("--unit", unit, "--json")) == {"readiness", "daemon-reload", "drop-in"}

    def test_oneshots(self, box: Box, doctor: Doctor) -> None:
        """One that does not remain cannot be monitored; one that does nothing tells nothing."""
        unit = box.service("Type=oneshot", "ExecStart=/bin/echo done")
        assert self.tally.see(doctor("--unit", unit, "--json")) == {"remains"}
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/true")
        assert self.tally.see(doctor("--unit", unit, "--json")) == {"placeholder"}
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/echo done")
        assert self.tally.see(doctor("--unit", unit, "--json")) == set()

    def test_a_unit_that_cannot_be_started(self, box: Box, files: Files, doctor: Doctor) -> None:
        """Masked, or with a setting that systemd does not understand."""
        files.link(f"{ETC}/probe-daemon.service", "/dev/null")
        box.sh("systemctl daemon-reload")
        assert self.tally.see(doctor("--unit", "probe-daemon", "--json")) == {"masked"}
        assert self.tally.see(doctor("--unit", box.service("Type=oneshot"), "--json")) == {"loads"}

    def test_an_alias(self, box: Box, files: Files, doctor: Doctor) -> None:
        """A name that `systemctl disable` removes is none to give to the cluster."""
        unit = box.service("Type=notify", "ExecStart=sleep 9")
        files.link(f"{ETC}/probe-alias.service", f"{ETC}/{unit}")
        files.link("/usr/lib/systemd/system/probe-other.service", f"{ETC}/{unit}")
        box.sh("systemctl daemon-reload")
        assert self.tally.see(doctor("--unit", "probe-alias", "--json")) == {"alias"}
        assert self.tally.see(doctor("--unit", "probe-other", "--json")) == set()

    def test_names(self, doctor: Doctor, require: Requirements) -> None:
        """A name that is none is a finding, with advice: instances of the template, units of a similar name."""
        require.package("/lib/systemd/system/postfix@.service", "postfix")
        assert self.tally.see(doctor("--unit", "a b", "--json")) == {"name"}
        done = doctor("--unit", "postfix@", "--json")
        assert self.tally.see(done) == {"template"}
        assert "ocf-systemd doctor --unit postfix@-.service" in done.stdout
        done = doctor("--unit", "postfx", "--json")
        assert self.tally.see(done) == {"found"}
        assert "ocf-systemd doctor --unit postfix.service" in done.stdout
        assert self.tally.see(doctor("--unit", "postfix@-", "--op", "stop=125s", "--json")) == {"main-process"}

    def test_hooks(self, box: Box, doctor: Doctor) -> None:
        """One that is not there, one that others can write, one slow, unbounded and wrong, one whose codes ban."""
        unit = box.service("Type=notify", "ExecStart=sleep 9")
        assert self.tally.see(doctor("--unit", unit, "--monitor-hook", f"{HOOKS}/none", "--json")) == {"hook"}
        open_to_all = box.hook("exit 7", mode=0o777)
        assert self.tally.see(doctor("--unit", unit, "--monitor-hook", open_to_all, "--json")) == {"hook-safety"}
        slow = ("--monitor-hook", box.hook("sleep 0.6"), "--op", "interval=1s")
        assert self.tally.see(doctor("--unit", unit, *slow, "--json")) == {"hook-timeout", "hook-speed", "hook-answer"}
        banning = ("--monitor-hook", box.hook("timeout 5 true; exit 6"))
        assert self.tally.see(doctor("--unit", box.started(), *banning, "--json")) == {"hook-answer", "hook-codes"}

    def test_a_hook_that_must_not_run(self, box: Box, doctor: Doctor) -> None:
        """With monitor_hook_order=gated the hook of a unit that is down is not run."""
        box.path("/run/test").mkdir(exist_ok=True)
        hook = box.marking("ran", 0)
        gated = ("-o", "monitor_hook_order=gated", "-o", "monitor_hook_timeout=5s")
        done = doctor("--unit", box.service("Type=notify", "ExecStart=sleep 9"), "--monitor-hook", hook, *gated)
        assert (done.returncode, box.marks("ran")) == (0, [])
        assert "not run: monitor_hook_order=gated" in done.stdout

    def test_the_agent(self, box: Box, doctor: Doctor) -> None:
        """Not installed, somebody else's, another version's, and not to be read by other users than root."""
        unit = box.service("Type=notify", "ExecStart=sleep 9")
        text = box.path(AGENT).read_text(encoding="utf-8")
        other = box.path("/usr/lib/ocf/resource.d/resident/systemd")
        aside = other.rename(other.with_name(".aside")) if other.exists() else None
        try:
            box.path(AGENT).unlink()
            assert self.tally.see(doctor("--unit", unit, "--json")) == {"agent"}
            box.write(AGENT, "#!/bin/sh\n", 0o755)
            done = doctor("--unit", unit, "--json")
            assert findings(done) == {"agent"}
            assert "not an agent of ocf-systemd" in done.stdout
            box.write(AGENT, text.replace("gc.disable()", "pass"), 0o755)
            assert self.tally.see(doctor("--unit", unit, "--json")) == {"agent-current"}
            box.write(AGENT, text, 0o700)
            assert self.tally.see(doctor("--unit", unit, "--json")) == {"agent-readable"}
        finally:
            box.write(AGENT, text, 0o755)
            if aside:
                aside.rename(other)

    def test_versions(self, box: Box, files: Files, doctor: Doctor) -> None:
        """A systemd and a Pacemaker that are older than any that has been tried."""
        older = "#!/bin/sh\n/usr/bin/systemctl \"$@\" | sed 's/^Version=.*/Version=249.11-0ubuntu3/'\n"
        files.put("/usr/local/sbin/systemctl", older, 0o755)
        files.put("/usr/local/sbin/pacemakerd", "#!/bin/sh\necho 'Pacemaker 2.0.5'\n", 0o755)
        unit = box.service("Type=notify", "ExecStart=sleep 9")
        assert self.tally.see(doctor("--unit", unit, "--json")) == {"systemd", "pacemaker"}
        box.write("/usr/local/sbin/systemctl", '#!/bin/sh\nexec /usr/bin/systemctl "$@"\n', 0o755)
        box.write("/usr/local/sbin/pacemakerd", "#!/bin/sh\necho 'Pacemaker 2.1.5'\n", 0o755)
        assert self.tally.see(doctor("--unit", unit, "--json")) == set()
        box.write("/usr/local/sbin/systemctl", "#!/bin/sh\necho down >&2; exit 1\n", 0o755)
        done = doctor("--unit", unit, "--json")
        assert findings(done) == {"found"}
        assert "systemd does not answer: down" in done.stdout

    def test_none_is_left_out(self) -> None:
        """Each check of the table has found something above, and has found nothing."""
        names = {check.name for check in CHECKS}
        assert names - self.tally.tripped == set()
        assert names - self.tally.passed == set()


@dataclass(frozen=True, slots=True)
class Debian:
    """A unit that Debian ships, with the example hook that fits it, and what there is to mend."""

    unit: str
    enabled: str
    hook: str
    arguments: str = ""
    shipped: frozenset[str] = frozenset({"enabled"})
    left: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()


WANTED, GUESS = frozenset({"wanted"}), frozenset({"main-process"})
TIMES = frozenset({"start-timeout", "stop-timeout"})
SHIPPED = [
    Debian("postfix@-", "postfix", "smtp", shipped=WANTED, bare=GUESS),
    Debian("nginx", "nginx", "http"),
    Debian("postgresql@15-main", "postgresql", "postgresql", shipped=WANTED, left=TIMES),
    Debian("redis-server", "redis-server", "redis", left=frozenset({"stop-timeout"})),
    Debian("mariadb", "mariadb", "tcp", "127.0.0.1 3306", left=TIMES | {"send-sigkill"}),
    Debian("apache2", "apache2", "http", bare=GUESS),
    Debian("haproxy", "haproxy", "tcp", "127.0.0.1 80"),
]


class TestDebian:
    @pytest.mark.parametrize("row", [pytest.param(row, id=row.unit) for row in SHIPPED])
    def test_units(self, row: Debian, box: Box, files: Files, doctor: Doctor, require: Requirements) -> None:
        """As the package leaves it, boot starts it; disabled, with a hook, a database's times are left, or nothing."""
        require.package(f"/lib/systemd/system/{row.enabled}.service", row.enabled)
        wants = f"{ETC}/multi-user.target.wants/{row.enabled}.service"
        files.link(wants, f"/lib/systemd/system/{row.enabled}.service")
        assert self._enabled(box, row)
        assert findings(doctor("--unit", row.unit, "--json")) == row.shipped | row.left | row.bare
        box.sh('rm "$1"; systemctl daemon-reload', wants)
        hook = box.hook((EXAMPLES / row.hook).read_text(encoding="utf-8"), row.hook, shebang="")
        arguments = ("-o", f"monitor_hook_args={row.arguments}") if row.arguments else ()
        assert findings(doctor("--unit", row.unit, "--monitor-hook", hook, *arguments, "--json")) == row.left

    @staticmethod
    def _enabled(box: Box, row: Debian) -> bool:
        return box.sh('systemctl daemon-reload; systemctl is-enabled "$1.service"', row.enabled) == "enabled"

    def test_a_placeholder(self, doctor: Doctor, require: Requirements) -> None:
        """postfix.service runs nothing itself; the unit that does is named."""
        require.package("/lib/systemd/system/postfix@.service", "postfix")
        done = doctor("--unit", "postfix", "--json")
        assert findings(done) == {"placeholder"}


class TestShown:
    def test_piped(self, box: Box, doctor: Doctor) -> None:
        """It is plain text, and exits with 1 where there is something to mend."""
        done = doctor("--unit", box.service(), "--op", "monitor=30s", "--op", "interval=15s")
        assert (done.returncode, done.stderr) == (1, "")
        assert "monitor 30s every 15s" in done.stdout.splitlines()[0]
        assert "MEND  readiness" in done.stdout
        assert "\x1b" not in done.stdout

    @pytest.mark.parametrize("size", [pytest.param((50, 80), id="80x50"), pytest.param((50, 120), id="120x50")])
    def test_in_a_terminal(self, box: Box, measuring: Mapping[str, str], size: tuple[int, int]) -> None:
        """It is drawn, and fits; what is to be mended stands last."""
        seen = self._open(box, measuring, "--unit", box.service(), size=size)
        last = [line.rstrip() for line in seen.watch()]
        assert any(line.startswith("✓ masked") for line in last)
        assert any(line.startswith("✗ readiness") for line in last)
        assert [line for line in last if line][-1].startswith("1 thing to mend, ")
        assert seen.child.exitstatus == 1
        assert not seen.screen.cursor.hidden

    def test_without_colour(self, box: Box, measuring: Mapping[str, str]) -> None:
        """With NO_COLOR it is drawn without any, and a dumb terminal gets plain text, without an escape code."""
        unit = box.service()
        seen = self._open(box, {**measuring, "NO_COLOR": "1"}, "--unit", unit)
        assert any(line.startswith("✗ readiness") for line in seen.watch())
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", seen.raw)
        seen = self._open(box, {**measuring, "TERM": "dumb"}, "--unit", unit)
        seen.watch()
        assert "MEND  readiness" in seen.raw
        assert "\x1b" not in seen.raw

    def test_interrupted(self, box: Box, measuring: Mapping[str, str]) -> None:
        """Ctrl-C while the hook hangs ends all within 2 s, with 130; no process is left, and no half of a line."""
        before = box.visitors()
        hook = box.marking("began")
        box.write(hook, "#!/bin/sh\ntrap '' TERM INT\necho x >/run/test/began\nwhile :; do sleep 1; done\n", 0o755)
        seen = self._open(box, measuring, "--unit", box.started(), "--monitor-hook", hook)
        seen.look_for("asking systemd")
        box.wait_for_file("/run/test/began")
        began = time.monotonic()
        seen.child.sendintr()
        seen.watch()
        assert time.monotonic() - began < 2
        assert seen.child.exitstatus == 130
        assert "Traceback" not in seen.raw
        assert not seen.screen.cursor.hidden
        assert {pid: words for pid, words in box.visitors().items() if pid not in before} == {}

    def test_a_hook_that_hangs(self, box: Box, doctor: Doctor) -> None:
        """It is ended when a monitor's time is up, with what it started, and is told."""
        before = box.visitors()
        hook = box.hook("sleep 60 & timeout 60 sleep 60")
        done = doctor("--unit", box.started(), "--monitor-hook", hook, "--op", "monitor=1s", "--json")
        assert findings(done) == {"hook-speed", "hook-answer"}
        box.wait_until_gone(before)

    @staticmethod
    def _open(box: Box, variables: Mapping[str, str], *words: str, size: tuple[int, int] = (30, 80)) -> Terminal:
        environment = {"TERM": "xterm-256color", **variables}
        return Terminal(box.sandbox.command([PROGRAM, "doctor", *words], env=environment), size)


def test_it_changes_nothing(box: Box, doctor: Doctor) -> None:
    """No file, no unit's state, no process."""
    unit, hook, before = box.started(), box.hook("exit 7"), box.visitors()
    listing = "find /etc /run/systemd /usr/local -printf '%p %T@ %s %m\\n' | sort | sha256sum"
    files = box.sh(listing)
    doctor("--unit", unit, "--monitor-hook", hook)
    doctor("--unit", "no-such-unit")
    assert box.sh(listing) == files
    assert box.state(unit) == "active"
    box.wait_until_gone(before)
