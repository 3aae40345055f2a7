"""Rehearsals in the box, as users run them: real services, units broken on purpose, interruptions, the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pytest
from lxml import etree

from tests.system.terminal import Terminal
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.system.box import Box
    from tests.system.requirements import Requirements

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
SANDBOXED = (PROGRAM, "rehearse")
HERE = (*SANDBOXED, "--on-this-host")  # where these tests are is a sandbox already
EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "hooks"
PLACE = "/usr/local/lib/rehearsed"
AT_MOST_S = 300.0  # for all of them at once: half a minute, unless the machine is busy

CHECKS = (
    *("validate-all", "start", "monitor", "reload", "reload-agent", "stop", "left-behind", "monitor-down", "hook-down"),
    *("restarts", "two-starts", "two-stops", "stop-in-start", "killed", "frozen"),
    "restored",
)

HOOKS = {
    "blind": "exit 0",
    # Returns 1 for a process that hangs, at once.
    "honest": """\
[ -e "/run/rehearsed/$1" ] || exit 7
read -r _ _ state _ <"/proc/$(cat "/run/rehearsed/$1")/stat" || exit 7
[ "$state" != T ]""",
}
RUN = "ExecStart=sh -c 'echo $$$$ >/run/rehearsed/%p; exec sleep infinity'\nExecStopPost=rm -f /run/rehearsed/%p"

UNITS = {
    "leaves": f"{RUN}\nExecStartPost=sh -c 'sleep 1001 & exit 0'\nKillMode=process",
    "escapes": "ExecStart=sh -c 'sleep 1002 & echo $$! >/sys/fs/cgroup/init.scope/cgroup.procs; exec sleep infinity'",
    "stubborn": """ExecStart=sh -c 'trap "" TERM; while :; do sleep 1; done'""",
    "slow-to-die": """ExecStart=sh -c 'trap "" TERM; while :; do sleep 1; done'\nTimeoutStopSec=1""",
    "once": "Type=oneshot\nRemainAfterExit=yes\n"
    "ExecStart=sh -c '! [ -e /run/rehearsed/stale ]'\nExecStop=touch /run/rehearsed/stale",
    "eager": "ExecStart=sleep infinity\nRestart=always",
    "broken": "ExecStart=false\nType=oneshot",
    "ran": "ExecStart=sleep infinity",
}
BLIND, HONEST = f"{PLACE}/blind", f"{PLACE}/honest"
CHEAP = ("-o", "order_at_shutdown=no")  # no drop-in, which systemd would have to read again each time

REAL = {
    "nginx": ("nginx", f"{PLACE}/http", "monitor_hook_args=http://127.0.0.1/ 3"),
    "redis": ("redis-server", f"{PLACE}/redis", "monitor_hook_args=127.0.0.1 6379 3"),
    "postfix": (RELEASE.postfix, f"{PLACE}/smtp", "monitor_hook_args=127.0.0.1 25 3"),
}
BROKEN = {
    "leaves": ("--monitor-hook", HONEST, "-o", "monitor_hook_args=leaves"),
    "escapes": (),
    "stubborn": ("--op", "stop=16s"),
    "slow-to-die": (),
    "once": (),
    "eager": ("--monitor-hook", BLIND),
    "broken": (),
    "ran": ("--monitor-hook", BLIND, "--yes"),
}


class Check(TypedDict):
    name: str
    status: str
    what: str
    why: str
    fix: list[str]


@dataclass(frozen=True)
class Rehearsed:
    """The exit code and output of a rehearsal, with --json."""

    code: int
    stdout: str
    stderr: str

    @property
    def checks(self) -> dict[str, Check]:
        return {check["name"]: check for check in json.loads(self.stdout)["checks"]}

    def named(self, status: str) -> set[str]:
        return {name for name, check in self.checks.items() if check["status"] == status}


@pytest.fixture(scope="module")
def place(booted_box: Box) -> Iterator[Box]:
    """Put units and hooks into the box."""
    box = booted_box
    box.path("/run/rehearsed").mkdir()
    for name, script in HOOKS.items():
        box.write(f"{PLACE}/{name}", f"#!/bin/sh\n{script}\n", 0o755)
    for name in ("http", "redis", "smtp"):
        box.write(f"{PLACE}/{name}", (EXAMPLES / name).read_text(encoding="utf-8"), 0o755)
    for name, text in UNITS.items():
        box.write(f"/etc/systemd/system/{name}.service", f"[Service]\n{text}\n")
    box.sh("systemctl daemon-reload; systemctl start ran.service")
    yield box
    units = [f"{name}.service" for name in UNITS]
    box.sh(
        'systemctl stop -- "$@"; cd /etc/systemd/system; rm -f "$@"; systemctl daemon-reload; systemctl reset-failed',
        *units,
    )
    box.sh("rm -rf /run/rehearsed /usr/local/lib/rehearsed")


@pytest.fixture(scope="module")
def rehearsed(place: Box, measuring: Mapping[str, str]) -> dict[str, Rehearsed]:
    """Rehearse all of them at the same time, since they wait most of the time."""
    commands = {
        name: (
            *("--unit", unit, "--monitor-hook", hook, "-o", arguments),
            *(CHEAP if name == "postfix" else ()),
        )
        for name, (unit, hook, arguments) in REAL.items()
    } | {name: ("--unit", name, *CHEAP, *options) for name, options in BROKEN.items()}
    started = {
        name: subprocess.Popen(
            place.sandbox.command([*HERE, *(() if name == "ran" else ("--json",)), *options], env=measuring),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, options in commands.items()
    }
    give_up_at = time.monotonic() + AT_MOST_S
    done = {}
    for name, process in started.items():
        stdout, stderr = process.communicate(timeout=max(give_up_at - time.monotonic(), 1.0))
        done[name] = Rehearsed(process.returncode, stdout, stderr)
    return done


class TestReal:
    @pytest.mark.parametrize("name", REAL)
    def test_passes(self, rehearsed: dict[str, Rehearsed], require: Requirements, name: str) -> None:
        """A real service with its example hook passes all checks that apply."""
        for command in ("nginx", "redis-server", "postfix"):
            require.package(command, command)
        done = rehearsed[name]
        failures = [check for check in done.checks.values() if check["status"] == "error"]
        assert (done.code, done.stderr, failures) == (0, "", [])
        assert tuple(done.checks) == CHECKS
        assert done.named("skipped") == ({"reload"} if name == "redis" else set())

    @pytest.mark.parametrize("name", REAL)
    def test_is_put_back(self, rehearsed: dict[str, Rehearsed], place: Box, name: str) -> None:
        """A unit that was stopped is stopped again, without the agent's drop-in."""
        unit = f"{REAL[name][0]}.service"
        assert rehearsed[name].code == 0
        assert place.state(unit) == "inactive"
        assert place.show(unit, "DropInPaths") == ""
        assert not place.path(f"/run/systemd/system/{unit}.d").exists()

    def test_document(self, rehearsed: dict[str, Rehearsed]) -> None:
        """--json has what was measured, and a proposal from that and the unit's own settings."""
        document = json.loads(rehearsed["nginx"].stdout)
        assert document["version"] == 1
        assert document["unit"] == "nginx.service"
        assert 0 < document["measured"]["hook_s"] < 3
        assert 3 <= document["measured"]["hang_s"] < 9
        assert document["proposal"]["start_timeout_s"] >= 100
        assert document["proposal"]["stop_timeout_s"] >= 8  # its TimeoutStopSec is 5 s

    def test_the_proposed_command(self, rehearsed: dict[str, Rehearsed], place: Box) -> None:
        """The command for pcs creates the resource that was rehearsed, with the proposed timeouts."""
        document = json.loads(rehearsed["nginx"].stdout)["proposal"]
        place.sh("cibadmin --empty >/run/rehearsed/cib.xml")
        place.sh(document["pcs"].replace("pcs ", "pcs -f /run/rehearsed/cib.xml ", 1))
        cib = etree.fromstring(place.path("/run/rehearsed/cib.xml").read_bytes())
        given = {each.get("name"): each.get("value") for each in cib.iterfind(".//instance_attributes/nvpair")}
        assert given == {
            "unit": "nginx",
            "monitor_hook": f"{PLACE}/http",
            "monitor_hook_args": "http://127.0.0.1/ 3",
        }
        timeouts = {each.get("name"): (each.get("timeout"), each.get("interval")) for each in cib.iterfind(".//op")}
        assert timeouts["monitor"] == (f"{document['monitor_timeout_s']}s", f"{document['monitor_interval_s']}s")
        assert timeouts["stop"][0] == f"{document['stop_timeout_s']}s"


