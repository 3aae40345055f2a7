"""The host has run out of something: disk, descriptors, processes, memory; or keeps its disk from being written."""

from __future__ import annotations

import resource
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.system.agent import AGENT
from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.system.agent import Agent
    from tests.system.agent_result import AgentResult
    from tests.system.box import Box

SYSTEM_UNITS = "/run/systemd/system"
DROP_IN = f"{SYSTEM_UNITS}/{{}}.d/zz-ocf-systemd.conf"
READ_ONLY = ("mount --bind D D && mount -o remount,bind,ro D", "Read-only file system")
NO_INODE_LEFT = ("mount -t tmpfs -o nr_inodes=1 full D", "No space left on device")
NO_BLOCK_LEFT = ("mount -t tmpfs -o size=4k full D; head -c 4k /dev/zero >D/filler", "No space left on device")

# Private to the agent: the system manager keeps a /run that it can write to.
ALL_READ_ONLY = """
for place in /run /var /tmp /root; do mount --rbind "$place" "$place" && mount -o remount,bind,ro "$place"; done
touch /run/x /var/x 2>/dev/null && exit 99
exec "$@"
"""
# systemd.exec(5): a call that may be made no more fails as fork(2) does when there are too many processes. A limit of
# root's own processes would not bind root (setrlimit(2)), and not every host lets us have a cgroup with pids.max.
NO_MORE_PROCESSES = (
    *("systemd-run", "--wait", "--pipe", "--quiet", "--collect", "--property"),
    "SystemCallFilter=~clone:EAGAIN clone3:EAGAIN fork:EAGAIN vfork:EAGAIN",
)


@contextmanager
def spoiled(box: Box, directory: str, how: str) -> Iterator[None]:
    """Have something mounted over a directory for the time of the block."""
    box.sh(how.replace("D", directory))
    try:
        yield
    finally:
        box.sh(f"umount {directory}")


class TestDisk:
    @pytest.mark.fault(
        "`/run/systemd/system` is full or read-only.",
        "A start returns 1 and names the cause. Monitor and stop succeed.",
    )
    @pytest.mark.parametrize(
        ("how", "error"),
        [
            pytest.param(*READ_ONLY, id="read-only"),
            pytest.param(*NO_INODE_LEFT, id="no-inode-left"),
            pytest.param(*NO_BLOCK_LEFT, id="no-block-left"),
        ],
    )
    def test_drop_in_cannot_be_written(self, agent: Agent, box: Box, how: str, error: str) -> None:
        """A start fails with the cause; the unit is not started; monitor and stop work."""
        down, up = box.service(), box.started()
        with spoiled(box, SYSTEM_UNITS, how):
            result = agent("start", unit=down)
            codes = [agent(action, unit=up).code for action in ("monitor", "stop")]
        assert result.code == 1
        assert f"drop-in {DROP_IN.format(down)} cannot be written: {error}" in result.reason
        assert box.state(down) == "inactive"
        assert codes == [0, 0]

    @pytest.mark.fault("The drop-in cannot be removed.", "The stop returns 0.")
    def test_drop_in_cannot_be_removed(self, agent: Agent, box: Box) -> None:
        """A drop-in that cannot be removed keeps no stop from its work."""
        unit = box.service()
        assert agent("start", unit=unit).code == 0
        with spoiled(box, SYSTEM_UNITS, READ_ONLY[0]):
            assert agent("stop", unit=unit).code == 0

    @COLD_ONLY
    @pytest.mark.fault(
        "`/run`, `/var`, `/tmp` and `/root` are read-only for the agent.",
        "A start returns 1 and names the cause. Monitor and stop succeed.",
    )
    def test_nothing_can_be_written(self, agent: Agent, box: Box) -> None:
        """An agent that cannot write anywhere stops and monitors all the same; an unwritable log is no fault."""
        up, down, hook = box.started(), box.service(), box.hook("exit 190")
        log = {"HA_LOGFILE": "/var/log/ha.log", "HA_DEBUGLOG": "/run/ha.log", "HA_debug": "1", "OCF_TRACE_RA": "1"}
        results = {}
        for action, unit in (("start", down), ("monitor", up), ("stop", up)):
            through = ["unshare", "--mount", "sh", "-c", ALL_READ_ONLY, "sh"]
            call = agent.begin(action, unit=unit, monitor_hook=hook, variables=log, through=through, measured=False)
            results[action] = call.finish()
            agent.audit(call, results[action])
        assert {action: result.code for action, result in results.items()} == {"start": 1, "monitor": 190, "stop": 0}
        assert "cannot be written: Read-only file system" in results["start"].reason

    @pytest.mark.fault("The disk of the log is full.", "This has no effect on start, monitor and stop.")
    @pytest.mark.parametrize("action", ["start", "monitor", "stop"])
    def test_log_is_full(self, agent: Agent, box: Box, action: str) -> None:
        """A log file and a trace that take no more keep no action from its work."""
        unit = box.service() if action == "start" else box.started()
        log = {"HA_LOGFILE": "/run/test/log", "HA_DEBUGLOG": "/run/test/log", "HA_debug": "1", "OCF_TRACE_RA": "1"}
        log |= {"OCF_TRACE_FILE": "/run/test/trace"}
        box.sh("mkdir -p /run/test")
        with spoiled(box, "/run/test", NO_BLOCK_LEFT[0]):
            assert agent(action, unit=unit, monitor_hook=box.hook("exit 0"), variables=log).code == 0


