"""Hooks on disk: which are found, which are trusted, and what comes of running them."""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from ocf_systemd import processes
from ocf_systemd.hooks import (
    check_hooks,
    find_hooks,
    hook_environment,
    run_hooks,
    why_not_executable,
    why_unsafe,
)
from ocf_systemd.observations import (
    Exited,
    HookMissing,
    HookOutcome,
    HookRan,
    HookUnsafe,
    NotStarted,
    Signalled,
    TimedOut,
)
from tests.unit.builders import executable, parameters, run_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocf_systemd.observations import CommandOutcome
    from ocf_systemd.processes import Command

ME = frozenset({0, os.geteuid()})
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


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
        """A link to an executable is one; a link to nothing is not passed over, but told as missing."""
        (place / "hooks").mkdir()
        executable(place / "smtp.sh", "#!/bin/sh\n")
        (place / "hooks/a").symlink_to("../smtp.sh")
        (place / "hooks/b").symlink_to("../gone")
        assert find_hooks(f"{place}/hooks") == (f"{place}/hooks/a", f"{place}/hooks/b")
        a, b = run_now(place / "hooks")
        assert isinstance(a, HookRan)
        assert b == HookMissing(f"{place}/hooks/b", "No such file or directory")

    @pytest.mark.parametrize("name", [pytest.param(None, id="empty"), pytest.param("x.sh", id="no name to run")])
    def test_a_directory_without_a_hook(self, place: Path, name: str | None) -> None:
        """It was meant to hold some: that is told, and is not content."""
        if name:
            executable(place / name, "#!/bin/sh\n")
        named = "the directory holds no executable named with letters, digits, - and _ alone: not x.sh"
        missing = HookMissing(str(place), named if name else "the directory holds no executable file")
        assert find_hooks(str(place)) == missing
        assert run_now(place) == check_hooks(parameters(monitor_hook=str(place))) == (missing,)

    def test_a_link_to_a_directory(self, place: Path) -> None:
        """It is a directory."""
        (place / "real").mkdir()
        executable(place / "real/a", "#!/bin/sh\n")
        (place / "link").symlink_to("real")
        assert find_hooks(f"{place}/link") == (f"{place}/link/a",)


