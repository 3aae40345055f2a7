"""The record of hooks' processes that cannot be killed: it outlives the agent's process, and is void once they end."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocf_systemd.core.observations import Process
from ocf_systemd.host.survivors import find_survivor, record_survivors, recorded_survivors
from tests.unit.builders import UNIT, run_python
from tests.unit.odd_processes import leaderless, process_of, sleeping, uninterruptible, zombie

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOOK = "/usr/local/lib/hooks/smtp"


@pytest.fixture
def process() -> Iterator[Process]:
    with sleeping() as pid:
        yield process_of(pid)


def place_of(run_directory: Path, unit: str = UNIT) -> Path:
    return run_directory / "ocf-systemd/survivors" / unit


class TestFind:
    def test_of_its_unit_and_hook_alone(self, tmp_path: Path, process: Process) -> None:
        """A survivor of any of the given hooks is found; those of other units and hooks are not."""
        record_survivors(UNIT, HOOK, [process], run_directory=tmp_path)
        assert find_survivor(UNIT, (HOOK,), run_directory=tmp_path) == process
        assert find_survivor(UNIT, ("/h/a", HOOK), run_directory=tmp_path) == process
        for unit, hooks in (("web.service", (HOOK,)), (UNIT, ("/h/a",)), (UNIT, ()), (UNIT, (f"{HOOK}2",))):
            assert find_survivor(unit, hooks, run_directory=tmp_path) is None
        assert recorded_survivors(UNIT, run_directory=tmp_path) == [(process, HOOK)]

    def test_another_process_reads_it(self, tmp_path: Path, process: Process) -> None:
        """The agent's process is a new one for each monitor."""
        record_survivors(UNIT, HOOK, [process], run_directory=tmp_path)
        code = """
import sys
from pathlib import Path
from ocf_systemd.host.survivors import find_survivor
print(find_survivor(sys.argv[1], (sys.argv[2],), run_directory=Path(sys.argv[3])))
"""
        done = run_python(code, UNIT, HOOK, str(tmp_path))
        assert (done.stdout, done.stderr) == (f"sleep[{process.pid}]\n", "")

    def test_it_is_void_once_the_process_has_ended(self, tmp_path: Path) -> None:
        """And the file goes with the last of them."""
        with sleeping() as one, sleeping() as two:
            record_survivors(UNIT, HOOK, [process_of(one)], run_directory=tmp_path)
            record_survivors(UNIT, "/h/a", [process_of(two)], run_directory=tmp_path)
            assert len(recorded_survivors(UNIT, run_directory=tmp_path)) == 2
            os.kill(one, SIGKILL)
            os.waitid(os.P_PID, one, os.WEXITED | os.WNOWAIT)  # a zombie, which has ended as well
            assert find_survivor(UNIT, (HOOK,), run_directory=tmp_path) is None
            assert find_survivor(UNIT, ("/h/a",), run_directory=tmp_path) == process_of(two)
            assert place_of(tmp_path).exists()
        assert find_survivor(UNIT, ("/h/a",), run_directory=tmp_path) is None
        assert not place_of(tmp_path).exists()

    def test_a_later_process_of_the_same_pid_is_not_it(self, tmp_path: Path, process: Process) -> None:
        """A pid is used again: the start time differs, so that a hook is not kept from running for ever."""
        earlier = Process(process.pid, process.started - 1, "ls")
        record_survivors(UNIT, HOOK, [earlier], run_directory=tmp_path)
        assert find_survivor(UNIT, (HOOK,), run_directory=tmp_path) is None
        assert not place_of(tmp_path).exists()

    def test_processes_in_odd_states(self, tmp_path: Path) -> None:
        """In uninterruptible sleep, or without a first thread: alive. Ended and not reaped: not."""
        with uninterruptible(tmp_path) as sleeper, leaderless() as other:
            record_survivors(UNIT, HOOK, [process_of(sleeper)], run_directory=tmp_path)
            record_survivors("b.service", HOOK, [process_of(other)], run_directory=tmp_path)
            found = find_survivor(UNIT, (HOOK,), run_directory=tmp_path)
            assert found is not None
            assert (found.pid, found.is_uninterruptible) == (sleeper, True)
            found = find_survivor("b.service", (HOOK,), run_directory=tmp_path)
            assert found is not None
            assert found.pid == other
        with zombie() as pid:
            record_survivors("c.service", HOOK, [Process(pid, 1, "true")], run_directory=tmp_path)
            assert find_survivor("c.service", (HOOK,), run_directory=tmp_path) is None

    def test_without_a_record(self, tmp_path: Path) -> None:
        """Nothing is made by looking."""
        assert find_survivor(UNIT, (HOOK,), run_directory=tmp_path) is None
        assert recorded_survivors("", run_directory=tmp_path) == []
        assert list(tmp_path.iterdir()) == []


