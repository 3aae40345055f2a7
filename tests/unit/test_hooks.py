"""Hooks on disk: which are found, which are trusted, and what comes of running them."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import stat
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

import anyio
import pytest

from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.judgement import judge_hooks
from ocf_systemd.core.observations import (
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookStuck,
    HookUnsafe,
    NotStarted,
    Process,
    Signalled,
    TimedOut,
)
from ocf_systemd.core.ocf import ActionResult
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import (
    HOOKS_AT_ONCE,
    HOOKS_MAX,
    check_access,
    check_hooks,
    find_hooks,
    hook_environment,
    is_root_owned,
    run_hooks,
)
from ocf_systemd.host.procfs import find_process
from ocf_systemd.host.programs import why_not_executable, why_unsafe
from ocf_systemd.host.survivors import record_survivors
from tests.unit.builders import executable, parameters, run_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocf_systemd.core.observations import CommandOutcome
    from ocf_systemd.host.processes import Command, Runner

ME = frozenset({0, os.geteuid()})
CAN_MOUNT = (
    os.geteuid() == 0
    and not subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")


def set_acl(path: Path, user_entry: tuple[int, int, int]) -> None:
    """Give a file of mode 0755 an access control list (acl(5)) with one named user; skip where none can be set."""
    entries = [(0x01, 7, -1), user_entry, (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", packed)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        assert "CI" not in os.environ
        pytest.skip(f"the file system of {path.parent} has no access control lists")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory that is safe, in case the umask is another."""
    tmp_path.chmod(0o755)
    return tmp_path


def run_now(
    hook: Path | str, time_s: float = 10.0, environment: dict[str, str] | None = None, **values: str
) -> tuple[HookOutcome, ...]:
    async def main() -> tuple[HookOutcome, ...]:
        deadline = anyio.current_time() + time_s
        given = parameters(monitor_hook=str(hook), **values)
        return await run_hooks(given, environment or {}, processes.run, deadline)

    return anyio.run(main)


def run_with(
    run: Runner, hook: Path | str, run_directory: Path | None = None, *, time_s: float = 10.0
) -> tuple[HookOutcome, ...]:
    """Run hooks by another runner than the real one."""

    async def main() -> tuple[HookOutcome, ...]:
        deadline = anyio.current_time() + time_s
        records = run_directory or Path("/nonexistent")
        return await run_hooks(parameters(monitor_hook=str(hook)), {}, run, deadline, run_directory=records)

    return anyio.run(main)


async def succeed(command: Command, *, deadline: float) -> CommandOutcome:
    assert command.arguments
    assert deadline
    return Exited(0.1)


class TestFind:
    def test_a_file_is_the_hook(self, place: Path) -> None:
        """Whatever it is: whether it can be run is another question."""
        path = place / "smtp.sh"
        assert find_hooks(str(path)) == (str(path),)
        path.touch()
        assert find_hooks(str(path)) == (str(path),)

    def test_a_directorys_executables_in_order_of_name(self, place: Path) -> None:
        """The names that run-parts would run; no hidden files, no backups, no packagers' leftovers, no directories."""
        for name in ("20-b", "10-a", "Z", "a_b", "9"):
            executable(place / name, "#!/bin/sh\n")
        for name in (".hidden", "a~", "b.bak", "c.dpkg-old", "d.sh", "e f", "ü", "#g#"):
            executable(place / name, "#!/bin/sh\n")
        executable(place / "README", "not to be run", 0o644)
        (place / "directory").mkdir()
        os.mkfifo(place / "fifo", 0o777)
        found = tuple(f"{place}/{name}" for name in ("10-a", "20-b", "9", "Z", "a_b"))
        assert find_hooks(str(place)) == found
        assert find_hooks(f"{place}/") == found

    def test_links_count_and_dangling_ones_are_told(self, place: Path) -> None:
        """A link to an executable is a hook; a dangling link is reported as missing."""
        (place / "hooks").mkdir()
        executable(place / "smtp.sh", "#!/bin/sh\n")
        (place / "hooks/a").symlink_to("../smtp.sh")
        (place / "hooks/b").symlink_to("../gone")
        assert find_hooks(f"{place}/hooks") == (f"{place}/hooks/a", f"{place}/hooks/b")
        a, b = run_now(place / "hooks")
        assert isinstance(a, HookAttempted)
        assert b == HookMissing(f"{place}/hooks/b", "No such file or directory")

    @pytest.mark.parametrize("name", [pytest.param(None, id="empty"), pytest.param("x.sh", id="no name to run")])
    def test_a_directory_without_a_hook(self, place: Path, name: str | None) -> None:
        """A directory without hooks is an error: it was meant to have some."""
        if name:
            executable(place / name, "#!/bin/sh\n")
        named = "no executable file has a valid hook name (only letters, digits, - and _); ignored: x.sh"
        missing = HookMissing(str(place), named if name else "the directory holds no executable file")
        assert find_hooks(str(place)) == missing
        assert run_now(place) == check_hooks(parameters(monitor_hook=str(place))) == (missing,)

    def test_a_link_to_a_directory(self, place: Path) -> None:
        """It is a directory."""
        (place / "real").mkdir()
        executable(place / "real/a", "#!/bin/sh\n")
        (place / "link").symlink_to("real")
        assert find_hooks(f"{place}/link") == (f"{place}/link/a",)


