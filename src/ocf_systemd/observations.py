"""What was seen of the host, as frozen facts: a unit's state, a command's end, a hook's answer.

Facts do not judge: what they mean for the cluster is `judgement`'s to say.
"""

import re
from enum import StrEnum
from signal import Signals

from ocf_systemd.records import Record

KEPT_OUTPUT = 64 * 1024
"""Bytes kept of each of a command's streams, the last ones."""

# What could move a cursor, break a line or turn its direction: C0, C1, line and paragraph separators, bidi controls.
_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
# CSI and OSC sequences go as a whole: without their ESC, "[31m" would stay behind as litter.
_ESCAPE_SEQUENCE = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")


def printable(text: str | bytes) -> str:
    r"""Return text that is safe in a terminal, a log and a reason: one line, no control characters.

    Bytes that are no UTF-8, and their surrogates in a string from the environment, show as `\xff`.
    """
    raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    decoded = raw.decode(errors="backslashreplace")
    return _UNPRINTABLE.sub("", _ESCAPE_SEQUENCE.sub("", decoded).replace("\t", " ")).strip()


class LoadState(StrEnum):
    """A unit's LoadState (org.freedesktop.systemd1(5)); UNRECOGNISED is one of a later systemd."""

    STUB = "stub"
    LOADED = "loaded"
    NOT_FOUND = "not-found"
    BAD_SETTING = "bad-setting"
    ERROR = "error"
    MERGED = "merged"
    MASKED = "masked"
    UNRECOGNISED = "unrecognised"

    @classmethod
    def _missing_(cls, _: object) -> "LoadState":
        return cls.UNRECOGNISED


class ActiveState(StrEnum):
    """A unit's ActiveState (org.freedesktop.systemd1(5)); UNRECOGNISED is one of a later systemd."""

    ACTIVE = "active"
    RELOADING = "reloading"
    REFRESHING = "refreshing"
    INACTIVE = "inactive"
    FAILED = "failed"
    ACTIVATING = "activating"
    DEACTIVATING = "deactivating"
    MAINTENANCE = "maintenance"
    UNRECOGNISED = "unrecognised"

    @classmethod
    def _missing_(cls, _: object) -> "ActiveState":
        return cls.UNRECOGNISED


RUNNING_STATES = frozenset({ActiveState.ACTIVE, ActiveState.RELOADING, ActiveState.REFRESHING})
"""The unit does its work: reloading and refreshing services go on serving."""

DOWN_STATES = frozenset({ActiveState.INACTIVE, ActiveState.FAILED})
"""The unit is observed stopped. Every state in neither set is on its way to one of them."""


class UnitState(Record):
    """What `systemctl show` says of a unit.

    `result` is the unit's Result, `main_exit` how its main process ended ("status=1", "signal=SEGV",
    empty when it did not), `has_job` whether a job is queued for it, `condition_met` False when systemd skipped its
    last start, `drop_in_paths` the drop-ins that are in force.
    """

    unit: str
    load_state: LoadState
    active_state: ActiveState
    sub_state: str = ""
    result: str = ""
    main_exit: str = ""
    has_job: bool = False
    can_reload: bool = False
    condition_met: bool = True
    needs_daemon_reload: bool = False
    drop_in_paths: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether the unit does its work."""
        return self.active_state in RUNNING_STATES

    @property
    def is_down(self) -> bool:
        """Whether the unit is observed stopped."""
        return self.active_state in DOWN_STATES


class NoAnswer(Record):
    """Systemd did not say what state the unit is in; `why` is what came instead."""

    why: str


class _Ran(Record):
    """What all commands leave behind that ran: their time in seconds and the tails of their streams."""

    elapsed_s: float
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def last_line(self) -> str:
        """The last line with anything printable in it, of stderr or else of stdout."""
        for stream in (self.stderr, self.stdout):
            for line in reversed(stream.splitlines()):
                if text := printable(line):
                    return text
        return ""


class Exited(_Ran):
    """A command ended by itself, with an exit code."""

    code: int = 0


class Signalled(_Ran):
    """A command died by a signal that was not ours."""

    signal: int = 0

    @property
    def signal_name(self) -> str:
        """The signal's name: SIGSEGV, or SIG42 where it has none."""
        try:
            return Signals(self.signal).name
        except ValueError:
            return f"SIG{self.signal}"


class TimedOut(_Ran):
    """A command was still running when its time was up, and was ended with all it had started."""


class NotStarted(Record):
    """A command could not be started: the `errno` of execve(2), fork(2) or pipe(2), and its text."""

    errno: int
    why: str


CommandOutcome = Exited | Signalled | TimedOut | NotStarted


class JobResult(StrEnum):
    """What became of the job behind `systemctl start`, `stop` or `reload` (JobRemoved in org.freedesktop.systemd1(5)).

    Two are not systemd's: PENDING, our time ended before the job; LOST, systemctl failed and told of no
    job's end, so it may not even have been queued (PID 1 was re-executing, say).
    """

    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"
    TIMEOUT = "timeout"
    DEPENDENCY = "dependency"
    ASSERT = "assert"
    UNSUPPORTED = "unsupported"
    INVALID = "invalid"
    COLLECTED = "collected"
    ONCE = "once"
    PENDING = "pending"
    LOST = "lost"
    REFUSED = "refused"


class JobOutcome(Record):
    """How a `systemctl` verb that queues a job ended; `said` is the line that tells why it was not done."""

    result: JobResult
    said: str = ""


class HookRan(Record):
    """A hook was started, or nearly: `NotStarted` here is the host's fault, not the hook's."""

    hook: str
    outcome: CommandOutcome


class HookMissing(Record):
    """A hook cannot be run as it is: absent, not executable, without an interpreter, for an unknown user."""

    hook: str
    why: str


class HookUnsafe(Record):
    """A hook is not safe to run: `why` names the path component at fault."""

    hook: str
    why: str


HookOutcome = HookRan | HookMissing | HookUnsafe


class Observation(Record):
    """One look at the unit and its hooks, taken at the same moment; no hooks: none had to run."""

    unit: UnitState | NoAnswer
    hooks: tuple[HookOutcome, ...] = ()
