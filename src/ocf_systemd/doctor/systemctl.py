"""Queries systemd and other tools on this host, with commands that change nothing."""

import os
import shutil
from collections.abc import Sequence

import anyio

from ocf_systemd.agent.log import describe_outcome
from ocf_systemd.core.observations import CommandOutcome, Exited, NotStarted
from ocf_systemd.core.unit_properties import parse_units
from ocf_systemd.doctor import parse
from ocf_systemd.doctor.parse import Properties
from ocf_systemd.host import processes
from ocf_systemd.host.processes import Command
from ocf_systemd.host.programs import SEARCH_PATH
from ocf_systemd.host.systemctl import systemctl_command, tool_environment

_TIMEOUT_S = 10.0  # of each command
_ENVIRONMENT = {"PATH": SEARCH_PATH}

# systemd-analyze updates the time stamp of this file, with which mount(8) detects that fstab has changed since PID 1
# loaded it. So that nothing changes, systemd-analyze runs in a mount namespace in which the file is read-only.
_UNITS_LOADED = "/run/systemd/systemd-units-load"
_READ_ONLY = """
[ ! -e "$1" ] || { mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"; } || exit
shift
exec "$@"
"""
_UNTOUCHED = ("unshare", "--mount", "sh", "-c", _READ_ONLY, "sh", _UNITS_LOADED)


class NoAnswerError(Exception):
    """Systemd does not answer; the message says why."""


async def run(*arguments: str, user: tuple[int, int, Sequence[int]] | None = None) -> CommandOutcome:
    """Run a tool, for ten seconds at most."""
    return await _run(Command(arguments, tool_environment(_ENVIRONMENT), user))


async def _run(command: Command) -> CommandOutcome:
    return await processes.run(command, deadline=anyio.current_time() + _TIMEOUT_S)


async def show(properties: Sequence[str], *names: str) -> Sequence[Properties]:
    """Return properties of units, or of the manager if there are no names. Raises NoAnswerError."""
    units = parse_units(await _systemctl("show", f"--property={','.join(properties)}", "--", *names))
    if not units[0]:
        raise NoAnswerError("systemctl show printed no properties")
    return units


async def list_names(verb: str, *patterns: str) -> tuple[str, ...]:
    """Return the names that `systemctl list-units` or `list-unit-files` prints. Raises NoAnswerError."""
    stdout = await _systemctl(verb, "--all", "--plain", "--no-legend", "--", *patterns)
    return tuple(line.split()[0] for line in stdout.decode(errors="replace").splitlines() if line.split())


async def unmet_conditions(unit: str) -> tuple[str, ...] | str:
    """Return a unit's conditions and assertions that are not met now, or a text that says why they are unknown."""
    analyze = ("systemd-analyze", "condition", f"--unit={unit}")
    if shutil.which(analyze[0], path=SEARCH_PATH) is None:
        return "systemd-analyze is not installed"
    outcome = await run(*(_UNTOUCHED if os.geteuid() == 0 else ()), *analyze)
    if not isinstance(outcome, Exited):
        return f"systemd-analyze: {describe_outcome(outcome)}"
    output = (outcome.stdout + outcome.stderr).decode(errors="replace")
    # systemd-analyze fails if a condition is not met, but also if it cannot check conditions, as before systemd 250.
    unmet = parse.unmet_conditions(output)
    return f"systemd-analyze: {outcome.last_line or describe_outcome(outcome)}" if outcome.code and not unmet else unmet


async def _systemctl(verb: str, *arguments: str) -> bytes:
    match await _run(systemctl_command(_ENVIRONMENT, verb, *arguments)):
        case Exited(code=0, stdout=stdout):
            return stdout
        case outcome:
            last_line = "" if isinstance(outcome, NotStarted) else outcome.last_line
            raise NoAnswerError(last_line or f"systemctl: {describe_outcome(outcome)}")
