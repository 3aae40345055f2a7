"""What was observed of the host, as immutable records: a unit's state, how a command ended, the outcome of a hook.

What they mean for the cluster is decided in `judgement`.
"""

from enum import StrEnum
from signal import Signals

from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printable

KEPT_OUTPUT = 64 * 1024
"""Bytes kept of each of a command's streams, the last ones."""


def signal_name(number: int) -> str:
    """Return a signal's name: SIGSEGV, or SIG42 where it has none."""
    try:
        return Signals(number).name
    except ValueError:
        return f"SIG{number}"


class LoadState(StrEnum):
    """A unit's LoadState (org.freedesktop.systemd1(5)); UNRECOGNISED stands for one that only a later systemd has."""

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
    """A unit's ActiveState (org.freedesktop.systemd1(5)); UNRECOGNISED stands for one that only a later systemd has."""

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
"""systemd reports that the unit runs: reloading and refreshing services continue to serve."""

DOWN_STATES = frozenset({ActiveState.INACTIVE, ActiveState.FAILED})
"""systemd has nothing left to do for the unit. A state in neither set is a transition to one of them."""

_KILLS_ALL = frozenset({"control-group", "mixed"})  # KillMode= in systemd.kill(5): the others leave processes


class Process(Record):
    """A process that is alive; its start time distinguishes it from a later one of the same pid (proc_pid_stat(5)).

    `started` is in clock ticks since boot, `name` its comm, `is_uninterruptible` whether it is in state D: no signal
    ends it until the kernel is done with what it waits for.
    """

    pid: int
    started: int
    name: str
    is_uninterruptible: bool = False

    def __str__(self) -> str:
        return f"{self.name}[{self.pid}]"


class UnitDetails(Record):
    """What only `systemctl show` reports of a unit, each property by its own name (org.freedesktop.systemd1(5)).

    `main_pid` is MainPID or, once systemd has given up on a main process that does not end, ExecMainPID,
    `main_started_us` is ExecMainStartTimestampMonotonic, in microseconds on CLOCK_MONOTONIC, `restart_force`
    RestartForceExitStatus.
    """

    id: str
    names: tuple[str, ...] = ()
    restart: str = ""
    restart_force: str = ""
    kill_mode: str = ""
    main_pid: int = 0
    main_started_us: int = 0
    control_group: str = ""
    slice: str = ""


class UnitState(Record):
    """The state of a unit, as `systemctl show` or PID 1 itself reports it.

    `result` is the unit's Result, `main_exit` how its main process ended ("status 1", "SIGSEGV", empty when it did
    not), `has_job` whether a job is queued for it, `condition_met` False when systemd skipped its last start,
    `drop_in_paths` the drop-ins that systemd has loaded, `primary_name` its Id, if `unit` is an alias and there are no
    `details`. `main_process` and `processes` are alive although the unit is inactive or failed: its main process, and
    the others in its cgroup.
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
    details: UnitDetails | None = None
    primary_name: str = ""
    main_process: Process | None = None
    processes: tuple[Process, ...] = ()

    @property
    def id(self) -> str:
        """The unit's primary name, which the journal and its cgroup have: `unit` may be an alias."""
        return self.details.id if self.details else self.primary_name or self.unit

    @property
    def is_running(self) -> bool:
        """Whether systemd reports the unit active, reloading or refreshing."""
        return self.active_state in RUNNING_STATES

    @property
    def is_inactive(self) -> bool:
        """Whether systemd reports the unit stopped: inactive or failed."""
        return self.active_state in DOWN_STATES

    @property
    def is_down(self) -> bool:
        """Whether the unit is observed stopped: inactive or failed, and no process alive that should not be."""
        return self.is_inactive and not self.remaining

    @property
    def remaining(self) -> tuple[Process, ...]:
        """The processes that a stop must end, by KillMode=: while one is alive, the unit is not stopped."""
        main = (self.main_process,) if self.main_process else ()
        return main + (self.processes if self._kills_all else ())

    @property
    def left_running(self) -> tuple[Process, ...]:
        """The processes that may outlive a stop: with KillMode=process or none, all but the main process."""
        return () if self._kills_all else self.processes

    @property
    def _kills_all(self) -> bool:
        return self.details is None or self.details.kill_mode in _KILLS_ALL


class NoAnswer(Record):
    """Systemd did not report the unit's state; `why` is what came instead."""

    why: str
    is_running = is_down = False  # neither was observed


class _Ran(Record):
    """What is known of any command that ran: its time in seconds, and the last bytes of its streams."""

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
        """The signal's name."""
        return signal_name(self.signal)


class TimedOut(_Ran):
    """A command was still running at its deadline or time limit, and was ended with all its descendants.

    `survivors` are those of its processes that are alive in spite of SIGKILL.
    """

    survivors: tuple[Process, ...] = ()


class NotStarted(Record):
    """A command could not be started: the `errno` of execve(2), fork(2) or pipe(2), and its text."""

    errno: int
    why: str


CommandOutcome = Exited | Signalled | TimedOut | NotStarted


class JobResult(StrEnum):
    """The result of the job behind `systemctl start`, `stop` or `reload` (JobRemoved in org.freedesktop.systemd1(5)).

    Four are not systemd's: PENDING, our time ended before the job; LOST, systemctl failed and reported no job's end,
    so it may not even have been queued (as while PID 1 re-executes); ACCESS_DENIED; REFUSE_MANUAL, the unit has
    RefuseManualStart= or RefuseManualStop=.
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
    ACCESS_DENIED = "access-denied"
    REFUSE_MANUAL = "refuse-manual"


class JobOutcome(Record):
    """How a `systemctl` verb that queues a job ended; `message` is the line that explains why it was not done."""

    result: JobResult
    message: str = ""


class HookAttempted(Record):
    """The agent tried to run a hook. If the host could not start it, `outcome` is `NotStarted`."""

    hook: str
    outcome: CommandOutcome


class HookMissing(Record):
    """A hook cannot be run as it is: absent, not executable, without an interpreter, for an unknown user."""

    hook: str
    why: str


OF_INTERPRETER = "(the path of its interpreter)"
"""Ends the `why` of a `HookUnsafe` whose interpreter is unsafe, not the hook itself."""


class HookUnsafe(Record):
    """A hook is not safe to run: `why` names the path component at fault."""

    hook: str
    why: str


class HookStuck(Record):
    """A hook is not started, since `survivor`, a process of its last run, cannot be killed."""

    hook: str
    survivor: Process


HookOutcome = HookAttempted | HookMissing | HookUnsafe | HookStuck


class Observation(Record):
    """One observation of the unit and its hooks, made concurrently; no hooks: none had to run."""

    unit: UnitState | NoAnswer
    hooks: tuple[HookOutcome, ...] = ()