class TestLimits:
    @pytest.fixture
    def hooks(self, place: Path) -> Path:
        (place / "hooks").mkdir(mode=0o755)
        for number in range(HOOKS_MAX):
            executable(place / f"hooks/{number:02}", "#!/bin/sh\n")
        return place / "hooks"

    def test_a_directory_holds_64_at_most(self, hooks: Path) -> None:
        """One more, and none is run: 5, with a reason. What is no hook does not count."""
        (hooks / "README").touch()
        assert find_hooks(str(hooks)) == tuple(f"{hooks}/{number:02}" for number in range(64))
        executable(hooks / "one-more", "#!/bin/sh\n")
        missing = HookMissing(str(hooks), "the directory holds 65 executable files, at most 64 are allowed")
        assert find_hooks(str(hooks)) == missing
        assert run_now(hooks) == check_hooks(parameters(monitor_hook=str(hooks))) == (missing,)
        reason = "hook hooks: cannot be run: the directory holds 65 executable files, at most 64 are allowed"
        assert judge_hooks((missing,), HookProtocol.OCF) == ActionResult(5, reason)

    def test_16_run_at_a_time(self, hooks: Path) -> None:
        """The others wait for their turn, and each outcome stands in the order of names."""
        running, most = 0, 0

        async def run(command: Command, *, deadline: float) -> CommandOutcome:
            nonlocal running, most
            assert deadline > anyio.current_time()
            running += 1
            most = max(most, running)
            await anyio.sleep(0.01)
            running -= 1
            return Exited(0.01, code=int(command.arguments[0][-2:]))

        outcomes = run_with(run, hooks)
        assert (most, len(outcomes)) == (HOOKS_AT_ONCE, 64)
        assert outcomes == tuple(HookAttempted(f"{hooks}/{n:02}", Exited(0.01, code=n)) for n in range(64))

    def test_a_turn_that_comes_too_late(self, hooks: Path) -> None:
        """What waited until the deadline has timed out, and is not started after it."""
        started = []

        async def run(command: Command, *, deadline: float) -> CommandOutcome:
            started.append(command.arguments[0])
            await anyio.sleep_until(deadline)
            return TimedOut(0.05)

        outcomes = run_with(run, hooks, time_s=0.5)
        assert len(started) == 16
        assert [outcome.outcome for outcome in outcomes if isinstance(outcome, HookAttempted)] == (
            [TimedOut(0.05)] * 16 + [TimedOut(0.0)] * 48
        )


class TestMisplacedArguments:
    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            pytest.param("/bin/true -x", True, id="an argument"),
            pytest.param("/bin/true  'a b' c", True, id="several"),
            pytest.param("/no/such/hook -x", False, id="no such program either"),
            pytest.param("/bin -x", False, id="a directory"),
            pytest.param("/bin/true-gone", False, id="no argument"),
        ],
    )
    def test_arguments_in_monitor_hook(self, text: str, *, hint: bool) -> None:
        """Where the text before the first blank is a file, the reason names monitor_hook_args; the code is 5."""
        program = text.split(maxsplit=1)[0]
        why = "its arguments belong in monitor_hook_args, not in monitor_hook"
        missing = HookMissing(program, why) if hint else HookMissing(text, "No such file or directory")
        assert run_now(text) == check_hooks(parameters(monitor_hook=text)) == (missing,)
        if hint:
            assert judge_hooks((missing,), HookProtocol.OCF) == ActionResult(5, f"hook true: cannot be run: {why}")

    def test_a_path_with_a_blank_that_exists(self, place: Path) -> None:
        """It is one path, blanks included."""
        executable(place / "a", "#!/bin/sh\nexit 1\n")
        executable(place / "a b", "#!/bin/sh\nexit 0\n")
        (ran,) = run_now(place / "a b")
        assert isinstance(ran, HookAttempted)
        assert isinstance(ran.outcome, Exited)
        assert ran.outcome.code == 0
        assert check_hooks(parameters(monitor_hook=f"{place}/a b")) == ()


class TestStuck:
    """A hook whose last run cannot be killed, which the runner simulates here."""

    @pytest.fixture
    def survivor(self) -> Iterator[Process]:
        with subprocess.Popen(["sleep", "60"]) as child:
            found = None
            while found is None or found.name != "sleep" or found.is_uninterruptible:  # as while it is loaded
                found = find_process(child.pid)
            yield found
            child.kill()

    def test_it_is_not_started_again(self, place: Path, survivor: Process) -> None:
        """One more would be left behind at each monitor: while it lives, the hook is stuck; then it runs again."""
        hook = executable(place / "hook", "#!/bin/sh\n")
        runs = []

        async def run(command: Command, *, deadline: float) -> CommandOutcome:
            del deadline
            runs.append(command.arguments[0])
            return TimedOut(9.0, survivors=(survivor,))

        assert run_with(run, hook, place) == (HookAttempted(str(hook), TimedOut(9.0, survivors=(survivor,))),)
        for _ in range(3):
            assert run_with(run, hook, place) == (HookStuck(str(hook), survivor),)
        assert runs == [str(hook)]
        os.kill(survivor.pid, SIGKILL)
        os.waitpid(survivor.pid, 0)
        assert run_with(run, hook, place) == (HookAttempted(str(hook), TimedOut(9.0, survivors=(survivor,))),)

    def test_the_others_run(self, place: Path, survivor: Process) -> None:
        """In a directory one that is stuck does not keep the others from running, nor does another unit's."""
        (place / "hooks").mkdir(mode=0o755)
        a, b = (str(executable(place / f"hooks/{name}", "#!/bin/sh\n")) for name in "ab")
        record_survivors("postfix@-.service", a, [survivor], run_directory=place)
        record_survivors("other.service", b, [survivor], run_directory=place)
        outcomes = run_with(succeed, place / "hooks", place)
        assert outcomes == (HookStuck(a, survivor), HookAttempted(b, Exited(0.1)))

    def test_what_a_directory_left(self, place: Path, survivor: Process) -> None:
        """A process of an unknown hook of the directory keeps all of them from running."""
        (place / "hooks").mkdir(mode=0o755)
        a, b = (str(executable(place / f"hooks/{name}", "#!/bin/sh\n")) for name in "ab")
        record_survivors("postfix@-.service", f"{place}/hooks", [survivor], run_directory=place)
        outcomes = run_with(succeed, place / "hooks", place)
        assert outcomes == (HookStuck(a, survivor), HookStuck(b, survivor))


