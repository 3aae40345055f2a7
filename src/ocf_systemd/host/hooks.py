"""Finds the administrator's health hooks, checks that they are safe to run, and runs them concurrently."""

import errno
import math
import os
import pwd
import re
import stat
from collections.abc import Container, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType

import anyio

from ocf_systemd.core.observations import (
    OF_INTERPRETER,
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookStuck,
    HookUnsafe,
    NotStarted,
    Process,
    TimedOut,
)
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printable
from ocf_systemd.host.processes import Command, Output, Runner
from ocf_systemd.host.programs import (
    FILE_ERRORS,
    SEARCH_PATH,
    SHORTAGES,
    executed_files,
    why_not_executable,
    why_unsafe,
)
from ocf_systemd.host.survivors import find_survivor, record_survivors
from ocf_systemd.host.systemctl import FOREIGN_VARIABLES

_RUN_PARTS_NAME = re.compile("[A-Za-z0-9_-]+")  # the names that run-parts(8) accepts by default

# Variables that make a program load or run other code: those of the loader and glibc (ld.so(8), iconv(1)), of shells,
# including exported functions, and of the interpreters that hooks are written in.
_UNSAFE_VARIABLES = re.compile(
    "LD_.*|GCONV_PATH|GLIBC_TUNABLES"
    "|IFS|ENV|BASH_.*|BASHOPTS|SHELLOPTS|PS4|CDPATH|GLOBIGNORE|FPATH|ZDOTDIR"
    "|PYTHON.*|PERL.*|RUBYLIB|RUBYOPT|NODE_OPTIONS|NODE_PATH|LUA_.*"
)
HOOKS_MAX, HOOKS_AT_ONCE = 64, 16
"""The most hooks that a directory may hold, and how many of them run at the same time."""

_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})
_LEASE_PAUSE_S = 0.05  # seconds before a file on which a process holds a lease is opened again


def hook_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a hook: the action's, without variables that could change which code runs."""
    kept = {
        name: value
        for name, value in environment.items()
        if not _UNSAFE_VARIABLES.fullmatch(name) and not FOREIGN_VARIABLES.fullmatch(name)
    }
    # env(1) would look up a relative directory in the agent's working directory, which is not checked for safety.
    directories = [each for each in kept.get("PATH", "").split(":") if each.startswith("/")]
    return {**kept, "PATH": ":".join(directories) or SEARCH_PATH}


def find_hooks(path: str) -> tuple[str, ...] | HookMissing | HookAttempted:
    """Return the hooks of a `monitor_hook`: the file itself, or the executable files of a directory in order of name.

    In a directory, a file counts if run-parts(8) accepts its name and it is executable. A name whose status cannot be
    read counts too, so that a dangling link is reported. If there are no hooks to run, an outcome contains the reason.
    """
    if not os.path.isdir(path):  # noqa: PTH112  # a str: paths are compared and printed, not joined
        return (path,)
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208
    except OSError as error:
        return _unstarted(path, NotStarted(error.errno or 0, f"its directory cannot be read: {error.strerror}"))
    found = tuple(filter(_is_meant_to_run, _entries(path, names)))
    if len(found) > HOOKS_MAX:
        return HookMissing(path, f"the directory holds {len(found)} executable files, at most {HOOKS_MAX} are allowed")
    return found or HookMissing(path, _why_empty(names))