PINNED = [
    pytest.param(
        "eager",
        "hook-down",
        "hook blind returned 0 (OCF_SUCCESS) while eager.service was down, expected 7 (not running)",
        "# Have it query the service itself",
        id="hook-returns-0-while-down",
    ),
    pytest.param(
        "eager",
        "frozen",
        "all processes of eager.service (1) were frozen by SIGSTOP, and monitor returned 0 (OCF_SUCCESS), "
        "expected a failure",
        "# Have the hook wait for a response of the service itself",
        id="hook-does-not-detect-a-hang",
    ),
    pytest.param(
        "leaves",
        "left-behind",
        "1 process of leaves.service outlived its stop (KillMode=process), expected none: ",
        "systemctl edit leaves.service   # [Service] KillMode=control-group",
        id="process-left-behind",
    ),
    pytest.param(
        "escapes",
        "left-behind",
        "1 process of escapes.service left its control group and outlived its stop, expected none: ",
        "# Start them without systemd-run",
        id="process-that-escapes",
    ),
    pytest.param(
        "escapes",
        "frozen",
        "all processes of escapes.service (1) were frozen by SIGSTOP, and monitor returned 0 (OCF_SUCCESS)",
        "# Add a hook with --monitor-hook",
        id="no-hook",
    ),
    pytest.param(
        "stubborn",
        "stop",
        "stubborn.service did not stop by itself (TimeoutStopSec=90s): the first stop sent SIGKILL",
        "# Let it end on SIGTERM",
        id="does-not-stop",
    ),
    pytest.param(
        "slow-to-die",
        "stop",
        "systemd killed slow-to-die.service after TimeoutStopSec=1s (Result=timeout) in the first stop",
        "# Let it end on SIGTERM",
        id="systemd-has-to-kill-it",
    ),
    pytest.param(
        "once",
        "restarts",
        "start 1 of 10 in a row returned 1 (OCF_ERR_GENERIC)",
        "journalctl -u once.service",
        id="starts-but-once",
    ),
    pytest.param(
        "eager",
        "killed",
        "and systemd restarted it (Restart=always): monitor returned 0, expected 7 or 1",
        "# Leave order_at_shutdown at yes: its drop-in sets Restart=no while the cluster runs the unit.",
        id="restarted-by-systemd",
    ),
    pytest.param(
        "broken",
        "start",
        "broken.service failed: exit-code, status 1",
        "ocf-systemd debug start broken.service",
        id="does-not-start",
    ),
]