class TestRootOwned:
    def test_no_hook(self) -> None:
        """There is nothing that others could hold up."""
        assert is_root_owned(parameters())

    @pytest.mark.parametrize("user", [pytest.param("", id="no user"), pytest.param("nobody", id="a user")])
    def test_of_a_file(self, place: Path, user: str) -> None:
        """A hook that root owns, with every directory above it, for any user that runs it."""
        hook = executable(place / "hook", "#!/bin/sh\n")
        given = parameters(monitor_hook=str(hook), monitor_hook_user=user)
        assert is_root_owned(given)
        hook.chmod(0o757)
        assert not is_root_owned(given)
        hook.chmod(0o755)
        place.chmod(0o757)
        assert not is_root_owned(given)
        place.chmod(0o755)
        hook.unlink()
        assert not is_root_owned(given)

    @as_root
    @pytest.mark.parametrize("which", [pytest.param(each, id=each) for each in ("hooks/a", "hooks/b", "hooks")])
    def test_of_a_directory(self, place: Path, which: str) -> None:
        """Every hook in it, and it itself: what the hook's user owns is trusted with the hook, not with the server."""
        (place / "hooks").mkdir(mode=0o755)
        for name in "ab":
            executable(place / f"hooks/{name}", "#!/bin/sh\n")
        given = parameters(monitor_hook=f"{place}/hooks", monitor_hook_user="nobody")
        assert is_root_owned(given)
        os.chown(place / which, 65534, 0)
        assert not is_root_owned(given)
        assert check_hooks(given) == ()