def _entries(directory: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the names that run-parts(8) would run."""
    return tuple(f"{directory.rstrip('/')}/{name}" for name in names if _RUN_PARTS_NAME.fullmatch(name))


def _why_empty(names: list[str]) -> str:
    ignored = [name for name in names if not name.startswith(".") and not _RUN_PARTS_NAME.fullmatch(name)]
    if not ignored:
        return "the directory holds no executable file"
    return f"no executable file has a valid hook name (only letters, digits, - and _); ignored: {ignored[0]}"


def _unstarted(path: str, failure: NotStarted) -> HookMissing | HookAttempted:
    """Return HookMissing if the hook itself cannot be run, HookAttempted if the host can start nothing at present."""
    return HookMissing(path, failure.why) if failure.errno in FILE_ERRORS else HookAttempted(path, failure)


def _is_meant_to_run(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def check_hooks(parameters: Parameters, environment: Mapping[str, str] = _NO_ENVIRONMENT) -> tuple[HookOutcome, ...]:
    """Return an outcome for each problem that prevents this host from running the hooks, without running any.

    `environment` is the action's: env(1) finds interpreters in its PATH.
    """
    hooks = _find_trusted(parameters)
    if not isinstance(hooks, tuple):
        return (hooks,)
    search_path = hook_environment(environment)["PATH"]
    return tuple(problem for hook in hooks if (problem := _problem(hook, parameters.monitor_hook_user, search_path)))


async def check_access(
    parameters: Parameters, environment: Mapping[str, str], run: Runner, deadline: float
) -> tuple[HookOutcome, ...]:
    """Return an outcome for each hook that the user in `monitor_hook_user` may not execute.

    Call this for hooks in which `check_hooks` has found no problem.
    """
    hooks = _find_trusted(parameters)
    found = []
    for hook in hooks if isinstance(hooks, tuple) else ():
        account = _account(hook, parameters.monitor_hook_user)
        if isinstance(account, pwd.struct_passwd):
            found.append(await _why_not_as_user(hook, _command(hook, parameters, environment, account), run, deadline))
    return tuple(filter(None, found))


async def _why_not_as_user(hook: str, command: Command, run: Runner, deadline: float) -> HookMissing | None:
    """Return why a hook's user may not execute it. `test -x` runs as that user, so that the kernel applies ACLs too."""
    with ExitStack() as opened, suppress(OSError):
        for path in executed_files(hook, command.environment["PATH"], opened):
            outcome = await run(replace(command, arguments=("test", "-x", path)), deadline=deadline)
            if isinstance(outcome, Exited) and outcome.code == 1:
                what = "it" if path == hook else f"its interpreter {printable(path)}"
                return HookMissing(hook, f"user {command.environment['USER']} may not execute {what}")
    return None


def _find_trusted(parameters: Parameters) -> tuple[str, ...] | HookOutcome:
    """Return the hooks that `monitor_hook` names, or an outcome with the reason why there are none to run.

    This function checks a directory, but not the hooks: each hook is checked when it runs. A user who can write to the
    directory could put a million files into it, so the directory is checked before it is read.
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


def _problem(hook: str, user: str | None, search_path: str) -> HookOutcome | None:
    account = _account(hook, user)
    if isinstance(account, HookMissing):
        return account
    if problem := _distrusted(hook, account):
        return problem
    if why := why_not_executable(hook, search_path):
        return HookMissing(hook, why)
    with ExitStack() as opened:
        problem = _refusal(hook, account, search_path, opened)
    return None if problem == _leased(hook) else problem  # a lease is temporary


def _account(hook: str, user: str | None) -> pwd.struct_passwd | HookMissing | None:
    """Return the account to run a hook as; None: the agent's own."""
    if user is None:
        return None
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        return HookMissing(hook, f"there is no user {user}")


def _distrusted(path: str, account: pwd.struct_passwd | None) -> HookOutcome | None:
    """Return why a hook, or a directory of hooks, must not be used: another user could change it, or it is missing."""
    try:
        why = why_unsafe(path, _trusted(account))
    except OSError as error:
        return _misplaced_arguments(path) or _unstarted(path, NotStarted(error.errno or 0, error.strerror or ""))
    return HookUnsafe(path, why) if why else None


def _trusted(account: pwd.struct_passwd | None) -> frozenset[int]:
    return frozenset({0, account.pw_uid if account else os.geteuid()})


def _refusal(
    hook: str,
    account: pwd.struct_passwd | None,
    search_path: str,
    opened: ExitStack,
    avoided: Container[str] = (),
) -> HookOutcome | None:
    """Return why a hook must not be started, judged by its own path and those of its interpreters.

    All these files stay open until `opened` is closed. `avoided` are path components that must not be accessed.
    """
    path = hook
    try:
        for path in executed_files(hook, search_path, opened, avoided):
            if why := why_unsafe(path, _trusted(account), avoided):
                return HookUnsafe(hook, why if path == hook else f"{why} {OF_INTERPRETER}")
    except BlockingIOError:
        return _leased(hook)
    except OSError as error:
        failure = NotStarted(error.errno or 0, error.strerror or "")
        if failure.errno in SHORTAGES:
            return HookAttempted(hook, failure)
        if path == hook:
            return _misplaced_arguments(hook) or _unstarted(hook, failure)
    return None  # execve(2) will report a missing interpreter


def _leased(hook: str) -> HookAttempted:
    return HookAttempted(hook, NotStarted(errno.EWOULDBLOCK, "another process holds a lease on its file"))


def _misplaced_arguments(hook: str) -> HookMissing | None:
    """Return an outcome if a `monitor_hook` that does not exist consists of an existing file and arguments."""
    program, *arguments = hook.split()
    if not arguments or not os.path.isfile(program):  # noqa: PTH113
        return None
    return HookMissing(program, "its arguments belong in monitor_hook_args, not in monitor_hook")


def is_root_owned(
    parameters: Parameters, environment: Mapping[str, str] = _NO_ENVIRONMENT, avoided: Container[str] = ()
) -> bool:
    """Return whether root alone owns and can change the hooks, their interpreters and every directory on the way.

    A file of another user may be on a file system of that user (FUSE), which can block any process that reads the file.
    So each component is read only after the one above it is known to be root's, and an `avoided` component is never
    read. Raises OSError if this process lacks descriptors or memory.
    """
    path = parameters.monitor_hook
    if path is None:
        return True
    search_path = hook_environment(environment)["PATH"]

    def is_owned(hook: str) -> bool:
        with ExitStack() as opened:
            problem = _refusal(hook, None, search_path, opened, avoided)
        raise_shortage((problem,))
        return problem is None

    try:
        if why_unsafe(path, _trusted(None), avoided):
            return False
        entries = _entries(path, os.listdir(path)) if os.path.isdir(path) else ()  # noqa: PTH112, PTH208
        if any(why_unsafe(entry, _trusted(None), avoided) for entry in entries):
            return False
    except OSError:
        return False
    hooks = find_hooks(path)
    return isinstance(hooks, tuple) and all(map(is_owned, hooks))


async def run_hooks(
    parameters: Parameters,
    environment: Mapping[str, str],
    run: Runner,
    deadline: float,
    *,
    run_directory: Path = Path("/run"),
) -> tuple[HookOutcome, ...]:
    """Run all hooks, at most `HOOKS_AT_ONCE` at the same time; return their outcomes in the order of the hooks' names.

    A hook is not started while a process of its last run, recorded below `run_directory`, is alive despite SIGKILL.
    """
    hooks = _find_trusted(parameters)
    if not isinstance(hooks, tuple):
        return (hooks,)
    outcomes: dict[str, HookOutcome] = {}
    turns = anyio.Semaphore(HOOKS_AT_ONCE)

    async def run_one(hook: str) -> None:
        async with turns:
            # A survivor is a process alive despite SIGKILL. It is recorded under `monitor_hook`, which may be a
            # directory, if it is not known which hook has left it.
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
    command = _command(hook, parameters, environment, account)
    with ExitStack() as opened:
        if problem := await _refusal_after_lease(command, account, opened, deadline):
            return problem
        if anyio.current_time() >= deadline:  # earlier hooks have used up the time
            return HookAttempted(hook, TimedOut(0.0))
        match await run(command, deadline=deadline):
            case NotStarted(errno=number, why=why):
                why = why_not_executable(hook, command.environment["PATH"]) or why
                return _unstarted(hook, NotStarted(number, why))
            case outcome:
                return HookAttempted(hook, outcome)


async def _refusal_after_lease(
    command: Command, account: pwd.struct_passwd | None, opened: ExitStack, deadline: float
) -> HookOutcome | None:
    """Return why a hook must not be started; while a process holds a lease on its file, wait without blocking.

    When this process opens the file, the kernel signals the holder to release the lease (F_SETLEASE in fcntl(2)). Until
    the holder does so, at most for /proc/sys/fs/lease-break-time, execve(2) would block, and could then start the hook
    after the action has ended.
    """
    hook, search_path = command.arguments[0], command.environment["PATH"]
    until = min(deadline, anyio.current_time() + (command.time_limit_s or math.inf))
    while (problem := _refusal(hook, account, search_path, opened)) == _leased(hook):
        if anyio.current_time() + _LEASE_PAUSE_S > until:
            break
        opened.close()
        await anyio.sleep(_LEASE_PAUSE_S)
    return problem


def raise_shortage(outcomes: Iterable[HookOutcome | None]) -> None:
    """Raise OSError if a hook was not started because this process lacks descriptors or memory."""
    for ran in outcomes:
        failure = ran.outcome if isinstance(ran, HookAttempted) else None
        if isinstance(failure, NotStarted) and failure.errno in SHORTAGES:
            raise OSError(failure.errno, failure.why)


def _survivors(outcome: HookOutcome) -> tuple[Process, ...]:
    match outcome:
        case HookAttempted(outcome=TimedOut(survivors=survivors)):
            return survivors
        case _:
            return ()


def _command(
    hook: str, parameters: Parameters, environment: Mapping[str, str], account: pwd.struct_passwd | None
) -> Command:
    arguments = (hook, *parameters.monitor_hook_args)
    variables = hook_environment(environment)
    if account is None:
        return Command(arguments, variables, None, parameters.monitor_hook_timeout_s, Output())
    variables |= {"USER": account.pw_name, "LOGNAME": account.pw_name, "HOME": account.pw_dir}
    if account.pw_uid == os.geteuid() != 0:  # the agent runs as that user: without root it cannot call setgroups(2)
        return Command(arguments, variables, None, parameters.monitor_hook_timeout_s, Output())
    user = (account.pw_uid, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid))
    return Command(arguments, variables, user, parameters.monitor_hook_timeout_s, Output())
