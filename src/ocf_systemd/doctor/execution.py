"""Collects what a service needs on this host to be executed: accounts, programs, files, PAM. Changes nothing."""

import grp
import os
import pwd
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from ocf_systemd.core.observations import Exited
from ocf_systemd.doctor import parse
from ocf_systemd.doctor.facts import Command, Execution
from ocf_systemd.doctor.parse import Properties, names_in
from ocf_systemd.doctor.systemctl import run
from ocf_systemd.doctor.unit_files import read_text
from ocf_systemd.host.programs import SEARCH_PATH, executed_files, why_not_executable

PROPERTIES = (
    *("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"),
    *("ExecConditionEx", "ExecStartPreEx", "ExecStartEx", "ExecStartPostEx", "EnvironmentFiles", "WorkingDirectory"),
    *("User", "Group", "SupplementaryGroups", "DynamicUser", "PAMName", "PIDFile", "PrivateTmp"),
    *("RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory"),
    *("RootDirectory", "RootImage", "MountImages", "ExtensionImages", "BindPaths", "BindReadOnlyPaths"),
    *("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths"),
)
_COMMANDS = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost")
# If one of these is set, the paths in a unit are not paths of the host (systemd.exec(5)).
_OTHER_ROOT = ("RootDirectory", "RootImage", "MountImages", "ExtensionImages", "BindPaths", "BindReadOnlyPaths")
# Settings with paths that must exist, except those with the prefix `-`.
_PATHS = ("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths")
# Settings with directories that systemd creates at a start, and the parent of these directories.
_DIRECTORIES = (
    *(("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache")),
    *(("LogsDirectory", "/var/log"), ("ConfigurationDirectory", "/etc")),
)
_SHELLS = frozenset({"sh", "bash", "dash", "ksh"})
_SHELL_SHEBANG = re.compile(r"#!.*\b(ba|da|k|z)?sh\b")
_DYNAMIC_UID = 61184  # the first uid and gid that systemd allocates for DynamicUser= (systemd.exec(5))
# A command for sh. The arguments are a program and, if the program is a script, its interpreters. The command prints
# the script if the user may not read it, as its interpreter must, or else the first file that the user may not execute.
_WHICH_FAILS = """
[ $# = 1 ] || test -r "$1" || { echo "read $1"; exit 1; }
for file; do test -x "$file" || { echo "execute $file"; exit 1; }; done
"""
_PAM = Path("/etc/pam.d")
_PAM_DEPTH = 5  # how many levels of included files are read


async def collect_execution(properties: Properties) -> Execution:
    """Return what a service executes, and which accounts and files that it needs are missing on this host."""
    # Only root can read all directories: to other users, a file that exists may look missing.
    uses_host_root = os.geteuid() == 0 and not any(properties.get(name) for name in _OTHER_ROOT)
    found = (_command(command, is_checked=uses_host_root) for command in parse.commands(properties, *_COMMANDS))
    user = _user(properties) if uses_host_root else None
    commands = tuple([command if user is None else await _as_user(command, user) for command in found])
    pam_name = properties.get("PAMName", "")
    return Execution(
        commands=commands,
        missing_accounts=tuple(_missing_accounts(properties)),
        missing_files=tuple(_missing_files(properties, uses_host_root=uses_host_root)),
        pam_session=pam_name if pam_name not in {"", "systemd-user"} and _opens_session(pam_name) else "",
        why_no_pid_file=_why_no_pid_file(properties),
    )


def script_text(command: Command) -> str:
    """Return the text of a command and, if its program is a script, the lines of the script except comments."""
    text = read_text(command.path) or ""
    lines = text.splitlines() if text.startswith("#!") else []
    return "\n".join((command.text, *(line for line in lines if not line.lstrip().startswith("#"))))


def _command(command: Command, *, is_checked: bool) -> Command:
    path = command.path if command.path.startswith("/") else shutil.which(command.path, path=SEARCH_PATH)
    why_not = "" if not is_checked else why_not_executable(path) if path else "it is not found"
    session, script = _session(command.text), ""
    if not session and command.setting == "ExecStart":
        script = _shell_script(replace(command, path=path or command.path))
        session = next(filter(None, map(_session, (read_text(script) or "").splitlines())), "") if script else ""
    return replace(
        command, path=path or command.path, why_not=why_not, session=session, script=script if session else ""
    )


def _session(text: str) -> str:
    """Return the tool, in a command or script line, that moves its process to a session or another unit; else empty."""
    tools = parse.sessions(text.strip())
    return next((tool for tool, service in tools if not service or _opens_session(service)), "")


def _shell_script(command: Command) -> str:
    """Return the shell script that a command executes, directly or as the first argument of a shell, else empty."""
    words = command.text.split()
    is_shell = command.path.rpartition("/")[2] in _SHELLS and words[1:2] and words[1].startswith("/")
    path = words[1] if is_shell else command.path
    text = (read_text(path) or "").partition("\n")[0]
    return path if is_shell or _SHELL_SHEBANG.match(text) else ""


