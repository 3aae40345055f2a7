"""The command line in real child processes: exit codes, the one reason, and streams in whatever state."""

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

import psutil
import pytest

from ocf_systemd import __version__
from ocf_systemd.core.ocf import Action
from tests.unit.builders import executable, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

AGENT = "from ocf_systemd.agent.entry import main; main()"
PROGRAM = "from ocf_systemd.commands import main; main()"
BOTH = [pytest.param(AGENT, id="agent"), pytest.param(PROGRAM, id="program")]
ACTIONS = "expected start, stop, monitor, reload, reload-agent, validate-all, meta-data"
HAS_SYSTEMD = Path("/run/systemd/system").is_dir()
# On a host that systemd did not boot no action looks any further: the one thing of a host that is not real here then.
BOOTED = "" if HAS_SYSTEMD else "import ocf_systemd.host.systemctl as s; s.is_booted = lambda *_: True\n"

ACTIVE = "echo LoadState=loaded; echo ActiveState=active; echo SubState=running"
DOWN = "echo LoadState=loaded; echo ActiveState=inactive; echo SubState=dead"


def agent(
    *arguments: str, env: Mapping[str, str] | None = None, code: str = AGENT, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return run_python(code, *arguments, env=env or {}, options=options)


def act(action: str, host: Mapping[str, str], code: str = AGENT) -> subprocess.CompletedProcess[str]:
    """Call the agent on a host that has systemd."""
    return agent(action, env=host, code=BOOTED + code)


@pytest.fixture
def host(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which systemctl is a script that says: active."""
    directory = tmp_path / "bin"
    directory.mkdir()
    executable(directory / "systemctl", f"#!/bin/sh\n{ACTIVE}\n")
    return {"PATH": f"{directory}:/usr/bin:/bin", "OCF_RESKEY_unit": "nginx", "OCF_RESKEY_CRM_meta_timeout": "8000"}


def set_systemctl(host: Mapping[str, str], script: str) -> None:
    executable(Path(host["PATH"].split(":")[0]) / "systemctl", f"#!/bin/sh\n{script}\n")


class TestNoAction:
    @pytest.mark.parametrize("code", BOTH)
    @pytest.mark.parametrize(
        ("arguments", "told"),
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
    def test_what_is_no_action_is_not_implemented(
        self, code: str, arguments: tuple[str, ...], told: str | None
    ) -> None:
        """3 and one line of usage; never 2, which bans the node."""
        done = agent(*arguments, code=code)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("ocf-exit-reason:")
        others = ", doctor, rehearse, debug, sandbox, install, uninstall, completion, serve" if code == PROGRAM else ""
        assert told is None or done.stderr == f"ocf-exit-reason:{told}{others}\n"

    def test_bytes_that_are_no_utf8(self) -> None:
        """Neither are they."""
        done = subprocess.run([sys.executable, "-c", AGENT, b"\xff"], env={}, capture_output=True, check=False)
        assert done.returncode == 3
        assert done.stderr == f"ocf-exit-reason:unknown action '\\xff', {ACTIONS}\n".encode()

    @pytest.mark.parametrize("option", [pytest.param("--help", id="help"), pytest.param("--version", id="version")])
    def test_the_agent_has_no_options(self, option: str) -> None:
        """What Pacemaker calls knows actions alone."""
        assert agent(option).returncode == 3

    def test_the_program_has_options(self) -> None:
        """What people call tells them what there is."""
        assert agent("--version", code=PROGRAM).stdout == f"ocf-systemd, version {__version__}\n"
        done = agent("--help", code=PROGRAM)
        assert done.returncode == 0
        for word in ("doctor", "rehearse", "debug", "install", "uninstall", "sandbox"):
            assert f"  {word} " in done.stdout
        assert " ".join(Action) in done.stdout


class TestSurplusArguments:
    @pytest.mark.parametrize("code", BOTH)
    @pytest.mark.parametrize(
        "surplus",
        [
            pytest.param(("x",), id="a word"),
            pytest.param(("--bogus", "-x", "--help", "--"), id="options"),
            pytest.param(("start", "stop"), id="actions"),
        ],
    )
    def test_they_are_ignored(self, code: str, surplus: tuple[str, ...]) -> None:
        """OCF 1.1, Execution Syntax: the action is what counts."""
        done = agent("meta-data", *surplus, code=code)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("<?xml")


class TestMetadata:
    @pytest.mark.parametrize("code", BOTH)
    def test_without_an_environment(self, code: str) -> None:
        """No parameter, privilege or systemd is needed."""
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
        """Always 0, always the same text."""
        done = agent("meta-data", env=values)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", agent("meta-data").stdout)

    @pytest.mark.parametrize(
        ("environment", "name"),
        [pytest.param({}, "-c", id="as it was called"), pytest.param({"OCF_RESOURCE_TYPE": "mine"}, "mine", id="type")],
    )
    def test_its_name(self, environment: dict[str, str], name: str) -> None:
        """The one Pacemaker says, or else the one it was called by."""
        assert f'<resource-agent name="{name}"' in agent("meta-data", env=environment).stdout


RECURRING = {"OCF_RESKEY_CRM_meta_interval": "10000"}
WRONG = {"OCF_RESKEY_monitor_hook": "relative", "OCF_RESKEY_poll_interval": "never"}
TOLD = (
    "monitor_hook='relative' is not an absolute path",
    "poll_interval='never' is not a duration, expected one such as 20, 20s, 1.5s, 500ms or 2min",
)


class TestParameters:
    @pytest.fixture
    def untouched(self, tmp_path: Path) -> Iterator[dict[str, str]]:
        """Yield an environment in which nothing is to be spawned."""
        executable(tmp_path / "systemctl", f"#!/bin/sh\ntouch {tmp_path}/was-here\n")
        yield {"PATH": f"{tmp_path}:/bin"}
        assert not (tmp_path / "was-here").exists()

    @pytest.mark.parametrize(
        "action",
        [pytest.param(each, id=each) for each in Action if each not in {Action.META_DATA, Action.STOP}],
    )
    def test_all_problems_are_told_before_anything_is_spawned(self, untouched: dict[str, str], action: Action) -> None:
        """6 with every wrong value in one reason: from start, recurring monitors, reloads and validate-all."""
        done = agent(action, env={**untouched, **WRONG, **RECURRING, "OCF_RESKEY_unit": "$(touch x)"})
        assert (done.returncode, done.stdout) == (6, "")
        reason = done.stderr.splitlines()[-1]
        assert reason.startswith("ocf-exit-reason:unit='$(touch x)' has characters")
        assert reason.endswith("; ".join(("", *TOLD)))

    @pytest.mark.parametrize(
        ("action", "unit", "code"),
        [
            pytest.param("monitor", "$(touch x)", 7, id="probe"),
            pytest.param("stop", "$(touch x)", 0, id="stop"),
            pytest.param("monitor", "", 7, id="probe, none"),
            pytest.param("stop", "", 0, id="stop, none"),
        ],
    )
    def test_a_unit_that_systemd_cannot_have(
        self, untouched: dict[str, str], action: str, unit: str, code: int
    ) -> None:
        """Nothing of it can run: probe 7, stop 0, with a warning; a probe's 6 and a stop's would fence the node."""
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
    def test_a_probe_and_a_stop_go_by_the_unit(
        self, host: dict[str, str], action: str, shown: str, code: int, instead: str
    ) -> None:
        """A typing error fences nobody: the unit's state decides, and the log tells of every wrong value."""
        set_systemctl(host, f"echo LoadState=loaded; echo ActiveState={shown}")
        done = act(action, {**host, **WRONG})
        assert (done.returncode, done.stdout) == (code, "")
        assert "ocf-exit-reason:" not in done.stderr
        warnings = [line.partition("WARNING: ")[2] for line in done.stderr.splitlines()]
        assert warnings == [f"{problem}: {instead}" for problem in TOLD]

    def test_bytes_and_lengths(self) -> None:
        """A value of 128 KiB, and one that is no UTF-8, are told in a short line."""
        environment = {b"OCF_RESKEY_unit": b"x" * 131_000, b"OCF_RESKEY_monitor_hook": b"\xff\x1b[31m"}
        done = subprocess.run([sys.executable, "-c", AGENT, "start"], env=environment, capture_output=True, check=False)
        assert done.returncode == 6
        reason = done.stderr.splitlines()[-1]
        assert reason.startswith(b"ocf-exit-reason:unit='xxx")
        assert reason.endswith(b"; monitor_hook='\\xff' is not an absolute path")
        assert len(reason) < 300

    def test_another_prefix(self) -> None:
        """OCF_EXIT_REASON_PREFIX is what the reason begins with."""
        done = agent("start", env={"OCF_EXIT_REASON_PREFIX": "WHY: "})
        assert done.stderr.splitlines()[-1] == "WHY: unit is not set, expected systemd unit"


@pytest.mark.skipif(HAS_SYSTEMD, reason="this host runs systemd")
class TestUnbooted:
    @pytest.mark.parametrize(
        ("action", "code"),
        [pytest.param("stop", 0, id="stop")]
        + [pytest.param(each, 5, id=each) for each in ("start", "monitor", "reload", "reload-agent")],
    )
    def test_without_systemd_nothing_can_run(self, host: dict[str, str], action: str, code: int) -> None:
        """A container, or a remote node: at once, whatever a systemctl there may say."""
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
            pytest.param((ACTIVE, "exit 7"), 7, "hook hook: not running (exit 7)", id="hook says 7"),
            pytest.param((ACTIVE, "exit 8"), 1, "hook hook: failed (exit 8)", id="hook says 8"),
            pytest.param(
                (ACTIVE, "printf 'a\\033[31m\\000\\377\\n' >&2; exit 42"),
                42,
                "hook hook: a\\xff (exit 42)",
                id="a hook that mangles",
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
            pytest.param((ACTIVE, "kill -SEGV $$"), 1, "hook hook: killed by SIGSEGV", id="hook dies"),
            pytest.param((ACTIVE, "exec 0<&- 1>&- 2>&-; exit 3"), 3, "hook hook: failed (exit 3)", id="closed streams"),
        ],
    )
    def test_from_end_to_end(
        self, host: dict[str, str], scripts: tuple[str, str | None], code: int, reason: str | None
    ) -> None:
        """The exit code, and the reason as the last line on standard error; the log has the hook's path."""
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
            assert hook is None or f"WARNING: {path}: " in done.stderr

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
        """Of an active unit never 7; of an inactive one 7 without a reason, and its hook is not run."""
        set_systemctl(host, systemctl)
        place = Path(host["PATH"].split(":")[0])
        hook = executable(place / "hook", f"#!/bin/sh\ntouch {place}/was-here\nexit 7\n")
        done = act("monitor", {**host, **operation, "OCF_RESKEY_monitor_hook": str(hook)})
        assert (done.returncode, done.stdout, done.stderr.splitlines()[-1:]) == (code, "", [reason] if reason else [])
        assert (place / "was-here").exists() is (systemctl == ACTIVE)

    def test_a_missing_timeout_is_warned_of(self, host: dict[str, str]) -> None:
        """And does no harm."""
        del host["OCF_RESKEY_CRM_meta_timeout"]
        done = act("monitor", host)
        assert done.returncode == 0
        assert done.stderr.endswith("WARNING: no timeout is set: assuming 20 s\n")

    def test_the_age_of_the_process_counts(self, tmp_path: Path, host: dict[str, str]) -> None:
        """Pacemaker's timeout runs since the fork: what the start took is no longer there."""
        host["OCF_RESKEY_monitor_hook"] = str(executable(tmp_path / "hook", "#!/bin/sh\nexec sleep 60\n"))
        host["OCF_RESKEY_CRM_meta_timeout"] = "2500"
        done = act("monitor", host, f"import time; time.sleep(1); {AGENT}")
        assert done.returncode == 1
        told = re.search(r"timed out after ([0-9.]+) s", done.stderr)
        assert told is not None
        assert float(told[1]) <= 1.3  # 2.5 s less the reserve of 0.25 s and the second before

    @pytest.mark.parametrize(
        "timeout", [pytest.param(each, id=each or "empty") for each in ("", "0", "1", "20s", "-1", "9" * 40, "soon")]
    )
    def test_odd_timeouts(self, host: dict[str, str], timeout: str) -> None:
        """Default, clamp or quick failure; no traceback."""
        done = act("monitor", {**host, "OCF_RESKEY_CRM_meta_timeout": timeout})
        assert done.returncode == (1 if timeout == "1" else 0)
        assert "Traceback" not in done.stderr

    def test_a_hook_leaves_nothing_behind(self, tmp_path: Path, host: dict[str, str]) -> None:
        """What it left is ended and named in the log; the result is its own."""
        mark = f"{2000 + os.getpid()}.25"
        hook = executable(tmp_path / "hook", f"#!/bin/sh\nsetsid sleep {mark} &\nsleep 0.1; exit 0\n")
        done = act("monitor", {**host, "OCF_RESKEY_monitor_hook": str(hook)})
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.endswith(f"WARNING: a hook left a process behind, killed now: sleep {mark}\n")
        assert not [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or ())]

    @pytest.mark.parametrize(
        "number", [pytest.param(each, id=each.name) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    )
    def test_a_signal_ends_it_early(self, tmp_path: Path, host: dict[str, str], number: signal.Signals) -> None:
        """1, which names the signal, and its hook goes with it."""
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
            _, told = process.communicate(timeout=10)
        assert process.returncode == 1
        reason = f"ocf-exit-reason:monitor of nginx.service was interrupted by {number.name}"
        assert told.splitlines()[-1] == reason
        assert not [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or ())]

    def test_a_bug_is_an_answer(self, host: dict[str, str]) -> None:
        """Whatever goes wrong, Pacemaker gets 1 and a reason, and no traceback."""
        broken = "import ocf_systemd.agent.run as a; a.read_operation = None; "
        done = act("monitor", host, broken + AGENT)
        assert done.returncode == 1
        assert done.stderr == "ocf-exit-reason:internal error: TypeError: 'NoneType' object is not callable\n"

    def test_a_bug_among_several_tasks(self, host: dict[str, str]) -> None:
        """Errors out of a task group arrive in groups: the first of them is told."""
        broken = "import ocf_systemd.agent.actions as a; a.judge_monitor = None; "
        done = act("monitor", host, broken + AGENT)
        assert done.returncode == 1
        assert done.stderr == "ocf-exit-reason:internal error: TypeError: 'NoneType' object is not callable\n"


