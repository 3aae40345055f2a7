"""Finds the administrator's health hooks, checks that they are safe to run, and runs them concurrently."""

import errno
import os
import pwd
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import anyio

from ocf_systemd.core.observations import (
    Exited,
    HookMissing,
    HookOutcome,
    HookRan,
    HookStuck,
    HookUnsafe,
    NotStarted,
    Process,
    TimedOut,
)
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printable
from ocf_systemd.host.processes import Command, Runner
from ocf_systemd.host.survivors import find_survivor, record_survivors
from ocf_systemd.host.systemctl import FOREIGN_VARIABLES

_RUN_PARTS_NAME = re.compile("[A-Za-z0-9_-]+")  # run-parts(8), as Debian's --lsbsysinit-less default has it

# Variables that make a program load or run other code: those of the loader and glibc (ld.so(8), iconv(1)), of shells,
# including exported functions, and of the interpreters that hooks are written in.
_UNSAFE_VARIABLES = re.compile(
    "LD_.*|GCONV_PATH|GLIBC_TUNABLES"
    "|IFS|ENV|BASH_.*|BASHOPTS|SHELLOPTS|PS4|CDPATH|GLOBIGNORE|FPATH|ZDOTDIR"
    "|PYTHON.*|PERL.*|RUBYLIB|RUBYOPT|NODE_OPTIONS|NODE_PATH|LUA_.*"
)
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOOKS_MAX, HOOKS_AT_ONCE = 64, 16
"""The most hooks that a directory may hold, and how many of them run at the same time."""

_LINKS_MAX = 40  # path_resolution(7): more symbolic links than that are ELOOP
_SHEBANG_MAX = 256  # execve(2): the kernel reads no more of the first line

# Errors of execve(2) that are about the file; all others are about the host.
_FILE_ERRORS = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})


def hook_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a hook: the action's, without variables that could change which code runs."""
    kept = {
        name: value
        for name, value in environment.items()
        if not _UNSAFE_VARIABLES.fullmatch(name) and not FOREIGN_VARIABLES.fullmatch(name)
    }
    return {"PATH": SEARCH_PATH, **kept}


def find_hooks(path: str) -> tuple[str, ...] | HookMissing | HookRan:
    """Return the hooks that a `monitor_hook` names: itself, or a directory's executable files in order of name.

    Of a directory, the files count whose names run-parts(8) would run, and those whose status cannot be read, so that a
    dangling link is reported. If it returns an outcome, that says why there are none to run.
    """
    if not os.path.isdir(path):  # noqa: PTH112  # a str: paths are compared and printed, not joined
        return (path,)
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208
    except OSError as error:
        return _unstarted(path, NotStarted(error.errno or 0, f"its directory cannot be read: {error.strerror}"))
    hooks = (f"{path.rstrip('/')}/{name}" for name in names if _RUN_PARTS_NAME.fullmatch(name))
    found = tuple(filter(_is_meant_to_run, hooks))
    if len(found) > HOOKS_MAX:
        return HookMissing(path, f"the directory holds {len(found)} executable files, at most {HOOKS_MAX} are allowed")
    return found or HookMissing(path, _why_empty(names))


def _why_empty(names: list[str]) -> str:
    ignored = [name for name in names if not name.startswith(".") and not _RUN_PARTS_NAME.fullmatch(name)]
    if not ignored:
        return "the directory holds no executable file"
    return f"no executable file has a valid hook name (only letters, digits, - and _); ignored: {ignored[0]}"


def _unstarted(path: str, failure: NotStarted) -> HookMissing | HookRan:
    """Distinguish a hook that cannot be run from a host that cannot start anything at the moment."""
    return HookMissing(path, failure.why) if failure.errno in _FILE_ERRORS else HookRan(path, failure)


