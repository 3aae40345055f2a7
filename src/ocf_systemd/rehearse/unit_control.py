"""The unit on this host, as far as a rehearsal touches it: settings, signals, its processes, and putting it all back.

Everything keeps to a deadline of its own; starting and stopping is left to the agent's actions.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL

import anyio

from ocf_systemd.core.observations import Exited
from ocf_systemd.host import processes
from ocf_systemd.host.cgroups import Cgroups
from ocf_systemd.host.drop_in import drop_in_path, put_drop_in, remove_drop_in
from ocf_systemd.host.processes import Command
from ocf_systemd.host.procfs import Entry, command_line, descendants_of, environment_of, is_alive, read_stat
from ocf_systemd.host.signals import send_signal
from ocf_systemd.host.systemctl import tool_environment
from ocf_systemd.rehearse.facts import UNIT_PROPERTIES, LeftBehind, UnitFacts, unit_facts

_SYSTEMCTL_S = 10.0
_GONE_WITHIN_S = 0.5  # what was told to end has that long to do so
_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Cast:
    """The processes of a unit while it ran: who, where, and by what they can be told from others later."""

    entries: frozenset[Entry] = frozenset()
    control_group: str = ""
    invocation: str = ""


@dataclass(slots=True)
class Stage:
    """A unit on this host. `environment` is what systemctl gets, less what it must not."""

    unit: str
    environment: Mapping[str, str]
    _frozen: frozenset[Entry] = field(default_factory=frozenset)
    _seen: dict[str, frozenset[Entry]] = field(default_factory=dict)

    async def facts(self) -> UnitFacts:
        """Ask systemd for the unit's settings and where its processes are."""
        told = await self._systemctl("show", f"--property={','.join(UNIT_PROPERTIES)}", "--", self.unit)
        lines = told.decode(errors="backslashreplace").splitlines()
        return unit_facts(dict(line.split("=", 1) for line in lines if "=" in line))

    async def cast(self) -> Cast:
        """Return the unit's processes, those included that have left its control group as far as that can be told."""
        facts = await self.facts()
        inside = _members(facts.control_group)
        entries = frozenset(descendants_of(*inside)) | _invoked(facts.invocation)
        self._seen[facts.invocation] = self._seen.get(facts.invocation, frozenset()) | entries
        return Cast(entries, facts.control_group, facts.invocation)

    async def left_behind(self, cast: Cast) -> tuple[LeftBehind, ...]:
        """Return what still runs of a unit that has been stopped."""
        with anyio.move_on_after(_GONE_WITHIN_S):
            while _survivors(cast):  # noqa: ASYNC110  # no event tells of the end of others' children
                await anyio.sleep(_LOOK_AGAIN_S)
        inside = set(_members(cast.control_group))
        left = (LeftBehind(each.pid, command_line(each.pid), each.pid not in inside) for each in _survivors(cast))
        return tuple(sorted((each for each in left if each.words), key=lambda each: each.pid))

    async def end(self, cast: Cast) -> None:
        """Kill what is left of a unit that has been stopped: it would be in the way of the next start."""
        send_signal(_survivors(cast), SIGKILL)
        with anyio.move_on_after(_GONE_WITHIN_S):
            while _survivors(cast):  # noqa: ASYNC110
                await anyio.sleep(_LOOK_AGAIN_S)

    async def sweep(self) -> None:
        """Kill what is left of every run of the unit that has been seen, but of the one that runs now."""
        facts = await self.facts()
        running = facts.invocation if facts.is_running else None
        for invocation, entries in self._seen.items():
            if invocation != running:
                send_signal(entries | _invoked(invocation), SIGKILL)

    async def freeze(self) -> int:
        """Stop all of the unit's processes by SIGSTOP; return how many there are."""
        cast = await self.cast()
        self._frozen = cast.entries
        await self._systemctl("kill", "--signal=SIGSTOP", "--", self.unit)
        return len(_members(cast.control_group))

    async def thaw(self) -> None:
        """Have all go on that was stopped, new processes of the unit as well."""
        if self._frozen:
            await self._systemctl("kill", "--signal=SIGCONT", "--", self.unit)
            send_signal(self._frozen, SIGCONT)
            self._frozen = frozenset()

    async def kill_main(self) -> str:
        """Kill the main process, or all where systemd knows none; return who that was, empty: there is none."""
        cast, facts = await self.cast(), await self.facts()
        if facts.main_pid:
            with suppress(ProcessLookupError):
                os.kill(facts.main_pid, SIGKILL)
            return f"main process {facts.main_pid}"
        if not cast.entries:
            return ""
        send_signal(_inside(cast.control_group), SIGKILL)  # by pid, as `Cgroups.send_signal` explains
        return "every process"

    def has_drop_in(self) -> bool:
        """Tell whether a cluster's start has left its mark: our drop-in."""
        return drop_in_path(self.unit).exists()

    async def put_back_drop_in(self, *, wanted: bool) -> None:
        """Have the drop-in stand, or not, and in force. Raises OSError."""
        path = drop_in_path(self.unit)
        _ = put_drop_in(self.unit, path) if wanted else remove_drop_in(path)
        await self._systemctl("daemon-reload")

    async def start(self, timeout_s: float) -> None:
        """Start the unit without waiting for its hook."""
        await self._systemctl("reset-failed", "--", self.unit)
        await self._systemctl("start", "--", self.unit, timeout_s=timeout_s)

    async def _systemctl(self, *arguments: str, timeout_s: float = _SYSTEMCTL_S) -> bytes:
        command = Command(
            ("systemctl", "--no-ask-password", "--no-pager", *arguments), tool_environment(self.environment)
        )
        match await processes.run(command, deadline=anyio.current_time() + timeout_s):
            case Exited(stdout=stdout):
                return stdout
            case _:
                return b""


def _invoked(invocation: str) -> frozenset[Entry]:
    """Return the processes that were started by this invocation of the unit, wherever they are now.

    systemd gives what it starts the variable INVOCATION_ID (systemd.exec(5)), which children have as well.
    """
    variable = f"INVOCATION_ID={invocation}".encode()
    pids = (int(path.name) for path in Path("/proc").glob("[1-9]*"))
    found = (read_stat(pid) for pid in pids if invocation and variable in environment_of(pid))
    return frozenset(stat.entry for stat in found if stat)


def _survivors(cast: Cast) -> set[Entry]:
    found = cast.entries | _invoked(cast.invocation) | _inside(cast.control_group)
    return {entry for entry in found if is_alive(entry)}


def _inside(control_group: str) -> frozenset[Entry]:
    found = map(read_stat, _members(control_group))
    return frozenset(stat.entry for stat in found if stat)


def _members(control_group: str) -> list[int]:
    return Cgroups().pids(control_group) if control_group else []
