"""The lock by which agents share daemon-reloads: tasks and processes take turns, and none waits for ever."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from ocf_systemd.host.reload_lock import reload_lock
from tests.unit.builders import run_python

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE_S = 2.0  # of the thirty seconds that there are

HOLD = """
import sys, anyio
from pathlib import Path
from ocf_systemd.host.reload_lock import reload_lock
async def main():
    async with reload_lock(Path(sys.argv[1]), anyio.current_time() + 30):
        print("held", flush=True)
        sys.stdin.read()
anyio.run(main)
"""


@contextmanager
def holder(run_directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process that holds the lock until its standard input is closed, or it is killed."""
    arguments = [sys.executable, "-c", HOLD, str(run_directory)]
    environment = {"PATH": os.defpath}
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def waited_s(run_directory: Path, deadline_s: float) -> float:
    """Return how long it takes until the block begins, with a deadline so many seconds away."""

    async def main() -> float:
        began = anyio.current_time()
        async with reload_lock(run_directory, began + deadline_s):
            return anyio.current_time() - began

    return anyio.run(main)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestTurns:
    def test_tasks_of_one_process(self, tmp_path: Path) -> None:
        """The resident server performs many actions: one at a time holds it, each gets its turn."""
        inside, most, done = 0, 0, []

        async def take(number: int) -> None:
            nonlocal inside, most
            async with reload_lock(tmp_path, anyio.current_time() + 30):
                inside += 1
                most = max(most, inside)
                await anyio.sleep(0.03)
                inside -= 1
                done.append(number)

        async def main() -> None:
            async with anyio.create_task_group() as together:
                for number in range(8):
                    together.start_soon(take, number)

        anyio.run(main)
        assert most == 1
        assert sorted(done) == list(range(8))

    def test_processes(self, tmp_path: Path) -> None:
        """What another agent holds is waited for until it lets go."""

        async def let_go(held_by: subprocess.Popen[str]) -> None:
            await anyio.sleep(0.3)
            assert held_by.stdin is not None
            held_by.stdin.close()

        async def main() -> float:
            with holder(tmp_path) as process:
                async with anyio.create_task_group() as tasks:
                    began = anyio.current_time()
                    tasks.start_soon(let_go, process)
                    async with reload_lock(tmp_path, began + 30):
                        elapsed_s = anyio.current_time() - began
            return elapsed_s

        assert 0.2 < anyio.run(main) < 5.0
        assert waited_s(tmp_path, 30.0) < AT_ONCE_S

    def test_a_holder_that_is_killed_lets_go(self, tmp_path: Path) -> None:
        """Pacemaker kills an agent that takes too long: the kernel unlocks what it held."""
        with holder(tmp_path) as process:
            assert waited_s(tmp_path, 0.2) >= 0.2
            process.kill()
            process.wait()
            assert waited_s(tmp_path, 30.0) < 1.0

    def test_what_a_command_inherits_holds_nothing(self, tmp_path: Path) -> None:
        """The descriptor does not reach what is started while it is held, which may live on."""
        code = """
import sys, anyio, subprocess
from pathlib import Path
from ocf_systemd.host.reload_lock import reload_lock
async def main():
    async with reload_lock(Path(sys.argv[1]), anyio.current_time() + 30):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    began = anyio.current_time()
    async with reload_lock(Path(sys.argv[1]), began + 30):
        print(anyio.current_time() - began < 1)
    child.kill()
    child.wait()
anyio.run(main)
"""
        done = run_python(code, str(tmp_path))
        assert (done.stdout, done.stderr) == ("True\n", "")

    def test_it_lets_go_when_the_block_fails(self, tmp_path: Path) -> None:
        """An exception or a cancellation within the block leaves nothing locked, and no descriptor open."""

        async def main() -> float:
            with pytest.raises(ValueError, match="within"):
                async with reload_lock(tmp_path, anyio.current_time() + 30):
                    raise ValueError("within")
            with anyio.move_on_after(0.05):
                async with reload_lock(tmp_path, anyio.current_time() + 30):
                    await anyio.sleep(60)
            began = anyio.current_time()
            async with reload_lock(tmp_path, began + 30):
                return anyio.current_time() - began

        before = open_descriptors()
        assert anyio.run(main) < 1.0
        assert open_descriptors() == before