# What is done to a child's streams before it runs: by the shell that starts it.
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
    """The host is short of something: threads, memory, descriptors."""

    BROKEN = "import ocf_systemd.agent.run as a; a.read_operation = None; "

    def test_a_stop_begins_anew(self, tmp_path: Path, host: dict[str, str]) -> None:
        """A stop that fails over a bug, as which a shortage shows, is tried again in the same process."""
        set_systemctl(host, DOWN)
        mark = str(tmp_path / "mark")
        first = (
            f"import pathlib; mark = pathlib.Path({mark!r})\nif not mark.exists():\n    mark.touch(); {self.BROKEN}\n"
        )
        done = act("stop", host, first + AGENT)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "mark").exists()

    def test_a_stop_begins_anew_until_its_time_is_up(self, host: dict[str, str]) -> None:
        """The time runs from its first beginning; then it is 1, with the reason."""
        began = time.monotonic()
        done = act("stop", {**host, "OCF_RESKEY_CRM_meta_timeout": "2500"}, self.BROKEN + AGENT)
        assert 1.5 < time.monotonic() - began < 2.5
        assert done.returncode == 1
        assert done.stderr == "ocf-exit-reason:internal error: TypeError: 'NoneType' object is not callable\n"

    def test_no_thread_for_the_watchdog(self, host: dict[str, str]) -> None:
        """An action goes on without it."""
        script = "import faulthandler as f\ndef refuse(*_, **__): raise RuntimeError\nf.dump_traceback_later = refuse\n"
        done = act("monitor", host, script + AGENT)
        assert (done.returncode, done.stderr) == (0, "")

    def test_what_nobody_can_catch(self, host: dict[str, str]) -> None:
        """An error in a destructor, as of an event loop that got no descriptors, is no traceback on a stream."""
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
    def test_a_stop_answers(self, host: dict[str, str], redirection: str) -> None:
        """0 is 0, whatever became of its streams: a stop that fails means fencing."""
        set_systemctl(host, DOWN)
        done = with_streams(redirection, "stop", host)
        assert (done.returncode, done.stdout) == (0, "")
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("redirection", STREAMS)
    def test_an_error_answers(self, redirection: str) -> None:
        """6 is 6."""
        done = with_streams(redirection, "start", {})
        assert (done.returncode, done.stdout) == (6, "")
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("redirection", STREAMS)
    def test_metadata_shows_no_traceback(self, redirection: str) -> None:
        """Where it cannot be written, that is no reason for one; where nobody wants it, it is 0."""
        done = with_streams(redirection, "meta-data", {})
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert done.returncode == 0 or ">/dev/full" in redirection.split("2>", maxsplit=1)[0]

    def test_a_reader_that_has_gone(self) -> None:
        """`meta-data | head -1` is told once, in silence."""
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

    def test_a_reason_nobody_reads(self) -> None:
        """The executor may have been killed: the code is the same."""
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
    def test_a_monitor_imports_what_it_needs(self, host: dict[str, str], code: str) -> None:
        """No rich, no XML: a monitor runs every few seconds."""
        imported = imports("monitor", env=host, code=BOOTED + code)
        assert {"anyio", "click", "ocf_systemd"} <= imported
        assert not imported & {"rich", "xml", "pygments", "trio"}

    @pytest.mark.parametrize("code", BOTH)
    def test_metadata_imports_what_it_needs(self, code: str) -> None:
        """Neither rich nor an event loop."""
        imported = imports("meta-data", env={}, code=code)
        assert {"click", "xml"} <= imported
        assert not imported & {"rich", "anyio", "asyncio", "pygments", "ctypes"}


