"""The command line in real child processes: exit codes, exit reasons, and standard streams in any state."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pexpect
import psutil
import pytest

from ocf_systemd import __version__
from ocf_systemd.core.ocf import Action
from tests.unit.builders import UNTIL_ASLEEP, executable, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

AGENT = "from ocf_systemd.agent.entry import main; main()"
PROGRAM = "from ocf_systemd.commands import main; main()"
BOTH = [pytest.param(AGENT, id="agent"), pytest.param(PROGRAM, id="program")]
ACTIONS = "expected start, stop, monitor, reload, reload-agent, validate-all, meta-data"
HAS_SYSTEMD = Path("/run/systemd/system").is_dir()
# On a host that systemd did not boot every action ends early: this check alone is replaced there.
BOOTED = "" if HAS_SYSTEMD else "import ocf_systemd.host.systemctl as s; s.is_booted = lambda *_: True\n"

ACTIVE = "echo LoadState=loaded; echo ActiveState=active; echo SubState=running"
DOWN = "echo LoadState=loaded; echo ActiveState=inactive; echo SubState=dead"
ATTEMPTS = 3  # to end in time: the process of an agent that has ended may get no processor for a moment


def agent(
    *arguments: str, env: Mapping[str, str] | None = None, code: str = AGENT, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return run_python(code, *arguments, env=env or {}, options=options)


def act(action: str, host: Mapping[str, str], code: str = AGENT) -> subprocess.CompletedProcess[str]:
    """Call the agent on a host that has systemd."""
    return agent(action, env=host, code=BOOTED + code)


@pytest.fixture
def host(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which systemctl is a script that reports an active unit."""
    directory = tmp_path / "bin"
    directory.mkdir()
    executable(directory / "systemctl", f"#!/bin/sh\n{ACTIVE}\n")
    return {"PATH": f"{directory}:/usr/bin:/bin", "OCF_RESKEY_unit": "nginx", "OCF_RESKEY_CRM_meta_timeout": "8000"}


def set_systemctl(host: Mapping[str, str], script: str) -> None:
    executable(Path(host["PATH"].split(":")[0]) / "systemctl", f"#!/bin/sh\n{script}\n")


class TestUnknownAction:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            pytest.param((), f"no action given, {ACTIONS}", id="no action"),
            pytest.param(("promote",), f"unknown action 'promote', {ACTIONS}", id="promote"),
            pytest.param(("notify",), f"unknown action 'notify', {ACTIONS}", id="notify"),
            pytest.param(("",), f"unknown action '', {ACTIONS}", id="empty"),
            pytest.param(("Start",), f"unknown action 'Start', {ACTIONS}", id="capital"),
            pytest.param(("--bogus",), f"unknown action '--bogus', {ACTIONS}", id="unknown option"),
            pytest.param(("-x", "start"), f"unknown action '-x', {ACTIONS}", id="short option first"),
            pytest.param(("--", "--bogus"), None, id="dashes"),
            pytest.param(("a\nb\x1b[31mc",), f"unknown action 'abc', {ACTIONS}", id="control characters"),
            pytest.param(("ocf-exit-reason:fine",), f"unknown action '[...]fine', {ACTIONS}", id="a forged reason"),
        ],
    )
    def test_exit_code_and_reason(self, arguments: tuple[str, ...], reason: str | None) -> None:
        """The agent file exits with 3 and one line; never with 2, a hard error that keeps the resource off the node."""
        done = agent(*arguments)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("ocf-exit-reason:")
        assert reason is None or done.stderr == f"ocf-exit-reason:{reason}\n"

    def test_invalid_utf8(self) -> None:
        """An action whose name is not valid UTF-8 is an unknown action."""
        done = subprocess.run([sys.executable, "-c", AGENT, b"\xff"], env={}, capture_output=True, check=False)
        assert done.returncode == 3
        assert done.stderr == f"ocf-exit-reason:unknown action '\\xff', {ACTIONS}\n".encode()

    @pytest.mark.parametrize("option", [pytest.param("--help", id="help"), pytest.param("--version", id="version")])
    def test_the_agent_has_no_options(self, option: str) -> None:
        """The agent file knows actions alone."""
        assert agent(option).returncode == 3