class TestTrust:
    @pytest.fixture
    def hook(self, place: Path) -> Path:
        (place / "opt/hooks").mkdir(parents=True)
        for directory in (place / "opt", place / "opt/hooks"):
            directory.chmod(0o755)
        return executable(place / "opt/hooks/smtp", "#!/bin/sh\n")

    def test_a_hook_of_roots_is_safe(self, hook: Path) -> None:
        """Owned by a trusted user, writable by nobody else, all the way; /tmp is sticky."""
        assert why_unsafe(str(hook), ME) is None
        assert why_unsafe("/bin/true", frozenset({0})) is None

    def test_what_is_not_there_is_not_unsafe(self, hook: Path) -> None:
        """It is told as missing, and what comes into its place meanwhile is not run unseen."""
        for path in (f"{hook}-gone", f"{hook}/below-a-file"):
            with pytest.raises(OSError, match=r"No such file|Not a directory"):
                why_unsafe(path, ME)
            (missing,) = check_hooks(parameters(monitor_hook=path))
            assert isinstance(missing, HookMissing)

    def test_an_access_control_list_is_not_safe(self, hook: Path) -> None:
        """Behind the mode's group bits anybody may be on the list (acl(5); user 65534 may write)."""
        entries = [(0x01, 7, -1), (0x02, 7, 65534), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
        packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        os.setxattr(hook, "system.posix_acl_access", packed)
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

    def test_a_sticky_directory_is_safe(self, place: Path, hook: Path) -> None:
        """In it others cannot touch what they do not own, as in /tmp; a sticky file is not safe for that."""
        (place / "opt").chmod(0o1777)
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
        """Who may change the link may change what runs, safe as its target is."""
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
        """A loop of links is no endless loop; it cannot be run, and is told so."""
        for name, target in links.items():
            (place / name).symlink_to(target)
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            why_unsafe(f"{place}/a", ME)
        (told,) = check_hooks(parameters(monitor_hook=f"{place}/a"))
        assert told == HookMissing(f"{place}/a", "Too many levels of symbolic links")
        assert run_now(place / "a") == (told,)

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
        """It is told, and neither checking nor monitoring runs it."""
        executable(hook, f"#!/bin/sh\ntouch {place}/was-here\n", 0o777)
        unsafe = HookUnsafe(str(hook), f"{hook} is writable by everyone")
        assert run_now(hook) == check_hooks(parameters(monitor_hook=str(hook))) == (unsafe,)
        assert not (place / "was-here").exists()

    def test_a_link_that_leads_elsewhere_than_it_says(self, place: Path) -> None:
        """The kernel follows the links of /proc/PID by itself: here to a file that has no name any more."""
        path = executable(place / "hook", "#!/bin/sh\n")
        with path.open("rb") as file:
            link = f"/proc/self/fd/{file.fileno()}"
            assert why_unsafe(link, ME) is None
            path.unlink()
            executable(place / "hook (deleted)", "#!/bin/sh\n")
            assert why_unsafe(link, ME) == f"{link} leads elsewhere than its links say"

    def test_an_unsafe_directory_is_not_looked_into(self, place: Path) -> None:
        """Who may write it chooses what it holds: a million files, or none that can be run."""
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
        assert isinstance(ran, HookRan)
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
                b"exit 0\n", 0o755, "it is no program and names no interpreter (#!) in its first line", id="no shebang"
            ),
            pytest.param(b"", 0o755, "it is no program and names no interpreter (#!) in its first line", id="empty"),
            pytest.param(
                b"\xef\xbb\xbf#!/bin/sh\n",
                0o755,
                "it is no program and names no interpreter (#!) in its first line",
                id="a byte order mark",
            ),
        ],
    )
    def test_what_speaks_against_a_file(self, place: Path, content: bytes, mode: int, why: str) -> None:
        """The reason tells which, for checking and, where execve refuses as well, for running."""
        path = place / "hook"
        path.write_bytes(content)
        path.chmod(mode)
        assert why_not_executable(str(path)) == why
        problems = check_hooks(parameters(monitor_hook=str(path)))
        assert problems == ((HookMissing(str(path), why),) if why else ())
        (outcome,) = run_now(path)
        assert outcome == HookMissing(str(path), why) if why else isinstance(outcome, HookRan)

    def test_cr_lf_behind_env(self, place: Path) -> None:
        """Here execve starts env, and only env knows no such command: a check finds the cause nevertheless."""
        hook = executable(place / "hook", "#!/usr/bin/env python3\r\n")
        missing = HookMissing(str(hook), "its first line ends in CR LF, expected LF")
        assert check_hooks(parameters(monitor_hook=str(hook))) == (missing,)

    def test_what_is_no_file(self, place: Path) -> None:
        """Nothing, a directory, a fifo."""
        assert why_not_executable(f"{place}/gone") == "No such file or directory"
        assert why_not_executable(str(place)) == "it is no regular file"
        os.mkfifo(place / "fifo", 0o755)
        assert why_not_executable(f"{place}/fifo") == "it is no regular file"

    def test_a_program_is_one(self) -> None:
        """A binary of this host."""
        assert why_not_executable("/bin/true") == ""

    def test_an_interpreter_that_is_no_program(self, place: Path) -> None:
        """What execve alone knows is told in its words."""
        path = executable(place / "hook", f"#!{place}\n")
        assert run_now(path) == (HookMissing(str(path), "Permission denied"),)


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


