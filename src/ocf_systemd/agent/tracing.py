"""OCF_TRACE_RA: traces all that an action observes and decides, to the file that ocf-shellfuncs would use."""

import errno
import os
import re
import stat
import time
from collections.abc import Mapping
from contextlib import suppress

from ocf_systemd.agent.events import CommandEnded, Event, Reporter, WarningNotice
from ocf_systemd.agent.log import messages
from ocf_systemd.core.observations import NotStarted
from ocf_systemd.core.ocf import REASON_PREFIX, Action, defused
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.core.parameter_values import boolean
from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printable, printed_lines

_DEFAULT_DIRECTORY = "/var/lib/heartbeat/trace_ra"
_STDERR = "/dev/stderr"
_DESCRIPTORS = "/dev/fd/"
_DIRECTORY_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
# O_NONBLOCK: opening a named pipe does not wait for its reader.
_FILE_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_LINKED = "a part of the path is a link, or not a directory. Name the path without links"


class TracingReporter(Record):
    """Appends each event to a trace file, with the output of commands, and passes the event to the next reporter."""

    path: str
    next_reporter: Reporter
    reason_prefix: str = REASON_PREFIX

    def report(self, event: Event) -> None:
        """Trace an event, then pass it on."""
        with suppress(OSError):
            self._write([text for _, text in messages(event)] + _output(event))
        self.next_reporter.report(event)

    def write_environment(self, environment: Mapping[str, str]) -> None:
        """Begin the trace with the environment, as ocf_start_trace does. Raises OSError."""
        self._write([printable(f"{name}={value}") for name, value in sorted(environment.items())])

    def _write(self, lines: list[str]) -> None:
        now = time.time()
        stamp = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03}"
        text = "".join(f"+ {stamp}: {defused(line, self.reason_prefix)}\n" for line in lines)
        _append(self.path, text.encode(errors="backslashreplace"))


def _append(path: str, text: bytes) -> None:
    """Append text to a trace. Raises OSError."""
    if path == _STDERR or re.fullmatch(f"{_DESCRIPTORS}[0-9]{{1,6}}", path):
        os.write(2 if path == _STDERR else int(path.removeprefix(_DESCRIPTORS)), text)
        return
    with os.fdopen(_open_private(path), "wb", buffering=0) as file:
        file.write(text)


def _open_private(path: str) -> int:
    """Open a trace, creating missing directories; follow no link and use no other user's file. Raises OSError.

    A trace contains the whole environment, which may contain a password. A user who can write to the directory could
    put a link there, so that root writes to another file; a hard link (st_nlink) has the same effect.
    """
    *directories, name = list(filter(None, path.split("/"))) or ["."]
    place = os.open("/" if path.startswith("/") else ".", _DIRECTORY_FLAGS)
    try:
        for directory in directories:
            with suppress(FileExistsError):
                os.mkdir(directory, dir_fd=place)
            above, place = place, os.open(directory, _DIRECTORY_FLAGS, dir_fd=place)
            os.close(above)
        descriptor = os.open(name, _FILE_FLAGS, 0o600, dir_fd=place)
    finally:
        os.close(place)
    found = os.fstat(descriptor)
    if found.st_uid not in {0, os.geteuid()} or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it belongs to another user, or has a second name")
    return descriptor


def _output(event: Event) -> list[str]:
    if not isinstance(event, CommandEnded) or event.outcome is None or isinstance(event.outcome, NotStarted):
        return []
    streams = {"stdout": event.outcome.stdout, "stderr": event.outcome.stderr}
    return [f"  {name}: {line}" for name, stream in streams.items() for line in printed_lines(stream)]


def traced(reporter: Reporter, environment: Mapping[str, str], action: Action, agent_name: str) -> Reporter:
    """Return a reporter that also traces if OCF_TRACE_RA or the parameter trace_ra is true; else return `reporter`."""
    wanted = environment.get("OCF_TRACE_RA") or environment.get(f"{PREFIX}trace_ra") or "no"
    try:
        if not boolean(wanted):
            return reporter
    except ValueError:
        return reporter
    path = _destination(environment, action, agent_name)
    tracing = TracingReporter(path, reporter, environment.get("OCF_EXIT_REASON_PREFIX") or REASON_PREFIX)
    try:
        tracing.write_environment(environment)
    except OSError as error:
        why = _LINKED if error.errno in {errno.ELOOP, errno.ENOTDIR} else error.strerror
        reporter.report(WarningNotice(f"no trace in {printable(path)}: {why}"))
        return reporter
    return tracing


def _destination(environment: Mapping[str, str], action: Action, agent_name: str) -> str:
    """Return the path of the trace: that of OCF_TRACE_FILE (a path or a descriptor), standard error, or a new file."""
    file = environment.get("OCF_TRACE_FILE", "")
    if re.fullmatch("[3-9]", file):
        return f"{_DESCRIPTORS}{file}"
    if file.startswith("/"):
        return file
    instance = environment.get("OCF_RESOURCE_INSTANCE")
    if os.isatty(0) or not instance:
        return _STDERR
    directory = environment.get(f"{PREFIX}trace_dir") or _DEFAULT_DIRECTORY
    return f"{directory}/{agent_name}/{instance}.{action}.{time.strftime('%Y-%m-%d.%H:%M:%S')}"