class TestProgram:
    def test_options(self) -> None:
        """`ocf-systemd` has --version and --help, which lists the commands."""
        assert agent("--version", code=PROGRAM).stdout == f"ocf-systemd, version {__version__}\n"
        done = agent("--help", code=PROGRAM)
        assert done.returncode == 0
        for word in ("doctor", "rehearse", "debug", "install", "uninstall", "sandbox"):
            assert f"  {word} " in done.stdout
        assert " ".join(Action) in done.stdout

    @pytest.mark.parametrize("on_terminal", [pytest.param(False, id="pipe"), pytest.param(True, id="terminal")])
    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            pytest.param(("doctr",), r"No such command 'doctr'\. Did you mean 'doctor'\?", id="command"),
            pytest.param(("monitr",), "'monitor'", id="action"),
            pytest.param(("promote",), r"No such command 'promote'\.", id="action of OCF"),
            pytest.param(("",), r"No such command ''\.", id="empty"),
            pytest.param(("sandbox", "rnu"), r"No such command 'rnu'\. Did you mean 'run'\?", id="command of a group"),
            pytest.param(("--bogus",), r"No such option:? '?--bogus\b", id="option of the program"),
            pytest.param(
                ("doctor", "--unti", "x"), r"No such option:? '?--unti\b.* Did you mean '?--unit'?\?", id="option"
            ),
            pytest.param(("doctor",), "Missing argument 'UNIT', or option '--resource'", id="missing unit"),
            pytest.param(("debug", "--unit", "x"), r"Missing argument 'ACTION'\.", id="missing argument"),
            pytest.param(("doctor", "x", "y"), r"Got unexpected extra argument \(y\)", id="extra argument"),
        ],
    )
    def test_usage_errors(self, arguments: tuple[str, ...], error: str, *, on_terminal: bool) -> None:
        """A person gets 2, the command's usage and the name that was probably meant, and nothing of OCF."""
        if on_terminal:
            code, output = run_on_terminal(sys.executable, "-c", PROGRAM, *arguments)
        else:
            done = agent(*arguments, code=PROGRAM)
            assert done.stdout == ""
            code, output = done.returncode, done.stderr
        assert code == 2
        assert output.startswith("Usage: ocf-systemd ")
        assert re.search(error, output)
        assert "ocf-exit-reason" not in output

    def test_no_command(self) -> None:
        """Without a command the help is shown, as an error."""
        done = agent(code=PROGRAM)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == agent("--help", code=PROGRAM).stdout


def run_on_terminal(program: str, *arguments: str) -> tuple[int | None, str]:
    """Run a command on a pseudo-terminal; return its exit code and what it wrote there."""
    child = pexpect.spawn(program, [*arguments], env={"COLUMNS": "200"}, encoding="utf-8", timeout=30)
    output = child.read()
    child.close()
    return child.exitstatus, output


class TestSurplusArguments:
    @pytest.mark.parametrize(
        "surplus",
        [
            pytest.param(("x",), id="a word"),
            pytest.param(("--bogus", "-x", "--help", "--"), id="options"),
            pytest.param(("start", "stop"), id="actions"),
        ],
    )
    def test_ignored(self, surplus: tuple[str, ...]) -> None:
        """OCF 1.1, Execution Syntax: an agent ignores surplus arguments."""
        done = agent("meta-data", *surplus)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("<?xml")


class TestMetadata:
    @pytest.mark.parametrize("code", BOTH)
    def test_without_an_environment(self, code: str) -> None:
        """Neither parameters nor privileges nor systemd are needed."""
        done = agent("meta-data", code=code)
        assert (done.returncode, done.stderr) == (0, "")
        assert ET.fromstring(done.stdout).tag == "resource-agent"  # noqa: S314  # our own text

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param({"OCF_RESKEY_unit": "../x", "OCF_RESKEY_poll_interval": "never"}, id="bad parameters"),
            pytest.param({"OCF_RESKEY_CRM_meta_timeout": "soon", "OCF_CHECK_LEVEL": "deep"}, id="bad operation"),
            pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="ASCII"),
            pytest.param({"HA_LOGFACILITY": "daemon", "HA_debug": "1", "HA_LOGFILE": "/dev/full"}, id="logs"),
        ],
    )
    def test_in_any_environment(self, values: dict[str, str]) -> None:
        """The exit code is 0 and the text the same."""
        done = agent("meta-data", env=values)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", agent("meta-data").stdout)

    def test_for_the_controller(self) -> None:
        """Pacemaker's controller gets the same without a document type, whose declarations it logs as errors."""
        validated, plain = (
            agent("meta-data").stdout,
            agent("meta-data", env={"PCMK_service": "pacemaker-controld"}).stdout,
        )
        assert re.sub(r"<!DOCTYPE .*?\n]>\n", "", validated, flags=re.DOTALL) == plain
        assert "<!" not in plain

    @pytest.mark.parametrize(
        ("environment", "name"),
        [pytest.param({}, "-c", id="file name"), pytest.param({"OCF_RESOURCE_TYPE": "mine"}, "mine", id="type")],
    )
    def test_name(self, environment: dict[str, str], name: str) -> None:
        """The name is OCF_RESOURCE_TYPE, or else the name of the called file."""
        assert f'<resource-agent name="{name}"' in agent("meta-data", env=environment).stdout