class TestTrust:
    @pytest.fixture
    def hook(self, place: Path) -> Path:
        (place / "opt/hooks").mkdir(parents=True)
        for directory in (place / "opt", place / "opt/hooks"):
            directory.chmod(0o755)
        return executable(place / "opt/hooks/smtp", "#!/bin/sh\n")

    def test_a_hook_of_roots_is_safe(self, hook: Path) -> None:
        """Every component is owned by a trusted user and writable by no other."""
        assert why_unsafe(str(hook), ME) is None
        assert why_unsafe("/bin/true", frozenset({0})) is None

    def test_what_is_not_there_is_not_unsafe(self, hook: Path) -> None:
        """It is reported as missing, and a file that takes its place meanwhile is not run unchecked."""
        for path in (f"{hook}-gone", f"{hook}/below-a-file"):
            with pytest.raises(OSError, match=r"No such file|Not a directory"):
                why_unsafe(path, ME)
            (missing,) = check_hooks(parameters(monitor_hook=path))
            assert isinstance(missing, HookMissing)

    @as_root  # the group must be root's: any other that may write is reported first
    def test_an_access_control_list_is_not_safe(self, hook: Path) -> None:
        """A list (acl(5)) may let any user write, here 65534, where the mode shows only group bits."""
        set_acl(hook, (0x02, 7, 65534))
        assert why_unsafe(str(hook), ME) == f"{hook} may be writable by others: it has an access control list"

    @pytest.mark.parametrize(
        ("which", "mode", "why"),
        [
            pytest.param("opt/hooks/smtp", 0o757, "is writable by everyone", id="hook, others"),
            pytest.param("opt/hooks/smtp", 0o777, "is writable by everyone", id="hook, all"),
            pytest.param("opt/hooks", 0o777, "is writable by everyone", id="directory, others"),
            pytest.param("opt", 0o757, "is writable by everyone", id="a parent, others"),
        ],
    )
    def test_writable_by_others(self, place: Path, hook: Path, which: str, mode: int, why: str) -> None:
        """The component at fault is named."""
        (place / which).chmod(mode)
        assert why_unsafe(str(hook), ME) == f"{place}/{which} {why}"

    @as_root
    @pytest.mark.parametrize("which", [pytest.param(each, id=each) for each in ("opt/hooks/smtp", "opt/hooks", "opt")])
    def test_writable_by_a_group(self, place: Path, hook: Path, which: str) -> None:
        """Writable by group is writable by others, unless the group is root's."""
        os.chown(place / which, 0, 4)
        (place / which).chmod(0o775)
        assert why_unsafe(str(hook), ME) == f"{place}/{which} is writable by group 4"
        os.chown(place / which, 0, 0)
        assert why_unsafe(str(hook), ME) is None

    @as_root
    @pytest.mark.parametrize("which", [pytest.param(each, id=each) for each in ("opt/hooks/smtp", "opt/hooks", "opt")])
    def test_owned_by_another_user(self, place: Path, hook: Path, which: str) -> None:
        """An owner can always write; one is trusted if the hook runs as that user, or if it is root."""
        os.chown(place / which, 65534, 0)
        assert why_unsafe(str(hook), frozenset({0})) == f"{place}/{which} is owned by uid 65534"
        assert why_unsafe(str(hook), frozenset({0, 65534})) is None

    def test_a_sticky_directory_is_not_safe(self, place: Path, hook: Path) -> None:
        """In it, as in /tmp, anyone can create a name that does not exist, and once a hook is gone, its name."""
        for directory in ("opt/hooks", "opt"):
            (place / directory).chmod(0o1777)
            assert why_unsafe(str(hook), ME) == f"{place}/{directory} is writable by everyone"
            (place / directory).chmod(0o1755)
            assert why_unsafe(str(hook), ME) is None
        hook.chmod(0o1757)
        assert why_unsafe(str(hook), ME) == f"{hook} is writable by everyone"

    @pytest.mark.parametrize(
        "links",
        [
            pytest.param({"link": "unsafe/hook"}, id="relative"),
            pytest.param({"link": "{place}/unsafe/hook"}, id="absolute"),
            pytest.param({"link": "second", "second": "third", "third": "unsafe/hook"}, id="over three hops"),
            pytest.param({"link": "opt/../unsafe/hook"}, id="over dot dot"),
            pytest.param({"link": "through/hook", "through": "unsafe"}, id="through a linked directory"),
            pytest.param(
                {"link": "unsafe/back", "unsafe/back": "../opt/hooks/smtp"}, id="to a safe hook, by way of it"
            ),
            pytest.param({"link": "./unsafe/./hook"}, id="with dots"),
        ],
    )
    def test_a_link_into_an_unsafe_place(self, place: Path, hook: Path, links: dict[str, str]) -> None:
        """Every place that the kernel passes on its way counts."""
        (place / "unsafe").mkdir()
        (place / "unsafe/hook").symlink_to(hook)
        for name, target in links.items():
            (place / name).symlink_to(target.format(place=place))
        (place / "unsafe").chmod(0o777)
        assert why_unsafe(f"{place}/link", ME) == f"{place}/unsafe is writable by everyone"
        (place / "unsafe").chmod(0o755)
        assert why_unsafe(f"{place}/link", ME) is None

    def test_a_link_out_of_an_unsafe_place(self, place: Path, hook: Path) -> None:
        """A user who may change the link may change what runs, although the target is safe."""
        (place / "unsafe").mkdir()
        (place / "unsafe/link").symlink_to(hook)
        (place / "unsafe").chmod(0o777)
        assert why_unsafe(f"{place}/unsafe/link", ME) == f"{place}/unsafe is writable by everyone"

    @as_root
    def test_somebody_elses_link(self, place: Path, hook: Path) -> None:
        """In a sticky directory the owner of a link may still turn it elsewhere."""
        (place / "link").symlink_to(hook)
        os.chown(place / "link", 65534, 0, follow_symlinks=False)
        assert why_unsafe(f"{place}/link", ME) == f"{place}/link is owned by uid 65534"

    @pytest.mark.parametrize(
        "links",
        [pytest.param({"a": "a"}, id="itself"), pytest.param({"a": "b", "b": "c", "c": "a"}, id="in a ring")],
    )
    def test_links_that_lead_nowhere_end(self, place: Path, links: dict[str, str]) -> None:
        """A loop of links ends the check: it cannot be run, with that reason."""
        for name, target in links.items():
            (place / name).symlink_to(target)
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            why_unsafe(f"{place}/a", ME)
        (missing,) = check_hooks(parameters(monitor_hook=f"{place}/a"))
        assert missing == HookMissing(f"{place}/a", "Too many levels of symbolic links")
        assert run_now(place / "a") == (missing,)

    def test_forty_links_are_followed(self, place: Path, hook: Path) -> None:
        """As many as the kernel follows: the place behind the last of them counts."""
        (place / "unsafe").mkdir()
        executable(place / "unsafe/hook", "#!/bin/sh\n")
        (place / "link40").symlink_to("unsafe/hook")
        for number in range(39, 0, -1):
            (place / f"link{number}").symlink_to(f"link{number + 1}")
        assert (place / "link1").resolve() == place / "unsafe/hook" != hook
        (place / "unsafe").chmod(0o777)
        assert why_unsafe(f"{place}/link1", ME) == f"{place}/unsafe is writable by everyone"

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("{place}//opt///hooks/smtp", id="double slashes"),
            pytest.param("{place}/opt/./hooks/smtp", id="dots"),
            pytest.param("{place}/opt/../opt/hooks/smtp", id="dot dot"),
            pytest.param("/../..{place}/opt/hooks/smtp", id="above the root"),
        ],
    )
    def test_ways_to_write_a_path(self, place: Path, hook: Path, path: str) -> None:
        """However the path is written, the places on the way are the same."""
        assert why_unsafe(path.format(place=place), ME) is None
        hook.parent.chmod(0o777)
        assert why_unsafe(path.format(place=place), ME) == f"{hook.parent} is writable by everyone"

    def test_an_unsafe_hook_is_not_run(self, place: Path, hook: Path) -> None:
        """It is reported, and neither a check nor a monitor runs it."""
        executable(hook, f"#!/bin/sh\ntouch {place}/was-here\n", 0o777)
        unsafe = HookUnsafe(str(hook), f"{hook} is writable by everyone")
        assert run_now(hook) == check_hooks(parameters(monitor_hook=str(hook))) == (unsafe,)
        assert not (place / "was-here").exists()

    def test_a_link_that_leads_elsewhere_than_it_says(self, place: Path) -> None:
        """The kernel resolves the links of /proc/PID without their text: here to a file that has no name any more."""
        path = executable(place / "hook", "#!/bin/sh\n")
        with path.open("rb") as file:
            link = f"/proc/self/fd/{file.fileno()}"
            assert why_unsafe(link, ME) is None
            path.unlink()
            executable(place / "hook (deleted)", "#!/bin/sh\n")
            assert why_unsafe(link, ME) == f"{link} resolves to a different file than its symbolic links name"

    def test_an_unsafe_directory_is_not_looked_into(self, place: Path) -> None:
        """A user who may write it chooses its content: a million files, or none that can be run."""
        place.chmod(0o777)
        unsafe = HookUnsafe(str(place), f"{place} is writable by everyone")
        assert run_now(place) == check_hooks(parameters(monitor_hook=str(place))) == (unsafe,)
        executable(place / "hook", f"#!/bin/sh\ntouch {place}/was-here\n")
        assert run_now(place) == check_hooks(parameters(monitor_hook=str(place))) == (unsafe,)
        assert not (place / "was-here").exists()

    def test_one_unsafe_hook_among_others(self, hook: Path) -> None:
        """In a directory each hook is judged for itself."""
        bad = executable(hook.with_name("bad"), "#!/bin/sh\n", 0o777)
        unsafe, ran = run_now(hook.parent)
        assert unsafe == HookUnsafe(str(bad), f"{bad} is writable by everyone")
        assert isinstance(ran, HookAttempted)
        assert check_hooks(parameters(monitor_hook=str(hook.parent))) == (unsafe,)