def _is_meant_to_run(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def why_unsafe(path: str, trusted_uids: frozenset[int]) -> str | None:
    """Return which component of `path` another user could change, or None.

    Every component that the kernel traverses is checked, including the targets of symbolic links and their directories.
    A component is safe if a trusted user owns it and no other user may write to it, except group root; in a sticky
    directory others cannot change what they do not own. If the kernel resolves a link differently from readlink(2), as
    for /proc/PID/root, the components are not known.

    Raises OSError if the path does not exist or cannot be read.
    """
    seen = None
    for place in _places(path):
        seen = Path(place).lstat()
        if seen.st_uid not in trusted_uids:
            return f"{place} is owned by uid {seen.st_uid}"
        if stat.S_ISLNK(seen.st_mode) or (stat.S_ISDIR(seen.st_mode) and seen.st_mode & stat.S_ISVTX):
            continue
        if seen.st_mode & stat.S_IWOTH:
            return f"{place} is writable by everyone"
        if seen.st_mode & stat.S_IWGRP and seen.st_gid != 0:
            return f"{place} is writable by group {seen.st_gid}"
        if seen.st_mode & stat.S_IWGRP and _has_acl(place):
            return f"{place} may be writable by others: it has an access control list"
    if seen is None or not os.path.samestat(seen, Path(path).stat()):
        return f"{path} resolves to a different file than its symbolic links name"
    return None


def _has_acl(place: str) -> bool:
    # acl(5): then the group bits of the mode are the most that any entry of the list grants.
    try:
        return bool(os.getxattr(place, "system.posix_acl_access", follow_symlinks=False))
    except OSError:
        return False


def _places(path: str) -> Iterator[str]:
    """Yield every component that the kernel traverses as it resolves a path (path_resolution(7)), in that order.

    The last one is where the path leads.
    """
    place, ahead, links = "/", path.split("/")[::-1], 0
    yield place
    while ahead:
        name = ahead.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            place = os.path.dirname(place)  # noqa: PTH120
            continue
        here = f"{place.rstrip('/')}/{name}"
        yield here
        try:
            target = os.readlink(here)  # noqa: PTH115
        except OSError:
            place = here
            continue
        links += 1
        if links > _LINKS_MAX:
            return
        place = "/" if target.startswith("/") else place
        ahead += target.split("/")[::-1]
    yield place


def why_not_executable(path: str) -> str:
    """Return why `execve` would not start the file at `path`; empty: it would."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            return "it is not a regular file"
        if not mode & 0o111:
            return "it is not executable"
        if os.statvfs(path).f_flag & os.ST_NOEXEC:
            return "its file system is mounted noexec"
        first_line = _first_line(path)
    except OSError as error:
        return os.strerror(error.errno) if error.errno in _FILE_ERRORS else ""
    if first_line.startswith(b"#!"):
        return _why_not_interpreted(first_line)
    return "" if first_line.startswith(b"\x7fELF") else "it is not a program and its first line has no interpreter (#!)"


def _first_line(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_SHEBANG_MAX).split(b"\n", 1)[0]


def _why_not_interpreted(first_line: bytes) -> str:
    if first_line.endswith(b"\r"):
        return "its first line ends in CR LF, expected LF"
    interpreter = _interpreter(first_line)
    if not interpreter:
        return "its first line names no interpreter"
    return "" if os.access(interpreter, os.X_OK) else f"its interpreter {printable(interpreter)} cannot be run"


def _interpreter(first_line: bytes) -> str:
    words = first_line[2:].split(maxsplit=1) if first_line.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""


def check_hooks(parameters: Parameters) -> tuple[HookOutcome, ...]:
    """Return what prevents this host from running the hooks, without running any."""
    hooks = _find_trusted(parameters)
    if not isinstance(hooks, tuple):
        return (hooks,)
    return tuple(problem for hook in hooks if (problem := _problem(hook, parameters.monitor_hook_user)))


async def check_access(
    parameters: Parameters, environment: Mapping[str, str], run: Runner, deadline: float
) -> tuple[HookOutcome, ...]:
    """Return which hooks their user may not execute, of those that `check_hooks` has found nothing wrong with."""
    hooks = _find_trusted(parameters)
    found = []
    for hook in hooks if isinstance(hooks, tuple) else ():
        account = _account(hook, parameters.monitor_hook_user)
        if isinstance(account, pwd.struct_passwd):
            found.append(await _why_not_as_user(hook, _command(hook, parameters, environment, account), run, deadline))
    return tuple(filter(None, found))


async def _why_not_as_user(hook: str, command: Command, run: Runner, deadline: float) -> HookMissing | None:
    """Return why a hook's user may not execute it. The kernel decides, because it also knows ACLs."""
    places = {hook: "it"}
    with suppress(OSError):
        if interpreter := _interpreter(_first_line(hook)):
            places[interpreter] = f"its interpreter {printable(interpreter)}"
    for path, what in places.items():
        outcome = await run(replace(command, arguments=("test", "-x", path)), deadline=deadline)
        if isinstance(outcome, Exited) and outcome.code == 1:
            return HookMissing(hook, f"user {command.environment['USER']} may not execute {what}")
    return None


def _find_trusted(parameters: Parameters) -> tuple[str, ...] | HookOutcome:
    """Return the hooks that `monitor_hook` names. If it returns an outcome, that says why there are none to run.

    A user who can write to the directory controls its contents, possibly a million files: so it is checked first.
    """
    path = parameters.monitor_hook
    if path is None:
        return ()
    if not os.path.isdir(path):  # noqa: PTH112
        return (path,)
    account = _account(path, parameters.monitor_hook_user)
    if isinstance(account, HookMissing):
        return account
    return _distrusted(path, account) or find_hooks(path)


def _problem(hook: str, user: str | None) -> HookOutcome | None:
    account = _account(hook, user)
    if isinstance(account, HookMissing):
        return account
    return _distrusted(hook, account) or (HookMissing(hook, why) if (why := why_not_executable(hook)) else None)


def _account(hook: str, user: str | None) -> pwd.struct_passwd | HookMissing | None:
    """Return the account to run a hook as; None: the agent's own."""
    if user is None:
        return None
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        return HookMissing(hook, f"there is no user {user}")


def _distrusted(hook: str, account: pwd.struct_passwd | None) -> HookOutcome | None:
    trusted = frozenset({0, account.pw_uid if account else os.geteuid()})
    try:
        why = why_unsafe(hook, trusted)
    except OSError as error:
        return _misplaced_arguments(hook) or _unstarted(hook, NotStarted(error.errno or 0, error.strerror or ""))
    return HookUnsafe(hook, why) if why else None


def _misplaced_arguments(hook: str) -> HookMissing | None:
    """Return what is wrong with a `monitor_hook` that does not exist, but whose first word does."""
    program, *arguments = hook.split()
    if not arguments or not os.path.isfile(program):  # noqa: PTH113
        return None
    return HookMissing(program, "its arguments belong in monitor_hook_args, not in monitor_hook")


def is_root_owned(parameters: Parameters) -> bool:
    """Return whether root alone owns and can change the hooks and every directory on the way to them.

    Files of another user may be on a file system of that user (FUSE), which can block any process that reads them: so
    each component is read only after the one above it is known to be root's.
    """
    path = parameters.monitor_hook
    if path is None:
        return True
    if _distrusted(path, None):
        return False
    hooks = find_hooks(path)
    return isinstance(hooks, tuple) and all(_distrusted(hook, None) is None for hook in hooks)


async def run_hooks(
    parameters: Parameters,
    environment: Mapping[str, str],
    run: Runner,
    deadline: float,
    *,
    run_directory: Path = Path("/run"),
) -> tuple[HookOutcome, ...]:
    """Run all hooks concurrently, at most `HOOKS_AT_ONCE`, and return their outcomes in the order of their names.

    A hook whose last run cannot be killed is not started; `run_directory` has the records of these.
    """
    hooks = _find_trusted(parameters)
    if not isinstance(hooks, tuple):
        return (hooks,)
    outcomes: dict[str, HookOutcome] = {}
    turns = anyio.Semaphore(HOOKS_AT_ONCE)

    async def run_one(hook: str) -> None:
        async with turns:
            names = (hook, parameters.monitor_hook or hook)
            if survivor := find_survivor(parameters.unit, names, run_directory=run_directory):
                outcomes[hook] = HookStuck(hook, survivor)
                return
            outcomes[hook] = outcome = await _run_hook(hook, parameters, environment, run, deadline)
            record_survivors(parameters.unit, hook, _survivors(outcome), run_directory=run_directory)

    async with anyio.create_task_group() as together:
        for hook in hooks:
            together.start_soon(run_one, hook)
    return tuple(outcomes[hook] for hook in hooks)


async def _run_hook(
    hook: str, parameters: Parameters, environment: Mapping[str, str], run: Runner, deadline: float
) -> HookOutcome:
    account = _account(hook, parameters.monitor_hook_user)
    if isinstance(account, HookMissing):
        return account
    if problem := _distrusted(hook, account):
        return problem
    if anyio.current_time() >= deadline:  # too many hooks ran before it
        return HookRan(hook, TimedOut(0.0))
    match await run(_command(hook, parameters, environment, account), deadline=deadline):
        case NotStarted(errno=number, why=why):
            return _unstarted(hook, NotStarted(number, why_not_executable(hook) or why))
        case outcome:
            return HookRan(hook, outcome)


def _survivors(outcome: HookOutcome) -> tuple[Process, ...]:
    return outcome.outcome.survivors if isinstance(outcome, HookRan) and isinstance(outcome.outcome, TimedOut) else ()


def _command(
    hook: str, parameters: Parameters, environment: Mapping[str, str], account: pwd.struct_passwd | None
) -> Command:
    arguments = (hook, *parameters.monitor_hook_args)
    variables = hook_environment(environment)
    if account is None:
        return Command(arguments, variables, time_limit_s=parameters.monitor_hook_timeout_s)
    variables |= {"USER": account.pw_name, "LOGNAME": account.pw_name, "HOME": account.pw_dir}
    if account.pw_uid == os.geteuid() != 0:  # a process of that user may not even set its own groups
        return Command(arguments, variables, time_limit_s=parameters.monitor_hook_timeout_s)
    user = (account.pw_uid, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid))
    return Command(arguments, variables, user, parameters.monitor_hook_timeout_s)
