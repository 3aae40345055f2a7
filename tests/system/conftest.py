"""A real systemd in a throw-away host, and the installed agent in it, called as Pacemaker's executor calls it.

Test modules get all of this as fixtures; after each call of the agent `Agent.audit` looks for what must never be.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.sandbox import Sandbox, boot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAM = Path(sys.executable).with_name("ocf-systemd")
AGENT = "/usr/lib/ocf/resource.d/pacemaker/systemd"
HOOKS = "/usr/local/lib/hooks"
COVERAGE = "/var/lib/coverage"
REASON = "ocf-exit-reason:"
RUNNING = {"active", "reloading", "refreshing"}
DOWN = {"inactive", "failed"}
SLOW_AS_MEASURED_S = 30.0  # far more than any action of these tests may take

CLEAN = """
for unit; do systemctl kill --signal=KILL -- "$unit"; done 2>/dev/null
systemctl stop -- "$@" 2>/dev/null
for unit; do
    rm -rf "/etc/systemd/system/$unit" "/etc/systemd/system/$unit.d" "/run/systemd/system/$unit.d"
done
systemctl reset-failed
# A service's name is never used again, so that systemd may keep what it knows of it.
case $* in *[!0-9].service | *.[!s]*) systemctl daemon-reload ;; esac
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call of the agent came to."""

    code: int
    stdout: str
    stderr: str
    elapsed_s: float

    @property
    def reasons(self) -> list[str]:
        """What Pacemaker would take for reasons."""
        return [line.partition(REASON)[2] for line in self.stderr.splitlines() if REASON in line]

    @property
    def reason(self) -> str:
        """The one that counts; empty: none was given."""
        return self.reasons[-1] if self.reasons else ""


@dataclass(slots=True)
class Box:
    """The booted sandbox, and what a test put into it."""

    sandbox: Sandbox
    units: list[str] = field(default_factory=list)
    frozen: bool = False
    _named: int = 0

    def sh(self, script: str, *arguments: str, check: bool = True) -> str:
        """Run a script in the box and return what it printed, less the last newline."""
        done = self.sandbox.run(["sh", "-c", script, "sh", *arguments], timeout_s=60)
        assert not check or done.returncode == 0, f"{script}: exit {done.returncode}, {done.stderr}"
        return done.stdout.rstrip("\n")

    def path(self, inside: str) -> Path:
        """Return where the host sees a file of the box: much quicker than a command in there."""
        return Path(f"/proc/{self.sandbox.pid}/root{inside}")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the box, and the directories above it that are missing."""
        path = self.path(inside)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def unit(self, name: str, text: str) -> str:
        """Put a unit into the box and return its name."""
        self.write(f"/etc/systemd/system/{name}", text)
        self.units.append(name)
        return name

    def service(self, *lines: str, before: str = "") -> str:
        """Put a service into the box, with a name that none had before; without lines, one that just runs."""
        self._named += 1
        text = "\n".join(lines or ("ExecStart=sleep infinity",))
        return self.unit(f"probe{self._named}.service", f"{before}\n[Service]\n{text}\n")

    def stubborn(self, *lines: str) -> str:
        """Put a service into the box that ignores SIGTERM."""
        ignoring = """ExecStart=sh -c 'trap "" TERM; touch /run/test/trap; while :; do sleep 1; done'"""
        # Only once the trap stands does the unit ignore what it is to ignore.
        ready = "ExecStartPost=sh -c 'until [ -e /run/test/trap ]; do sleep 0.02; done'"
        self.sh("mkdir -p /run/test; rm -f /run/test/trap")
        return self.service(ignoring, ready, *lines)

    def started(self, *lines: str, before: str = "") -> str:
        """Put a service into the box and start it."""
        unit = self.service(*lines, before=before)
        self.sh('systemctl start -- "$1"', unit)
        return unit

    def hook(self, script: str, name: str = "hook", mode: int = 0o755, shebang: str = "#!/bin/sh\n") -> str:
        """Put a hook into the box and return its path."""
        path = f"{HOOKS}/{name}"
        self.write(path, f"{shebang}{script}\n", mode)
        return path

    def marking(self, mark: str, code: int = 0, name: str = "hook") -> str:
        """Put a hook into the box that leaves a mark: a line for each run, with its arguments."""
        self.path("/run/test").mkdir(exist_ok=True)
        return self.hook(f'echo "ran $*" >>/run/test/{mark}; exit {code}', name)

    def marks(self, mark: str) -> list[str]:
        """Return the lines of a mark."""
        file = self.path(f"/run/test/{mark}")
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.sh('systemctl show --property="$2" --value -- "$1"', unit, name)

    def state(self, unit: str) -> str:
        """Return a unit's ActiveState."""
        return self.show(unit, "ActiveState")

    def wait_for(self, unit: str, *states: str) -> None:
        """Wait until a unit is in one of these states."""
        deadline = time.monotonic() + 10
        while (state := self.state(unit)) not in states:
            assert time.monotonic() < deadline, f"{unit} is {state}, expected {states}"
            time.sleep(0.02)

    def in_front_of_systemctl(self, script: str) -> str:
        """Return a PATH with a systemctl in front of the real one that does something first."""
        self.write("/run/test/bin/systemctl", f'#!/bin/sh\n{script}\nexec /usr/bin/systemctl "$@"\n', mode=0o755)
        return "/run/test/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    @contextmanager
    def freeze(self) -> Iterator[None]:
        """Stop the system manager as a whole for the time of the block: it answers nobody."""
        os.kill(self.sandbox.pid, SIGSTOP)
        self.frozen = True
        try:
            yield
        finally:
            self.frozen = False
            os.kill(self.sandbox.pid, SIGCONT)

    def visitors(self) -> dict[int, str]:
        """Return the processes in the box that came from outside, not from its systemd, with their command lines."""
        namespace = Path(f"/proc/{self.sandbox.pid}/ns/pid").readlink()
        own = _cgroup(self.sandbox.pid).removesuffix("/init.scope")
        found = {}
        for entry in Path("/proc").glob("[1-9]*"):
            with suppress(OSError):  # gone meanwhile
                if (entry / "ns/pid").readlink() == namespace and not _cgroup(int(entry.name)).startswith(own):
                    found[int(entry.name)] = (
                        (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    )
        return {pid: words for pid, words in found.items() if words}  # a zombie has none

    def clean(self) -> None:
        """Take away what a test put into the box."""
        if self.units:
            self.sh(CLEAN, *self.units, check=False)
            self.units.clear()
        for directory in (HOOKS, "/run/test"):
            shutil.rmtree(self.path(directory), ignore_errors=True)


def _cgroup(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the agent that has begun."""

    action: str
    parameters: Mapping[str, str]
    process: subprocess.Popen[bytes]
    began: float
    before: Mapping[int, str]
    timeout_s: float
    is_probe: bool

    @property
    def unit(self) -> str:
        """The unit it is about."""
        return self.parameters.get("unit", "")

    def finish(self) -> Answer:
        """Wait for its end."""
        try:
            stdout, stderr = self.process.communicate(timeout=self.timeout_s + 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        elapsed_s = time.monotonic() - self.began
        return Answer(
            self.process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"), elapsed_s
        )


@dataclass(frozen=True, slots=True)
class Agent:
    """The installed agent, called as Pacemaker's executor calls it, and audited after each call."""

    box: Box
    measuring: Mapping[str, str]

    def __call__(
        self,
        *words: str,
        timeout_s: float = 20,
        interval_s: float = 10,
        variables: Mapping[str, str] | None = None,
        measured: bool = True,
        leaves_job: bool = False,
        **parameters: str,
    ) -> Answer:
        """Call the agent with an action, and audit what it left."""
        call = self.begin(
            *words,
            timeout_s=timeout_s,
            interval_s=interval_s,
            variables=variables,
            measured=measured,
            **parameters,
        )
        answer = call.finish()
        self.audit(call, answer, leaves_job=leaves_job)
        return answer

    def begin(
        self,
        *words: str,
        timeout_s: float = 20,
        interval_s: float = 10,
        variables: Mapping[str, str] | None = None,
        measured: bool = True,
        limits: Sequence[str] = (),
        **parameters: str,
    ) -> Call:
        """Begin a call: a monitor is a recurring one unless `interval_s` is 0; `limits` are options of prlimit(1)."""
        action = words[0] if words else ""
        environment = executor_environment(action, timeout_s, interval_s if action == "monitor" else 0)
        environment |= {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}
        environment |= {**(variables or {}), **(self.measuring if measured else {})}
        before = self.box.visitors()
        began = time.monotonic()
        process = self.start(words, environment, limits)
        return Call(action, parameters, process, began, before, timeout_s, is_probe=interval_s == 0)

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], limits: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start the agent with this environment and nothing of ours: no input, a group of its own, umask 0026."""
        clean = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        clean = ["prlimit", *limits, *clean] if limits else clean
        return subprocess.Popen(
            self.box.sandbox.command([*clean, AGENT, *words], cwd="/usr"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            umask=0o026,
        )

    def run(self, *words: str, environment: Mapping[str, str]) -> Answer:
        """Call the agent with exactly this environment, unaudited."""
        began = time.monotonic()
        with self.start(words, environment) as process:
            stdout, stderr = process.communicate(timeout=SLOW_AS_MEASURED_S)
        elapsed_s = time.monotonic() - began
        return Answer(process.returncode, stdout.decode(), stderr.decode(errors="replace"), elapsed_s)

    def audit(self, call: Call, answer: Answer, *, leaves_job: bool = False, agrees: bool = True) -> None:
        """Fail when a call left something behind, or answered late, or in a form that it must not have."""
        strays = {pid: words for pid, words in self.box.visitors().items() if pid not in call.before}
        complaints = [f"left behind: {words}" for words in strays.values()]
        complaints += _complaints_about_form(call, answer)
        if not self.box.frozen:
            jobs = self.box.sh("systemctl list-jobs --no-legend")
            complaints += [f"job queued: {jobs}"] if jobs and not leaves_job else []
            complaints += _disagreement(call, answer, self.box) if agrees else []
        assert not complaints, f"{call.action} {dict(call.parameters)}: {answer}: {complaints}"


def _complaints_about_form(call: Call, answer: Answer) -> Iterator[str]:
    if "Traceback" in answer.stdout + answer.stderr:
        yield "traceback"
    if answer.elapsed_s >= call.timeout_s:
        yield f"took {answer.elapsed_s:.2f} s of {call.timeout_s} s"
    if len(answer.reasons) > 1:
        yield "more than one reason"
    if answer.reasons and not answer.stderr.splitlines()[-1].startswith(REASON):
        yield "the reason is not the last line"
    needs_none = answer.code == 0 or (answer.code == 7 and call.is_probe)
    if not answer.reason.strip() and not needs_none:
        yield "no reason"
    if answer.code == 0 and answer.reasons:
        yield "a reason for success"


def _disagreement(call: Call, answer: Answer, box: Box) -> Iterator[str]:
    """Yield where the answer is not what systemd says of the unit now."""
    has_hook = "monitor_hook" in call.parameters
    expected = {
        ("start", 0): RUNNING,
        ("stop", 0): DOWN,
        ("monitor", 0): RUNNING,
        ("monitor", 190): RUNNING,
        ("monitor", 7): DOWN | (RUNNING if has_hook else set()),
    }.get((call.action, answer.code))
    if expected and (state := box.state(call.unit)) not in expected:
        yield f"{call.unit} is {state}"


def executor_environment(action: str, timeout_s: float, interval_s: float) -> dict[str, str]:
    """Return what Pacemaker's executor gives an agent."""
    environment = {
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
        "LC_ALL": "C",
        "HA_LOGFACILITY": "daemon",
        "HA_debug": "0",
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": "test",
        "OCF_RESOURCE_PROVIDER": "pacemaker",
        "OCF_RESOURCE_TYPE": "systemd",
        "OCF_RESKEY_CRM_meta_name": action,
        "OCF_RESKEY_CRM_meta_timeout": str(round(timeout_s * 1000)),
    }
    return environment | ({"OCF_RESKEY_CRM_meta_interval": str(round(interval_s * 1000))} if interval_s else {})


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a test needs of the host beyond systemd and Python."""

    @staticmethod
    def package(path: str, package: str) -> str:
        """Return the path of a file or a command that a Debian package brings; without it the test fails."""
        found = shutil.which(path) if "/" not in path else path if Path(path).exists() else None
        if found is None:
            pytest.fail(f"{path} is missing: install the Debian package {package}")
        return found

    @staticmethod
    def readable_interpreter() -> str:
        """Return this interpreter, which other users must be able to run this package with."""
        nobody = pwd.getpwnam("nobody")
        done = subprocess.run(
            ["sh", "-c", 'exec "$@"', "sh", sys.executable, "-I", "-c", "import ocf_systemd.cli"],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd="/",
            env={},
            check=False,
            stderr=subprocess.DEVNULL,
        )
        if done.returncode:
            pytest.fail(
                f"other users cannot run {sys.executable} or read this package: run these tests in a virtual "
                "environment made from /usr/bin/python3, in a place that everyone can read"
            )
        return sys.executable


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with boot(name="system-test") as booted:
        installed = booted.run([str(PROGRAM), "install"])
        assert installed.returncode == 0, installed.stderr
        yield booted


@pytest.fixture(scope="session")
def measuring(sandbox: Sandbox) -> Iterator[Mapping[str, str]]:
    """Yield what makes coverage measure a process in the box, if it measures this one; fetch its data at the end."""
    settings, configured = os.environ.get("COVERAGE_PROCESS_CONFIG"), os.environ.get("COVERAGE_PROCESS_START")
    data = Path(os.environ.get("COVERAGE_FILE") or ".coverage").absolute()
    if not settings and not configured:
        yield {}
        return
    sandbox.run(["mkdir", "-p", COVERAGE])
    variables = {"COVERAGE_FILE": f"{COVERAGE}/{data.name}"}
    if settings:
        variables["COVERAGE_PROCESS_CONFIG"] = settings
    elif configured:
        file = Path(configured)
        sandbox.write(f"{COVERAGE}/{file.name}", file.read_text(encoding="utf-8"))
        variables["COVERAGE_PROCESS_START"] = f"{COVERAGE}/{file.name}"
    yield variables
    for found in Path(f"/proc/{sandbox.pid}/root{COVERAGE}").glob(f"{data.name}.*"):
        shutil.copy(found, data.parent)


@pytest.fixture(scope="session")
def booted_box(sandbox: Sandbox) -> Box:
    return Box(sandbox)


@pytest.fixture
def box(booted_box: Box) -> Iterator[Box]:
    yield booted_box
    booted_box.clean()


@pytest.fixture
def agent(box: Box, measuring: Mapping[str, str]) -> Agent:
    return Agent(box, measuring)


@pytest.fixture
def require() -> Requirements:
    return Requirements()