class TestCommandsForPeople:
    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_debug_prints_what_its_output_has_no_letters_for(self, encoding: str) -> None:
        """A hook may print what it likes on a terminal of any encoding: it shows as escapes."""
        code = "from ocf_systemd.commands.debug import _view; _view('monitor', as_json=False).write('\u4e16')"
        done = run_python(code, env={"PYTHONIOENCODING": encoding})
        assert (done.stdout, done.stderr) == ("\\u4e16\n", "")

    @pytest.mark.skipif(HAS_SYSTEMD, reason="this host runs systemd")
    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in ("monitor", "start", "cycle")])
    def test_debug_without_systemd_says_so(self, action: str) -> None:
        """And says where it could be tried."""
        done = agent("debug", action, "--unit", "nginx", code=PROGRAM)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: this host does not run systemd; try it in a throw-away one: ")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            pytest.param(("debug",), "Missing argument 'ACTION'", id="no action"),
            pytest.param(("debug", "promote", "--unit", "x"), "'promote' is not one of", id="no such action"),
            pytest.param(("debug", "monitor"), "Missing option '--unit'", id="no unit"),
            pytest.param(
                ("debug", "monitor", "--unit", "x", "-o", "poll"), "'poll' is no NAME=VALUE", id="no assignment"
            ),
            pytest.param(
                ("debug", "monitor", "--unit", "x", "-o", "poll=1"), "there is no parameter 'poll'", id="no parameter"
            ),
            pytest.param(
                ("debug", "monitor", "--unit", "x", "--timeout", "soon"), "'soon' is not a duration", id="no duration"
            ),
            pytest.param(("sandbox", "run"), "Missing argument 'COMMAND...'", id="no command"),
        ],
    )
    def test_wrong_usage_is_told(self, arguments: tuple[str, ...], told: str) -> None:
        """As click does, with 2: these are not Pacemaker's to call."""
        done = agent(*arguments, code=PROGRAM)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("as_json", [pytest.param((), id="plain"), pytest.param(("--json",), id="JSON")])
    def test_debug_shows_metadata_on_any_host(self, as_json: tuple[str, ...]) -> None:
        """It needs no systemd."""
        done = agent("debug", "meta-data", "--unit", "x", *as_json, code=PROGRAM)
        assert (done.returncode, done.stderr) == (0, "")
        assert "<resource-agent" in done.stdout.replace("\\n", "\n")

    def test_install_and_uninstall(self, tmp_path: Path) -> None:
        """The way there and back."""
        share = tmp_path / "share"
        root = ("--ocf-root", str(tmp_path / "ocf"), "--share", str(share))
        path = tmp_path / "ocf/resource.d/pacemaker/systemd"
        done = agent("install", *root, code=PROGRAM)
        assert (done.returncode, done.stdout) == (0, f"installed ocf:pacemaker:systemd as {path}\n")
        done = agent("uninstall", *root, code=PROGRAM)
        told = f"removed {path}\nremoved manual pages and completion below {share}\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, told, "")
        done = agent("uninstall", *root, code=PROGRAM)
        assert (done.returncode, done.stdout) == (0, f"{path} is not there: nothing to remove\n")

    @pytest.mark.parametrize(
        "command", [pytest.param("install", id="install"), pytest.param("uninstall", id="uninstall")]
    )
    def test_what_cannot_be_installed_is_told(self, tmp_path: Path, command: str) -> None:
        """In a sentence, with 1."""
        done = agent(command, "--ocf-root", str(tmp_path), "--name", "../x", code=PROGRAM)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "Error: '../x' is no name for an agent or its provider\n"