RECURRING = {"OCF_RESKEY_CRM_meta_interval": "10000"}
WRONG = {"OCF_RESKEY_monitor_hook": "relative", "OCF_RESKEY_poll_interval": "never"}
PROBLEMS = (
    "monitor_hook='relative' is not an absolute path",
    "poll_interval='never' is not a duration, expected one such as 20, 20s, 1.5s, 500ms or 2min",
)


class TestParameters:
    @pytest.fixture
    def untouched(self, tmp_path: Path) -> Iterator[dict[str, str]]:
        """Yield an environment; starting a process with it fails the test."""
        executable(tmp_path / "systemctl", f"#!/bin/sh\ntouch {tmp_path}/was-started\n")
        yield {"PATH": f"{tmp_path}:/bin"}
        assert not (tmp_path / "was-started").exists()

    @pytest.mark.parametrize(
        "action",
        [pytest.param(each, id=each) for each in Action if each not in {Action.META_DATA, Action.STOP}],
    )
    def test_all_problems_are_reported(self, untouched: dict[str, str], action: Action) -> None:
        """Start, recurring monitors, reloads and validate-all exit with 6 and all wrong values in one reason."""
        done = agent(action, env={**untouched, **WRONG, **RECURRING, "OCF_RESKEY_unit": "$(touch x)"})
        assert (done.returncode, done.stdout) == (6, "")
        reason = done.stderr.splitlines()[-1]
        assert reason.startswith("ocf-exit-reason:unit='$(touch x)' has characters")
        assert reason.endswith("; ".join(("", *PROBLEMS)))

    @pytest.mark.parametrize(
        ("action", "unit", "code"),
        [
            pytest.param("monitor", "$(touch x)", 7, id="probe"),
            pytest.param("stop", "$(touch x)", 0, id="stop"),
            pytest.param("monitor", "", 7, id="probe, none"),
            pytest.param("stop", "", 0, id="stop, none"),
        ],
    )
    def test_an_invalid_unit(self, untouched: dict[str, str], action: str, unit: str, code: int) -> None:
        """It cannot be running: a probe exits with 7, a stop with 0, both with a warning; 6 would fence the node."""
        done = agent(action, env={**untouched, "OCF_RESKEY_unit": unit})
        assert (done.returncode, done.stdout) == (code, "")
        assert "ocf-exit-reason:" not in done.stderr
        assert re.search(r"WARNING: unit.*: treated as not running$", done.stderr, re.MULTILINE)

    @pytest.mark.parametrize(
        ("action", "shown", "code", "instead"),
        [
            pytest.param("monitor", "active", 0, "the unit's state alone counts", id="probe, active"),
            pytest.param("monitor", "inactive", 7, "the unit's state alone counts", id="probe, inactive"),
            pytest.param("stop", "inactive", 0, "assuming the default", id="stop"),
        ],
    )
    def test_wrong_values_in_a_probe_and_a_stop(
        self, host: dict[str, str], action: str, shown: str, code: int, instead: str
    ) -> None:
        """A typing error fences no node: the state of the unit decides, and the log has every wrong value."""
        set_systemctl(host, f"echo LoadState=loaded; echo ActiveState={shown}")
        done = act(action, {**host, **WRONG})
        assert (done.returncode, done.stdout) == (code, "")
        assert "ocf-exit-reason:" not in done.stderr
        warnings = [line.partition("WARNING: ")[2] for line in done.stderr.splitlines()]
        assert warnings == [f"{problem}: {instead}" for problem in PROBLEMS]

    def test_bytes_and_lengths(self) -> None:
        """A value of 128 KiB and one that is not UTF-8 are reported in a short line."""
        environment = {b"OCF_RESKEY_unit": b"x" * 131_000, b"OCF_RESKEY_monitor_hook": b"\xff\x1b[31m"}
        done = subprocess.run([sys.executable, "-c", AGENT, "start"], env=environment, capture_output=True, check=False)
        assert done.returncode == 6
        reason = done.stderr.splitlines()[-1]
        assert reason.startswith(b"ocf-exit-reason:unit='xxx")
        assert reason.endswith(b"; monitor_hook='\\xff' is not an absolute path")
        assert len(reason) < 300

    def test_another_prefix(self) -> None:
        """The reason begins with OCF_EXIT_REASON_PREFIX."""
        done = agent("start", env={"OCF_EXIT_REASON_PREFIX": "WHY: "})
        assert done.stderr.splitlines()[-1] == "WHY: unit is not set, expected systemd unit"


