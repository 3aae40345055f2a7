"""Checks a program before it is executed: who could change what execve(2) opens, and whether it can be started.

To execute a script, execve(2) executes its interpreter, which may be a script as well: interpreters are checked too.
Sources: path_resolution(7), execve(2).
"""

import errno
import os
import re
import stat
from collections.abc import Container, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from ocf_systemd.core.text import printable

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

FILE_ERRORS = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
"""The errors of execve(2) that are about the file; all others are about the host."""

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The errors of open(2) that report a temporary lack of descriptors or memory, not a problem of the file."""

_LINKS_MAX = 40  # path_resolution(7): open(2) of a path with more symbolic links fails with ELOOP
_SHEBANG_MAX = 256  # bytes; execve(2): the kernel reads no more of the first line
_NOT_IN_PATH = "its interpreter {} is not in PATH"
_PLAIN_NAME = re.compile("[A-Za-z0-9_./+][A-Za-z0-9_./+-]*")
_SCRIPTS_MAX = 5  # exec_binprm() in the kernel: if more scripts interpret each other, execve(2) fails with ELOOP
# O_NONBLOCK: open(2) waits neither for the holder of a lease (F_SETLEASE in fcntl(2)) nor for a named pipe's other end.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


def why_unsafe(path: str, trusted_uids: frozenset[int], avoided: Container[str] = ()) -> str | None:
    """Return which component of `path` another user could change, and why; None: the path is safe.

    Every component that the kernel traverses is checked, including the targets of symbolic links and their directories.
    A component is safe if a trusted user owns it and no other user may write to it, except group root. A directory that
    everyone may write to is not safe even if it is sticky: anyone can create a name that does not exist in it. If the
    kernel resolves a link differently from readlink(2), as for /proc/PID/root, the components are not known, so the
    path is not safe. A path with an `avoided` component is not safe either, and that component is not accessed.

    Raises OSError if the path does not exist or cannot be read.
    """
    if not path.startswith("/"):
        return f"{path} is not an absolute path"
    seen = None
    for place in _places(path):
        if place in avoided:
            return f"{place} is on a file system that may not respond"
        seen = os.lstat(place)  # often called, and pathlib is slow
        if why := _why_changeable(place, seen, trusted_uids):
            return f"{place} {why}"
    if seen is None or not os.path.samestat(seen, Path(path).stat()):
        return f"{path} resolves to a different file than its symbolic links name"
    return None


def _why_changeable(place: str, seen: os.stat_result, trusted_uids: frozenset[int]) -> str:
    if seen.st_uid not in trusted_uids:
        return f"is owned by uid {seen.st_uid}"
    if stat.S_ISLNK(seen.st_mode):
        return ""
    if seen.st_mode & stat.S_IWOTH:
        return "is writable by everyone"
    if seen.st_mode & stat.S_IWGRP and seen.st_gid != 0:
        return f"is writable by group {seen.st_gid}"
    if seen.st_mode & stat.S_IWGRP and _has_acl(place):
        return "may be writable by others: it has an access control list"
    return ""


def _has_acl(place: str) -> bool:
    # acl(5): with an access control list, the group bits of the mode are the most that any entry of the list grants.
    try:
        return bool(os.getxattr(place, "system.posix_acl_access", follow_symlinks=False))
    except OSError:
        return False


def _places(path: str) -> Iterator[str]:
    """Yield every component that the kernel traverses as it resolves a path (path_resolution(7)), in that order.

    The last component is the file to which the path leads.
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


def leads_into(path: str, avoided: Container[str]) -> bool:
    """Return whether a path leads to or through one of the `avoided` places, without accessing that place."""
    return any(place in avoided for place in _places(path))


def executed_files(path: str, search_path: str, opened: ExitStack, avoided: Container[str] = ()) -> Iterator[str]:
    """Yield a program and its interpreters, as execve(2) and env(1) find them; open each file after it is yielded.

    As long as these files are open, until `opened` is closed, no process can take a lease that would block execve(2).
    The interpreter of a script that this process may not read is not known and not yielded. A search by env(1) ends at
    the first path that leads into an `avoided` place. That path is yielded, and the caller must then stop the
    iteration. Raises BlockingIOError if a process holds such a lease, and OSError if a file, or the program that env(1)
    searches for, does not exist.
    """
    ahead = [path]
    for _ in range(2 * _SCRIPTS_MAX):
        if not ahead:
            return
        here = ahead.pop(0)
        yield here
        mode = Path(here).stat().st_mode
        if not stat.S_ISREG(mode) or not mode & 0o111:  # to open a device, or a file of /proc, can have an effect
            return
        with suppress(PermissionError):
            descriptor = os.open(here, _OPEN_FLAGS)
            opened.callback(os.close, descriptor)
            ahead = [*_interpreters(_read_first_line(descriptor), search_path, avoided), *ahead]


