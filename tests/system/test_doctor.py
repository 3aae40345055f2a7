"""doctor in a sandbox: each check with real unit files, with the units that Debian ships, and in a real terminal."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from ocf_systemd.doctor import cluster_checks, hook_checks, host_checks, service_checks, unit_checks, value_checks
from tests.system.agent import AGENT
from tests.system.terminal import Terminal
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from tests.system.box import Box
    from tests.system.requirements import Requirements

    class Doctor(Protocol):
        def __call__(self, *arguments: str) -> CompletedProcess[str]: ...


PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "hooks"
HOOKS = "/usr/local/lib/hooks"
ETC = "/etc/systemd/system"

# A typical daemon: it forks, writes a PID file, and is started by a unit, a socket and D-Bus.
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


def problems(done: CompletedProcess[str]) -> set[str]:
    """Return the names of the checks that found a problem; the exit code must be 1 if one of them is an error."""
    assert done.stderr == ""
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode == int(any(check["status"] == "error" for check in checks))
    return {check["name"] for check in checks if check["status"] in {"warning", "error"}}


@dataclass(slots=True)
class Files:
    """Files in the sandbox, which are removed at the end of a test."""

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
    def run(*arguments: str) -> CompletedProcess[str]:
        return box.sandbox.run([PROGRAM, "doctor", *arguments], env=measuring, timeout_s=60)

    return run


@dataclass(frozen=True, slots=True)
class Tally:
    """Which checks have found a problem in a real unit, and which have passed."""

    failed: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)

    def add(self, done: CompletedProcess[str]) -> set[str]:
        """Add a report, and return the names of the checks that found a problem."""
        names = {"warning": self.failed, "error": self.failed, "ok": self.passed, "skipped": set[str]()}
        for check in json.loads(done.stdout)["checks"]:
            names[check["status"]].add(check["name"])
        return problems(done)


def _on_this_host(done: CompletedProcess[str]) -> list[str]:
    """Return the commands of a report, except for those of the cluster."""
    lines = [line for check in json.loads(done.stdout)["checks"] for line in check["fix"]]
    return [line for line in lines if not line.startswith(("pcs ", "ocf-systemd "))]


class TestUnits:
    """Each check finds a problem in one real unit and passes another; `test_every_check_is_tested` enforces it."""

    tally = Tally()

    def test_a_daemon_with_many_problems(self, box: Box, files: Files, doctor: Doctor) -> None:
        """What starts it, restarts it, keeps it alive or takes too long is reported; the proposed commands fix all.

        Only the administrator can decide about other units: what starts it, and the start limit of a helper.
        """
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
        assert self.tally.add(done) == {
            *("enabled", "wanted", "triggered", "d-bus", "part-of"),
            *("drop-in", "main-process", "exec-stop", "send-sigkill"),
            *("start-timeout", "stop-timeout", "start-limit", "failure-action"),
        }
        without = doctor("--unit", "probe-daemon", "-o", "order_at_shutdown=no", "--json")
        assert "restart" in self.tally.add(without)  # which the agent's drop-in would prevent
        files.paths += ["/usr/local/share/dbus-1"]
        box.sh("\n".join(["set -e", *_on_this_host(done)]))
        fixed = ("--op", "start=305s", "--op", "stop=405s", "--monitor-hook", box.hook("timeout 5 true; exit 7"))
        assert problems(doctor("--unit", "probe-daemon", *fixed, "--json")) == {"part-of", "wanted", "start-limit"}
        box.sh("systemctl is-enabled probe-portal.service; systemctl disable probe-portal.service")

    def test_a_daemon_without_problems(self, box: Box, files: Files, doctor: Doctor) -> None:
        """The same with the same related units, which are disabled, and a Restart= that the agent overrides."""
        files.put(f"{ETC}/probe-daemon.service", GOOD_DAEMON)
        files.put(f"{ETC}/probe-helper.service", HELPER.format(interval="10s"))
        files.put(f"{ETC}/probe-portal.service", PORTAL)
        files.put(f"{ETC}/probe-daemon.socket", SOCKET)
        files.put(f"{ETC}/probe-daemon.service.d/override.conf", "[Service]\nRestart=on-failure\n")
        files.put(f"{ETC}/probe-daemon.service.d/zzz.conf", "[Service]\nRestartSec=5\n")
        files.put(BUS_FILE, BUS.replace("SystemdService=probe-daemon", "SystemdService=probe-other"))
        box.sh("systemctl daemon-reload")
        done = doctor("--unit", "probe-daemon", "--monitor-hook", box.hook("timeout 5 true; exit 7"), "--json")
        assert self.tally.add(done) == set()
        box.sh("systemctl stop probe-daemon.service probe-helper.service", check=False)

    def test_what_it_is_part_of(self, box: Box, files: Files, doctor: Doctor) -> None:
        """It is part of a unit that runs: a restart of that unit restarts it."""
        files.put(f"{ETC}/probe-daemon.service", GOOD_DAEMON.replace("BindsTo=probe-helper.service", ""))
        files.put(f"{ETC}/probe-portal.service", PORTAL.replace("Wants=probe-daemon.service", ""))
        box.sh("systemctl daemon-reload; systemctl start probe-portal.service")
        done = doctor("--unit", "probe-daemon", "--json")
        box.sh("systemctl stop probe-portal.service")
        assert self.tally.add(done) == {"part-of", "no-hook"}

    def test_a_simple_service(self, box: Box, files: Files, doctor: Doctor) -> None:
        """Without a hook nothing detects when it is ready; a file that systemd has not loaded is reported as well."""
        unit = box.started()
        files.put(f"{ETC}/{unit}.d/zz-ocf-systemd.conf", "[Service]\nRestart=no\n")
        assert self.tally.add(doctor("--unit", unit, "--json")) == {"readiness", "daemon-reload", "drop-in"}

    def test_processes_that_are_left(self, box: Box, doctor: Doctor) -> None:
        """A stop leaves processes: a main process that ends them itself, and containers, need a decision."""
        unit = box.service("Type=notify", "ExecStart=sleep 9", "KillMode=none")
        done = doctor("--unit", unit, "--json")
        assert self.tally.add(done) == {"kill-mode", "no-hook"}
        assert "KillMode=control-group" in done.stdout
        for setting in ("Delegate=yes", "KillMode=process"):
            unit = box.service("Type=notify", "ExecStart=sleep 9", "KillMode=none", setting)
            done = doctor("--unit", unit, "--json")
            assert problems(done) == {"kill-mode", "no-hook"}
            assert _on_this_host(done) == []

    def test_oneshots(self, box: Box, doctor: Doctor) -> None:
        """One that does not stay active cannot be monitored; one that runs nothing detects no failure."""
        unit = box.service("Type=oneshot", "ExecStart=/bin/echo done")
        assert self.tally.add(doctor("--unit", unit, "--json")) == {"remain-after-exit", "no-hook"}
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/true")
        assert self.tally.add(doctor("--unit", unit, "--json")) == {"placeholder"}
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/echo done")
        assert self.tally.add(doctor("--unit", unit, "--json")) == {"stays-active"}

    def test_a_unit_that_cannot_be_started(self, box: Box, files: Files, doctor: Doctor) -> None:
        """It is masked, or has a setting that systemd rejects."""
        files.link(f"{ETC}/probe-daemon.service", "/dev/null")
        box.sh("systemctl daemon-reload")
        assert self.tally.add(doctor("--unit", "probe-daemon", "--json")) == {"masked"}
        assert self.tally.add(doctor("--unit", box.service("Type=oneshot"), "--json")) == {"loads"}

    def test_an_alias(self, box: Box, files: Files, doctor: Doctor) -> None:
        """A name that `systemctl disable` removes must not be used in the cluster."""
        unit = box.service("Type=notify", "ExecStart=sleep 9")
        files.link(f"{ETC}/probe-alias.service", f"{ETC}/{unit}")
        files.link("/usr/lib/systemd/system/probe-other.service", f"{ETC}/{unit}")
        box.sh("systemctl daemon-reload")
        assert self.tally.add(doctor("--unit", "probe-alias", "--json")) == {"alias", "no-hook"}
        assert self.tally.add(doctor("--unit", "probe-other", "--json")) == {"no-hook"}

    def test_names(self, doctor: Doctor, require: Requirements) -> None:
        """A name that is rejected or not found is an error; instances or units with a similar name are proposed."""
        require.package("/lib/systemd/system/postgresql@.service", "postgresql-common")
        assert self.tally.add(doctor("--unit", "a b", "--json")) == {"name"}
        done = doctor("--unit", "postgresql@", "--json")
        assert self.tally.add(done) == {"template"}
        assert f"ocf-systemd doctor {RELEASE.postgresql}.service" in done.stdout
        assert "template" not in self.tally.add(doctor("--unit", RELEASE.postgresql, "--json"))
        done = doctor("postfx", "--json")
        assert self.tally.add(done) == {"found"}
        assert "postfx.service is not found on this host; did you mean postfix.service" in done.stdout
        assert "ocf-systemd doctor postfix.service" in done.stdout
        assert self.tally.add(doctor("--unit", RELEASE.postfix, "--op", "stop=125s", "--json")) == {"main-process"}

    def test_times(self, box: Box, doctor: Doctor) -> None:
        """A time that is far off is a warning, which has what was understood."""
        done = doctor(box.service("Type=notify", "ExecStart=sleep 9"), "-o", "poll_interval=5000", "--json")
        assert self.tally.add(done) == {"no-hook", "times"}
        assert "poll_interval=5000 is 5000 s (83 min); did you mean 5000ms?" in done.stdout

    def test_hooks(self, box: Box, doctor: Doctor) -> None:
        """A hook is missing, writable by others, slow without a timeout and wrong, or returns hard errors."""
        unit = box.service("Type=notify", "ExecStart=sleep 9")
        assert self.tally.add(doctor("--unit", unit, "--monitor-hook", f"{HOOKS}/none", "--json")) == {"hook"}
        open_to_all = box.hook("exit 7", mode=0o777)
        assert self.tally.add(doctor("--unit", unit, "--monitor-hook", open_to_all, "--json")) == {"hook-safety"}
        slow = ("--monitor-hook", box.hook("sleep 0.6"), "--op", "interval=1s")
        assert self.tally.add(doctor("--unit", unit, *slow, "--json")) == {"hook-timeout", "hook-speed", "hook-answer"}
        hard = ("--monitor-hook", box.hook("timeout 5 true; exit 6"))
        assert self.tally.add(doctor("--unit", box.started(), *hard, "--json")) == {"hook-answer", "hook-codes"}

    def test_a_hook_that_must_not_run(self, box: Box, doctor: Doctor) -> None:
        """With monitor_hook_order=gated the hook of a stopped unit is not run."""
        box.path("/run/test").mkdir(exist_ok=True)
        hook = box.marking("ran", 0)
        gated = ("-o", "monitor_hook_order=gated", "-o", "monitor_hook_timeout=5s")
        done = doctor("--unit", box.service("Type=notify", "ExecStart=sleep 9"), "--monitor-hook", hook, *gated)
        assert (done.returncode, box.marks("ran")) == (0, [])
        assert "not run: monitor_hook_order=gated" in " ".join(done.stdout.split())

    def test_the_agent(self, box: Box, doctor: Doctor) -> None:
        """It is not installed, another agent, another version, or not readable by users other than root."""
        unit = (box.service("Type=notify", "ExecStart=sleep 9"), "--monitor-hook", box.hook("timeout 5 true; exit 7"))
        text = box.path(AGENT).read_text(encoding="utf-8")
        other = box.path("/usr/lib/ocf/resource.d/resident/systemd")
        aside = other.rename(other.with_name(".aside")) if other.exists() else None
        try:
            box.path(AGENT).unlink()
            assert self.tally.add(doctor("--unit", *unit, "--json")) == {"agent"}
            box.write(AGENT, "#!/bin/sh\n", 0o755)
            done = doctor("--unit", *unit, "--json")
            assert problems(done) == {"agent"}
            assert "not an agent of ocf-systemd" in done.stdout
            box.write(AGENT, text.replace("gc.disable()", "pass"), 0o755)
            assert self.tally.add(doctor("--unit", *unit, "--json")) == {"agent-current"}
            box.write(AGENT, text, 0o700)
            assert self.tally.add(doctor("--unit", *unit, "--json")) == {"agent-readable"}
            box.write(AGENT, text, 0o757)
            assert self.tally.add(doctor("--unit", *unit, "--json")) == {"agent-safety"}
        finally:
            box.write(AGENT, text, 0o755)
            if aside:
                aside.rename(other)

    def test_the_server(self, box: Box, doctor: Doctor) -> None:
        """It is installed, but its socket does not listen; the proposed commands start it."""
        unit = (box.service("Type=notify", "ExecStart=sleep 9"), "--monitor-hook", box.hook("timeout 5 true; exit 7"))
        box.sh("systemctl stop ocf-systemd.socket ocf-systemd.service")
        done = doctor("--unit", *unit, "--json")
        box.sh("\n".join(["set -e", *_on_this_host(done)]))
        assert self.tally.add(done) == {"server"}
        assert self.tally.add(doctor("--unit", *unit, "--json")) == set()

    def test_versions(self, box: Box, files: Files, doctor: Doctor) -> None:
        """The versions of systemd and Pacemaker are older than the oldest tested ones."""
        older = "#!/bin/sh\n/usr/bin/systemctl \"$@\" | sed 's/^Version=.*/Version=249.11-0ubuntu3/'\n"
        files.put("/usr/local/sbin/systemctl", older, 0o755)
        files.put("/usr/local/sbin/pacemakerd", "#!/bin/sh\necho 'Pacemaker 2.0.5'\n", 0o755)
        unit = (box.service("Type=notify", "ExecStart=sleep 9"), "--monitor-hook", box.hook("timeout 5 true; exit 7"))
        assert self.tally.add(doctor("--unit", *unit, "--json")) == {"systemd", "pacemaker"}
        box.write("/usr/local/sbin/systemctl", '#!/bin/sh\nexec /usr/bin/systemctl "$@"\n', 0o755)
        box.write("/usr/local/sbin/pacemakerd", "#!/bin/sh\necho 'Pacemaker 2.1.5'\n", 0o755)
        assert self.tally.add(doctor("--unit", *unit, "--json")) == set()
        box.write("/usr/local/sbin/systemctl", "#!/bin/sh\necho down >&2; exit 1\n", 0o755)
        done = doctor("--unit", *unit, "--json")
        assert problems(done) == {"found"}
        assert "systemd does not answer: down" in done.stdout

    def test_no_cluster(self, box: Box, doctor: Doctor) -> None:
        """Where no cluster runs, its checks are skipped; tests/cluster/test_doctor.py has them where one does."""
        checks = {
            check["name"]: check for check in json.loads(doctor("--unit", box.service(), "--json").stdout)["checks"]
        }
        found = [checks[check.name] for check in cluster_checks.CHECKS]
        assert {(check["status"], check["what"]) for check in found} == {("skipped", "no cluster runs on this host")}

    def test_every_check_is_tested(self) -> None:
        """Each check of the table has found a problem above, and has passed."""
        modules = (
            unit_checks,
            service_checks,
            hook_checks,
            value_checks,
            host_checks,
        )  # test_doctor_findings.py, tests/cluster: the others
        names = {check.name for module in modules for check in module.CHECKS}
        assert names - self.tally.failed == set()
        assert names - self.tally.passed == set()


ENABLED = frozenset({"enabled"})


@dataclass(frozen=True, slots=True)
class Debian:
    """A unit that Debian ships, with an example hook, and the checks that find problems.

    `shipped` as the package installs it, `bare` without a hook, `left` in each case.
    """

    unit: str
    enabled: str
    hook: str
    arguments: str = ""
    shipped: frozenset[str] = ENABLED
    left: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset({"no-hook"})


WHOLE, GUESS = frozenset({"wanted", "part-of"}), frozenset({"main-process"})
TIMES = frozenset({"start-timeout", "stop-timeout"})
SHIPPED = [
    Debian(RELEASE.postfix, "postfix", "smtp", shipped=WHOLE if RELEASE.postfix_is_instance else ENABLED, bare=GUESS),
    Debian("nginx", "nginx", "http"),
    Debian(RELEASE.postgresql, "postgresql", "postgresql", shipped=WHOLE, left=TIMES),
    Debian("redis-server", "redis-server", "redis", left=frozenset({"stop-timeout"})),
    Debian("mariadb", "mariadb", "tcp", "127.0.0.1 3306", left=TIMES | {"send-sigkill"}),
    Debian("apache2", "apache2", "http", bare=GUESS),
    Debian("haproxy", "haproxy", "tcp", "127.0.0.1 80"),
]


class TestDebian:
    @pytest.mark.parametrize("row", [pytest.param(row, id=row.unit) for row in SHIPPED])
    def test_units(self, row: Debian, box: Box, files: Files, doctor: Doctor, require: Requirements) -> None:
        """As installed, boot starts it; disabled and with a hook, only timeouts of databases are left."""
        require.package(f"/lib/systemd/system/{row.enabled}.service", row.enabled)
        wants = f"{ETC}/multi-user.target.wants/{row.enabled}.service"
        files.link(wants, f"/lib/systemd/system/{row.enabled}.service")
        assert self._enabled(box, row)
        assert problems(doctor("--unit", row.unit, "--json")) == row.shipped | row.left | row.bare
        box.sh('rm "$1"; systemctl daemon-reload', wants)
        hook = box.hook((EXAMPLES / row.hook).read_text(encoding="utf-8"), row.hook, shebang="")
        arguments = ("-o", f"monitor_hook_args={row.arguments}") if row.arguments else ()
        assert problems(doctor("--unit", row.unit, "--monitor-hook", hook, *arguments, "--json")) == row.left

    @staticmethod
    def _enabled(box: Box, row: Debian) -> bool:
        return box.sh('systemctl daemon-reload; systemctl is-enabled "$1.service"', row.enabled) == "enabled"

    def test_a_placeholder(self, doctor: Doctor, require: Requirements) -> None:
        """postgresql.service runs nothing itself."""
        require.package("/lib/systemd/system/postgresql.service", "postgresql-common")
        done = doctor("--unit", "postgresql", "--json")
        assert problems(done) == {"placeholder"}


class TestOutput:
    def test_piped(self, box: Box, doctor: Doctor) -> None:
        """It is text without escape codes, and a warning leads to exit code 0."""
        done = doctor("--unit", box.service(), "--op", "monitor=30s", "--op", "interval=15s")
        assert (done.returncode, done.stderr) == (0, "")
        assert "monitor 30s every 15s" in done.stdout.splitlines()[0]
        assert "warning  readiness" in done.stdout
        assert "\x1b" not in done.stdout

    @pytest.mark.parametrize("size", [pytest.param((50, 80), id="80x50"), pytest.param((50, 120), id="120x50")])
    def test_in_a_terminal(self, box: Box, measuring: Mapping[str, str], size: tuple[int, int]) -> None:
        """It uses marks, and fits; problems are last."""
        seen = self._open(box, measuring, "--unit", box.service("ExecStart=sleep infinity", "KillMode=none"), size=size)
        last = [line.rstrip() for line in seen.watch()]
        assert any(line.startswith("✓ systemd") for line in last)
        assert any(line.startswith("! readiness") for line in last)
        assert any(line.startswith("✗ kill-mode") for line in last)
        assert [line for line in last if line][-1].startswith("2 problems found, ")
        assert seen.child.exitstatus == 1
        assert not seen.screen.cursor.hidden

    def test_without_colour(self, box: Box, measuring: Mapping[str, str]) -> None:
        """With NO_COLOR there are marks without colour; a dumb terminal gets text without escape codes."""
        unit = box.service()
        seen = self._open(box, {**measuring, "NO_COLOR": "1"}, "--unit", unit)
        assert any(line.startswith("! readiness") for line in seen.watch())
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", seen.raw)
        seen = self._open(box, {**measuring, "TERM": "dumb"}, "--unit", unit)
        seen.watch()
        assert "warning  readiness" in seen.raw
        assert "\x1b" not in seen.raw

    def test_interrupted(self, box: Box) -> None:
        """Ctrl-C while the hook hangs ends all within 2 s, with exit code 130; no process is left."""
        before = box.visitors()
        hook = box.marking("began")
        box.write(hook, "#!/bin/sh\ntrap '' TERM INT\necho x >/run/test/began\nwhile :; do sleep 1; done\n", 0o755)
        unit = box.started()

        def ends_in_time() -> bool:
            box.path("/run/test/began").unlink(missing_ok=True)
            seen = self._open(box, {}, "--unit", unit, "--monitor-hook", hook)  # writing coverage data takes time
            seen.look_for("querying systemd")
            box.wait_for_file("/run/test/began")
            began = time.monotonic()
            seen.child.sendintr()
            seen.watch()
            elapsed_s = time.monotonic() - began
            assert seen.child.exitstatus == 130
            assert "Traceback" not in seen.raw
            assert not seen.screen.cursor.hidden
            assert {pid: command for pid, command in box.visitors().items() if pid not in before} == {}
            return elapsed_s < 2

        assert any(ends_in_time() for _ in range(3))  # a busy machine gets another chance

    def test_a_hook_that_hangs(self, box: Box, doctor: Doctor) -> None:
        """It is ended at the monitor's deadline, with its child processes, and reported."""
        before = box.visitors()
        hook = box.hook("sleep 60 & timeout 60 sleep 60")
        done = doctor("--unit", box.started(), "--monitor-hook", hook, "--op", "monitor=2s", "--json")
        assert problems(done) == {"hook-speed"}
        box.wait_until_gone(before)

    @staticmethod
    def _open(box: Box, variables: Mapping[str, str], *arguments: str, size: tuple[int, int] = (30, 80)) -> Terminal:
        environment = {"TERM": "xterm-256color", **variables}
        return Terminal(box.sandbox.command([PROGRAM, "doctor", *arguments], env=environment), size)


def test_it_changes_nothing(box: Box, doctor: Doctor) -> None:
    """Files, the state of the unit and processes are as before."""
    unit, hook, before = box.started(), box.hook("exit 7"), box.visitors()
    # journald writes /run/systemd/journal/streams whenever it comes to it.
    find = "find /etc /run/systemd /usr/local -path /run/systemd/journal -prune -o -printf '%p %T@ %s %m\\n'"
    listing = f"{find} | sort | sha256sum"
    files = box.sh(listing)
    doctor("--unit", unit, "--monitor-hook", hook)
    doctor("--unit", "no-such-unit")
    assert box.sh(listing) == files
    assert box.state(unit) == "active"
    box.wait_until_gone(before)