class TestDeadline:
    @pytest.mark.parametrize("deadline_s", [pytest.param(each, id=f"{each} s") for each in (0.1, 0.4)])
    def test_it_is_waited_for_until_then(self, tmp_path: Path, deadline_s: float) -> None:
        """Then all goes on without it: one more daemon-reload is better than a stop that fails."""
        with holder(tmp_path):
            assert deadline_s <= waited_s(tmp_path, deadline_s) < deadline_s + 1.0

    def test_one_that_is_over(self, tmp_path: Path) -> None:
        """The block begins at once, whether it is held or not, and is not cancelled by that deadline."""
        with holder(tmp_path):
            assert waited_s(tmp_path, -1.0) < AT_ONCE_S

        async def main() -> bool:
            async with reload_lock(tmp_path, anyio.current_time() + 0.05):
                await anyio.sleep(0.2)
                return True

        assert anyio.run(main)

    def test_a_cancelled_action_does_not_wait(self, tmp_path: Path) -> None:
        """A signal ends an agent that waits for its turn."""

        async def main() -> bool:
            with anyio.move_on_after(0.1) as scope:
                async with reload_lock(tmp_path, anyio.current_time() + 60):
                    raise AssertionError("it was held")
            return scope.cancel_called

        with holder(tmp_path):
            began = time.monotonic()
            assert anyio.run(main)
            assert time.monotonic() - began < 5.0


class TestFile:
    @pytest.mark.parametrize("umask", [pytest.param(0, id="0"), pytest.param(0o026, id="Pacemaker's")])
    def test_it_is_nobody_elses(self, tmp_path: Path, umask: int) -> None:
        """Other users cannot lock it and so block all reloads: mode 0600, in a directory that only root may write."""
        before = os.umask(umask)
        try:
            assert waited_s(tmp_path, 30.0) < AT_ONCE_S
        finally:
            os.umask(before)
        (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert path == tmp_path / "ocf-systemd/daemon-reload.lock"
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        assert not stat.S_IMODE(path.parent.stat().st_mode) & 0o022

    def test_where_it_cannot_be_made(self, tmp_path: Path) -> None:
        """No lock is no reason to wait, or to fail."""
        (tmp_path / "ocf-systemd").touch()
        assert waited_s(tmp_path, 30.0) < AT_ONCE_S
        assert waited_s(tmp_path / "gone", 30.0) < AT_ONCE_S
        (tmp_path / "b/ocf-systemd/daemon-reload.lock").mkdir(parents=True)
        assert waited_s(tmp_path / "b", 30.0) < AT_ONCE_S

    def test_out_of_descriptors(self, tmp_path: Path) -> None:
        """Without a descriptor there is no lock, and the block begins all the same."""
        code = """
import os, resource, sys, anyio
from pathlib import Path
from ocf_systemd.host.reload_lock import reload_lock
async def main():
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, 9999))
    async with reload_lock(Path(sys.argv[1]), anyio.current_time() + 30):
        print("in")
    resource.setrlimit(resource.RLIMIT_NOFILE, (999, 9999))
anyio.run(main)
"""
        done = run_python(code, str(tmp_path))
        assert (done.stdout, done.stderr) == ("in\n", "")


def test_on_trio_as_well(tmp_path: Path) -> None:
    """Nothing here depends on which event loop runs it."""

    async def main() -> bool:
        async with reload_lock(tmp_path, anyio.current_time() + 9):
            return True

    assert anyio.run(main, backend="trio")
