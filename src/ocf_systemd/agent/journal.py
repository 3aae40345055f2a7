"""The journal entry of a log line: its MESSAGE_ID and other fields, in journald's native protocol.

A monitor imports this module only if there is a line to write: a successful monitor writes none. share/systemd/catalog
describes cause and remedy of each kind of line, docs/log.md describes the fields.

Sources: systemd.journal-fields(7), systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from ocf_systemd.agent.events import (
    ActionEnded,
    CommandEnded,
    CommandStarted,
    Escalated,
    Event,
    Interrupted,
    Notice,
    Purpose,
    StillWaiting,
    WarningNotice,
)
from ocf_systemd.core.observations import (
    CommandOutcome,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookStuck,
    HookUnsafe,
    NotStarted,
)
from ocf_systemd.core.ocf import HARD_ERRORS, Action, ActionResult, ExitCode


class MessageId(StrEnum):
    """The values of MESSAGE_ID: one for each kind of log line."""

    FAILED = "d82ea6be64b545838d1466660e2ba359"
    NOT_RUNNING = "b61bcfefa1a548b7942a987264af95bf"
    STOP_FAILED = "88431980fc504792a703b4f444899af2"
    HARD_ERROR = "8cc058f5f71c4b87be92ffacbe000f6f"
    DEGRADED = "cdec4e2424f64cbb9d96f3348a476257"
    INTERRUPTED = "f44d89a81a344a05b2c78219599e1bad"
    WAITING = "f00a12204b8c473ebb67bf825941a92b"
    ESCALATED = "cb97729b648a4f6da1c9b0a5f3867530"
    WARNING = "c0a27d6fcd1c4b7f86f570c773e2086f"
    HOOK_OUTPUT = "f3d2d8e4e32546fb85ba88d5c2b5df3a"
    DROP_IN = "fe3bbafcbefc407fa0af88fc7912246d"
    PROGRESS = "e3300e47aad44e78ad31ba06afdea0d2"


Subject = Event | HookOutcome
"""What a line is about: an event, or the outcome of a hook in the observation that led to the result."""


_IDS: Mapping[type, MessageId] = {
    StillWaiting: MessageId.WAITING,
    WarningNotice: MessageId.WARNING,
    Escalated: MessageId.ESCALATED,
    Interrupted: MessageId.INTERRUPTED,
    Notice: MessageId.DROP_IN,
    **dict.fromkeys((HookAttempted, HookMissing, HookUnsafe, HookStuck), MessageId.HOOK_OUTPUT),
}


def message_id(subject: Subject) -> MessageId:
    """Return the MESSAGE_ID of the lines about `subject`."""
    if isinstance(subject, ActionEnded):
        return _id_of_result(subject.action, subject.result)
    return _IDS.get(type(subject), MessageId.PROGRESS)


def _id_of_result(action: Action, result: ActionResult) -> MessageId:
    if not result.reason or result.code == ExitCode.SUCCESS:
        return MessageId.PROGRESS
    if action is Action.STOP:
        return MessageId.STOP_FAILED
    if action is not Action.VALIDATE_ALL and result.code in {*HARD_ERRORS, ExitCode.ERR_CONFIGURED}:
        is_recovered = action is Action.MONITOR and result.code == ExitCode.ERR_UNIMPLEMENTED
        return MessageId.FAILED if is_recovered else MessageId.HARD_ERROR
    others: Mapping[int, MessageId] = {
        ExitCode.NOT_RUNNING: MessageId.NOT_RUNNING,
        ExitCode.DEGRADED: MessageId.DEGRADED,
    }
    return others.get(result.code, MessageId.FAILED)


def fields_of(subject: Subject) -> dict[str, str]:
    """Return the fields that only some lines have: the hook's path, the exit code, the duration in microseconds."""
    match subject:
        case ActionEnded(result=result):
            return {"OCF_EXIT_CODE": str(int(result.code))}
        case CommandStarted(Purpose.HOOK, command):
            return {"HOOK": command.arguments[0]}
        case CommandEnded(began, outcome):
            return fields_of(began) | _duration(outcome)
        case HookAttempted(hook, outcome):
            return {"HOOK": hook} | _duration(outcome)
        case HookMissing(hook=hook) | HookUnsafe(hook=hook) | HookStuck(hook=hook):
            return {"HOOK": hook}
        case _:
            return {}


def _duration(outcome: CommandOutcome | None) -> dict[str, str]:
    return (
        {} if outcome is None or isinstance(outcome, NotStarted) else {"DURATION_USEC": microseconds(outcome.elapsed_s)}
    )


def microseconds(seconds: float) -> str:
    """Return a duration as the journal's fields contain it, in whole microseconds."""
    return str(round(seconds * 1e6))


def encode_entries(lines: Sequence[tuple[int, str]], fields: Mapping[str, str]) -> Iterator[bytes]:
    """Yield a datagram for each line (a priority of syslog(3), and a text); fields with an empty value are left out."""
    for priority, text in lines:
        yield encode_entry(
            {name: value for name, value in fields.items() if value} | {"PRIORITY": str(int(priority)), "MESSAGE": text}
        )


def encode_entry(fields: Mapping[str, str]) -> bytes:
    """Return a datagram; if a value has several lines, the length of the value precedes the value."""
    entry = bytearray()
    for name, text in fields.items():
        value = text.encode(errors="backslashreplace")
        size = b"\n" + len(value).to_bytes(8, "little") if b"\n" in value else b"="
        entry += name.encode() + size + value + b"\n"
    return bytes(entry)