class TestRun:
    def test_none_is_configured(self) -> None:
        """Nothing to run, nothing to check."""

        async def main() -> tuple[HookOutcome, ...]:
            return await run_hooks(parameters(), {}, processes.run, anyio.current_time() + 1)

        assert anyio.run(main) == check_hooks(parameters()) == ()

    def test_it_gets_its_arguments_and_environment(self, place: Path) -> None:
        """Words as the shell would split them, without a shell; the environment less what is not safe."""
        hook = executable(place / "hook", '#!/bin/sh\nprintf "%s|" "$@" "$OCF_RESKEY_unit" "${PYTHONPATH-unset}"\n')
        environment = {"OCF_RESKEY_unit": "nginx", "PYTHONPATH": "x"}
        (ran,) = run_now(hook, environment=environment, monitor_hook_args="-H 'a b' $(id) *")
        assert isinstance(ran, HookRan)
        assert isinstance(ran.outcome, Exited)
        assert ran.outcome.stdout == b"-H|a b|$(id)|*|nginx|unset|"

    def test_all_at_the_same_moment_and_in_order_of_name(self, place: Path) -> None:
        """Together they take as long as the longest; the results stand in the order of names, not of ends."""
        executable(place / "a", "#!/bin/sh\nsleep 0.5; exit 7\n")
        executable(place / "b", "#!/bin/sh\nsleep 0.4; exit 0\n")
        executable(place / "c", "#!/bin/sh\nexit 190\n")
        began = time.monotonic()
        outcomes = run_now(place)
        assert time.monotonic() - began < 0.88
        codes = []
        for outcome in outcomes:
            assert isinstance(outcome, HookRan)
            assert isinstance(outcome.outcome, Exited)
            codes.append((outcome.hook, outcome.outcome.code))
        assert codes == [(f"{place}/a", 7), (f"{place}/b", 0), (f"{place}/c", 190)]

    @pytest.mark.parametrize(
        ("script", "kind"),
        [
            pytest.param("exit 42", Exited, id="exit"),
            pytest.param("kill -SEGV $$", Signalled, id="signal"),
            pytest.param("exec sleep 60", TimedOut, id="hang"),
        ],
    )
    def test_what_came_of_it(self, place: Path, script: str, kind: type) -> None:
        """Exit, signal and hang are told apart."""
        hook = executable(place / "hook", f"#!/bin/sh\nulimit -c 0\n{script}\n")
        (ran,) = run_now(hook, time_s=0.5)
        assert isinstance(ran, HookRan)
        assert ran.hook == str(hook)
        assert isinstance(ran.outcome, kind)

    def test_a_timeout_of_its_own(self, place: Path) -> None:
        """monitor_hook_timeout ends one run, however much time there is."""
        hook = executable(place / "hook", "#!/bin/sh\nexec sleep 60\n")
        began = time.monotonic()
        (ran,) = run_now(hook, monitor_hook_timeout="200ms")
        assert isinstance(ran, HookRan)
        assert isinstance(ran.outcome, TimedOut)
        assert time.monotonic() - began < 1.0

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
        assert anyio.run(main) == (missing if is_the_hooks else HookRan("/bin/true", outcome),)

    def test_a_host_without_descriptors_is_no_missing_hook(self, place: Path) -> None:
        """A directory that cannot be read for want of a descriptor is the host's fault: 1, which bans no node."""
        executable(place / "hook", "#!/bin/sh\n")
        code = f"""
import anyio, os, resource
from ocf_systemd import processes
from ocf_systemd.hooks import run_hooks
from ocf_systemd.judgement import HookProtocol, judge_hooks
from ocf_systemd.parameters import read_parameters
given = read_parameters({{"OCF_RESKEY_unit": "x", "OCF_RESKEY_monitor_hook": {str(place)!r}}})
async def main():
    deadline = anyio.current_time() + 5
    await run_hooks(given, {{}}, processes.run, deadline)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, 9999))
    hooks = await run_hooks(given, {{}}, processes.run, deadline)
    resource.setrlimit(resource.RLIMIT_NOFILE, (999, 9999))
    return judge_hooks(hooks, HookProtocol.OCF)
verdict = anyio.run(main)
print(int(verdict.code), verdict.reason)
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
        assert isinstance(ran, HookRan)
        assert isinstance(ran.outcome, Exited)
        assert ran.outcome.stdout == b"65534\n"
        (ran,) = run_now("/bin/sh", monitor_hook_args=f"-c {IDENTITY.splitlines()[1]!r}", monitor_hook_user=user)
        assert isinstance(ran, HookRan)
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
            pytest.param("nobody", "65534 nobody /nonexistent", id="itself"),
            pytest.param("daemon", "could not be started: Operation not permitted", id="another"),
        ],
    )
    def test_an_agent_that_is_not_root(self, user: str, told: str) -> None:
        """It may name the user that it is; to be another it is not permitted, and says so."""
        code = f"""
import anyio, os
from ocf_systemd import processes
from ocf_systemd.hooks import run_hooks
from ocf_systemd.judgement import HookProtocol, judge_hooks
from ocf_systemd.parameters import read_parameters
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
        assert done.stdout.rstrip().endswith(told)

    @as_root
    def test_a_users_own_hook_is_safe_for_that_user_alone(self) -> None:
        """Whose hook runs as whom: a user may be trusted with what runs as that user, and not with root."""
        # Not below pytest's directories: those are closed to all but root.
        place = Path(tempfile.mkdtemp(dir="/run", prefix="ocf-systemd-"))
        place.chmod(0o755)
        try:
            hook = executable(place / "hook", IDENTITY)
            os.chown(hook, 65534, 65534)
            (ran,) = run_now(hook, monitor_hook_user="nobody")
            assert isinstance(ran, HookRan)
            assert run_now(hook) == (HookUnsafe(str(hook), f"{hook} is owned by uid 65534"),)
            assert stat.S_IMODE(hook.stat().st_mode) == 0o755
        finally:
            (place / "hook").unlink(missing_ok=True)
            place.rmdir()


def test_checks_are_of_the_first_reason(place: Path) -> None:
    """A hook that is neither safe nor executable is told as not safe: that is what matters."""
    hook = executable(place / "hook", "", 0o666)
    checks: list[Callable[[], tuple[HookOutcome, ...]]] = [
        lambda: check_hooks(parameters(monitor_hook=str(hook))),
        lambda: run_now(hook),
    ]
    for check in checks:
        assert check() == (HookUnsafe(str(hook), f"{hook} is writable by everyone"),)
