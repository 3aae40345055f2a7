"""What was observed of the host, as immutable records: a unit's state, how a command ended, the outcome of a hook.

The module `judgement` decides what the observations mean for the cluster.
"""

from enum import StrEnum
from signal import Signals

from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printable

KEPT_OUTPUT = 64 * 1024
"""The number of bytes that are kept of each output stream of a command: the last ones."""


def signal_name(number: int) -> str:
    """Return a signal's name: SIGSEGV, or SIG42 where it has none."""
    try:
        return Signals(number).name
    except ValueError:
        return f"SIG{number}"


class LoadState(StrEnum):
    """A unit's LoadState (org.freedesktop.systemd1(5)); UNRECOGNISED stands for a value of a later systemd."""

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
    """A unit's ActiveState (org.freedesktop.systemd1(5)); UNRECOGNISED stands for a value of a later systemd."""

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
"""In these states the unit runs: a service that is reloading or refreshing continues to serve."""

DOWN_STATES = frozenset({ActiveState.INACTIVE, ActiveState.FAILED})
"""In these states systemd has nothing left to do for the unit. Other states, except RUNNING_STATES, are transitions."""

_KILLS_ALL = frozenset({"control-group", "mixed"})  # KillMode= with which a stop ends all (systemd.kill(5))


class Process(Record):
    """A process that is alive; its start time distinguishes it from a later process with the same pid.

    `started` is the start time in clock ticks since boot, and `name` is the comm (proc_pid_stat(5)).
    `is_uninterruptible` means that the process is in uninterruptible sleep (state D): no signal can end the process
    before the kernel has done what the process waits for.
    """

    pid: int
    started: int
    name: str
    is_uninterruptible: bool = False

    def __str__(self) -> str:
        return f"{self.name}[{self.pid}]"


class UnitDetails(Record):
    """More properties of a unit (org.freedesktop.systemd1(5)), which are known only if `systemctl show` was called.

    `main_pid` is MainPID. Once systemd has given up on a main process that does not end, `main_pid` is ExecMainPID.
    `main_started_us` is ExecMainStartTimestampMonotonic, in microseconds on CLOCK_MONOTONIC. `restart_force` is
    RestartForceExitStatus. The other fields have the names of their properties.
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

    `result` is the unit's Result. `main_exit` is how its main process ended ("status 1", "SIGSEGV"; empty: it has not
    ended). `has_job` means that a job is queued for the unit. `condition_met` is False if systemd skipped the last
    start because of a condition, such as ConditionPathExists=. `drop_in_paths` are the drop-ins that systemd has
    loaded: files that add to the unit file. `primary_name` is the unit's Id, if `unit` is an alias and `details` is
    None. `main_process` and `processes` are set only for an inactive or failed unit: its main process, if that is still
    alive, and the other living processes in its cgroup.
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
        """The unit's primary name, which is also its name in the journal and in its cgroup; `unit` may be an alias."""
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
        """Whether the unit was observed stopped: inactive or failed, and no process that a stop must end is alive."""
        return self.is_inactive and not self.remaining

    @property
    def remaining(self) -> tuple[Process, ...]:
        """The living processes that a stop must end, by KillMode=: while there is one, the unit is not down."""
        main = (self.main_process,) if self.main_process else ()
        return main + (self.processes if self._kills_all else ())

    @property
    def left_running(self) -> tuple[Process, ...]:
        """The living processes that may outlive a stop: with KillMode=process or none, all but the main process."""
        return () if self._kills_all else self.processes

    @property
    def _kills_all(self) -> bool:
        return self.details is None or self.details.kill_mode in _KILLS_ALL


class NoAnswer(Record):
    """Systemd did not report the unit's state; `why` describes the failure, for people."""

    why: str
    is_running = is_down = False  # neither was observed


class _Ran(Record):
    """What is known of any command that ran: how long, in seconds, and the last bytes of its output streams."""

    elapsed_s: float
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def last_line(self) -> str:
        """The last line with printable text, of stderr or else of stdout; empty: neither has one."""
        for stream in (self.stderr, self.stdout):
            for line in reversed(stream.splitlines()):
                if text := printable(line):
                    return text
        return ""


class Exited(_Ran):
    """A command ended by itself, with an exit code."""

    code: int = 0


class Signalled(_Ran):
    """A command died by a signal that the agent did not send."""

    signal: int = 0

    @property
    def signal_name(self) -> str:
        """The signal's name."""
        return signal_name(self.signal)


class TimedOut(_Ran):
    """A command was still running at its deadline or time limit, and was ended with all its descendants.

    `survivors` are those of these processes that SIGKILL could not end: they are in uninterruptible sleep.
    """

    survivors: tuple[Process, ...] = ()


class NotStarted(Record):
    """A command could not be started; `errno` is that of execve(2), fork(2) or pipe(2), and `why` is its text."""

    errno: int
    why: str


CommandOutcome = Exited | Signalled | TimedOut | NotStarted


class JobResult(StrEnum):
    """The result of the job behind `systemctl start`, `stop` or `reload` (JobRemoved in org.freedesktop.systemd1(5)).

    Four results are the agent's own, not systemd's. PENDING: the agent's time ended before the job did. LOST: systemctl
    failed and did not report how a job ended; possibly no job was queued, as while PID 1 re-executes. ACCESS_DENIED:
    the caller may not request the job. REFUSE_MANUAL: the unit has RefuseManualStart= or RefuseManualStop=.
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
    """How the job of a `systemctl` call ended; `message` is the line that explains why the job was not done."""

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
"""The end of the `why` of a `HookUnsafe` if the path of the interpreter is unsafe, not that of the hook itself."""


class HookUnsafe(Record):
    """A hook is not safe to run: `why` names the path component at fault."""

    hook: str
    why: str


class HookStuck(Record):
    """A hook was not started, because a process of its last run, the `survivor`, is alive in spite of SIGKILL."""

    hook: str
    survivor: Process


HookOutcome = HookAttempted | HookMissing | HookUnsafe | HookStuck


class Observation(Record):
    """One observation of the unit and its hooks; `hooks` is empty if none had to run or the unit does not run."""

    unit: UnitState | NoAnswer
    hooks: tuple[HookOutcome, ...] = ()
