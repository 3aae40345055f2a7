"""Calls systemctl(1) and journalctl(1) for one unit, and reads the results of jobs from what systemctl prints."""

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import assert_never

from ocf_systemd.core.observations import (
    CommandOutcome,
    Exited,
    JobOutcome,
    JobResult,
    NoAnswer,
    NotStarted,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printed_lines
from ocf_systemd.core.unit_properties import parse_show
from ocf_systemd.host.cgroups import Cgroups, UnitProcesses
from ocf_systemd.host.processes import Command, Runner

_PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,Job,CanReload,ConditionResult,"
    "ConditionTimestampMonotonic,NeedDaemonReload,DropInPaths,Id,Names,Restart,RestartForceExitStatus,"
    "KillMode,MainPID,ExecMainPID,ExecMainStartTimestampMonotonic,ControlGroup,Slice"
)

# Variables that change what systemd's tools do, or which manager they call.
FOREIGN_VARIABLES = re.compile("SYSTEMD_.*|SYSTEMCTL_.*|NOTIFY_SOCKET|LISTEN_.*|WATCHDOG_.*|DBUS_.*|XDG_RUNTIME_DIR")
_SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# What systemctl prints when a job fails (bus-wait-for-jobs.c) or is refused, but not when the request is lost. `\S*` is
# a unit's name, which contains no blank; `.*` would take seconds on other text. The patterns are compiled only when a
# job has failed.
_JOB_MESSAGES = (
    (JobResult.CANCELED, r"Job for \S* canceled\."),
    (JobResult.TIMEOUT, r"Job for \S* timed out\."),
    (JobResult.DEPENDENCY, r"A dependency job for \S* failed\."),
    (JobResult.INVALID, r" is not active, cannot reload\."),
    (JobResult.ASSERT, r"Assertion failed on job for "),
    (JobResult.UNSUPPORTED, r"Operation on or unit type of \S* not supported"),
    (JobResult.COLLECTED, r"Queued job for \S* was garbage collected\."),
    (JobResult.ONCE, r"Unit \S* was started already once"),
    (JobResult.FAILED, r"Job (for \S* )?failed"),
    (JobResult.REFUSE_MANUAL, r"Operation refused, unit \S* may be requested by dependency only"),
    # The exit code of "access denied", 4, does not suffice: systemctl also exits with 4 if a queued job forbids the
    # request, as while the host shuts down.
    (JobResult.ACCESS_DENIED, r"Access denied|[Aa]uthentication required|Permission denied|Operation not permitted"),
)

_JOURNAL_SPARE_S = 0.1  # seconds added to a search in the journal: journalctl counts from its own start
_PACEMAKER = ("pacemaker.service", "pacemaker_remote.service")
_STOP_JOBS = frozenset({"stop", "restart"})  # a restart job stops the unit first (job.c)


