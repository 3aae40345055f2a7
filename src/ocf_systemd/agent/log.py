"""The log of an action, written as ocf-shellfuncs writes it. No error here may make an action fail.

If journald receives the host's syslog messages, the lines have more fields in the journal (module `journal`).
"""

import errno
import os
import socket
import syslog
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import assert_never

from ocf_systemd.agent.events import (
    ActionEnded,
    ActionStarted,
    CommandEnded,
    CommandStarted,
    Escalated,
    Event,
    Interrupted,
    Notice,
    Observed,
    StillWaiting,
    UnitObserved,
    Waiting,
    WarningNotice,
)
from ocf_systemd.core.observations import (
    CommandOutcome,
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookStuck,
    HookUnsafe,
    NoAnswer,
    NotStarted,
    Observation,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.core.ocf import REASON_PREFIX, Action, ActionResult, ExitCode, code_name, defused
from ocf_systemd.core.parameter_table import UNIT
from ocf_systemd.core.parameter_values import unit_name
from ocf_systemd.core.text import printable, printed_lines
from ocf_systemd.host.processes import Command

_SYSLOG_SOCKET = "/dev/log"
_JOURNAL = "/run/systemd/journal"
_SYSLOG_BUFFER = 2**22  # bytes of the send buffer; the default has room for 50 unread messages of 2 KiB
_SO_SNDBUFFORCE = 32  # socket(7); Python has no name for it
_LINES_APART = 50  # so many last lines of each stream of a hook are separate messages, each of which takes time
_PIECE = 2000  # characters of a message: at most 8 KiB in UTF-8, which syslog daemons accept


_write_stderr = partial(os.write, 2)


class Level(IntEnum):
    """The levels of ocf_log in ocf-shellfuncs: their names in the log, and their priorities in syslog(3)."""

    ERROR = syslog.LOG_ERR
    WARNING = syslog.LOG_WARNING
    INFO = syslog.LOG_INFO
    DEBUG = syslog.LOG_DEBUG


# The facilities of openlog(3), by the names that logger(1) uses.
_FACILITIES = ("auth", "authpriv", "cron", "daemon", "mail", "syslog", "user", *(f"local{n}" for n in range(8)))


def messages(event: Event) -> Iterator[tuple[Level, str]]:
    """Yield the log messages of an event, with their levels: a successful monitor has none above debug."""
    match event:
        case ActionStarted(action, unit, time_s, timeout_s):
            yield Level.DEBUG, f"{action} of {unit}: {time_s:.1f} s left of {timeout_s:.1f} s"
        case CommandStarted(command=command):
            yield Level.DEBUG, f"running {_words(command)}"
        case CommandEnded(began, outcome):
            yield Level.DEBUG, f"{_words(began.command)}: {describe_outcome(outcome)}"
        case UnitObserved(unit):
            yield Level.DEBUG, f"observed: {_describe_unit(unit)}"
        case Observed():
            pass  # UnitObserved has reported the unit; ActionEnded will report the hooks
        case Waiting(so_far, pause_s):
            yield Level.DEBUG, f"polling again in {pause_s:.2f} s: {so_far.reason}"
        case StillWaiting(text=text):
            yield Level.INFO, text
        case Notice(text) | Interrupted(text=text):  # the result of an interrupted action reports the signal too
            yield Level.DEBUG, text
        case WarningNotice(text, details):
            yield Level.WARNING, text
            yield from [(Level.DEBUG, f"{text}: {details}")] if details else ()
        case Escalated(unit):
            yield Level.WARNING, f"{unit} does not stop: sending SIGKILL to its processes"
        case ActionEnded(action, result):
            yield _result_message(action, result)
        case _:
            assert_never(event)


def _words(command: Command) -> str:
    return printable(" ".join(command.arguments))


def _describe_unit(unit: UnitState | NoAnswer) -> str:
    match unit:
        case NoAnswer(why):
            return f"no answer: {why}"
        case UnitState():
            return f"{unit.unit} is {unit.load_state}, {unit.active_state} ({unit.sub_state})"
        case _:
            assert_never(unit)


def describe_outcome(outcome: CommandOutcome | None) -> str:
    """Return how a command ended, in a few words, for people."""
    match outcome:
        case None:
            return "ended, no longer needed"
        case Exited(code=code):
            return f"exit {code}"
        case Signalled():
            return f"died by {outcome.signal_name}"
        case TimedOut():
            return "timed out"
        case NotStarted(why=why):
            return f"not started: {why}"
        case _:
            assert_never(outcome)


def _hook_messages(hook: HookOutcome, reason: str) -> Iterator[tuple[Level, str]]:
    """Yield how a hook ended and what it printed, except for what the exit reason of the action contains already."""
    path, subject = printable(hook.hook), _subject(hook)
    if not reason.startswith(subject):
        yield Level.WARNING, f"{path}: {_describe_hook(hook)}"
    if isinstance(hook, HookAttempted) and not isinstance(hook.outcome, NotStarted):
        streams = printed_lines(hook.outcome.stdout), printed_lines(hook.outcome.stderr)
        _remove_quoted(streams, subject, reason)
        for lines in streams:
            for line in _pieces(lines):
                yield Level.WARNING, f"{path}: {line}"


def _remove_quoted(streams: tuple[list[str], list[str]], subject: str, reason: str) -> None:
    """Remove the line that the exit reason quotes: the last line that matches, in standard error before stdout."""
    for lines in reversed(streams):
        for at in reversed(range(len(lines))):
            if reason.startswith(f"{subject}{_message(lines[at])} ("):
                del lines[at]
                return


def _subject(hook: HookOutcome) -> str:
    """Return how an exit reason about a hook begins: with the hook's name, as there is no room for its path."""
    return f"hook {printable(hook.hook).rstrip('/').rpartition('/')[2]}: "


def _message(line: str) -> str:
    return line.removeprefix(REASON_PREFIX).strip()


def _describe_hook(hook: HookOutcome) -> str:
    match hook:
        case HookAttempted(outcome=outcome):
            return describe_outcome(outcome)
        case HookMissing(why=why) | HookUnsafe(why=why):
            return printable(why)
        case HookStuck(survivor=survivor):
            return f"not started, {survivor} of its last run cannot be killed"
        case _:
            assert_never(hook)


def _pieces(lines: list[str]) -> Iterator[str]:
    """Yield lines in pieces that are few and short enough for a log: of many lines, the older ones are joined."""
    for text in (*_joined(lines[:-_LINES_APART]), *lines[-_LINES_APART:]):
        yield from (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _joined(lines: list[str]) -> Iterator[str]:
    """Yield pieces, each of which joins as many lines as it has room for."""
    piece = ""
    for line in lines:
        longer = f"{piece} | {line}" if piece else line
        if piece and len(longer) > _PIECE:
            yield piece
        piece = line if piece and len(longer) > _PIECE else longer
    if piece:
        yield piece


def _result_message(action: Action, result: ActionResult) -> tuple[Level, str]:
    if result.reason and result.code != ExitCode.SUCCESS:
        return Level.WARNING if result.code == ExitCode.DEGRADED else Level.ERROR, result.reason
    return Level.DEBUG, f"{action}: {code_name(result.code)}"


@dataclass(eq=False, repr=False)  # generating __eq__ and __repr__ takes time at every start
class LogReporter:
    """Writes events where ocf_log of ocf-shellfuncs would: syslog, HA_LOGFILE, HA_DEBUGLOG, or else standard error.

    What hooks printed is written only for the last observation, and only if the result has an exit reason: while a
    service starts, hooks are expected to fail. `resource`, `action` and `unit` are fields of the journal.
    """

    tag: str
    facility: int | None = None
    log_file: str | None = None
    debug_file: str | None = None
    debug: bool = False
    reason_prefix: str = REASON_PREFIX
    write_stderr: Callable[[bytes], object] = _write_stderr
    resource: str = ""
    action: str = ""
    unit: str = ""
    _seen: Observation | None = None
    _began: float = field(default_factory=time.monotonic)
    _is_interrupted: bool = False
    _hook: str = ""

    def report(self, event: Event) -> None:
        """Write the messages of an event at the levels that are enabled."""
        match event:
            case ActionStarted(action, unit):
                self.action, self.unit = action, unit
            case UnitObserved(UnitState(id=unit)):
                self.unit = unit  # the parameter may be an alias
            case Observed(observation):
                self._seen = observation
            case Interrupted():
                self._is_interrupted = True
            case ActionEnded(action, ActionResult(code, str() as reason)) if self._seen:
                for hook in self._seen.hooks:
                    self._write_all(_hook_messages(hook, reason), hook)
                    if reason.startswith(_subject(hook)):
                        self._hook = hook.hook
                        reason = f"hook {printable(hook.hook)}: {reason.removeprefix(_subject(hook))}"
                event = ActionEnded(action, ActionResult(code, reason))
            case _:
                pass
        self._write_all(messages(event), event)

    def _write_all(self, lines: Iterator[tuple[Level, str]], subject: Event | HookOutcome) -> None:
        due = [(level, f"{level.name}: {text}") for level, text in lines if self.debug or level is not Level.DEBUG]
        with suppress(OSError, ValueError):  # a full disk or a closed descriptor must not fail the action
            self._write_syslog(due, subject)
        # A file on a disk that does not respond could block an action that waits: with syslog, files lack these lines.
        if not isinstance(subject, StillWaiting) or self.facility is None:
            with suppress(OSError, ValueError):
                self._write_files(due)

    def _write_syslog(self, lines: list[tuple[Level, str]], subject: Event | HookOutcome) -> None:
        """Send lines with all fields to journald if it serves /dev/log; send lines that it did not get to /dev/log."""
        if self.facility is None or not lines:
            return
        sent = _send(f"{_JOURNAL}/socket", self._journal_entries(lines, subject)) if _is_journald() else 0
        texts = (f"<{self.facility | level}>{self.tag}: {text}" for level, text in lines[sent:])
        _send(_SYSLOG_SOCKET, [text.encode(errors="backslashreplace") for text in texts])

    def _journal_entries(self, lines: list[tuple[Level, str]], subject: Event | HookOutcome) -> list[bytes]:
        """Return the journal entries of lines; no entry if an error occurs, as while the package is replaced."""
        try:
            from ocf_systemd.agent import journal

            fields = journal.fields_of(subject) | {"MESSAGE_ID": journal.message_id(subject)}
            if isinstance(subject, ActionEnded):
                fields |= {"HOOK": self._hook, "DURATION_USEC": journal.microseconds(time.monotonic() - self._began)}
                fields |= {"MESSAGE_ID": journal.MessageId.INTERRUPTED} if self._is_interrupted else {}
            return list(journal.encode_entries(lines, fields | self._journal_fields()))
        except Exception:  # noqa: BLE001
            return []

    def _journal_fields(self) -> dict[str, str]:
        """Return the fields that all lines have, including those that journald derives from a syslog message."""
        identifier, _, pid = self.tag.removesuffix("]").rpartition("[")
        return {
            "SYSLOG_FACILITY": str((self.facility or 0) >> 3),
            "SYSLOG_IDENTIFIER": identifier,
            "SYSLOG_PID": pid,
            "OBJECT_SYSTEMD_UNIT": self.unit,
            "OCF_RESOURCE": self.resource,
            "OCF_ACTION": self.action,
        }

    def _write_files(self, lines: list[tuple[Level, str]]) -> None:
        # As in ocf-shellfuncs: ha_debug writes to HA_DEBUGLOG alone, ha_log to HA_LOGFILE and HA_DEBUGLOG.
        for name in dict.fromkeys(filter(None, (self.log_file, self.debug_file))):
            due = [text for level, text in lines if name == self.debug_file or level is not Level.DEBUG]
            if due:
                _append(name, [f"{time.strftime('%b %d %H:%M:%S')} {self.tag}: {text}\n" for text in due])
        if self.facility is None and not self.debug_file:
            due = [text for level, text in lines if not self.log_file or level is Level.DEBUG]
            lines_out = (f"{time.strftime('%b %d %H:%M:%S')} {defused(text, self.reason_prefix)}\n" for text in due)
            self.write_stderr("".join(lines_out).encode(errors="backslashreplace"))


def _is_journald() -> bool:
    """Return whether /dev/log is journald's: another syslog daemon would not get lines that are sent to journald."""
    try:
        return os.path.samefile(_SYSLOG_SOCKET, f"{_JOURNAL}/dev-log")  # noqa: PTH121  # pathlib is slow
    except OSError:
        return False


def _send(path: str, datagrams: list[bytes]) -> int:
    """Send datagrams as syslog(3) does, but without waiting; return how many were sent or skipped.

    If the log daemon hangs, the remaining datagrams are not sent. A datagram that is too large (EMSGSIZE), as it may be
    for a user other than root, is skipped.
    """
    sent = 0
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
        with suppress(OSError):  # only root may exceed the limit of the buffer
            log.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SYSLOG_BUFFER)
        log.connect(path)
        for datagram in datagrams:
            try:
                log.send(datagram)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    break
            sent += 1
    return sent


def _append(name: str, lines: list[str]) -> None:
    """Append lines to a file, but without waiting: lines for a named pipe without a reader are lost."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    with os.fdopen(os.open(name, flags, 0o666), "wb", buffering=0) as file:
        file.write("".join(lines).encode(errors="backslashreplace"))


def log_reporter(
    environment: Mapping[str, str],
    agent_name: str,
    *,
    action: str = "",
    pid: int | None = None,
    write_stderr: Callable[[bytes], object] = _write_stderr,
) -> LogReporter:
    """Return a reporter that logs as the environment configures (HA_LOGFACILITY, HA_LOGFILE, HA_DEBUGLOG, HA_debug).

    If the agent is not this process, `pid` is the agent's, and `write_stderr` writes to the agent's standard error.
    """
    if action not in {"", Action.MONITOR}:
        with suppress(Exception):  # imported now: the disk may hang once there is something to log
            import ocf_systemd.agent.journal  # noqa: F401
    instance = printable(environment.get("OCF_RESOURCE_INSTANCE", ""))
    name = f"{agent_name}({instance})" if instance else agent_name
    facility = environment.get("HA_LOGFACILITY", "").lower()
    return LogReporter(
        tag=f"{name}[{pid or os.getpid()}]",
        facility=getattr(syslog, f"LOG_{facility.upper()}") if facility in _FACILITIES else None,
        log_file=environment.get("HA_LOGFILE") or None,
        debug_file=environment.get("HA_DEBUGLOG") or None,
        debug=environment.get("HA_debug", "0") not in {"", "0"},
        reason_prefix=environment.get("OCF_EXIT_REASON_PREFIX") or REASON_PREFIX,
        write_stderr=write_stderr,
        resource=instance,
        action=action,
        unit=_unit_of(environment),
    )


def _unit_of(environment: Mapping[str, str]) -> str:
    try:
        return unit_name(environment.get(UNIT.variable, "").strip())
    except ValueError:
        return ""
