"""The lock of installations: one after the other, and no file remains."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from ocf_systemd.install.lock import installation_lock
from tests.unit.builders import run_python

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from ocf_systemd.install.lock import installation_lock
with installation_lock(Path(sys.argv[1]), lambda line: print(line, flush=True)):
    print("holds", flush=True)
    sys.stdin.read()
print("ends", flush=True)
"""


def hold(directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes(tmp_path: Path) -> None:
    """The second reports the first, waits until it has ended, and then holds the lock; the file is removed."""
    with hold(tmp_path) as holder:
        assert read(holder) == "holds"
        waiter = hold(tmp_path)
        assert read(waiter) == f"waiting for another installation or removal of ocf-systemd (process {holder.pid})"
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert holder.stdin
        holder.stdin.close()
        assert read(waiter) == "holds"
        assert [*tmp_path.iterdir()] == [file]
        assert waiter.stdin
        with waiter:
            waiter.stdin.close()
    assert [*tmp_path.iterdir()] == []


def test_a_holder_that_is_killed(tmp_path: Path) -> None:
    """The kernel releases its lock, and the file that it leaves is in nobody's way."""
    with hold(tmp_path) as process:
        assert read(process) == "holds"
        process.kill()
    assert [*tmp_path.iterdir()] != []
    lines: list[str] = []
    with installation_lock(tmp_path, lines.append):
        pass
    assert (lines, [*tmp_path.iterdir()]) == ([], [])


def test_interrupted_while_it_waits(tmp_path: Path) -> None:
    """Ctrl-C ends a process that waits; the lock of the other and its file are unchanged."""
    with hold(tmp_path) as holder:
        assert read(holder) == "holds"
        before = [*tmp_path.iterdir()]
        script = "import os, signal, threading\nthreading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        done = run_python(script + HOLD, str(tmp_path))
        assert "KeyboardInterrupt" in done.stderr
        assert "holds" not in done.stdout
        assert [*tmp_path.iterdir()] == before


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """Without the directory there is no lock and no error."""
    with installation_lock(tmp_path / "missing", print):
        pass
    assert [*tmp_path.iterdir()] == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in place of the lock file is not opened."""
    (tmp_path / "ocf-systemd-install.lock").symlink_to(tmp_path / "elsewhere")
    with installation_lock(tmp_path, print):
        assert not (tmp_path / "elsewhere").exists()


def test_many(tmp_path: Path) -> None:
    """However many processes there are, one at a time holds the lock."""
    script = HOLD.replace(
        "sys.stdin.read()",
        "import os, time; os.close(os.open(sys.argv[1] + '/held', os.O_CREAT | os.O_EXCL)); time.sleep(0.01); "
        "os.unlink(sys.argv[1] + '/held')",
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        for _ in range(8)
    ]
    assert [process.wait(60) for process in processes] == [0] * 8
    assert [*tmp_path.iterdir()] == []
