"""What a rehearsal does to the unit besides the agent's actions: read properties, send signals, restore the state.

Each systemctl command and each wait has a deadline of its own.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGCONT, SIGKILL

import anyio

from ocf_systemd.core.observations import Exited
from ocf_systemd.core.unit_properties import parse_units
from ocf_systemd.host import processes
from ocf_systemd.host.cgroups import Cgroups
from ocf_systemd.host.drop_in import drop_in_path, put_drop_in, remove_drop_in
from ocf_systemd.host.procfs import Entry, command_line, descendants_of, environment_of, is_alive, read_stat
from ocf_systemd.host.signals import send_signal
from ocf_systemd.host.systemctl import systemctl_command
from ocf_systemd.rehearse.facts import UNIT_PROPERTIES, Leftover, UnitFacts, unit_facts

_SYSTEMCTL_S = 10.0  # the most that a systemctl command may take, except for a start
_END_WITHIN_S = 0.5  # the longest wait for processes to end after a stop or SIGKILL, or to stop after SIGSTOP
_POLL_S = 0.02  # between two checks during such a wait


@dataclass(frozen=True, slots=True)
class UnitProcesses:
    """The processes of a unit while it ran; its control group and invocation, by which later processes are found."""

    entries: frozenset[Entry] = frozenset()
    control_group: str = ""
    invocation: str = ""


@dataclass(slots=True)
class UnitControl:
    """Controls a unit on this host. systemctl gets `environment` without the variables that change what it does."""

    unit: str
    environment: Mapping[str, str]
    _frozen: frozenset[Entry] = field(default_factory=frozenset)  # those that `freeze` has stopped
    _known: dict[str, frozenset[Entry]] = field(default_factory=dict)  # all processes found so far, by invocation

    async def facts(self) -> UnitFacts:
        """Return the unit's properties, and whether it has the agent's drop-in."""
        shown = await self._systemctl("show", f"--property={UNIT_PROPERTIES}", "--", self.unit)
        return replace(unit_facts(parse_units(shown)[0]), has_drop_in=drop_in_path(self.unit).exists())

    async def processes(self) -> UnitProcesses:
        """Return the unit's processes, including those that left its control group, as far as they can be found."""
        facts = await self.facts()
        inside = _members(facts.control_group)
        entries = frozenset(descendants_of(*inside)) | _invoked(facts.invocation)
        self._known[facts.invocation] = self._known.get(facts.invocation, frozenset()) | entries
        return UnitProcesses(entries, facts.control_group, facts.invocation)

    async def kill_leftovers(self, before: UnitProcesses) -> tuple[Leftover, ...]:
        """Kill the processes that outlived a stop, so that they do not disturb the next start, and return them."""
        await _wait_for_end(before)
        inside = set(_members(before.control_group))
        found = (Leftover(each.pid, command_line(each.pid), each.pid not in inside) for each in _survivors(before))
        left = sorted((each for each in found if each.command), key=lambda each: each.pid)
        if left:
            send_signal(_survivors(before), SIGKILL)
            await _wait_for_end(before)
        return tuple(left)

    async def kill_all_leftovers(self) -> None:
        """Kill the remaining processes of all invocations of the unit, except for the invocation that runs."""
        facts = await self.facts()
        running = facts.invocation if facts.is_running else None
        for invocation, entries in self._known.items():
            if invocation != running:
                send_signal(entries | _invoked(invocation), SIGKILL)

    async def freeze(self) -> int:
        """Send SIGSTOP to all processes of the unit, and wait until they are stopped; return their number."""
        found = await self.processes()
        self._frozen = found.entries
        await self._systemctl("kill", "--signal=SIGSTOP", "--", self.unit)
        pids = _members(found.control_group)
        with anyio.move_on_after(_END_WITHIN_S):  # a process stops when it is next scheduled
            while not all(map(_is_stopped, pids)):  # noqa: ASYNC110
                await anyio.sleep(_POLL_S)
        return len(pids)

    async def thaw(self) -> None:
        """Send SIGCONT to all processes that were frozen, and to new ones of the unit."""
        if self._frozen:
            await self._systemctl("kill", "--signal=SIGCONT", "--", self.unit)
            send_signal(self._frozen, SIGCONT)
            self._frozen = frozenset()

    async def kill_main(self) -> str:
        """Kill the main process, or all processes if systemd knows no main one; return what was killed, or empty."""
        found, facts = await self.processes(), await self.facts()
        if facts.main_pid:
            with suppress(ProcessLookupError):
                os.kill(facts.main_pid, SIGKILL)
            return f"main process {facts.main_pid}"
        if not found.entries:
            return ""
        send_signal(_inside(found.control_group), SIGKILL)  # not with systemctl: see `Cgroups.send_signal`
        return "every process"

    async def restore_drop_in(self, *, exists: bool) -> None:
        """Write the agent's drop-in if `exists`, else remove it, and have systemd load the change. Raises OSError."""
        path = drop_in_path(self.unit)
        _ = put_drop_in(self.unit, path) if exists else remove_drop_in(path)
        await self._systemctl("daemon-reload")

    async def start(self, timeout_s: float) -> None:
        """Start the unit without waiting for its hook."""
        await self._systemctl("reset-failed", "--", self.unit)
        await self._systemctl("start", "--", self.unit, timeout_s=timeout_s)

    async def _systemctl(self, verb: str, *arguments: str, timeout_s: float = _SYSTEMCTL_S) -> bytes:
        command = systemctl_command(self.environment, verb, *arguments)
        match await processes.run(command, deadline=anyio.current_time() + timeout_s):
            case Exited(stdout=stdout):
                return stdout
            case _:
                return b""


async def _wait_for_end(before: UnitProcesses) -> None:
    with anyio.move_on_after(_END_WITHIN_S):
        while _survivors(before):  # noqa: ASYNC110  # there is no event for the end of others' children
            await anyio.sleep(_POLL_S)


def _invoked(invocation: str) -> frozenset[Entry]:
    """Return the processes that were started by this invocation of the unit, in whatever control group they are.

    systemd sets INVOCATION_ID in the environment of what it starts (systemd.exec(5)); child processes inherit it.
    """
    variable = f"INVOCATION_ID={invocation}".encode()
    pids = (int(path.name) for path in Path("/proc").glob("[1-9]*"))
    found = (read_stat(pid) for pid in pids if invocation and variable in environment_of(pid))
    return frozenset(stat.entry for stat in found if stat)


def _survivors(before: UnitProcesses) -> set[Entry]:
    """Return the processes of the unit that are alive: earlier ones, and later ones of its invocation or group."""
    found = before.entries | _invoked(before.invocation) | _inside(before.control_group)
    return {entry for entry in found if is_alive(entry)}


def _inside(control_group: str) -> frozenset[Entry]:
    found = map(read_stat, _members(control_group))
    return frozenset(stat.entry for stat in found if stat)


def _is_stopped(pid: int) -> bool:
    """Return whether a process is stopped or has ended, by its state letter (proc_pid_stat(5))."""
    stat = read_stat(pid)
    return stat is None or stat.state in "TtZX"


def _members(control_group: str) -> list[int]:
    return Cgroups().pids(control_group) if control_group else []