class TestExecutable:
    @pytest.mark.parametrize(
        ("content", "mode", "why"),
        [
            pytest.param(b"#!/bin/sh\nexit 0\n", 0o755, "", id="a script"),
            pytest.param(b"#! /bin/sh -e\n", 0o755, "", id="with blanks and an option"),
            pytest.param(b"#!/usr/bin/env sh", 0o755, "", id="without a line end"),
            pytest.param(b"#!/bin/sh\n", 0o644, "it is not executable", id="not executable"),
            pytest.param(b"#!/bin/sh\r\nexit 0\r\n", 0o755, "its first line ends in CR LF, expected LF", id="CR LF"),
            pytest.param(b"#!\n", 0o755, "its first line names no interpreter", id="an empty shebang"),
            pytest.param(b"#!  \n", 0o755, "its first line names no interpreter", id="a blank shebang"),
            pytest.param(b"#!/no/such/sh\n", 0o755, "its interpreter /no/such/sh cannot be run", id="no interpreter"),
            pytest.param(
                b"#!/no\xff\x1b[31m -x\n", 0o755, "its interpreter /no\\xff cannot be run", id="an odd interpreter"
            ),
            pytest.param(b"#!/etc/passwd\n", 0o755, "its interpreter /etc/passwd cannot be run", id="no program"),
            pytest.param(
                b"exit 0\n", 0o755, "it is not a program and its first line has no interpreter (#!)", id="no shebang"
            ),
            pytest.param(b"", 0o755, "it is not a program and its first line has no interpreter (#!)", id="empty"),
            pytest.param(
                b"\xef\xbb\xbf#!/bin/sh\n",
                0o755,
                "it is not a program and its first line has no interpreter (#!)",
                id="a byte order mark",
            ),
        ],
    )
    def test_what_speaks_against_a_file(self, place: Path, content: bytes, mode: int, why: str) -> None:
        """The reason names the problem, in a check and, where execve refuses as well, in a run."""
        path = place / "hook"
        path.write_bytes(content)
        path.chmod(mode)
        assert why_not_executable(str(path)) == why
        problems = check_hooks(parameters(monitor_hook=str(path)))
        assert problems == ((HookMissing(str(path), why),) if why else ())
        (outcome,) = run_now(path)
        assert outcome == HookMissing(str(path), why) if why else isinstance(outcome, HookAttempted)

    def test_cr_lf_behind_env(self, place: Path) -> None:
        """Here execve starts env, and only env knows no such command: a check finds the cause nevertheless."""
        hook = executable(place / "hook", "#!/usr/bin/env python3\r\n")
        missing = HookMissing(str(hook), "its first line ends in CR LF, expected LF")
        assert check_hooks(parameters(monitor_hook=str(hook))) == (missing,)

    def test_what_is_no_file(self, place: Path) -> None:
        """Nothing, a directory, a fifo."""
        assert why_not_executable(f"{place}/gone") == "No such file or directory"
        assert why_not_executable(str(place)) == "it is not a regular file"
        os.mkfifo(place / "fifo", 0o755)
        assert why_not_executable(f"{place}/fifo") == "it is not a regular file"

    @pytest.mark.skipif(not CAN_MOUNT, reason="only root can have a mount namespace and files of root's in it")
    def test_a_file_system_without_programs(self, place: Path) -> None:
        """A hook on a noexec mount cannot be run, in a check and in a run; the reason names the mount."""
        code = f"""
import anyio, os
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import check_hooks, run_hooks, why_not_executable
from ocf_systemd.core.parameters import read_parameters
hook = "{place}/hook"
with open(hook, "w") as file:
    file.write("#!/bin/sh\\n")
os.chmod(hook, 0o755)
given = read_parameters({{"OCF_RESKEY_unit": "x", "OCF_RESKEY_monitor_hook": hook}})
async def main():
    return await run_hooks(given, {{}}, processes.run, anyio.current_time() + 9)
(checked,), (ran,) = check_hooks(given), anyio.run(main)
print(why_not_executable(hook), checked.why, ran.why, sep="\\n")
"""
        script = f'mount -t tmpfs -o noexec,mode=0755 none {place} && exec "$@"'
        wrapped = ("unshare", "--mount", "sh", "-c", script, "sh")
        done = run_python(code, prefix=wrapped)
        assert done.stderr == ""
        assert done.stdout.splitlines() == ["its file system is mounted noexec"] * 3

    def test_a_program_is_one(self) -> None:
        """A binary of this host."""
        assert why_not_executable("/bin/true") == ""

    def test_an_interpreter_that_is_no_program(self, place: Path) -> None:
        """An error that only execve finds is reported with its text."""
        interpreter = executable(place / "interpreter", "no program")
        path = executable(place / "hook", f"#!{interpreter}\n")
        assert run_now(path) == (HookMissing(str(path), "Exec format error"),)