class TestBroken:
    @pytest.mark.parametrize(("name", "check", "what", "fix"), PINNED)
    def test_fails(self, rehearsed: dict[str, Rehearsed], name: str, check: str, what: str, fix: str) -> None:
        """A unit that is broken on purpose fails the check for that, with a reason and a fix."""
        done = rehearsed[name]
        assert (done.code, done.stderr) == (1, "")
        result = done.checks[check]
        assert result["status"] == "error"
        assert what in result["what"]
        assert result["why"]
        assert any(line.startswith(fix) for line in result["fix"])

    @pytest.mark.parametrize(
        ("name", "failed"),
        [
            pytest.param("eager", {"hook-down", "killed", "frozen"}, id="eager"),
            pytest.param("leaves", {"left-behind"}, id="leaves"),
            pytest.param("escapes", {"left-behind", "frozen"}, id="escapes"),
            pytest.param("stubborn", {"stop"}, id="stubborn"),
            pytest.param("once", {"restarts"}, id="once"),
            pytest.param("broken", {"start"}, id="broken"),
        ],
    )
    def test_fails_nowhere_else(self, rehearsed: dict[str, Rehearsed], name: str, failed: set[str]) -> None:
        """One fault is one error: checks that cannot pass after it are skipped, the others are ok."""
        assert rehearsed[name].named("error") == failed

    def test_nothing_is_left(self, rehearsed: dict[str, Rehearsed], place: Box) -> None:
        """Processes that outlived a stop are killed in the end, in whatever control group they are."""
        assert rehearsed["escapes"].code == 1
        assert place.sh("pgrep -fa '[s]leep 100[12]'", check=False) == ""
        assert {name: state for name in UNITS if (state := place.state(name)) not in {"inactive", "failed"}} == {
            "ran": "active"
        }