def tool_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for systemd's tools: the action's, without variables that change what they do."""
    kept = {name: value for name, value in environment.items() if not FOREIGN_VARIABLES.fullmatch(name)}
    return {"PATH": _SEARCH_PATH, **kept, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


def systemctl_command(environment: Mapping[str, str], verb: str, *arguments: str) -> Command:
    """Return the command that runs `systemctl` without questions and without a pager."""
    return Command(("systemctl", "--no-ask-password", "--no-pager", verb, *arguments), tool_environment(environment))


QueryPid1 = Callable[[str, float], Awaitable[UnitState | None]]
"""Queries PID 1 for the state of a unit, by its name, until a deadline; None: `systemctl` must be called instead."""


class Systemctl(Record):
    """The system manager, for one unit. Deadlines are on the event loop's clock."""

    unit: str
    environment: Mapping[str, str]
    run: Runner
    query_pid1: QueryPid1 | None = None
    unit_processes: UnitProcesses = Cgroups()

    async def show(self, deadline: float) -> UnitState | NoAnswer:
        """Query the unit's state; for an inactive or failed unit, also which of its processes are alive."""
        if self.query_pid1 and (state := await self.query_pid1(self.unit, deadline)):
            return state
        unit = await self._show(deadline)
        if not (isinstance(unit, UnitState) and unit.is_inactive):
            return unit
        found = self.unit_processes.find(unit)
        if not found.remaining:
            return found
        # These processes are of the last run, unless the unit was started after the reply: query it again.
        unit = await self._show(deadline)
        return self.unit_processes.find(unit) if isinstance(unit, UnitState) and unit.is_inactive else unit

    async def _show(self, deadline: float) -> UnitState | NoAnswer:
        match await self._systemctl("show", f"--property={_PROPERTIES}", deadline=deadline):
            case Exited(code=0, stdout=stdout):
                return parse_show(self.unit, stdout)
            case failure:
                return NoAnswer(_why(failure))

    async def start(self, deadline: float) -> JobOutcome:
        """Start the unit and wait for its job."""
        return job_outcome(await self._systemctl("start", deadline=deadline))

    async def stop(self, deadline: float) -> JobOutcome:
        """Stop the unit and wait for its job."""
        return job_outcome(await self._systemctl("stop", deadline=deadline))

    async def stop_at_once(self, deadline: float) -> JobOutcome:
        """Stop the unit at once, without waiting for jobs that systemd orders before its stop.

        A stop job of the unit that is queued already no longer waits for them either. Units that require this one do
        not stop with it (--job-mode= in systemctl(1)).
        """
        return job_outcome(await self._systemctl("stop", "--job-mode=ignore-dependencies", deadline=deadline))

    async def is_stopping_pacemaker(self, deadline: float) -> bool:
        """Return whether a job is queued that stops Pacemaker, as while the host shuts down."""
        command = systemctl_command(self.environment, "list-jobs", "--no-legend", *_PACEMAKER)
        match await self.run(command, deadline=deadline):
            case Exited(code=0, stdout=stdout):
                jobs = (line.split() for line in stdout.decode(errors="replace").splitlines())
                return any(job[1] in _PACEMAKER and job[2] in _STOP_JOBS for job in jobs if len(job) >= len("JUTS"))
            case _:
                return False

    async def reload(self, deadline: float) -> JobOutcome:
        """Make the unit reload its configuration, and wait for its job."""
        return job_outcome(await self._systemctl("reload", deadline=deadline))

    async def reset_failed(self, deadline: float) -> None:
        """Reset the unit's failed state and its count of starts; a unit that has neither is not an error."""
        await self._systemctl("reset-failed", deadline=deadline)

    async def daemon_reload(self, deadline: float) -> str:
        """Make systemd read its unit files again; return why that failed, or an empty string."""
        match await self.run(systemctl_command(self.environment, "daemon-reload"), deadline=deadline):
            case Exited(code=0):
                return ""
            case failure:
                return f"daemon-reload: {_why(failure)}"

    async def last_log_line(self, unit: str, within_s: float, deadline: float) -> str:
        """Return the last line that the processes of a unit logged in the last `within_s` seconds; `unit` is its Id.

        The search is not by invocation ID: journald does not know the ID of a process that has already ended, and
        systemd forgets the ID of a unit when it unloads the unit.
        """
        await self._journal("--sync", deadline=deadline)  # journald may not have read the last lines yet
        return await self._last_line(within_s, deadline, f"_SYSTEMD_UNIT={unit}")

    async def last_log_line_about(self, unit: str, within_s: float, deadline: float) -> str:
        """Return `last_log_line` or else the last line that PID 1 logged about the unit, such as an unmet condition."""
        line = await self.last_log_line(unit, within_s, deadline)
        return line or await self._last_line(within_s, deadline, "_PID=1", f"UNIT={unit}")

    async def _last_line(self, within_s: float, deadline: float, *matches: str) -> str:
        # --since is relative to journalctl's own start, a little later. With --since, --lines=1 would print the
        # first line, but with --reverse that is the last one.
        since = f"--since=-{within_s + _JOURNAL_SPARE_S:.3f}s"
        options = ("--output=cat", "--reverse", "--lines=1", since)
        lines = await self._journal(*options, *matches, deadline=deadline)
        return lines[-1] if lines else ""

    async def journal(self, count: int, deadline: float) -> tuple[str, ...]:
        """Return the last lines in the journal about the unit, including those of systemd itself."""
        options = ("--output=short", f"--lines={count}", f"--unit={self.unit}")
        return await self._journal(*options, deadline=deadline)

    async def _journal(self, *options: str, deadline: float) -> tuple[str, ...]:
        arguments = ("journalctl", "--quiet", "--no-pager", *options)
        match await self.run(Command(arguments, tool_environment(self.environment)), deadline=deadline):
            case Exited(code=0, stdout=stdout):
                return tuple(printed_lines(stdout))
            case _:
                return ()

    async def _systemctl(self, verb: str, *options: str, deadline: float) -> CommandOutcome:
        command = systemctl_command(self.environment, verb, *options, "--", self.unit)
        return await self.run(command, deadline=deadline)


def _why(outcome: CommandOutcome) -> str:
    match outcome:
        case Exited(code=code):
            return f"{outcome.last_line or 'no output'} (systemctl exited with {code})"
        case Signalled():
            return f"systemctl died by {outcome.signal_name}"
        case TimedOut(elapsed_s=elapsed_s):
            return f"no answer within {elapsed_s:.1f} s"
        case NotStarted(why=why):
            return f"systemctl could not be started: {why}"
        case _:
            assert_never(outcome)


def job_outcome(outcome: CommandOutcome) -> JobOutcome:
    """Return the result of a job, from the `systemctl` call that requested it and waited for it."""
    match outcome:
        case Exited(code=0):
            return JobOutcome(JobResult.DONE)
        case Exited(stderr=stderr):
            text = stderr.decode(errors="backslashreplace")
            results = (result for result, message in _JOB_MESSAGES if re.search(message, text))
            return JobOutcome(next(results, JobResult.LOST), _first_line(outcome))
        case TimedOut(elapsed_s=elapsed_s):
            return JobOutcome(JobResult.PENDING, f"its job still runs after {elapsed_s:.1f} s")
        case _:
            return JobOutcome(JobResult.LOST, _why(outcome))


def _first_line(outcome: Exited) -> str:
    # Warnings before the message are about changed unit files; the lines after it are advice to read the journal.
    return next((line for line in printed_lines(outcome.stderr) if not line.startswith("Warning:")), "")


def is_booted(run_directory: Path = Path("/run")) -> bool:
    """Return whether systemd booted this host (sd_booted(3))."""
    return os.path.isdir(f"{run_directory}/systemd/system")  # noqa: PTH112  # for each action, and pathlib is slow