class TestStreams:
    @pytest.mark.fault("Standard input, output or error is closed or full.", "This has no effect on the result.")
    @pytest.mark.parametrize(
        "streams",
        [
            pytest.param("0<&-", id="no-input"),
            pytest.param("1>&-", id="no-output"),
            pytest.param("2>&-", id="no-error"),
            pytest.param("0<&- 1>&- 2>&-", id="none-at-all"),
            pytest.param("1>/dev/full 2>/dev/full", id="full"),
        ],
    )
    @pytest.mark.parametrize(
        ("action", "hook_code", "code"), [("start", 0, 0), ("monitor", 190, 190), ("monitor", 5, 5), ("stop", 0, 0)]
    )
    def test_streams(self, box: Box, streams: str, action: str, hook_code: int, code: int) -> None:
        """Streams that are closed or full do not change a result, even one with a reason that cannot be written."""
        hook = box.hook(f"echo x; echo y >&2; exit {hook_code}")
        settings = f"OCF_RESKEY_unit={box.started()} OCF_RESKEY_monitor_hook={hook} OCF_RESKEY_CRM_meta_interval=10000"
        before = box.visitors()
        assert box.sh(f"({settings} {AGENT} {action} {streams}); echo $?").splitlines()[-1] == str(code)
        box.wait_until_gone(before)

    @pytest.mark.fault(
        "The agent cannot write its meta-data.", "The action fails with an error message, without a traceback."
    )
    def test_metadata_that_nobody_takes(self, box: Box) -> None:
        """Metadata that cannot be written are an error with a message, without a traceback."""
        output = box.sh(f"{AGENT} meta-data 2>&1 >/dev/full; echo $?")
        assert output.splitlines()[-1] != "0"
        assert "Traceback" not in output


def ended(agent: Agent, action: str, unit: str, *shortages: tuple[str, ...]) -> list[AgentResult]:
    """Call the agent for each shortage, all at once, through what leaves it short, with 3 s each; audit."""
    hook = agent.box.hook("exit 0")
    calls = [
        agent.begin(action, unit=unit, monitor_hook=hook, through=through, timeout_s=3, measured=False)
        for through in shortages
    ]
    results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result)
    return results


@COLD_ONLY
class TestDescriptors:
    @pytest.mark.fault("The agent has too few file descriptors.", "The monitor returns 1.")
    def test_monitor(self, agent: Agent, box: Box) -> None:
        """Without descriptors the unit's state is unknown: 1 or, if they sufficed, the unit's state; never 7."""
        shortages = [("prlimit", f"--nofile={count}") for count in (5, 6, 7, 9, 12, 16)]
        codes = [result.code for result in ended(agent, "monitor", box.started(), *shortages)]
        assert codes[:4] == [1] * 4
        assert set(codes[4:]) <= {0, 1}

    @pytest.mark.fault(
        "The agent has too few file descriptors.",
        "The stop repeats its steps until the agent deadline, and then returns 1.",
    )
    def test_stop(self, agent: Agent, box: Box) -> None:
        """A stop without descriptors tries on as long as there is time."""
        unit = box.started()
        for result in ended(agent, "stop", unit, *(("prlimit", f"--nofile={count}") for count in (5, 6, 9))):
            assert result.code == 1
            assert result.elapsed_s > 1
        assert box.state(unit) == "active"

    @pytest.mark.fault(
        "The agent has too few file descriptors for a while.",
        "The stop repeats its steps until it succeeds, and returns 0.",
    )
    @pytest.mark.parametrize("count", [5, 9])
    def test_stop_that_gets_some(self, agent: Agent, box: Box, count: int) -> None:
        """A stop that has descriptors again before its time is up stops the unit."""
        unit = box.started()
        call = agent.begin("stop", unit=unit, through=["prlimit", f"--nofile={count}:1024"], measured=False)
        box.sandbox.run(["sleep", "0.7"])
        resource.prlimit(call.agent, resource.RLIMIT_NOFILE, (1024, 1024))
        result = call.finish()
        agent.audit(call, result)
        assert result.code == 0
        assert result.elapsed_s > 0.7


@COLD_ONLY
class TestProcesses:
    @pytest.mark.fault("The agent can start no process.", "Start and monitor return 1.")
    @pytest.mark.parametrize("action", ["start", "monitor"])
    def test_nothing_can_be_started(self, agent: Agent, box: Box, action: str) -> None:
        """If no process can be started, the unit's state is unknown: 1, never 7."""
        (result,) = ended(agent, action, box.started(), NO_MORE_PROCESSES)
        assert result.code == 1
        assert result.reason.endswith("could not be started: Resource temporarily unavailable")

    @pytest.mark.fault(
        "The agent can start no process.", "The stop repeats its steps until the agent deadline, and then returns 1."
    )
    def test_stop(self, agent: Agent, box: Box) -> None:
        """A stop that can start nothing tries on as long as there is time."""
        unit = box.started()
        (result,) = ended(agent, "stop", unit, NO_MORE_PROCESSES)
        assert result.code == 1
        assert result.elapsed_s > 1
        assert box.state(unit) == "active"


