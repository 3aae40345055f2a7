"""Programs before they are executed: their interpreters, who could change them, and leases on them."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from ocf_systemd.core.observations import HookAttempted, HookMissing, HookUnsafe, NotStarted
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import check_hooks, is_root_owned, raise_shortage, run_hooks
from ocf_systemd.host.programs import SEARCH_PATH, executed_files, why_not_executable, why_unsafe
from tests.unit.builders import executable, parameters
from tests.unit.odd_processes import leased

if TYPE_CHECKING:
    from ocf_systemd.core.observations import HookOutcome

ME = frozenset({0, os.geteuid()})
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory that is safe, in case the umask is another."""
    tmp_path.chmod(0o755)
    return tmp_path


def run_now(hook: Path, time_s: float = 10.0) -> HookOutcome:
    async def main() -> tuple[HookOutcome, ...]:
        deadline = anyio.current_time() + time_s
        return await run_hooks(parameters(monitor_hook=str(hook)), {}, processes.run, deadline)

    (outcome,) = anyio.run(main)
    return outcome


def executed(path: Path, search_path: str = SEARCH_PATH) -> list[str]:
    with ExitStack() as opened:
        return list(executed_files(str(path), search_path, opened))


class TestInterpreters:
    """What execve(2) and env(1) start for a script."""

    @pytest.mark.parametrize(
        ("first_line", "expected"),
        [
            pytest.param("#!/bin/sh", ["/bin/sh"], id="plain"),
            pytest.param("#!/bin/sh\0 -e", ["/bin/sh"], id="a NUL"),
            pytest.param("#! \t /bin/sh -e", ["/bin/sh"], id="blanks and an option"),
            pytest.param("#!/usr/bin/env sh", ["/usr/bin/env", "/usr/bin/sh"], id="env"),
            pytest.param("#!/usr/bin/env -S sh -e", ["/usr/bin/env", "/usr/bin/sh"], id="env -S"),
            pytest.param("#!/usr/bin/env -S A=b sh", ["/usr/bin/env", "/usr/bin/sh"], id="env with a variable"),
            pytest.param("#!/usr/bin/env /bin/sh", ["/usr/bin/env", "/bin/sh"], id="env with a path"),
            pytest.param("#!/usr/bin/env -S -i sh", ["/usr/bin/env"], id="env -S with another option"),
            pytest.param("#!/usr/bin/env -S 'a b'", ["/usr/bin/env"], id="env -S with quotes"),
            pytest.param("#!/usr/bin/env A=b sh", ["/usr/bin/env"], id="env with nothing but a variable"),
            pytest.param("#!/usr/bin/env -S PATH=/x sh", ["/usr/bin/env"], id="env with a PATH of its own"),
            pytest.param("#!/usr/bin/env -i sh", ["/usr/bin/env"], id="env with another option"),
            pytest.param("#!", [], id="none"),
            pytest.param("no script", [], id="no script"),
        ],
    )
    def test_of_a_script(self, place: Path, first_line: str, expected: list[str]) -> None:
        """The interpreter, and the program that env(1) searches for."""
        path = executable(place / "hook", f"{first_line}\n")
        assert executed(path, "relative::/usr/bin") == [str(path), *expected]

    def test_nested(self, place: Path) -> None:
        """An interpreter may be a script as well, even one that env(1) finds."""
        inner = executable(place / "inner", "#!/bin/sh\n")
        outer = executable(place / "outer", "#!/usr/bin/env inner\n")
        hook = executable(place / "hook", f"#!{outer}\n")
        assert executed(hook, str(place)) == [str(hook), str(outer), "/usr/bin/env", str(inner), "/bin/sh"]

    def test_a_ring_ends(self, place: Path) -> None:
        """Scripts that interpret each other end the search, and are 5."""
        hook = executable(place / "a", f"#!{place}/b\n")
        executable(place / "b", f"#!{place}/a\n")
        assert len(executed(hook)) < 20
        assert why_not_executable(str(hook)) == "too many scripts interpret each other"
        assert run_now(hook) == HookMissing(str(hook), "too many scripts interpret each other")

    @pytest.mark.parametrize(
        ("first_line", "why"),
        [
            pytest.param("#!/usr/bin/env no-such-program", "its interpreter no-such-program is not in PATH", id="env"),
            pytest.param("#!/usr/bin/env sh -e", "its interpreter sh -e is not in PATH", id="env without -S"),
            pytest.param("#!{place}", "its interpreter {place} cannot be run", id="a directory"),
            pytest.param("#!{place}/inner", "its interpreter /no/such cannot be run", id="nested"),
            pytest.param("#!/usr/bin/env sh", "", id="all there"),
        ],
    )
    def test_one_that_is_missing(self, place: Path, first_line: str, why: str) -> None:
        """It is reported before a start, which would otherwise wait for the hook until the deadline; 5 in a monitor."""
        executable(place / "inner", "#!/no/such\n")
        hook = executable(place / "hook", first_line.format(place=place) + "\n")
        assert why_not_executable(str(hook)) == why.format(place=place)
        missing = HookMissing(str(hook), why.format(place=place))
        assert check_hooks(parameters(monitor_hook=str(hook))) == ((missing,) if why else ())
        assert not why or run_now(hook) == missing

    def test_the_path_is_the_actions(self, place: Path) -> None:
        """env(1) searches the PATH of the action."""
        executable(place / "inner", "#!/bin/sh\n")
        hook = parameters(monitor_hook=str(executable(place / "hook", "#!/usr/bin/env inner\n")))
        assert check_hooks(hook) != ()
        assert check_hooks(hook, {"PATH": f"{place}:/bin"}) == ()