@pytest.mark.skipif(HAS_SYSTEMD, reason="this host runs systemd")
class TestUnbooted:
    @pytest.mark.parametrize(
        ("action", "code"),
        [pytest.param("stop", 0, id="stop")]
        + [pytest.param(each, 5, id=each) for each in ("start", "monitor", "reload", "reload-agent")],
    )
    def test_without_a_running_systemd(self, host: dict[str, str], action: str, code: int) -> None:
        """In a container, for example, an action ends at once, whatever systemctl reports there."""
        began = time.monotonic()
        done = agent(action, env={**host, "OCF_RESKEY_CRM_meta_timeout": "60000"})
        assert time.monotonic() - began < 10
        reason = "ocf-exit-reason:this host was not booted by systemd\n"
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.endswith(reason if code else "")


class TestMonitor:
    @pytest.mark.parametrize(
        ("scripts", "code", "reason"),
        [
            pytest.param((ACTIVE, None), 0, None, id="active"),
            pytest.param((DOWN, None), 7, "nginx.service inactive", id="inactive"),
            pytest.param((ACTIVE, "exit 7"), 7, "hook hook: not running (exit 7)", id="hook exits with 7"),
            pytest.param((ACTIVE, "exit 8"), 1, "hook hook: failed (exit 8)", id="hook exits with 8"),
            pytest.param(
                (ACTIVE, "printf 'a\\033[31m\\000\\377\\n' >&2; exit 42"),
                42,
                "hook hook: a\\xff (exit 42)",
                id="control characters from a hook",
            ),
            pytest.param(
                (ACTIVE, "echo ocf-exit-reason:no greeting >&2; echo cleaning up >&2; exit 42"),
                42,
                "hook hook: no greeting (exit 42)",
                id="a hook's own reason",
            ),
            pytest.param(
                (ACTIVE, "echo 'x ocf-exit-reason:fine' >&2; exit 1"),
                1,
                "hook hook: x [...]fine (exit 1)",
                id="a prefix within the reason",
            ),
            pytest.param((ACTIVE, "kill -SEGV $$"), 1, "hook hook: killed by SIGSEGV", id="hook killed"),
            pytest.param((ACTIVE, "exec 0<&- 1>&- 2>&-; exit 3"), 3, "hook hook: failed (exit 3)", id="closed streams"),
        ],
    )
    def test_exit_code_and_reason(
        self, host: dict[str, str], scripts: tuple[str, str | None], code: int, reason: str | None
    ) -> None:
        """The reason is the last line on standard error; the log has it once, with the path of the hook."""
        systemctl, hook = scripts
        set_systemctl(host, systemctl)
        path = Path(host["PATH"].split(":")[0]) / "hook"
        if hook is not None:
            host["OCF_RESKEY_monitor_hook"] = str(executable(path, f"#!/bin/sh\nulimit -c 0\n{hook}\n"))
        done = act("monitor", {**host, **RECURRING})
        assert (done.returncode, done.stdout) == (code, "")
        if reason is None:
            assert done.stderr == ""
        else:
            assert done.stderr.splitlines()[-1] == f"ocf-exit-reason:{reason}"
            assert done.stderr.count("ocf-exit-reason:") == 1
            named = reason.replace("hook hook: ", f"hook {path}: ")
            assert hook is None or sum(f"ERROR: {named}" in line for line in done.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        ("systemctl", "code", "reason"),
        [
            pytest.param(ACTIVE, 1, "ocf-exit-reason:hook hook: not running (exit 7)", id="active, 7"),
            pytest.param(DOWN, 7, "", id="inactive"),
        ],
    )
    @pytest.mark.parametrize(
        "operation",
        [
            pytest.param({}, id="no interval"),
            pytest.param({**RECURRING, "OCF_RESKEY_CRM_meta_role": "Stopped"}, id="role=Stopped"),
        ],
    )
    def test_a_probe(
        self, host: dict[str, str], systemctl: str, code: int, reason: str, operation: dict[str, str]
    ) -> None:
        """A probe of an active unit never exits with 7; that of an inactive one does, without reason or hook."""
        set_systemctl(host, systemctl)
        place = Path(host["PATH"].split(":")[0])
        hook = executable(place / "hook", f"#!/bin/sh\ntouch {place}/was-started\nexit 7\n")
        done = act("monitor", {**host, **operation, "OCF_RESKEY_monitor_hook": str(hook)})
        assert (done.returncode, done.stdout, done.stderr.splitlines()[-1:]) == (code, "", [reason] if reason else [])
        assert (place / "was-started").exists() is (systemctl == ACTIVE)

    def test_a_missing_timeout(self, host: dict[str, str]) -> None:
        """The default is assumed, with a warning."""
        del host["OCF_RESKEY_CRM_meta_timeout"]
        done = act("monitor", host)
        assert done.returncode == 0
        assert done.stderr.endswith("WARNING: no timeout is set: assuming 20 s\n")

    def test_the_age_of_the_process(self, tmp_path: Path, host: dict[str, str]) -> None:
        """Pacemaker's timeout runs from the fork: the time to start the interpreter is subtracted."""
        host["OCF_RESKEY_monitor_hook"] = str(executable(tmp_path / "hook", "#!/bin/sh\nexec sleep 60\n"))
        host["OCF_RESKEY_CRM_meta_timeout"] = "2500"
        done = act("monitor", host, f"import time; time.sleep(1); {AGENT}")
        assert done.returncode == 1
        match = re.search(r"timed out after ([0-9.]+) s", done.stderr)
        assert match is not None
        assert float(match[1]) <= 1.3  # 2.5 s less the reserve of 0.25 s and the second before

    @pytest.mark.parametrize(
        "timeout", [pytest.param(each, id=each or "empty") for each in ("", "0", "1", "20s", "-1", "9" * 40, "soon")]
    )
    def test_odd_timeouts(self, host: dict[str, str], timeout: str) -> None:
        """The default, a bound or an early failure applies, without a traceback."""
        done = act("monitor", {**host, "OCF_RESKEY_CRM_meta_timeout": timeout})
        assert done.returncode == (1 if timeout == "1" else 0)
        assert "Traceback" not in done.stderr

    def test_leftover_processes_of_a_hook(self, tmp_path: Path, host: dict[str, str]) -> None:
        """They are killed and named in the log; the result is the hook's."""
        mark = f"{2000 + os.getpid()}.25"
        script = f"setsid sleep {mark} &\necho $! >{tmp_path}/pid\n{UNTIL_ASLEEP}; exit 0"
        hook = executable(tmp_path / "hook", f"#!/bin/sh\n{script}\n")
        done = act("monitor", {**host, "OCF_RESKEY_monitor_hook": str(hook)})
        assert (done.returncode, done.stdout) == (0, "")
        pid = (tmp_path / "pid").read_text().strip()
        assert done.stderr.endswith(f"WARNING: a hook left a process behind, killed now: sleep[{pid}]\n")
        assert not [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or ())]

    @pytest.mark.parametrize(
        "number", [pytest.param(each, id=each.name) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    )
    def test_a_signal(self, tmp_path: Path, host: dict[str, str], number: signal.Signals) -> None:
        """A signal ends the action and its hook; the exit code is 1 and the reason names the signal."""
        mark = f"{3000 + os.getpid()}.25"
        hook = executable(tmp_path / "hook", f"#!/bin/sh\ntouch {tmp_path}/began\nsleep {mark}\n")
        with subprocess.Popen(
            [sys.executable, "-c", BOOTED + AGENT, "monitor"],
            env={**host, "OCF_RESKEY_monitor_hook": str(hook)},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            for _ in range(500):
                if (tmp_path / "began").exists():
                    break
                time.sleep(0.01)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=10)
        assert process.returncode == 1
        reason = f"ocf-exit-reason:monitor of nginx.service was interrupted by {number.name}"
        assert stderr.splitlines()[-1] == reason
        assert not [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or ())]

    def test_an_internal_error(self, host: dict[str, str]) -> None:
        """For any exception Pacemaker gets 1 and a reason, without a traceback."""
        broken = "import ocf_systemd.agent.run as a; a.read_operation = None; "
        done = act("monitor", host, broken + AGENT)
        assert done.returncode == 1
        assert done.stderr == "ocf-exit-reason:internal error: TypeError: 'NoneType' object is not callable\n"

    def test_an_internal_error_in_a_task_group(self, host: dict[str, str]) -> None:
        """The reason has the first exception of a group."""
        broken = "import ocf_systemd.agent.actions as a; a.judge_monitor = None; "
        done = act("monitor", host, broken + AGENT)
        assert done.returncode == 1
        assert done.stderr == "ocf-exit-reason:internal error: TypeError: 'NoneType' object is not callable\n"