HANGING = "import time; from ocf_systemd.host import systemctl; systemctl.tool_environment = lambda _: time.sleep(30)\n"


class TestWatchdog:
    """A call that hangs in the kernel: no event loop gets past it, and there is a result before Pacemaker's timeout."""

    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in ("monitor", "start", "stop", "reload")])
    def test_a_call_that_hangs_in_the_kernel(self, action: str) -> None:
        """1 before Pacemaker's timeout, with a reason after the last prefix, where Pacemaker looks for it."""
        began = time.monotonic()
        environment = {"OCF_RESKEY_unit": "nginx", "OCF_RESKEY_CRM_meta_timeout": "3000"}
        done = act(action, environment, HANGING + AGENT)
        assert (done.returncode, done.stdout) == (1, "")
        assert 2.0 < time.monotonic() - began < 3.0
        assert reason_in(done.stderr) == f"{action} of nginx: a system call did not return within 2.9 s"

    @pytest.mark.parametrize(
        ("unit", "shown"),
        [
            pytest.param("a" * 200, "a" * 60, id="long"),
            pytest.param("a@b-c:d.e", "a@b-c:d.e", id="all characters that a unit can have"),
        ],
    )
    def test_the_unit_in_its_reason(self, unit: str, shown: str) -> None:
        """As much of a name as there is room for in 128 bytes."""
        environment = {"OCF_RESKEY_unit": unit, "OCF_RESKEY_CRM_meta_timeout": "1500"}
        reason = reason_in(act("monitor", environment, HANGING + AGENT).stderr)
        assert reason.startswith(f"monitor of {shown}: a system call did not return within ")
        assert len(reason) <= 128

    def test_another_prefix(self) -> None:
        """OCF_EXIT_REASON_PREFIX is the one that is looked for then."""
        environment = {"OCF_RESKEY_unit": "x", "OCF_RESKEY_CRM_meta_timeout": "1500", "OCF_EXIT_REASON_PREFIX": "WHY="}
        told = act("monitor", environment, HANGING + AGENT).stderr
        assert reason_in(told, "WHY=").startswith("monitor of x: a system call did not return within ")

    def test_an_action_in_time_says_nothing_of_it(self, host: dict[str, str]) -> None:
        """The watchdog is called off once there is a result."""
        done = act("monitor", host)
        assert (done.returncode, done.stderr) == (0, "")


def reason_in(stderr: str, prefix: str = "ocf-exit-reason:") -> str:
    """Return what Pacemaker takes for the reason: what follows the last prefix, to the end of that line."""
    return stderr.rpartition(prefix)[2].partition("\n")[0]