def invocation(box: Box, unit: str) -> str:
    return box.show(unit, "InvocationID")


class TestConfirmation:
    def test_no_terminal(self, place: Box, box: Box, measuring: Mapping[str, str]) -> None:
        """Without a terminal and --yes a unit that is running is not changed."""
        unit = box.started()
        before = invocation(box, unit)
        done = place.sandbox.run([*HERE, "--unit", unit], env=measuring)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{unit} is running, and there is no terminal" in done.stderr
        assert "--yes" in done.stderr
        assert (box.state(unit), invocation(box, unit)) == ("active", before)

    def test_no(self, box: Box, measuring: Mapping[str, str]) -> None:
        """If the user enters no, the unit is not changed."""
        unit = box.started()
        before = invocation(box, unit)
        command = box.sandbox.command([*HERE, "--unit", unit], env={"TERM": "xterm", **measuring})
        terminal = Terminal(command, (24, 80))
        terminal.look_for("Continue? [y/N]")
        terminal.child.sendline("n")
        last = "\n".join(terminal.watch())
        assert "nothing was changed" in last
        assert (terminal.child.exitstatus, invocation(box, unit)) == (2, before)

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            pytest.param(("--unit", "x", "--op", "start=soon"), "'soon' is not a duration", id="time"),
            pytest.param(("--unit", "x*"), "unit='x*' has characters", id="unit"),
            pytest.param(("--unit", "x", "-o", "speed=1"), "speed", id="parameter"),
            pytest.param((), "'UNIT'", id="no-unit"),
        ],
    )
    def test_usage(self, box: Box, measuring: Mapping[str, str], options: tuple[str, ...], error: str) -> None:
        """A wrong command line is an error with exit code 2, before anything is changed."""
        done = box.sandbox.run([*HERE, *options], env=measuring)
        assert (done.returncode, done.stdout) == (2, "")
        assert error in done.stderr