def is_enough(box: Box, megabytes: int) -> bool:
    """Return whether an interpreter that does nothing starts with so much memory."""
    program = [sys.executable, "-I", "-c", "pass"]
    return box.sandbox.run(["prlimit", f"--as={megabytes * 1_000_000}", *program]).returncode == 0


@pytest.fixture(scope="module")
def interpreter_mb(booted_box: Box) -> int:
    """Return the megabytes that the interpreter takes, whatever it is to do."""
    return next(megabytes for megabytes in range(5, 500) if is_enough(booted_box, megabytes))


def is_enough_for_a_stop(box: Box, megabytes: int) -> bool:
    """Return whether an agent stops a unit with so much memory."""
    environment = {"OCF_RESKEY_unit": box.started(), "OCF_RESKEY_CRM_meta_timeout": "2000"}
    return box.sandbox.run(["prlimit", f"--as={megabytes * 1_000_000}", AGENT, "stop"], env=environment).returncode == 0


@pytest.fixture(scope="module")
def barely_mb(booted_box: Box, interpreter_mb: int) -> Sequence[int]:
    """Return some megabytes in addition to the interpreter's: an agent begins a stop with them, but cannot perform it.

    They are below the least with which a stop succeeds, by 4 to 12.
    """
    enough = next(more for more in range(10, 60, 2) if is_enough_for_a_stop(booted_box, interpreter_mb + more))
    return range(enough - 12, enough - 2, 2)


def python_broke(result: AgentResult) -> bool:
    """Return whether the interpreter itself did not bear a failed allocation, as at some sizes it does not."""
    return result.code < 0 or "SystemError" in result.stderr


@COLD_ONLY
class TestMemory:
    @pytest.mark.fault("The agent has too little memory.", "The monitor returns 1, never 7, without a traceback.")
    def test_monitor(self, agent: Agent, box: Box, interpreter_mb: int) -> None:
        """With too little memory to know how the unit is: 1 or, when it sufficed, the truth; never 7."""
        unit, hook = box.started(), box.hook("exit 0")
        limits = [f"--as={(interpreter_mb + more) * 1_000_000}" for more in range(2, 30, 2)]
        calls = [
            agent.begin("monitor", unit=unit, monitor_hook=hook, through=["prlimit", limit], measured=False)
            for limit in limits
        ]
        results = [call.finish() for call in calls]
        sound = [pair for pair in zip(calls, results, strict=True) if not python_broke(pair[1])]
        for call, result in sound:
            agent.audit(call, result)
        assert results[0].code == 1
        assert {result.code for _, result in sound} <= {0, 1}
        assert not {result.code for result in results} & {0, 7} - {result.code for _, result in sound}
        assert len(sound) > len(limits) / 2

    @pytest.mark.fault(
        "The agent has too little memory.", "The stop repeats its steps until the agent deadline, and then returns 1."
    )
    def test_stop(self, agent: Agent, box: Box, interpreter_mb: int, barely_mb: Sequence[int]) -> None:
        """A stop without memory tries on as long as there is time."""
        unit, hook = box.started(), box.hook("exit 0")
        limits = [f"--as={(interpreter_mb + more) * 1_000_000}" for more in barely_mb]
        calls = [
            agent.begin("stop", unit=unit, monitor_hook=hook, through=["prlimit", limit], timeout_s=4, measured=False)
            for limit in limits
        ]
        results = [call.finish() for call in calls]
        sound = [pair for pair in zip(calls, results, strict=True) if not python_broke(pair[1])]
        for call, result in sound:
            agent.audit(call, result)
            assert result.code == 1
            assert result.elapsed_s > 1
        assert len(sound) > len(limits) / 2
        assert box.state(unit) == "active"

    @pytest.mark.fault(
        "The agent has too little memory for a while.", "The stop repeats its steps until it succeeds, and returns 0."
    )
    def test_stop_that_gets_some(self, agent: Agent, box: Box, interpreter_mb: int, barely_mb: Sequence[int]) -> None:
        """A stop that has memory again before its time is up stops the unit."""
        unit = box.started()
        for more in barely_mb:
            limit = f"--as={(interpreter_mb + more) * 1_000_000}:unlimited"
            call = agent.begin("stop", unit=unit, through=["prlimit", limit], measured=False)
            box.sandbox.run(["sleep", "0.7"])
            with suppress(LookupError):  # Python has not borne it
                resource.prlimit(call.agent, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            result = call.finish()
            if not python_broke(result):
                break
        agent.audit(call, result)
        assert result.code == 0
        assert result.elapsed_s > 0.7
