"""Processes that hooks leave behind are found and killed; those that cannot be killed are reported."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.host import procfs
from ocf_systemd.host.leftovers import CHECKS_MAX, Leftovers
from tests.unit.builders import run_python
from tests.unit.odd_processes import (
    entry_of,
    leaderless,
    marked,
    process_of,
    sleeping,
    uninterruptible,
    wait_until,
    zombie,
)

if TYPE_CHECKING:
    from pathlib import Path

CAN_UNSHARE = not subprocess.run(
    ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"], check=False, capture_output=True
).returncode

# Wait until two descendants have executed sleep(1): before that they have the command line of their shell.
TWO_ASLEEP = """
import os
deadline = time.monotonic() + 10
def is_asleep(entry):
    return procfs.command_line(entry.pid) == "sleep {mark}"
while sum(map(is_asleep, procfs.descendants_of(os.getpid()))) < 2 and time.monotonic() < deadline:
    time.sleep(0.01)
"""


def lines(leftovers: Leftovers) -> list[str]:
    return [leftover.command_line for leftover in leftovers.ended]


class TestLeftovers:
    """Ended processes and those that cannot be killed are distinguished, with real processes."""

    def test_what_it_has_killed_has_ended(self) -> None:
        """By its command line, which is read before; a second look finds nothing to kill."""
        with sleeping("sleep", "61") as pid:
            leftovers = Leftovers()
            entry = entry_of(pid)
            assert leftovers.kill([entry])
            wait_until(lambda: not procfs.is_alive(entry))
            assert (lines(leftovers), leftovers.survivors) == (["sleep 61"], ())
            assert leftovers.kill([entry])
            assert (lines(leftovers), leftovers.survivors) == (["sleep 61"], ())

    def test_what_has_ended_already_is_none(self) -> None:
        """Neither a zombie nor a later process of the same pid is killed or reported."""
        with zombie() as ended, sleeping() as pid:
            leftovers = Leftovers()
            later = entry_of(pid)
            assert leftovers.kill([entry_of(ended), procfs.Entry(pid, later.started - 1)])
            assert (leftovers.ended, leftovers.survivors) == ((), ())
            assert procfs.is_alive(later)

    def test_a_process_without_its_first_thread_is_killed(self) -> None:
        """Another of its threads runs; it has no command line any more, so that it is not named."""
        with leaderless() as pid:
            leftovers = Leftovers()
            entry = entry_of(pid)
            leftovers.kill([entry])
            wait_until(lambda: not procfs.is_alive(entry))
            assert leftovers.survivors == ()

    def test_one_in_uninterruptible_sleep_is_named_by_its_name(self, tmp_path: Path) -> None:
        """Reading its command line takes a lock that the process may hold, and could block the reader."""
        with uninterruptible(tmp_path) as pid:
            process, entry = process_of(pid), entry_of(pid)
            assert process.is_uninterruptible
            leftovers = Leftovers()
            assert leftovers.kill([entry])
            wait_until(lambda: not procfs.is_alive(entry))  # this one a SIGKILL ends, and not every one
            assert lines(leftovers) == [str(process)]

    @pytest.mark.skipif(not CAN_UNSHARE, reason="a pid namespace needs root, or a host that lets users have one")
    def test_what_cannot_be_killed_survives(self) -> None:
        """The init process of a pid namespace, which no SIGKILL from within reaches, is reported after a short wait."""
        code = """
import os, sys
from ocf_systemd.host.leftovers import CHECKS_MAX, Leftovers
from ocf_systemd.host.procfs import read_stat
child = os.fork()
if child:
    os.waitpid(child, 0)
    os._exit(0)
left, rounds = Leftovers(), 0
while rounds < CHECKS_MAX and left.kill([read_stat(1).entry]):
    rounds += 1
print(rounds, left.ended, *map(str, left.survivors))
sys.stdout.flush()
os._exit(0)
"""
        wrapped = ("unshare", "--map-root-user", "--pid", "--fork", "--mount-proc")
        done = run_python(code, prefix=wrapped)
        assert done.stderr == ""
        rounds, ended, name = done.stdout.split()
        assert (rounds, ended) == (str(CHECKS_MAX), "()")
        assert re.fullmatch(r"python[\d.]*\[1\]", name)


class TestEndLeftovers:
    def test_what_forked_twice_is_found_and_named(self, mark: str) -> None:
        """A process that has left the tree is killed, and its command line is reported."""
        hook = f"setsid sh -c 'sleep {mark} & sleep {mark} &' & wait; exit 0"
        code = f"""
import anyio, time
from ocf_systemd.host import procfs, processes
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers
adopt_orphans()
async def main():
    command = processes.Command(("/bin/sh", "-c", {hook!r}), {{"PATH": "/usr/bin:/bin"}})
    return await processes.run(command, deadline=anyio.current_time() + 10)
print(anyio.run(main).code)
{TWO_ASLEEP.format(mark=mark)}
leftovers = end_leftovers()
print(*sorted(each.command_line for each in leftovers.ended), leftovers.survivors, sep="\\n")
leftovers = end_leftovers()
print(leftovers.ended, leftovers.survivors)
"""
        done = run_python(code)
        assert done.stderr == ""
        assert done.stdout.splitlines() == ["0", f"sleep {mark}", f"sleep {mark}", "()", "() ()"]
        assert marked(mark) == []

    def test_a_leftover_that_ignores_term_and_forks_on(self, mark: str) -> None:
        """Leftovers get SIGKILL, and what they leave is looked for again."""
        hook = f"(trap '' TERM; for _ in $(seq 300); do setsid sleep {mark} & sleep 0.01; done) & exit 0"
        code = f"""
import anyio, time
from ocf_systemd.host import procfs, processes
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers
adopt_orphans()
async def main():
    command = processes.Command(("/bin/sh", "-c", {hook!r}), {{"PATH": "/usr/bin:/bin"}})
    return await processes.run(command, deadline=anyio.current_time() + 10)
anyio.run(main)
{TWO_ASLEEP.format(mark=mark)}
leftovers = end_leftovers()
print(len(leftovers.ended) > 1, leftovers.survivors)
"""
        done = run_python(code)
        assert (done.stdout, done.stderr) == ("True ()\n", "")
        assert marked(mark) == []

    def test_without_leftovers_there_is_nothing_to_end(self) -> None:
        """A process that has no child has left nothing."""
        code = "from ocf_systemd.host.leftovers import end_leftovers\nleft = end_leftovers()\n"
        code += "print(left.ended, left.survivors)"
        done = run_python(code)
        assert (done.stdout, done.stderr) == ("() ()\n", "")

    def test_a_leftovers_command_line_is_safe_to_show(self, tmp_path: Path, mark: str) -> None:
        """No hook can forge a line of the log by what its processes are called."""
        copy = tmp_path / "a\nb\x1b[31m"
        copy.symlink_to("/bin/sleep")
        code = f"""
import os, subprocess, time
from ocf_systemd.host import procfs, processes
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers
child = subprocess.Popen([{str(copy)!r}, {mark!r}])
time.sleep(0.1)
print([each.command_line for each in end_leftovers().ended])
child.wait()
"""
        done = run_python(code)
        assert done.stderr == ""
        assert done.stdout == f"['{tmp_path}/ab {mark}']\n"
