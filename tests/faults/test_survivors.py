"""Units that systemd takes for stopped while a process of theirs is alive: what may still write is not stopped."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.unit.builders import UNTIL_ASLEEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.agent import Agent
    from tests.system.box import Box

CGROUPS = "/sys/fs/cgroup/system.slice"
# systemd gives up on it after twice that time, and takes the unit for failed.
GIVES_UP = ("SendSIGKILL=no", "TimeoutStopSec=300ms")
# An ignored signal stays ignored through execve(2): one process, which reports that by a file.
IGNORES_TERM = """sh -c 'trap "" TERM; touch /run/test/ready; exec sleep 9876'"""
READY = "ExecStartPost=sh -c 'until [ -e /run/test/ready ]; do sleep 0.02; done'"
LOGGED = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
INTERVALS_S = (0, 10)  # a probe's, and that of a recurring monitor


def pids_of(box: Box, unit: str) -> list[int]:
    """Return the pids in a unit's control group, and those below it, as the host counts."""
    files = box.path(f"{CGROUPS}/{unit}").rglob("cgroup.procs")
    return [int(pid) for file in files for pid in file.read_text(encoding="ascii").split()]


def pid_inside(pid: int) -> int:
    """Return a process's pid as the box counts."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("NSpid:")[2].split("\n")[0].split()[-1])


@contextmanager
def survived(box: Box, *lines: str, before: str = "") -> Iterator[tuple[str, str]]:
    """Have a unit that has failed to stop for the time of the block; yield it, and a process of it: NAME[PID]."""
    box.sh("mkdir -p /run/test; rm -f /run/test/ready")
    unit = box.started(*lines, READY, before=before)
    with ended(box, unit):
        box.sh('systemctl stop -- "$1"', unit, check=False)
        (pid,) = pids_of(box, unit)
        assert box.state(unit) in {"failed", "inactive"}
        yield unit, f"sleep[{pid_inside(pid)}]"


@contextmanager
def ended(box: Box, unit: str) -> Iterator[None]:
    """Kill what is left of a unit after the block."""
    try:
        yield
    finally:
        for pid in pids_of(box, unit):
            os.kill(pid, SIGKILL)


FAULT = (
    "A process ignores SIGTERM and is alive after systemd's stop (`SendSIGKILL=no`, `KillMode=control-group` or "
    "`mixed`)."
)


class TestIgnoresTerm:
    @pytest.mark.fault(FAULT, "The stop sends SIGKILL, and returns 0 only when the process is dead.")
    @pytest.mark.parametrize("mode", ["control-group", "mixed"])
    def test_stop_escalates(self, agent: Agent, box: Box, mode: str) -> None:
        """What systemd leaves alive is killed, and until then the unit is not stopped."""
        box.sh("mkdir -p /run/test; rm -f /run/test/ready")
        unit = box.started(f"ExecStart={IGNORES_TERM}", f"KillMode={mode}", *GIVES_UP, READY)
        with ended(box, unit):
            result = agent("stop", unit=unit, timeout_s=4)
            assert result.code == 0
            assert pids_of(box, unit) == []
        assert agent("monitor", unit=unit).code == 7

    @pytest.mark.fault(
        FAULT, "With `stop_escalate=no` the stop returns 1 and names the process. Monitor and probe return 1."
    )
    @pytest.mark.parametrize("mode", ["control-group", "mixed"])
    def test_not_stopped(self, agent: Agent, box: Box, mode: str) -> None:
        """A unit with a live process is neither stopped nor down, and the reason names the process."""
        with survived(box, f"ExecStart={IGNORES_TERM}", f"KillMode={mode}", *GIVES_UP) as (unit, process):
            results = [agent("stop", unit=unit, stop_escalate="no", timeout_s=4)]
            results += [agent("monitor", unit=unit, interval_s=interval_s) for interval_s in INTERVALS_S]
            for result in results:
                assert result.code == 1
                assert result.reason.startswith(f"{unit} failed, but not stopped: {process} alive")
        assert agent("stop", unit=unit, stop_escalate="no").code == 0

    @pytest.mark.fault(FAULT, "The next stop kills the process and returns 0.")
    def test_next_stop(self, agent: Agent, box: Box) -> None:
        """A stop of a unit that has failed before kills what is left of it."""
        with survived(box, f"ExecStart={IGNORES_TERM}", *GIVES_UP) as (unit, _):
            assert agent("stop", unit=unit, timeout_s=6).code == 0
            assert pids_of(box, unit) == []

    @pytest.mark.fault(
        FAULT,
        "A monitor returns 1, and the next stop returns 0. This also holds for a unit in another slice, for an "
        "instance of a template, and after `systemctl reset-failed`.",
    )
    @pytest.mark.parametrize("kind", ["slice", "instance", "reset"])
    def test_elsewhere(self, agent: Agent, box: Box, kind: str) -> None:
        """Wherever its control group is, and whether systemd still knows that it has failed or not."""
        lines = (f"ExecStart={IGNORES_TERM}", *GIVES_UP, READY)
        box.sh("mkdir -p /run/test; rm -f /run/test/ready")
        if kind == "instance":
            box.unit("probe-a@.service", "\n".join(["[Service]", *lines]))
            box.units.append(unit := "probe-a@1.service")
        else:
            unit = box.service(*lines, *(("Slice=own-part.slice",) if kind == "slice" else ()))
        box.sh('systemctl start -- "$1"; systemctl stop -- "$1"', unit, check=False)
        group = box.show(unit, "ControlGroup")
        assert (
            group
            == {
                "slice": f"/own.slice/own-part.slice/{unit}",
                "instance": rf"/system.slice/system-probe\x2da.slice/{unit}",
                "reset": f"/system.slice/{unit}",
            }[kind]
        )
        if kind == "reset":
            box.sh('systemctl reset-failed -- "$1"', unit)
            assert box.state(unit) == "inactive"
        processes = box.path(f"/sys/fs/cgroup{group}/cgroup.procs")
        try:
            assert agent("monitor", unit=unit).code == 1
            assert agent("stop", unit=unit, timeout_s=6).code == 0
            assert not processes.exists() or processes.read_text(encoding="ascii") == ""
        finally:
            for pid in processes.read_text(encoding="ascii").split() if processes.exists() else ():
                os.kill(int(pid), SIGKILL)


class TestOtherProcesses:
    @pytest.mark.fault(
        "`KillMode=process` or `none` leaves processes alive.",
        "The stop returns 0, and a monitor returns 7. Both log a warning.",
    )
    @pytest.mark.parametrize("mode", ["process", "none"])
    def test_wanted_leftovers(self, agent: Agent, box: Box, mode: str) -> None:
        """Processes that KillMode= leaves alive do not count, and the log names them."""
        box.sh("mkdir -p /run/test; rm -f /run/test/ready")
        wait = UNTIL_ASLEEP.replace("$", "$$")
        start = f"ExecStart=sh -c 'sleep 9876 & {wait}; touch /run/test/ready; exec sleep 1000'"
        stop = ("ExecStop=kill $MAINPID",) if mode == "none" else ()
        unit = box.started(start, f"KillMode={mode}", *stop, READY)
        with ended(box, unit):
            assert agent("stop", unit=unit, variables=LOGGED).code == 0
            assert agent("monitor", unit=unit, variables=LOGGED).code == 7
            (pid,) = pids_of(box, unit)
            warning = f"WARNING: KillMode={mode} of {unit} leaves sleep[{pid_inside(pid)}] running"
            assert [warning in line for line in box.marks("log") if "KillMode" in line] == [True, True]
            assert agent("monitor", unit=unit, interval_s=0).code == 7

    @pytest.mark.fault(
        "The main process of a unit with `KillMode=process` is alive after systemd's stop.",
        "The unit does not count as stopped: a monitor returns 1. With `stop_escalate=no` the agent's stop returns 1. "
        "By default it kills the process and returns 0.",
    )
    def test_main_process(self, agent: Agent, box: Box) -> None:
        """KillMode=process leaves processes alive, but not the main process, which systemd has given up on."""
        with survived(box, f"ExecStart={IGNORES_TERM}", "KillMode=process", *GIVES_UP) as (unit, process):
            for interval_s in INTERVALS_S:
                result = agent("monitor", unit=unit, interval_s=interval_s)
                assert (result.code, result.reason) == (1, f"{unit} failed, but not stopped: {process} alive")
            assert agent("stop", unit=unit, stop_escalate="no", timeout_s=2).code == 1
            assert agent("stop", unit=unit, timeout_s=6).code == 0
            assert pids_of(box, unit) == []

    @pytest.mark.fault(
        "A process in a cgroup below the unit's cgroup (`Delegate=yes`) is alive after systemd's stop.",
        "The unit does not count as stopped: a monitor returns 1. The agent's stop kills the process and returns 0.",
    )
    def test_sub_group(self, agent: Agent, box: Box) -> None:
        """A service that manages groups of its own is alive as long as one of them is not empty."""
        enter = f"mkdir {CGROUPS}/%n/own; echo $$$$ >{CGROUPS}/%n/own/cgroup.procs"
        with survived(box, f"ExecStart=sh -c '{enter}; {IGNORES_TERM[7:-1]}'", "Delegate=yes", *GIVES_UP) as (
            unit,
            process,
        ):
            result = agent("monitor", unit=unit)
            assert (result.code, result.reason) == (1, f"{unit} failed, but not stopped: {process} alive")
            assert agent("stop", unit=unit, timeout_s=6).code == 0
            assert pids_of(box, unit) == []

    @pytest.mark.fault(
        "The first thread of a process has ended, and another thread of the process runs.",
        "The process counts as alive: a monitor returns 1. The agent's stop kills the process and returns 0.",
    )
    def test_thread(self, agent: Agent, box: Box) -> None:
        """Such a process is a zombie to look at (proc_pid_stat(5)), and works on all the same."""
        box.sh("mkdir -p /run/test; rm -f /run/test/ready")
        unit = box.started(f'ExecStart=/usr/bin/python3 -c "{THREAD}"', *GIVES_UP, READY)
        with ended(box, unit):
            box.sh('systemctl stop -- "$1"', unit, check=False)
            (pid,) = pids_of(box, unit)
            assert "Z" in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()
            assert agent("monitor", unit=unit).code == 1
            assert agent("stop", unit=unit, timeout_s=6).code == 0
            assert pids_of(box, unit) == []

    @pytest.mark.fault(
        "A zombie is in the unit's cgroup.",
        "The zombie does not count as alive: the stop returns 0, and a monitor returns 7.",
    )
    def test_zombie(self, agent: Agent, box: Box) -> None:
        """What has ended, and waits to be reaped by its parent, writes nothing any more."""
        unit = box.started()
        keeper = box.started(f'ExecStart=/usr/bin/python3 -c "{NEVER_REAPS}" {CGROUPS}/{unit}/cgroup.procs')
        box.wait_for_file("/run/test/zombie")
        pid = box.marks("zombie")[0]
        assert box.sh("tail -n1 /proc/$1/cgroup; cut -d' ' -f3 /proc/$1/stat", pid) == f"0::/system.slice/{unit}\nZ"
        assert agent("stop", unit=unit).code == 0
        assert agent("monitor", unit=unit).code == 7
        box.sh('systemctl stop "$1"', keeper)


THREAD = """
import ctypes, os, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=(9876,)).start()
open('/run/test/ready', 'w').close()
ctypes.CDLL(None).pthread_exit(None)
""".strip().replace("\n", "; ")
NEVER_REAPS = """
import os, sys, time
os.makedirs('/run/test', exist_ok=True)
pid = os.fork() or (open(sys.argv[1], 'w').write(str(os.getpid())), os._exit(0))
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
open('/run/test/zombie.new', 'w').write(str(pid))
os.rename('/run/test/zombie.new', '/run/test/zombie')
time.sleep(9876)
""".strip().replace("\n", "; ")


class TestAlias:
    @pytest.mark.fault(
        "The file of a running unit is replaced with a link to another unit. After a daemon-reload systemd reports the "
        "unit inactive, although its main process is alive.",
        "Monitor and probe return 1. The stop kills the process, and returns 0 only when the process is dead.",
    )
    @pytest.mark.parametrize("escalate", ["yes", "no"])
    def test_over_a_running_unit(self, agent: Agent, box: Box, escalate: str) -> None:
        """A unit whose file has become a link to another's has that one's state, and its own processes still."""
        unit = alias_over_a_running_unit(box)
        main = f"sleep[{box.show(unit, 'MainPID')}]"
        with ended(box, unit):
            assert (box.state(unit), len(pids_of(box, unit))) == ("inactive", 1)
            for interval_s in INTERVALS_S:
                result = agent("monitor", unit=unit, interval_s=interval_s)
                assert (result.code, result.reason) == (1, f"{unit} inactive, but not stopped: {main} alive")
            result = agent("stop", unit=unit, timeout_s=3, stop_escalate=escalate)
            assert result.code == (0 if escalate == "yes" else 1)
            assert result.reason.startswith("" if escalate == "yes" else f"{unit} inactive, but not stopped: {main}")
            assert len(pids_of(box, unit)) == result.code
        assert agent("monitor", unit=unit).code == 7


FOSTER_PARENT = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while not os.path.exists('/run/test/up'): time.sleep(0.02)
group = open('/run/test/up').read().strip()
if os.fork(): time.sleep(9876)
open(group, 'w').write(str(os.getpid()))
open('/run/test/pid', 'w').write(str(os.getpid()))
os.execvp('sleep', ['sleep', '9876'])
"""