# Redirections of the shell that starts the agent.
STREAMS = [
    pytest.param("<&-", id="no stdin"),
    pytest.param(">&-", id="no stdout"),
    pytest.param("2>&-", id="no stderr"),
    pytest.param("<&- >&- 2>&-", id="none at all"),
    pytest.param(">/dev/full", id="full stdout"),
    pytest.param("2>/dev/full", id="full stderr"),
    pytest.param(">/dev/full 2>/dev/full", id="both full"),
]


class TestShortage:
    """The host lacks threads, memory or descriptors."""

    BROKEN = "import ocf_systemd.agent.run as a; a.read_operation = None; "

    def test_a_stop_starts_again(self, tmp_path: Path, host: dict[str, str]) -> None:
        """A stop that fails by an exception, as for lack of memory, starts again in the same process."""
        set_systemctl(host, DOWN)
        mark = str(tmp_path / "mark")
        first = (
            f"import pathlib; mark = pathlib.Path({mark!r})\nif not mark.exists():\n    mark.touch(); {self.BROKEN}\n"
        )
        done = act("stop", host, first + AGENT)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "mark").exists()

    def test_a_stop_starts_again_until_its_deadline(self, host: dict[str, str]) -> None:
        """The time counts from its first start; at the deadline it exits with 1 and the reason."""

        def ends_in_time() -> bool:
            began = time.monotonic()
            done = act("stop", {**host, "OCF_RESKEY_CRM_meta_timeout": "2500"}, self.BROKEN + AGENT)
            elapsed_s = time.monotonic() - began
            assert done.returncode == 1
            assert done.stderr == "ocf-exit-reason:internal error: TypeError: 'NoneType' object is not callable\n"
            assert elapsed_s > 1.5
            return elapsed_s < 2.5

        assert any(ends_in_time() for _ in range(ATTEMPTS))

    def test_no_thread_for_the_watchdog(self, host: dict[str, str]) -> None:
        """The action runs without it."""
        script = "import faulthandler as f\ndef refuse(*_, **__): raise RuntimeError\nf.dump_traceback_later = refuse\n"
        done = act("monitor", host, script + AGENT)
        assert (done.returncode, done.stderr) == (0, "")

    def test_an_exception_in_a_destructor(self, host: dict[str, str]) -> None:
        """It prints no traceback."""
        script = "class Noisy:\n    def __del__(self): raise ValueError\nimport ocf_systemd.agent.run\n"
        done = act("monitor", host, f"{script}ocf_systemd.agent.run.processes = Noisy()\n{AGENT}")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def with_streams(redirection: str, action: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    script = f'exec "$0" -c "$1" "$2" {redirection}'
    return subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, AGENT if action == "meta-data" else BOOTED + AGENT, action],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


