"""What is read from /proc of real processes: identity, state and descent."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.core.observations import Process
from ocf_systemd.host.procfs import Entry, Stat, age_s, command_line, descendants_of, find_process, is_alive, read_stat
from tests.unit.builders import executable
from tests.unit.odd_processes import entry_of, leaderless, process_of, sleeping, uninterruptible, zombie

if TYPE_CHECKING:
    from pathlib import Path

NO_PID = 2**22 + 1  # proc_sys_kernel(5): more than pid_max can be


class TestStat:
    def test_of_this_process(self) -> None:
        """Its parent, process group and age are what other interfaces of the kernel report."""
        stat = read_stat(os.getpid())
        assert stat is not None
        assert (stat.parent, stat.group, stat.entry.pid) == (os.getppid(), os.getpgrp(), os.getpid())
        assert stat.threads >= 1
        assert stat.is_alive
        assert not stat.is_uninterruptible
        assert stat.entry.age_s == pytest.approx(age_s(), abs=1.0)

    def test_of_none(self) -> None:
        """One that is gone, or never was."""
        with sleeping() as pid:
            assert read_stat(pid) is not None
        assert read_stat(pid) is None
        assert read_stat(NO_PID) is None
        assert age_s(NO_PID) == 0.0

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            pytest.param("a b", "a b", id="a blank"),
            pytest.param("a) S 1 (b", "a) S 1 (b", id="parentheses, like the end of it"),
            pytest.param("a\nb\x1b[31mc", "abc", id="a line's end and an escape"),
            pytest.param("x" * 40, "x" * 15, id="longer than a name can be"),
        ],
    )
    def test_a_name_may_hold_anything(self, tmp_path: Path, name: str, shown: str) -> None:
        """What comes after it is found all the same, and it is safe to show."""
        executable(tmp_path / name, "#!/bin/sh\nwhile :; do sleep 60; done\n")
        with sleeping(str(tmp_path / name)) as pid:
            stat = read_stat(pid)
            assert stat is not None
            assert (stat.name, stat.parent) == (shown, os.getpid())
            assert str(process_of(pid)) == f"{shown}[{pid}]"

    @pytest.mark.parametrize(
        ("state", "threads", "alive"),
        [
            *(pytest.param(state, 1, True, id=state) for state in "RSDTtIWKP"),
            pytest.param("Z", 1, False, id="a zombie"),
            pytest.param("X", 0, False, id="dead"),
            pytest.param("Z", 2, True, id="its first thread has ended, another runs"),
        ],
    )
    def test_which_states_are_alive(self, state: str, threads: int, *, alive: bool) -> None:
        """All but those that have ended; and what has ended by its first thread alone."""
        stat = Stat("a", state, 1, 1, threads, Entry(9, 9))
        assert stat.is_alive is alive
        assert stat.is_uninterruptible is (state == "D")


class TestAlive:
    def test_one_that_sleeps(self) -> None:
        """It is found, by its own start time alone."""
        with sleeping() as pid:
            entry = entry_of(pid)
            assert find_process(pid) == Process(pid, entry.started, "sleep")
            assert is_alive(entry)
            assert not is_alive(Entry(pid, entry.started - 1))
        assert find_process(pid) is None
        assert not is_alive(entry)

    def test_one_that_waits_to_be_reaped(self) -> None:
        """It has ended."""
        with zombie() as pid:
            assert find_process(pid) is None
            assert not is_alive(entry_of(pid))

    def test_one_whose_first_thread_has_ended(self) -> None:
        """The kernel calls it a zombie, and it works on."""
        with leaderless() as pid:
            assert process_of(pid).started == entry_of(pid).started
            assert is_alive(entry_of(pid))

    def test_one_in_uninterruptible_sleep(self, tmp_path: Path) -> None:
        """It is alive, and reported as uninterruptible."""
        with uninterruptible(tmp_path) as pid:
            assert process_of(pid).is_uninterruptible
            assert is_alive(entry_of(pid))
        with sleeping() as pid:
            assert not process_of(pid).is_uninterruptible


def test_descendants() -> None:
    """Children of children, whatever group or session they are in; the process itself comes first."""
    with sleeping("sh", "-c", "setsid sh -c 'sleep 61 & wait' & wait") as pid:
        deadline = time.monotonic() + 10
        while len(found := descendants_of(pid)) < 4:  # it, setsid's fork, its shell, and sleep; or one less
            if any(command_line(entry.pid) == "sleep 61" for entry in found) or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        assert found[0] == entry_of(pid)
        (sleeper,) = [entry for entry in found if command_line(entry.pid) == "sleep 61"]
        assert found[-1] == sleeper
        assert descendants_of(sleeper.pid) == (sleeper,)
        os.kill(sleeper.pid, 9)
    assert descendants_of(NO_PID) == ()