def alias_over_a_running_unit(box: Box) -> str:
    """Return a running unit whose file has become a link to another's, which is down, and whose state it has now.

    Which of the two states it has depends on the order in which systemd takes them up again.
    """
    for _ in range(10):
        unit, other = fostered(box), box.service()
        box.remember(other)  # a unit that is loaded has a state of its own to be taken up again
        box.sh('cd /etc/systemd/system; rm "$1"; ln -s "$2" "$1"; systemctl daemon-reload', unit, other)
        if box.state(unit) == "inactive":
            return unit
        box.sh('systemctl stop -- "$1"', unit)
    pytest.fail("an alias always has the running unit's state")


def fostered(box: Box) -> str:
    """Start a unit whose main process is the child of another's, and return it.

    systemd 252 itself may abort when a child of its own ends that is the main process of an inactive unit
    (service_sigchld_event() in service.c: "Code should not be reached").
    """
    box.sh("rm -rf /run/test")
    box.write("/run/test/parent", FOSTER_PARENT)
    box.started("ExecStart=/usr/bin/python3 /run/test/parent")
    wait = "until [ -s /run/test/pid ]; do sleep 0.02; done"
    return box.started(
        *("Type=forking", "PIDFile=/run/test/pid"),
        f"ExecStart=sh -c 'echo {CGROUPS}/%n/cgroup.procs >/run/test/new; mv /run/test/new /run/test/up; {wait}'",
    )