class TestPutBack:
    def test_a_unit_that_ran(self, place: Box, rehearsed: dict[str, Rehearsed]) -> None:
        """A unit that was running is running again; the text has all results."""
        done = rehearsed["ran"]
        assert (done.code, done.stderr) == (1, "")
        assert f"rehearse ran.service   hook {BLIND}" in done.stdout
        assert "\x1b" not in done.stdout
        assert "pcs resource create" not in done.stdout
        assert done.stdout.splitlines()[-1].startswith(
            "ran.service is not ready for a cluster: 2 problems found, 13 checks passed"
        )
        assert (place.state("ran"), place.show("ran", "DropInPaths")) == ("active", "")

    def test_what_a_cluster_has_started(self, place: Box, box: Box, measuring: Mapping[str, str]) -> None:
        """The drop-in from a cluster's start exists again."""
        unit = box.started()
        box.write(drop_in := f"/run/systemd/system/{unit}.d/zz-ocf-systemd.conf", "[Service]\nRestart=no\n")
        box.sh("systemctl daemon-reload")
        command = [*HERE, "--unit", unit, "--yes"]
        done = place.sandbox.run([*command, "--monitor-hook", "/no/such/hook"], env=measuring)
        assert done.returncode == 1
        assert "hook hook: cannot be run: No such file or directory" in " ".join(done.stdout.split())
        assert done.stdout.count("\nskipped ") == 14
        assert box.state(unit) == "active"
        assert box.show(unit, "DropInPaths") == drop_in

    def test_interrupted_while_all_is_frozen(self, place: Box, box: Box, measuring: Mapping[str, str]) -> None:
        """After a signal during a hang, the processes continue and the unit is running as before."""
        hanging = """\
pid=$(systemctl show --property=MainPID --value "$1")
read -r _ _ state _ <"/proc/$pid/stat" || exit 7
[ "$state" = T ] || exit 0
touch /run/test/hanging; sleep 1004"""
        unit, hook = box.started(), box.hook(hanging)
        box.sh("mkdir -p /run/test; rm -f /run/test/hanging")
        options = ["--unit", unit, "--yes", "--json", "--monitor-hook", hook, "-o", f"monitor_hook_args={unit}", *CHEAP]
        command = place.sandbox.command(
            ["sh", "-c", 'echo $$ >/run/test/pid; exec "$@"', "sh", *HERE, *options], env=measuring
        )
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            box.wait_for_file("/run/test/hanging", within_s=40)
            box.sh('kill "$(cat /run/test/pid)"')
            stdout, _ = process.communicate(timeout=20)
        assert process.returncode == 130
        document = json.loads(stdout)
        assert (document["interrupted"], document["proposal"]) == (True, None)
        assert document["checks"][-1]["name"] == "restored"
        assert document["checks"][-1]["status"] == "ok"
        assert box.state(unit) == "active"
        main = box.show(unit, "MainPID")
        assert box.sh('read -r _ _ state _ <"/proc/$1/stat"; echo "$state"', main) == "S"
        assert box.sh("pgrep -fa '[s]leep 1004'", check=False) == ""


class TestTerminal:
    @pytest.mark.usefixtures("place")
    def test_live_and_interrupted(self, box: Box, measuring: Mapping[str, str]) -> None:
        """The screen has all scenarios while they run; Ctrl-C restores the state, and nothing of the frame is left."""
        unit = box.service()
        options = [*HERE, "--unit", unit, "--monitor-hook", BLIND]
        terminal = Terminal(box.sandbox.command(options, env={"TERM": "xterm-256color", **measuring}), (24, 80))
        live = terminal.look_for("✓ monitor ", "restarts", "frozen", " of 10: ", "9 of 15")
        assert live[0].startswith(f"rehearse {unit}")
        terminal.child.sendintr()
        last = "\n".join(terminal.watch())
        assert f"{unit} is stopped, as before" in last
        assert last.rstrip().endswith("interrupted")
        assert terminal.child.exitstatus == 130
        assert "Traceback" not in terminal.raw
        assert not terminal.screen.cursor.hidden
        assert box.state(unit) == "inactive"
        assert not box.path(f"/run/systemd/system/{unit}.d").exists()


class TestSandbox:
    def test_from_outside(self, tmp_path: Path) -> None:
        """By default it rehearses over this host's files, with a hook that only this host has, and the chosen times."""
        hook = tmp_path / "hook"
        hook.write_text("#!/bin/sh\n", encoding="utf-8")
        hook.chmod(0o644)
        options = ["--unit", "nginx", "--monitor-hook", str(hook), "--op", "start=5min"]
        command = [*SANDBOXED, *options]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
        )
        assert (done.returncode, done.stderr) == (1, "")
        assert "hook hook: cannot be run: it is not executable" in " ".join(done.stdout.split())
        assert "nginx.service is not ready for a cluster: 1 problem found, 1 check passed" in done.stdout
        assert done.stdout.count("not run: validate-all failed") == 14