class TestRecord:
    def test_none_writes_nothing(self, tmp_path: Path) -> None:
        """Most runs leave nothing behind."""
        record_survivors(UNIT, HOOK, [], run_directory=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_they_add_up(self, tmp_path: Path) -> None:
        """Several of one run, and those of several hooks, which may be recorded at the same moment."""
        with sleeping() as one, sleeping() as two, sleeping() as three:
            record_survivors(UNIT, "/h/a", [process_of(one), process_of(two)], run_directory=tmp_path)
            record_survivors(UNIT, "/h/b", [process_of(three)], run_directory=tmp_path)
            recorded = [(process.pid, hook) for process, hook in recorded_survivors(UNIT, run_directory=tmp_path)]
            assert recorded == [(one, "/h/a"), (two, "/h/a"), (three, "/h/b")]

    def test_many_write_at_once(self, tmp_path: Path, process: Process) -> None:
        """No record of one agent cuts into that of another."""
        code = """
import sys
from pathlib import Path
from ocf_systemd.core.observations import Process
from ocf_systemd.host.survivors import record_survivors
process = Process(int(sys.argv[1]), int(sys.argv[2]), "sleep")
for _ in range(50):
    record_survivors("a.service", sys.argv[3] * 20, [process], run_directory=Path(sys.argv[4]))
"""

        def write(name: str) -> str:
            done = run_python(code, str(process.pid), str(process.started), name, str(tmp_path))
            return done.stderr

        with ThreadPoolExecutor() as writers:
            assert list(writers.map(write, "abcd")) == [""] * 4
        recorded = recorded_survivors("a.service", run_directory=tmp_path)
        assert sorted(hook for _, hook in recorded) == sorted(name * 20 for name in "abcd" for _ in range(50))

    @pytest.mark.parametrize(
        "hook",
        [
            pytest.param("/h/a b", id="a blank"),
            pytest.param("/h/a\nb", id="a line's end"),
            pytest.param("/h/1 2 /h/b", id="like a record"),
            pytest.param(os.fsdecode(b"/h/\xff\xfe"), id="no UTF-8"),
            pytest.param("/h/" + "x" * 4000, id="long"),
        ],
    )
    def test_a_path_may_hold_anything(self, tmp_path: Path, process: Process, hook: str) -> None:
        """Whatever a hook is called, it is that one which is not started again."""
        record_survivors(UNIT, hook, [process], run_directory=tmp_path)
        assert find_survivor(UNIT, (hook,), run_directory=tmp_path) == process
        assert recorded_survivors(UNIT, run_directory=tmp_path) == [(process, hook)]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(written=st.binary(max_size=300))
    def test_whatever_the_file_holds(self, tmp_path: Path, written: bytes) -> None:
        """Half a record, or one of a later version, is ignored; nothing raises."""
        path = place_of(tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written)
        assert all(process.pid > 0 for process, _ in recorded_survivors(UNIT, run_directory=tmp_path))

    def test_a_file_that_has_grown(self, tmp_path: Path, process: Process) -> None:
        """No more than 64 KiB are read: a monitor is not to take long for it."""
        path = place_of(tmp_path)
        path.parent.mkdir(parents=True)
        record = f"{process.pid} {process.started} {HOOK}\0"
        path.write_text(record + "x" * 10_000_000)
        assert find_survivor(UNIT, (HOOK,), run_directory=tmp_path) == process

    def test_where_it_cannot_be_written(self, tmp_path: Path, process: Process) -> None:
        """The agent does without: the next monitor starts the hook once more."""
        (tmp_path / "ocf-systemd").touch()
        record_survivors(UNIT, HOOK, [process], run_directory=tmp_path)
        assert find_survivor(UNIT, (HOOK,), run_directory=tmp_path) is None

    @pytest.mark.parametrize("umask", [pytest.param(0, id="0"), pytest.param(0o026, id="Pacemaker's")])
    def test_it_is_nobody_elses(self, tmp_path: Path, process: Process, umask: int) -> None:
        """Others may neither write it nor put another in its place, whatever the umask: it keeps hooks from running."""
        before = os.umask(umask)
        try:
            record_survivors(UNIT, HOOK, [process], run_directory=tmp_path)
        finally:
            os.umask(before)
        path = place_of(tmp_path)
        for place in (path, path.parent, path.parent.parent):
            assert not stat.S_IMODE(place.stat().st_mode) & 0o022, place
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