class TestStreams:
    @pytest.mark.parametrize("redirection", STREAMS)
    def test_stop(self, host: dict[str, str], redirection: str) -> None:
        """A successful stop exits with 0 in any state of its streams: a failed one means fencing."""
        set_systemctl(host, DOWN)
        done = with_streams(redirection, "stop", host)
        assert (done.returncode, done.stdout) == (0, "")
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("redirection", STREAMS)
    def test_error(self, redirection: str) -> None:
        """The exit code of an error does not depend on the streams."""
        done = with_streams(redirection, "start", {})
        assert (done.returncode, done.stdout) == (6, "")
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("redirection", STREAMS)
    def test_metadata(self, redirection: str) -> None:
        """A full standard output is an error without a traceback; a closed one is none."""
        done = with_streams(redirection, "meta-data", {})
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert done.returncode == 0 or ">/dev/full" in redirection.split("2>", maxsplit=1)[0]

    def test_a_closed_pipe(self) -> None:
        """`meta-data | head -1` ends silently."""
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-c", AGENT, "meta-data"],
            env={},
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            timeout=30,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, b"")

    def test_a_closed_pipe_for_the_reason(self) -> None:
        """The executor may have been killed: the exit code is the same."""
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([sys.executable, "-c", AGENT, "start"], env={}, stderr=writer, check=False, timeout=30)
        os.close(writer)
        assert done.returncode == 6


def imports(*arguments: str, env: Mapping[str, str], code: str) -> set[str]:
    """Return the top-level modules that a call imports."""
    done = agent(*arguments, env=env, code=code, options=("-X", "importtime"))
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