def test_the_environment_of_a_hook() -> None:
    """The action's, OCF_* included, less what could change what runs, or make systemd's tools astray."""
    environment = {
        "PATH": "/opt/bin",
        "LC_ALL": "C",
        "OCF_RESKEY_unit": "nginx",
        "OCF_ROOT": "/usr/lib/ocf",
        "HA_debug": "0",
        "LD_PRELOAD": "/tmp/x.so",  # noqa: S108  # a name, no file
        "LD_LIBRARY_PATH": "/tmp",  # noqa: S108
        "PYTHONPATH": "/tmp",  # noqa: S108
        "PYTHONSTARTUP": "x",
        "IFS": ",",
        **dict.fromkeys(("GCONV_PATH", "GLIBC_TUNABLES"), "x"),
        **dict.fromkeys(("ENV", "BASH_ENV", "BASH_FUNC_curl%%", "BASHOPTS", "SHELLOPTS", "PS4", "CDPATH"), "x"),
        **dict.fromkeys(("GLOBIGNORE", "FPATH", "ZDOTDIR"), "x"),
        **dict.fromkeys(("PERL5LIB", "PERL5OPT", "PERLLIB", "RUBYLIB", "RUBYOPT"), "x"),
        **dict.fromkeys(("NODE_OPTIONS", "NODE_PATH", "LUA_INIT", "LUA_PATH"), "x"),
        "SYSTEMD_OFFLINE": "1",
        "SYSTEMCTL_FORCE_BUS": "1",
        "NOTIFY_SOCKET": "@x",
        "LISTEN_FDS": "1",
        "WATCHDOG_PID": "1",
        "DBUS_SYSTEM_BUS_ADDRESS": "x",
        "XDG_RUNTIME_DIR": "x",
        "OLD_LD_PATH": "kept",
        "ENVIRONMENT": "kept",
    }
    assert hook_environment(environment) == {
        "PATH": "/opt/bin",
        "LC_ALL": "C",
        "OCF_RESKEY_unit": "nginx",
        "OCF_ROOT": "/usr/lib/ocf",
        "HA_debug": "0",
        "OLD_LD_PATH": "kept",
        "ENVIRONMENT": "kept",
    }
    assert hook_environment({}) == {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@pytest.mark.parametrize("path", [":/opt/bin:/bin", ".:/opt/bin:/bin:", "/opt/bin::/bin", "../x:/opt/bin:x:/bin"])
def test_a_path_without_relative_directories(path: str) -> None:
    """env(1) would search them below the working directory, which nobody checks."""
    assert hook_environment({"PATH": path}) == {"PATH": "/opt/bin:/bin"}
    assert hook_environment({"PATH": ".:x:"}) == hook_environment({})


class TestRun:
    def test_none_is_configured(self) -> None:
        """Nothing to run, nothing to check."""

        async def main() -> tuple[HookOutcome, ...]:
            return await run_hooks(parameters(), {}, processes.run, anyio.current_time() + 1)

        assert anyio.run(main) == check_hooks(parameters()) == ()

    def test_it_gets_its_arguments_and_environment(self, place: Path) -> None:
        """Arguments are split as a shell would, without a shell; the environment lacks what is not safe."""
        hook = executable(place / "hook", '#!/bin/sh\nprintf "%s|" "$@" "$OCF_RESKEY_unit" "${PYTHONPATH-unset}"\n')
        environment = {"OCF_RESKEY_unit": "nginx", "PYTHONPATH": "x"}
        (ran,) = run_now(hook, environment=environment, monitor_hook_args="-H 'a b' $(id) *")
        assert isinstance(ran, HookAttempted)
        assert isinstance(ran.outcome, Exited)
        assert ran.outcome.stdout == b"-H|a b|$(id)|*|nginx|unset|"

    def test_all_at_the_same_moment_and_in_order_of_name(self, place: Path) -> None:
        """Hooks run concurrently: each waits for the next one. The results are in the order of names, not of ends."""
        hooks = place / "hooks"
        hooks.mkdir(mode=0o755)
        for name, awaited, code in (("a", "b", 7), ("b", "c", 0), ("c", "a", 190)):
            wait = f"until [ -e {place}/{awaited} ]; do sleep 0.02; done"
            steps = (f"touch {place}/{name}", wait) if name == "a" else (wait, f"touch {place}/{name}")
            executable(hooks / name, f"#!/bin/sh\n{'; '.join(steps)}; exit {code}\n")
        codes = []
        for outcome in run_now(hooks):
            assert isinstance(outcome, HookAttempted)
            assert isinstance(outcome.outcome, Exited)
            codes.append((outcome.hook, outcome.outcome.code))
        assert codes == [(f"{hooks}/a", 7), (f"{hooks}/b", 0), (f"{hooks}/c", 190)]

    @pytest.mark.parametrize(
        ("script", "kind", "time_s"),
        [
            pytest.param("exit 42", Exited, 10.0, id="exit"),
            pytest.param("kill -SEGV $$", Signalled, 10.0, id="signal"),
            pytest.param("exec sleep 60", TimedOut, 0.5, id="hang"),
        ],
    )
    def test_what_came_of_it(self, place: Path, script: str, kind: type, time_s: float) -> None:
        """Exit, signal and hang have different outcomes."""
        hook = executable(place / "hook", f"#!/bin/sh\nulimit -c 0\n{script}\n")
        (ran,) = run_now(hook, time_s=time_s)
        assert isinstance(ran, HookAttempted)
        assert ran.hook == str(hook)
        assert isinstance(ran.outcome, kind)

    def test_a_timeout_of_its_own(self, place: Path) -> None:
        """monitor_hook_timeout ends one run, however much time there is."""
        hook = executable(place / "hook", "#!/bin/sh\nexec sleep 60\n")
        began = time.monotonic()
        (ran,) = run_now(hook, monitor_hook_timeout="200ms")
        assert isinstance(ran, HookAttempted)
        assert isinstance(ran.outcome, TimedOut)
        assert time.monotonic() - began < 5.0  # of the ten that there are

    @pytest.mark.parametrize(
        ("number", "is_the_hooks"),
        [
            pytest.param(2, True, id="ENOENT"),
            pytest.param(13, True, id="EACCES"),
            pytest.param(8, True, id="ENOEXEC"),
            pytest.param(11, False, id="EAGAIN: no more processes"),
            pytest.param(12, False, id="ENOMEM"),
            pytest.param(24, False, id="EMFILE"),
            pytest.param(23, False, id="ENFILE"),
            pytest.param(7, False, id="E2BIG"),
        ],
    )
    def test_the_hosts_faults_are_not_the_hooks(self, number: int, *, is_the_hooks: bool) -> None:
        """A host that is short of something does not make the hook one that is not installed."""

        async def refuse(command: Command, *, deadline: float) -> CommandOutcome:
            assert (command.arguments, deadline > 0) == (("/bin/true",), True)
            return NotStarted(number, os.strerror(number))

        async def main() -> tuple[HookOutcome, ...]:
            return await run_hooks(parameters(monitor_hook="/bin/true"), {}, refuse, anyio.current_time() + 1)

        outcome = NotStarted(number, os.strerror(number))
        missing = HookMissing("/bin/true", os.strerror(number))
        assert anyio.run(main) == (missing if is_the_hooks else HookAttempted("/bin/true", outcome),)

    def test_a_host_without_descriptors_is_no_missing_hook(self, place: Path) -> None:
        """A directory that cannot be read for want of a descriptor is the host's fault: 1, which bans no node."""
        executable(place / "hook", "#!/bin/sh\n")
        code = f"""
import anyio, os, resource
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import run_hooks
from ocf_systemd.core.judgement import judge_hooks
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.parameters import read_parameters
given = read_parameters({{"OCF_RESKEY_unit": "x", "OCF_RESKEY_monitor_hook": {str(place)!r}}})
async def main():
    deadline = anyio.current_time() + 5
    await run_hooks(given, {{}}, processes.run, deadline)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, 9999))
    hooks = await run_hooks(given, {{}}, processes.run, deadline)
    resource.setrlimit(resource.RLIMIT_NOFILE, (999, 9999))
    return judge_hooks(hooks, HookProtocol.OCF)
result = anyio.run(main)
print(int(result.code), result.reason)
"""
        done = run_python(code)
        assert done.stderr == ""
        assert done.stdout.startswith("1 ")
        assert "Too many open files" in done.stdout


IDENTITY = '#!/bin/sh\necho "$(id -u):$(id -g):$USER:$LOGNAME:$HOME"\n'


class TestUser:
    @as_root
    @pytest.mark.parametrize("user", [pytest.param("nobody", id="by name"), pytest.param("65534", id="by number")])
    def test_it_runs_as_that_user(self, user: str) -> None:
        """uid, gid, USER, LOGNAME and HOME are the user's."""
        (ran,) = run_now("/usr/bin/id", monitor_hook_args="-u", monitor_hook_user=user)
        assert isinstance(ran, HookAttempted)
        assert isinstance(ran.outcome, Exited)
        assert ran.outcome.stdout == b"65534\n"
        (ran,) = run_now("/bin/sh", monitor_hook_args=f"-c {IDENTITY.splitlines()[1]!r}", monitor_hook_user=user)
        assert isinstance(ran, HookAttempted)
        assert isinstance(ran.outcome, Exited)
        assert ran.outcome.stdout == b"65534:65534:nobody:nobody:/nonexistent\n"

    @pytest.mark.parametrize(
        "user",
        [
            pytest.param("no-such-user", id="name"),
            pytest.param("4242424242", id="number"),
            pytest.param("9" * 200, id="a number that is no uid"),
        ],
    )
    def test_an_unknown_user(self, user: str) -> None:
        """A hook for a user that this host does not have cannot be run here."""
        missing = HookMissing("/bin/true", f"there is no user {user}")
        assert run_now("/bin/true", monitor_hook_user=user) == (missing,)
        assert check_hooks(parameters(monitor_hook="/bin/true", monitor_hook_user=user)) == (missing,)

    @as_root
    @pytest.mark.parametrize(
        ("user", "told"),
        [
            pytest.param("nobody", "hook sh: 65534 nobody /nonexistent (exit 3)", id="itself"),
            pytest.param("daemon", "hook sh: cannot be started: Operation not permitted", id="another"),
        ],
    )
    def test_an_agent_that_is_not_root(self, user: str, told: str) -> None:
        """It may run hooks as its own user; another user is not permitted, with that reason."""
        code = f"""
import anyio, os
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import run_hooks
from ocf_systemd.core.judgement import judge_hooks
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.parameters import read_parameters
hook = {{"monitor_hook": "/bin/sh", "monitor_hook_args": "-c 'echo $(id -u) $USER $HOME; exit 3'"}}
values = {{"unit": "x", "monitor_hook_user": {user!r}, **hook}}
given = read_parameters({{f"OCF_RESKEY_{{name}}": value for name, value in values.items()}})
async def main():
    return await run_hooks(given, {{}}, processes.run, anyio.current_time() + 9)
anyio.run(main)  # imports all that another user may not be able to read
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(judge_hooks(anyio.run(main), HookProtocol.OCF).reason)
"""
        done = run_python(code)
        assert done.stderr == ""
        assert done.stdout.rstrip() == told

    @as_root
    def test_a_users_own_hook_is_safe_for_that_user_alone(self) -> None:
        """A user is trusted with a hook that runs as that user, and not with one that runs as root."""
        # Not below pytest's directories: those are closed to all but root.
        place = Path(tempfile.mkdtemp(dir="/run", prefix="ocf-systemd-"))
        place.chmod(0o755)
        try:
            hook = executable(place / "hook", IDENTITY)
            os.chown(hook, 65534, 65534)
            (ran,) = run_now(hook, monitor_hook_user="nobody")
            assert isinstance(ran, HookAttempted)
            assert run_now(hook) == (HookUnsafe(str(hook), f"{hook} is owned by uid 65534"),)
            assert stat.S_IMODE(hook.stat().st_mode) == 0o755
        finally:
            (place / "hook").unlink(missing_ok=True)
            place.rmdir()


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Yield a directory that other users can reach, which pytest's are not."""
    place = Path(tempfile.mkdtemp(dir="/run" if os.geteuid() == 0 else None, prefix="ocf-systemd-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


class TestAccess:
    def test_no_user_no_question(self, place: Path) -> None:
        """A hook that runs as the agent's own user needs no check by test(1)."""
        hook = executable(place / "hook", "#!/bin/sh\n")
        assert access(hook) == ()
        assert access(None) == ()

    @as_root
    @pytest.mark.parametrize(
        ("mode", "interpreter_mode", "why"),
        [
            pytest.param(0o755, 0o755, "", id="may"),
            pytest.param(0o700, 0o755, "user nobody may not execute it", id="root's alone"),
            pytest.param(0o750, 0o755, "user nobody may not execute it", id="a group's"),
            pytest.param(0o755, 0o700, "user nobody may not execute its interpreter {place}/sh", id="its interpreter"),
        ],
    )
    def test_whether_its_user_may_execute_it(
        self, open_place: Path, mode: int, interpreter_mode: int, why: str
    ) -> None:
        """The kernel checks it before anything is started: a monitor would find it too late."""
        shutil.copy("/bin/sh", open_place / "sh")
        (open_place / "sh").chmod(interpreter_mode)
        hook = executable(open_place / "hook", f"#!{open_place}/sh\nexit 0\n", mode)
        told = why.format(place=open_place)
        assert check_hooks(parameters(monitor_hook=str(hook), monitor_hook_user="nobody")) == ()
        assert access(hook, user="nobody") == ((HookMissing(str(hook), told),) if told else ())
        (ran,) = run_now(hook, monitor_hook_user="nobody")
        assert isinstance(ran, HookMissing if why else HookAttempted)

    @as_root
    def test_each_hook_of_a_directory(self, open_place: Path) -> None:
        """In the order of their names."""
        for name, mode in (("a", 0o700), ("b", 0o755), ("c", 0o700)):
            executable(open_place / name, "#!/bin/sh\n", mode)
        why = "user nobody may not execute it"
        missing = tuple(HookMissing(f"{open_place}/{name}", why) for name in "ac")
        assert access(open_place, user="nobody") == missing

    @as_root
    def test_an_access_control_list_counts(self, open_place: Path) -> None:
        """The kernel's check includes the list (acl(5)); the mode alone does not show that 65534 may not execute."""
        hook = executable(open_place / "hook", "#!/bin/sh\n")
        set_acl(hook, (0x02, 0, 65534))
        assert access(hook, user="nobody") == (HookMissing(str(hook), "user nobody may not execute it"),)

    def test_the_user_that_it_is(self, place: Path) -> None:
        """An agent that is that user already checks as itself, without privileges."""
        try:
            user = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            pytest.skip("the user that runs the tests has no entry in the user database, and so no name")
        assert access(executable(place / "hook", "#!/bin/sh\n"), user=user) == ()


def access(hook: Path | None, user: str = "") -> tuple[HookOutcome, ...]:
    """Return which hooks their user may not execute."""
    given = parameters(monitor_hook=str(hook or ""), monitor_hook_user=user)

    async def main() -> tuple[HookOutcome, ...]:
        return await check_access(given, {}, processes.run, anyio.current_time() + 9)

    return anyio.run(main)


def test_checks_are_of_the_first_reason(place: Path) -> None:
    """A hook that is neither safe nor executable is reported as not safe."""
    hook = executable(place / "hook", "", 0o666)
    checks: list[Callable[[], tuple[HookOutcome, ...]]] = [
        lambda: check_hooks(parameters(monitor_hook=str(hook))),
        lambda: run_now(hook),
    ]
    for check in checks:
        assert check() == (HookUnsafe(str(hook), f"{hook} is writable by everyone"),)
