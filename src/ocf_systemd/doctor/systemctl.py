"""What doctor asks systemd and other tools on this host, with commands that change nothing."""

from collections.abc import Sequence

import anyio

from ocf_systemd.agent.log import describe_outcome
from ocf_systemd.core.observations import CommandOutcome, Exited, NotStarted
from ocf_systemd.doctor.parse import Properties, parse_units
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import SEARCH_PATH
from ocf_systemd.host.processes import Command
from ocf_systemd.host.systemctl import tool_environment

_TIME_S = 10.0


class SilenceError(Exception):
    """Systemd does not answer; the message says what came instead."""


async def run(*arguments: str, user: tuple[int, int, Sequence[int]] | None = None) -> CommandOutcome:
    """Run a command, for ten seconds at most."""
    environment = tool_environment({"PATH": SEARCH_PATH})
    return await processes.run(Command(arguments, environment, user), deadline=anyio.current_time() + _TIME_S)


async def show(properties: Sequence[str], *names: str) -> tuple[Properties, ...]:
    """Return properties of units, or without names the manager's own. Raises SilenceError."""
    units = parse_units(await _systemctl("show", f"--property={','.join(properties)}", "--", *names))
    if not units:
        raise SilenceError("systemctl show told nothing")
    return units


async def list_names(verb: str, *patterns: str) -> tuple[str, ...]:
    """Return the names that `systemctl list-units` or `list-unit-files` has. Raises SilenceError."""
    stdout = await _systemctl(verb, "--all", "--plain", "--no-legend", "--", *patterns)
    return tuple(line.split()[0] for line in stdout.decode(errors="replace").splitlines() if line.split())


async def _systemctl(*arguments: str) -> bytes:
    match await run("systemctl", "--no-ask-password", "--no-pager", *arguments):
        case Exited(code=0, stdout=stdout):
            return stdout
        case NotStarted() as outcome:
            raise SilenceError(f"systemctl: {describe_outcome(outcome)}")
        case outcome:
            raise SilenceError(outcome.last_line or f"systemctl: {describe_outcome(outcome)}")
