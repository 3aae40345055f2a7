"""What an action needs, and how it runs commands: the start and the end of each command are reported."""

from collections.abc import Mapping
from pathlib import Path

from ocf_systemd.agent.events import CommandEnded, CommandStarted, Purpose, Reporter
from ocf_systemd.core.observations import CommandOutcome
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import Operation, Parameters
from ocf_systemd.core.records import Record
from ocf_systemd.host.cgroups import Cgroups, UnitProcesses
from ocf_systemd.host.drop_in import drop_in_path
from ocf_systemd.host.processes import Command, Runner
from ocf_systemd.host.systemctl import QueryPid1, Systemctl


class Request(Record):
    """One call of an action: what Pacemaker has requested, and the means to perform it.

    `deadline` is the agent deadline, on the event loop's clock: the action must have a result by then, before
    Pacemaker's timeout. `environment` is the whole environment of the action; hooks and systemctl get it without some
    variables (`hook_environment`, `tool_environment`). `query_pid1`, if set, queries the unit's state, and systemctl
    does so only if that gives no state. If `raises_shortage` is set, a lack of descriptors or memory raises OSError
    instead of being a failed hook: another process may have what this one lacks.
    """

    action: Action
    parameters: Parameters
    operation: Operation
    deadline: float
    environment: Mapping[str, str]
    reporter: Reporter
    run: Runner
    run_directory: Path = Path("/run")
    query_pid1: QueryPid1 | None = None
    unit_processes: UnitProcesses = Cgroups()
    raises_shortage: bool = False

    @property
    def systemctl(self) -> Systemctl:
        """The system manager; each call of it is reported."""
        run = self.reporting_runner(Purpose.SYSTEMD)
        return Systemctl(self.parameters.unit, self.environment, run, self.query_pid1, self.unit_processes)

    @property
    def drop_in_path(self) -> Path:
        """Where the unit's drop-in is."""
        return drop_in_path(self.parameters.unit, self.run_directory)

    @property
    def has_hook(self) -> bool:
        """Whether there is a hook, whatever its level."""
        return self.parameters.monitor_hook is not None

    @property
    def has_due_hook(self) -> bool:
        """Whether there is a hook that a monitor of this check level runs."""
        return self.has_hook and self.parameters.monitor_hook_level <= self.operation.check_level

    def reporting_runner(self, purpose: Purpose) -> Runner:
        """Return a runner that reports the start and the end of each command, with `purpose`."""
        return _ReportingRunner(self.run, self.reporter, purpose)


class _ReportingRunner(Record):
    run: Runner
    reporter: Reporter
    purpose: Purpose

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        started, outcome = CommandStarted(self.purpose, command), None
        self.reporter.report(started)
        try:
            outcome = await self.run(command, deadline=deadline)
        finally:
            self.reporter.report(CommandEnded(started, outcome))
        return outcome