class TestImports:
    @pytest.mark.parametrize("code", BOTH)
    def test_imports_of_a_monitor(self, host: dict[str, str], code: str) -> None:
        """A monitor, which runs every few seconds, imports neither rich nor XML."""
        imported = imports("monitor", env=host, code=BOOTED + code)
        assert {"anyio", "click", "ocf_systemd"} <= imported
        assert not imported & {"rich", "xml", "pygments", "trio"}

    @pytest.mark.parametrize("code", BOTH)
    def test_imports_of_metadata(self, code: str) -> None:
        """It imports neither rich nor an event loop."""
        imported = imports("meta-data", env={}, code=code)
        assert {"click", "xml"} <= imported
        assert not imported & {"rich", "anyio", "asyncio", "pygments", "ctypes"}


class TestCommandsForPeople:
    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_debug_escapes_characters(self, encoding: str) -> None:
        """Characters that the encoding of the output lacks are printed as escapes."""
        code = """
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.commands.debug import _view
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.debug.session import Step
step = Step(Timeline(Action.META_DATA, "x"), ActionResult(0), recurring=False, output="\u4e16\\n")
_view("meta-data", as_json=False).end(step)
"""
        done = run_python(code, env={"PYTHONIOENCODING": encoding})
        assert (done.stdout, done.stderr) == ("\\u4e16\n", "")

    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in Action])
    def test_help_of_an_action(self, action: Action) -> None:
        """It is a help; the action is not run."""
        done = agent(action, "--help", code=PROGRAM, env={"OCF_RESKEY_unit": "x"})
        assert (done.returncode, done.stderr) == (0, "")
        assert ("OCF_RESKEY_*" in done.stdout) == (action is not Action.META_DATA)

    @pytest.mark.parametrize(
        ("argument", "error"),
        [
            pytest.param("--unit", "No such option", id="option"),
            pytest.param("x", "Got unexpected extra argument (x)", id="argument"),
        ],
    )
    def test_arguments_of_an_action(self, argument: str, error: str) -> None:
        """They are usage errors: only the agent file ignores them. The action is not run."""
        done = agent("stop", argument, code=PROGRAM, env={"OCF_RESKEY_unit": "x"})
        assert (done.returncode, done.stdout) == (2, "")
        assert error in done.stderr
        assert "ocf-exit-reason" not in done.stderr

    @pytest.mark.skipif(HAS_SYSTEMD, reason="this host runs systemd")
    @pytest.mark.parametrize(
        "command",
        [
            pytest.param(("debug", "monitor"), id="debug monitor"),
            pytest.param(("debug", "start"), id="debug start"),
            pytest.param(("debug", "cycle"), id="debug cycle"),
            pytest.param(("doctor",), id="doctor"),
            pytest.param(("rehearse", "--on-this-host"), id="rehearse"),
        ],
    )
    def test_without_systemd(self, command: tuple[str, ...]) -> None:
        """It is an error that suggests a sandbox, or root first; the exit code is not that of errors found."""
        done = agent(*command, "--unit", "nginx", code=PROGRAM)
        assert (done.returncode, done.stdout) == (2, "")
        if os.geteuid() != 0 and command not in {("debug", "monitor"), ("doctor",)}:
            assert done.stderr.startswith("Error: this user is not root: ")
        else:
            assert done.stderr.startswith("Error: systemd is not running on this host. Use ")
            assert "sandbox" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            pytest.param(("debug",), "Missing argument 'ACTION'", id="no action"),
            pytest.param(("debug", "promote", "--unit", "x"), "'promote' is not one of", id="no such action"),
            pytest.param(("debug", "monitor"), "Missing argument 'UNIT'", id="no unit"),
            pytest.param(
                ("debug", "monitor", "--unit", "x", "-o", "poll"), "'poll' is not NAME=VALUE", id="no assignment"
            ),
            pytest.param(
                ("debug", "monitor", "--unit", "x", "-o", "poll=1"), "unknown parameter 'poll'", id="no parameter"
            ),
            pytest.param(
                ("debug", "monitor", "--unit", "x", "--op", "start=soon"), "'soon' is not a duration", id="no duration"
            ),
            pytest.param(("sandbox", "run"), "Missing argument 'COMMAND...'", id="no command"),
        ],
    )
    def test_wrong_usage(self, arguments: tuple[str, ...], error: str) -> None:
        """Commands for people report usage errors as click does, with exit code 2."""
        done = agent(*arguments, code=PROGRAM)
        assert (done.returncode, done.stdout) == (2, "")
        assert error in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("as_json", [pytest.param((), id="plain"), pytest.param(("--json",), id="JSON")])
    def test_debug_metadata(self, as_json: tuple[str, ...]) -> None:
        """The metadata needs no systemd."""
        done = agent("debug", "meta-data", "--unit", "x", *as_json, code=PROGRAM)
        assert (done.returncode, done.stderr) == (0, "")
        assert "<resource-agent" in done.stdout.replace("\\n", "\n")

    def test_install_and_uninstall(self, tmp_path: Path) -> None:
        """Both report what they did; a second removal does nothing."""
        share = tmp_path / "share"
        root = ("--ocf-root", str(tmp_path / "ocf"), "--share", str(share))
        path = tmp_path / "ocf/resource.d/pacemaker/systemd"
        done = agent("install", *root, code=PROGRAM)
        pages = f"installed manual pages and completion below {share}"
        assert (done.returncode, done.stdout.splitlines()[:2]) == (
            0,
            [f"installed ocf:pacemaker:systemd as {path}", pages],
        )
        done = agent("uninstall", *root, code=PROGRAM)
        removed = f"removed {path}\nremoved manual pages and completion below {share}\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, removed, "")
        done = agent("uninstall", *root, code=PROGRAM)
        assert (done.returncode, done.stdout) == (0, f"{path} does not exist: nothing to remove\n")

    @pytest.mark.parametrize(
        "command", [pytest.param("install", id="install"), pytest.param("uninstall", id="uninstall")]
    )
    def test_invalid_names(self, tmp_path: Path, command: str) -> None:
        """They are an error with exit code 1."""
        done = agent(command, "--ocf-root", str(tmp_path), "--name", "../x", code=PROGRAM)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: '../x' is not a valid name of an agent or provider: ")