_User = tuple[str, tuple[int, int, Sequence[int]]]  # a name; uid, gid and groups


def _user(properties: Properties) -> _User | None:
    """Return the user that a service runs as; None: it is root, or the user or one of its groups does not exist."""
    name, group = properties.get("User", ""), properties.get("Group", "")
    uid, gid, groups = _DYNAMIC_UID, _DYNAMIC_UID, list[int]()
    try:
        if name and (properties.get("DynamicUser") != "yes" or _exists(name, pwd.getpwnam, pwd.getpwuid)):
            account = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
            uid, gid = account.pw_uid, _gid(group) if group else account.pw_gid
            groups = os.getgrouplist(account.pw_name, gid)
        elif properties.get("DynamicUser") != "yes":
            return None
        groups += map(_gid, _supplementary(properties))
    except KeyError:
        return None
    return (name or "of DynamicUser=yes", (uid, gid, groups)) if uid else None


def _gid(name: str) -> int:
    return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid


async def _as_user(command: Command, user: _User) -> Command:
    """Return a command with the reason, if any, why the user may not execute it.

    A process of that user tests the files, because only the kernel evaluates access control lists.
    """
    if command.why_not or command.runs_as_root:
        return command
    name, account = user
    with ExitStack() as opened, suppress(OSError):
        files = tuple(executed_files(command.path, SEARCH_PATH, opened))
        outcome = await run("sh", "-c", _WHICH_FAILS, "sh", *files, user=account)
        if isinstance(outcome, Exited) and outcome.code == 1:
            return replace(command, why_not=f"user {name} may not {outcome.stdout.decode(errors='replace').strip()}")
    return command


def _missing_accounts(properties: Properties) -> Iterator[str]:
    if properties.get("DynamicUser") == "yes":
        return
    user, group = properties.get("User", ""), properties.get("Group", "")
    if user and not _exists(user, pwd.getpwnam, pwd.getpwuid):
        yield f"User={user}"
    groups = (
        (f"Group={group}", group),
        *((f"SupplementaryGroups={each}", each) for each in _supplementary(properties)),
    )
    yield from (setting for setting, name in groups if name and not _exists(name, grp.getgrnam, None))


def _supplementary(properties: Properties) -> tuple[str, ...]:
    return names_in(properties, "SupplementaryGroups")


def _exists(name: str, by_name: Callable[[str], object], by_number: Callable[[int], object] | None) -> bool:
    """Return whether an account exists, by its name or number; without `by_number`, every number counts.

    systemd accepts any number as a group, but only the number of an existing user as a user.
    """
    try:
        if not name.isdecimal():
            by_name(name)
        elif by_number:
            by_number(int(name))
    except KeyError:
        return False
    return True


def _missing_files(properties: Properties, *, uses_host_root: bool) -> Iterator[str]:
    for path in parse.environment_files(properties):  # PID 1 reads these, from the host's root
        if os.geteuid() == 0 and not any(Path("/").glob(path.lstrip("/"))):
            yield f"EnvironmentFile={path}"
    if not uses_host_root:
        return
    made = {f"{root}/{name}" for setting, root in _DIRECTORIES for name in names_in(properties, setting)}
    preparing = properties.get("ExecStartPre", "")
    paths = [("WorkingDirectory", properties.get("WorkingDirectory", ""))]
    paths += [(setting, path) for setting in _PATHS for path in names_in(properties, setting)]
    for setting, path in paths:
        is_made = path in preparing or any(f"{path}/".startswith(f"{each}/") for each in made)
        if path.startswith("/") and not is_made and not os.path.lexists(path):
            yield f"{setting}={path}"


def _why_no_pid_file(properties: Properties) -> str:
    """Return why the service cannot write its PID file where systemd reads it; empty if no reason is known."""
    path = properties.get("PIDFile", "")
    if not path or properties.get("MainPID", "0") != "0":
        return ""
    if properties.get("PrivateTmp") == "yes" and path.startswith(("/tmp/", "/var/tmp/")):  # noqa: S108
        return "PrivateTmp=yes gives the service another /tmp"
    named = parse.pid_files(properties)
    real = os.path.realpath(path)
    if named and real not in map(os.path.realpath, named):
        return f"its command writes {named[0]}"
    return ""


def _opens_session(service: str, depth: int = _PAM_DEPTH) -> bool:
    """Return whether a PAM service such as `su-l` moves its processes to a login session (pam_systemd(8)).

    `depth` is how many more levels of included files are read.
    """
    for line in (read_text(str(_PAM / service)) or "").splitlines():
        words = line.replace("@include", "session include ").split()
        if not words or words[0] not in {"session", "-session"}:
            continue
        if "pam_systemd.so" in line:
            return True
        included = re.search(r"\b(?:include|substack)\s+(\S+)", " ".join(words))
        if included and depth and _opens_session(included[1], depth - 1):
            return True
    return False