def _interpreters(first_line: bytes, search_path: str, avoided: Container[str] = ()) -> list[str]:
    """Return the interpreter that a first line names and, if that is env(1), the program that env starts."""
    interpreter, argument = _split_shebang(first_line)
    program = _program_of_env(interpreter, argument)
    found = _search(program, search_path, avoided)
    if program and not found:
        raise FileNotFoundError(errno.ENOENT, _NOT_IN_PATH.format(printable(program)))
    return list(filter(None, (interpreter, found)))


def _read_first_line(descriptor: int) -> bytes:
    return re.split(rb"[\n\0]", os.read(descriptor, _SHEBANG_MAX), maxsplit=1)[0]  # a NUL ends the line for execve(2)


def _split_shebang(first_line: bytes) -> tuple[str, str]:
    """Return the interpreter, and the rest of the line, which execve(2) passes as one argument; empty without `#!`."""
    if not first_line.startswith(b"#!"):
        return "", ""
    interpreter, _, argument = first_line[2:].replace(b"\t", b" ").strip(b" ").partition(b" ")
    return os.fsdecode(interpreter), os.fsdecode(argument.strip(b" "))


def _program_of_env(interpreter: str, argument: str) -> str:
    """Return the program that env(1) searches for; empty: the interpreter is not env, or the program is not known.

    The program is not known if env changes the PATH, or has options other than -S. Without -S, the whole argument is
    the name of the program.
    """
    if interpreter.rpartition("/")[2] != "env" or "PATH=" in argument:
        return ""
    if not argument.startswith("-S"):
        return "" if argument.startswith("-") or "=" in argument else argument
    program = next((word for word in argument.removeprefix("-S").split() if "=" not in word), "")
    return program if _PLAIN_NAME.fullmatch(program) else ""  # such a name is neither an option nor quoted


def _search(program: str, search_path: str, avoided: Container[str] = ()) -> str:
    """Return the path of a program as execvp(3) finds it; empty: it is not found.

    The search ends at the first path that leads into an `avoided` place, and returns that path.
    """
    if "/" in program:
        return program
    places = (f"{directory}/{program}" for directory in search_path.split(":") if directory.startswith("/"))
    found = (place for place in places if leads_into(place, avoided) or _can_be_executed(place))
    return next(found, "") if program else ""


def _can_be_executed(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113


def why_not_executable(path: str, search_path: str = SEARCH_PATH, scripts: int = _SCRIPTS_MAX) -> str:
    """Return why execve(2) would not start the file at `path`; empty: it would, or the reason is not known.

    `search_path` is where env(1) searches for interpreters, `scripts` how many scripts may interpret each other.
    """
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
        return os.strerror(error.errno) if error.errno in FILE_ERRORS else ""
    if first_line.startswith(b"#!"):
        return _why_not_interpreted(first_line, search_path, scripts)
    return "" if first_line.startswith(b"\x7fELF") else "it is not a program and its first line has no interpreter (#!)"


def _first_line(path: str) -> bytes:
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        return _read_first_line(descriptor)
    finally:
        os.close(descriptor)


def _why_not_interpreted(first_line: bytes, search_path: str, scripts: int) -> str:
    if first_line.endswith(b"\r"):
        return "its first line ends in CR LF, expected LF"
    interpreter, argument = _split_shebang(first_line)
    if not interpreter:
        return "its first line names no interpreter"
    if not _can_be_executed(interpreter):
        return f"its interpreter {printable(interpreter)} cannot be run"
    program = _program_of_env(interpreter, argument)
    if program and not _can_be_executed(_search(program, search_path)):
        return _NOT_IN_PATH.format(printable(program))
    if not scripts:
        return "too many scripts interpret each other"
    nested = (each for each in _interpreters(first_line, search_path) if _is_script(each))
    return next(filter(None, (why_not_executable(each, search_path, scripts - 1) for each in nested)), "")


def _is_script(path: str) -> bool:
    with suppress(OSError):
        return _first_line(path).startswith(b"#!")
    return False