HANGING = "import time; from ocf_systemd.host import systemctl; systemctl.tool_environment = lambda _: time.sleep(30)\n"


class TestWatchdog:
    """A call that hangs in the kernel blocks the event loop: the watchdog ends the action."""

    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in ("monitor", "start", "stop", "reload")])
    def test_a_call_that_hangs_in_the_kernel(self, action: str) -> None:
        """The exit code is 1, before Pacemaker's timeout, and the text after the last prefix is the reason."""
        environment = {"OCF_RESKEY_unit": "nginx", "OCF_RESKEY_CRM_meta_timeout": "3000"}

        def ends_in_time() -> bool:
            began = time.monotonic()
            done = act(action, environment, HANGING + AGENT)
            elapsed_s = time.monotonic() - began
            assert (done.returncode, done.stdout) == (1, "")
            assert reason_in(done.stderr) == f"{action} of nginx: a system call did not return within 2.9 s"
            assert elapsed_s > 2.0
            return elapsed_s < 3.0

        assert any(ends_in_time() for _ in range(ATTEMPTS))

    @pytest.mark.parametrize(
        ("unit", "shown"),
        [
            pytest.param("a" * 200, "a" * 60, id="long"),
            pytest.param("a@b-c:d.e", "a@b-c:d.e", id="special characters"),
        ],
    )
    def test_unit_in_the_reason(self, unit: str, shown: str) -> None:
        """The name is shortened so that the reason fits into 128 bytes."""
        environment = {"OCF_RESKEY_unit": unit, "OCF_RESKEY_CRM_meta_timeout": "1500"}
        reason = reason_in(act("monitor", environment, HANGING + AGENT).stderr)
        assert reason.startswith(f"monitor of {shown}: a system call did not return within ")
        assert len(reason) <= 128

    def test_another_prefix(self) -> None:
        """The reason has OCF_EXIT_REASON_PREFIX, if set."""
        environment = {"OCF_RESKEY_unit": "x", "OCF_RESKEY_CRM_meta_timeout": "1500", "OCF_EXIT_REASON_PREFIX": "WHY="}
        stderr = act("monitor", environment, HANGING + AGENT).stderr
        assert reason_in(stderr, "WHY=").startswith("monitor of x: a system call did not return within ")

    def test_an_action_in_time(self, host: dict[str, str]) -> None:
        """The watchdog is cancelled when the action has a result."""
        done = act("monitor", host)
        assert (done.returncode, done.stderr) == (0, "")


def reason_in(stderr: str, prefix: str = "ocf-exit-reason:") -> str:
    """Return what Pacemaker takes as the reason: the text after the last prefix, to the end of the line."""
    return stderr.rpartition(prefix)[2].partition("\n")[0]
