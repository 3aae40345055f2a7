"""Whose processes are whose where one process performs many actions, by real ones that commands leave behind."""

from __future__ import annotations

import os
import resource
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from ocf_systemd.host.processes import Command
from ocf_systemd.server.orphans import OrphanReaper
from tests.unit.builders import run_python
from tests.unit.odd_processes import SLEEPER

if TYPE_CHECKING:
    from pathlib import Path

# Two actions at once, each of which runs a command that leaves a process behind. What SIGKILL was sent to needs time to
# end where others are busy, so each action ends its own again until that has gone.
CODE = """
import os, resource, sys
import anyio
from ocf_systemd.host.leftovers import adopt_orphans
from ocf_systemd.server.orphans import OrphanReaper
from ocf_systemd.host.procfs import children_of, command_line, find_process
from ocf_systemd.host.processes import Command

adopt_orphans()
script = ("/bin/sh", "-c", "{ " + sys.argv[1] + "; } & exit 0", sys.executable, *sys.argv[3:])

def alive():
    return {pid for pid in children_of(os.getpid()) if find_process(pid)}

def is_settled(pid):
    process = find_process(pid)
    return process and (process.is_uninterruptible if sys.argv[2] == "D" else command_line(pid) == "sleep 60")

async def left_by(reaper, action, others):
    await action.run(Command(script, {"PATH": os.defpath}), deadline=anyio.current_time() + 10)
    with anyio.fail_after(10):
        while len(alive() - others) != 1 or not all(map(is_settled, alive() - others)):
            await anyio.sleep(0.01)
    return alive() - others

async def main():
    reaper = OrphanReaper(resource.getrlimit(resource.RLIMIT_NOFILE))
    with reaper.action("/", 0o022) as first, reaper.action("/", 0o022) as second:
        left = await left_by(reaper, first, set())
        others = await left_by(reaper, second, left)
        for action, own in ((first, left), (second, others)):
            found = 0
            with anyio.fail_after(10):
                while own & alive():
                    leftovers = await reaper.end_leftovers(action)
                    found += len(leftovers.ended) + len(leftovers.survivors)
                    await anyio.sleep(0.01)
            print(found > 0, len(alive()))
        for action in (first, second):
            print((await reaper.end_leftovers(action)).ended)

anyio.run(main)
"""


@pytest.mark.parametrize(
    ("script", "state"),
    [
        pytest.param("sleep 60", "S", id="by its mark"),
        pytest.param("setsid sleep 60", "S", id="by its mark, in a session of its own"),
        pytest.param('"$0" -I -S -c "$1" "$2"', "D", id="in uninterruptible sleep, by its group"),
    ],
)
def test_each_action_ends_its_own(tmp_path: Path, script: str, state: str) -> None:
    """An action neither kills nor reports the processes that another action left behind."""
    os.mkfifo(tmp_path / "pipe")
    done = run_python(CODE, script, state, SLEEPER, str(tmp_path / "pipe"), timeout_s=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True 1", "True 0", "()", "()"]


def test_none_passes_for_another_actions() -> None:
    """A process that guesses the mark of another action, as by counting, is ended with its own action."""
    script = (
        "mark=$OCF_SYSTEMD_ACTION; case $mark in *.1) guess=${mark%1}2 ;; *) guess=${mark%?}1 ;; esac; "
        "OCF_SYSTEMD_ACTION=$guess exec sleep 60"
    )
    done = run_python(CODE, script, "S", timeout_s=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-3].endswith(" 0")


def test_others_are_served_between_two_starts() -> None:
    """However many commands must start, the event loop runs other tasks after each start."""
    log: list[str] = []

    async def main() -> None:
        reaper = OrphanReaper(resource.getrlimit(resource.RLIMIT_NOFILE))
        deadline = anyio.current_time() + 60
        with reaper.action("/", 0o022) as action:
            async with anyio.create_task_group() as tasks:
                for _ in range(9):
                    tasks.start_soon(action.start, Command(("true",), {}), lambda: log.append("start"), deadline)
                while log.count("start") < 9:
                    log.append("other task")
                    await anyio.lowlevel.checkpoint()

    anyio.run(main)
    assert ("start", "start") not in set(pairwise(log))
