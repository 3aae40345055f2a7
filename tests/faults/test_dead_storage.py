"""Processes in uninterruptible sleep, which no signal ends, on storage that has died: of a unit, and of a hook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.agent import as_variables
from tests.system.box import FELL_BACK, HOOKS
from tests.system.silent_storage import PLACE, READ, SilentStorage, silent_storage
from tests.system.ways import RESIDENT_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.agent import Agent
    from tests.system.agent_result import Call
    from tests.system.box import Box

LOGGED = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
# systemd gives up on it after some times that, and takes the unit for failed.
GIVES_UP = ("TimeoutStopSec=200ms",)
ASLEEP = r"ls\[[0-9]+\] in uninterruptible sleep"
CANNOT_BE_KILLED = rf"hook hook: cannot be killed: {ASLEEP} \(timed out after [0-9]+\.[0-9] s\)"
NOT_STARTED = rf"hook hook: not started, its last run cannot be killed: {ASLEEP}"
AT_ONCE_S = 2.0  # of 20 s, on a machine that has other things to do


@pytest.fixture
def storage(box: Box) -> Iterator[SilentStorage]:
    box.sh("mkdir -p /run/test")
    with silent_storage(box) as mounted:
        yield mounted


def readers(box: Box) -> list[int]:
    """Return the processes of a hook that wait for the storage."""
    return [pid for pid, command in box.visitors().items() if command.rstrip() == READ]


class TestUnit:
    @pytest.mark.fault(
        "A process of the unit is in uninterruptible sleep, and systemd sets the unit to failed.",
        "The stop returns 1 and names the process. Monitor and probe return 1. When the storage responds again, all "
        "actions succeed.",
    )
    @pytest.mark.parametrize(
        ("lines", "escalate"),
        [
            pytest.param((), "yes", id="control-group"),
            pytest.param(("KillMode=mixed",), "yes", id="mixed"),
            pytest.param((), "no", id="no-escalation"),
        ],
    )
    def test_not_stopped(
        self, agent: Agent, box: Box, storage: SilentStorage, lines: tuple[str, ...], escalate: str
    ) -> None:
        """What cannot be killed may still write: neither stopped nor down, however much systemd calls it failed."""
        unit = box.started(f"ExecStart={READ}", *GIVES_UP, *lines)
        storage.wait_until_in_use()
        results = [agent("stop", unit=unit, stop_escalate=escalate, timeout_s=5)]
        assert box.state(unit) == "failed"
        results += [agent("monitor", unit=unit, interval_s=interval_s) for interval_s in (0, 10)]
        for result in results:
            assert result.code == 1
            assert re.match(rf"{unit} failed, but not stopped: {ASLEEP}", result.reason)
        storage.revive()
        assert agent("stop", unit=unit).code == 0
        assert agent("monitor", unit=unit).code == 7

    @pytest.mark.fault(
        "The main process of the unit has ended, and another process of the unit is in uninterruptible sleep.",
        "The stop returns 1. The monitor returns 1 and names the process.",
    )
    def test_child(self, agent: Agent, box: Box, storage: SilentStorage) -> None:
        """A child counts like the main process, and is named before what is merely alive."""
        unit = box.started(f"ExecStart=sh -c '{READ} & sleep 9876 & wait'", *GIVES_UP)
        storage.wait_until_in_use()
        assert agent("stop", unit=unit, timeout_s=4).code == 1
        result = agent("monitor", unit=unit)
        assert result.code == 1
        assert re.match(rf"{unit} failed, but not stopped: {ASLEEP}", result.reason)
        storage.revive()
        assert agent("monitor", unit=unit).code == 7


class TestHook:
    @pytest.mark.fault(
        "A hook is in uninterruptible sleep during a monitor.",
        "The monitor returns 1 in time. The reason has the time that the hook has taken, and names the process that "
        "cannot be killed. The log does not report this process as killed.",
    )
    @pytest.mark.parametrize("timeout_s", [4, 20])
    def test_cannot_be_killed(self, agent: Agent, box: Box, storage: SilentStorage, timeout_s: float) -> None:
        """A hook that survives SIGKILL is reported with a reason, whatever the timeout."""
        assert storage.path == PLACE
        unit, hook = box.started(), box.hook(READ)
        result = agent("monitor", unit=unit, monitor_hook=hook, timeout_s=timeout_s, variables=LOGGED, measured=False)
        assert result.code == 1
        assert re.fullmatch(CANNOT_BE_KILLED, result.reason)
        log = "\n".join(box.marks("log"))
        assert "cannot be killed" in log
        assert "killed now" not in log

    @pytest.mark.fault(
        "A hook is in uninterruptible sleep during nine monitors.",
        "All nine monitors together leave one process. After the first monitor, each monitor returns 1 at once.",
    )
    @pytest.mark.parametrize("user", ["", "nobody"])
    def test_does_not_pile_up(self, agent: Agent, box: Box, storage: SilentStorage, user: str) -> None:
        """A hook whose last run cannot be killed is not started again, until it has ended: then it is."""
        unit, hook = box.started(), box.hook(f"echo ran >>/run/test/ran; {READ}; exit 190")
        box.write("/run/test/ran", "", 0o666)
        given = as_variables({"unit": unit, "monitor_hook": hook, "monitor_hook_user": user})
        assert re.fullmatch(CANNOT_BE_KILLED, agent("monitor", timeout_s=3, variables=given).reason)
        for _ in range(8):
            result = agent("monitor", variables=given)
            assert result.code == 1
            assert re.fullmatch(NOT_STARTED, result.reason)
            assert result.elapsed_s < AT_ONCE_S
        assert (len(readers(box)), box.marks("ran")) == (1, ["ran"])
        storage.revive()
        box.wait_until_gone({})
        assert agent("monitor", variables=given).code == 190
        assert box.marks("ran") == ["ran", "ran"]

    @pytest.mark.fault(
        "A hook is in uninterruptible sleep during other actions.",
        "Start and probe return 1, and name the process. The stop returns 0.",
    )
    def test_other_actions(self, agent: Agent, box: Box, storage: SilentStorage) -> None:
        """No action waits for a hook that cannot be killed, and none starts it a second time."""
        assert storage.path == PLACE
        unit, hook = box.started(), box.hook(READ)
        result = agent("start", unit=unit, monitor_hook=hook, timeout_s=3)
        assert result.code == 1
        assert re.search(ASLEEP, result.reason)
        result = agent("monitor", unit=unit, monitor_hook=hook, interval_s=0)
        assert result.code == 1
        assert re.fullmatch(NOT_STARTED, result.reason)
        assert agent("stop", unit=unit, monitor_hook=hook).code == 0
        assert len(readers(box)) == 1

    @pytest.mark.fault(
        "One of several hooks is in uninterruptible sleep.",
        "The monitor returns 1 and names this hook. The other hooks run.",
    )
    def test_one_of_a_directory(self, agent: Agent, box: Box, storage: SilentStorage) -> None:
        """The others go on being run, and their failures count."""
        assert storage.path == PLACE
        unit = box.started()
        for name, script in (("a", "exit 0"), ("hook", READ), ("z", "echo ran >>/run/test/ran; exit 0")):
            box.hook(script, name)
        result = agent("monitor", unit=unit, monitor_hook=HOOKS, timeout_s=3)
        assert re.fullmatch(CANNOT_BE_KILLED, result.reason)
        result = agent("monitor", unit=unit, monitor_hook=HOOKS)
        assert (result.code, len(box.marks("ran")), len(readers(box))) == (1, 2, 1)
        assert re.fullmatch(NOT_STARTED, result.reason)

    @pytest.mark.fault(
        "A hook passes, but leaves a child in uninterruptible sleep.",
        "The monitor returns the hook's code, and the log reports that the child cannot be killed. As long as the "
        "child is alive, later monitors return 1.",
    )
    def test_leaves_a_child(self, agent: Agent, box: Box, storage: SilentStorage) -> None:
        """Processes that a hook leaves behind are reported correctly, and do not accumulate."""
        wait = "until [ -e /run/test/in-use ]; do sleep 0.02; done"
        unit, hook = box.started(), box.hook(f"{READ} & {wait}; exit 0")
        call = agent.begin("monitor", unit=unit, monitor_hook=hook, variables=LOGGED)
        storage.wait_until_in_use()
        box.write("/run/test/in-use", "")
        result = call.finish()
        agent.audit(call, result)
        assert result.code == 0
        log = "\n".join(box.marks("log"))
        assert re.search(rf"a hook left a process behind that cannot be killed: {ASLEEP}", log)
        assert "killed now" not in log
        for _ in range(2):
            result = agent("monitor", unit=unit, monitor_hook=hook)
            assert result.code == 1
            assert re.fullmatch(NOT_STARTED, result.reason)
        assert len(readers(box)) == 1
        storage.revive()
        box.wait_until_gone({})
        assert agent("monitor", unit=unit, monitor_hook=hook).code == 0


@RESIDENT_ONLY
class TestServer:
    @pytest.mark.fault(
        "The agent's working directory is on storage that does not respond.",
        "The monitor returns the hook's code. Meanwhile the server serves other monitors.",
    )
    def test_working_directory(self, agent: Agent, box: Box) -> None:
        """The server accesses no directory of a client that may not respond: the agent runs the action itself."""
        unit, hook = box.started(), box.hook("exit 190")
        box.sh('mkdir -p /run/test "$1"', PLACE)
        inside = ("sh", "-c", f'cd {PLACE}; until [ -e /run/test/go ]; do sleep 0.02; done; exec "$@"', "sh")
        with box.fallbacks_allowed():
            call = agent.begin("monitor", unit=unit, monitor_hook=hook, through=inside, measured=False)
            box.wait_for_visitor(f"sh -c cd {PLACE}")
            with silent_storage(box):  # over the directory that the agent is in
                declined = _others_declined(agent, unit, hook, lambda: box.write("/run/test/go", ""))
                answer = call.finish()
            agent.audit(call, answer)
        assert answer.code == 190
        assert declined < OTHERS

    @pytest.mark.fault(
        "A directory in `PATH`, or the log file, is a link to storage that does not respond.",
        "Meanwhile the server serves other monitors.",
    )
    @pytest.mark.parametrize("name", ["PATH", "HA_LOGFILE"])
    def test_search_path(self, agent: Agent, box: Box, storage: SilentStorage, name: str) -> None:
        """The server searches for no program there, and writes no log: other agents get their results from it."""
        unit, hook = box.started(), box.hook("exit 190")
        searching = box.hook("exit 190", "searching", shebang="#!/usr/bin/env sh\n")
        box.sh('ln -s "$1/sub" /run/test/link', PLACE)
        value = "/run/test/link:/usr/bin:/bin" if name == "PATH" else "/run/test/link"
        waiting: list[Call] = []

        def begin() -> None:
            call = agent.begin(
                "monitor", unit=unit, monitor_hook=searching, variables={name: value}, timeout_s=4, measured=False
            )
            waiting.append(call)

        with box.fallbacks_allowed():
            declined = _others_declined(agent, unit, hook, begin)
        storage.wait_until_in_use()  # by the agent that was declined
        storage.revive()
        waiting[0].finish()
        assert declined < OTHERS


OTHERS = 5


def _others_declined(agent: Agent, unit: str, hook: str, begin: Callable[[], object]) -> int:
    """Return how many monitors run in the agent's own process after another one has begun."""
    noted = agent.box.path(FELL_BACK)
    before = len(noted.read_bytes())
    begin()
    codes = [agent.begin("monitor", unit=unit, monitor_hook=hook).finish().code for _ in range(OTHERS)]
    assert codes == [190] * OTHERS
    return len(noted.read_bytes()) - before


def test_nothing_is_left(box: Box) -> None:
    """The storage itself leaves neither a mount nor a process, even where a test fails while one waits for it."""
    unit = box.service(f"ExecStart={READ}")

    def fail() -> None:
        with silent_storage(box) as storage:
            box.sh('systemctl start -- "$1"', unit)
            storage.wait_until_in_use()
            raise LookupError(box.show(unit, "MainPID"))

    with pytest.raises(LookupError) as failure:
        fail()
    (pid,) = failure.value.args
    box.wait_until_gone({})
    box.wait_for(unit, "failed")
    assert not box.path(f"/proc/{pid}").exists()
    for mounts in (f"/proc/{box.sandbox.pid}/mounts", "/proc/mounts"):
        assert PLACE not in Path(mounts).read_text(encoding="utf-8")