class TestTrust:
    @pytest.mark.parametrize("first_line", ["#!{inner}", "#!/usr/bin/env {inner}", "#!/usr/bin/env -S {inner} -x"])
    @pytest.mark.parametrize("which", ["bad/inner", "bad"])
    def test_of_an_interpreter(self, place: Path, first_line: str, which: str) -> None:
        """A user who can change the interpreter can change what runs: 4 before a start and in a monitor."""
        (place / "bad").mkdir(mode=0o755)
        inner = executable(place / "bad/inner", "#!/bin/sh\n")
        hook = executable(place / "hook", first_line.format(inner=inner) + "\n")
        given = parameters(monitor_hook=str(hook))
        assert (check_hooks(given), is_root_owned(given)) == ((), True)
        (place / which).chmod(0o757)
        unsafe = HookUnsafe(str(hook), f"{place}/{which} is writable by everyone (the path of its interpreter)")
        assert run_now(hook) == unsafe
        assert check_hooks(given) == (unsafe,)
        assert not is_root_owned(given)

    def test_a_relative_interpreter(self, place: Path) -> None:
        """Which program that is depends on the working directory."""
        hook = executable(place / "hook", "#!bin/sh\n")
        unsafe = HookUnsafe(str(hook), "bin/sh is not an absolute path (the path of its interpreter)")
        assert run_now(hook) == unsafe

    @as_root
    def test_an_interpreter_of_the_hooks_user(self, place: Path) -> None:
        """That user has no more power by it; but its file system could block the resident server."""
        inner = executable(place / "inner", "#!/bin/sh\n")
        hook = executable(place / "hook", f"#!{inner}\n")
        os.chown(inner, 65534, 0)
        given = parameters(monitor_hook=str(hook), monitor_hook_user="nobody")
        assert check_hooks(given) == ()
        assert not is_root_owned(given)
        owned = HookUnsafe(str(hook), f"{inner} is owned by uid 65534 (the path of its interpreter)")
        assert check_hooks(parameters(monitor_hook=str(hook))) == (owned,)

    def test_what_is_avoided(self, place: Path) -> None:
        """Nothing at or below such a component is accessed: nothing of it needs to exist."""
        (place / "link").symlink_to("mount/hook")
        for path in ("mount", "mount/hook", "mount/../link", "link"):
            why = why_unsafe(f"{place}/{path}", ME, {f"{place}/mount"})
            assert why == f"{place}/mount is on a file system that may not respond"

    @as_root
    def test_a_search_ends_before_what_is_avoided(self, place: Path) -> None:
        """The server does not search a file system that may not respond for a program of env(1)."""
        given = parameters(monitor_hook=str(executable(place / "hook", "#!/usr/bin/env sh\n")))
        assert is_root_owned(given, {"PATH": "/bin:/mount/bin"}, {"/mount"})
        assert not is_root_owned(given, {"PATH": "/mount/bin:/bin"}, {"/mount"})

    @as_root
    def test_a_search_through_links_ends_there_too(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A directory in PATH, or a program in one, may be a link to a file system that may not respond."""
        given = parameters(monitor_hook=str(executable(place / "hook", "#!/usr/bin/env sh\n")))
        (place / "linked").symlink_to(place / "mount/bin")
        (place / "bin").mkdir()
        (place / "bin/sh").symlink_to(place / "mount/sh")
        accessed: list[str] = []
        is_file = os.path.isfile

        def record(path: str) -> bool:
            accessed.append(path)
            return is_file(path)

        monkeypatch.setattr(os.path, "isfile", record)
        for directory in ("linked", "bin"):
            assert is_root_owned(given, {"PATH": f"/bin:{place}/{directory}"}, {f"{place}/mount"})
            assert not is_root_owned(given, {"PATH": f"{place}/{directory}:/bin"}, {f"{place}/mount"})
        assert set(accessed) == {"/bin/sh"}

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
    def test_a_shortage(self, place: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        """The agent reports a hook that was not started, and tries again; the server lets the agent run the action."""
        hook = executable(place / "hook", "#!/bin/sh\n")

        def fail(*_: object, **__: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "open", fail)
        ran = HookAttempted(str(hook), NotStarted(number, os.strerror(number)))
        assert run_now(hook) == ran
        assert check_hooks(parameters(monitor_hook=str(hook))) == (ran,)
        with pytest.raises(OSError, match=os.strerror(number)):
            raise_shortage((ran,))
        if os.geteuid() == 0:
            with pytest.raises(OSError, match=os.strerror(number)):
                is_root_owned(parameters(monitor_hook=str(hook)))

    def test_a_device_is_not_opened(self, place: Path) -> None:
        """To open one can have an effect, or wait for ever."""
        os.mkfifo(place / "fifo", 0o755)
        before = len(list(Path("/proc/self/fd").iterdir()))
        with ExitStack() as opened:
            assert list(executed_files(f"{place}/fifo", SEARCH_PATH, opened)) == [f"{place}/fifo"]
            assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestLease:
    """A process holds a lease: open(2) and execve(2) block until it is given up, or for lease-break-time (45 s)."""

    def test_that_is_given_up(self, place: Path) -> None:
        """The hook runs as soon as it can be opened."""
        hook = executable(place / "hook", "#!/bin/sh\nexit 42\n")
        with leased(hook, is_given_up=True):
            outcome = run_now(hook)
        assert isinstance(outcome, HookAttempted)
        assert getattr(outcome.outcome, "code", None) == 42

    def test_that_is_kept(self, place: Path) -> None:
        """The action goes on, and has a reason at its deadline; the hook does not run later."""
        hook = executable(place / "hook", f"#!/bin/sh\n: >{place}/ran\n")
        with leased(hook):
            outcome = run_now(hook, 0.5)
        assert outcome == HookAttempted(
            str(hook), NotStarted(errno.EWOULDBLOCK, "another process holds a lease on its file")
        )
        assert not (place / "ran").exists()

    def test_on_an_interpreter(self, place: Path) -> None:
        """It blocks in the same way."""
        inner = executable(place / "inner", "#!/bin/sh\n")
        hook = executable(place / "hook", f"#!{inner}\n")
        with leased(inner):
            outcome = run_now(hook, 0.2)
            assert not is_root_owned(parameters(monitor_hook=str(hook)))
        assert isinstance(outcome, HookAttempted)
        assert isinstance(outcome.outcome, NotStarted)

    def test_none_is_possible_while_the_files_are_open(self, place: Path) -> None:
        """From the check to the end of the hook no process can take one."""
        hook = executable(place / "hook", "#!/bin/sh\n")
        other = os.open(hook, os.O_RDONLY)
        try:
            with ExitStack() as opened:
                list(executed_files(str(hook), SEARCH_PATH, opened))
                with pytest.raises(BlockingIOError):
                    fcntl.fcntl(other, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(other, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        finally:
            os.close(other)
