"""What debug mode has changed on this host: whether the unit runs, and the agent's drop-in.

The drop-in is a file below /run that a start writes and a stop removes (`host/drop_in`). After a start, and after a
cycle of a unit that was down before, it stays while the unit runs, as after a start by Pacemaker. In all other cases
debug mode removes a drop-in that it has written. A drop-in that existed before debug mode ran is from a start by
Pacemaker: it is removed only if a stop or a cycle leaves the unit down.
"""

from dataclasses import dataclass
from pathlib import Path

import anyio

from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.agent.observing import show_unit
from ocf_systemd.agent.request import Request
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.agent.unit_files import unload_drop_in
from ocf_systemd.core.observations import UnitState
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import read_leniently, read_operation
from ocf_systemd.host import processes
from ocf_systemd.host.cluster import ClusterError, resources_of
from ocf_systemd.host.drop_in import drop_in_path

_SHOW_S = 2.0  # for a query of the unit's state
_UNLOAD_S = 10.0  # for the removal of the drop-in, which may need a daemon-reload


@dataclass(frozen=True, slots=True)
class HostState:
    """Whether the unit runs, is starting or is stopping, and whether the agent's drop-in exists."""

    is_up: bool
    has_drop_in: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different on this host from before the action.

    `has_started`: the unit runs, and was down before. `has_stopped`: the unit is down and ran before, and the action
    was not a stop. `drop_in` is the path of a drop-in that debug mode has written and not removed. `is_unknown`:
    systemd did not report the unit's state before the action, or after it.
    """

    unit: str = ""
    has_started: bool = False
    has_stopped: bool = False
    drop_in: Path | None = None
    is_unknown: bool = False


class HostChanges:
    """Observes the unit before and after a start, a stop or a cycle, and removes a drop-in that must not stay."""

    def __init__(self, unit: str) -> None:
        environment = pacemaker_environment(Action.STOP, {"unit": unit}, Operations())
        self._parameters, _ = read_leniently(environment)
        self._environment = environment
        self._before = anyio.run(self._state) if self._parameters.unit else None

    def finish(self, *, is_start: bool, is_stop: bool) -> Changes:
        """Remove the drop-in if it must not stay; return what is changed. A cycle is neither a start nor a stop."""
        before, after = self._before, anyio.run(self._state) if self._before else None
        if before is None or after is None:
            return Changes(self._parameters.unit, is_unknown=bool(self._parameters.unit))
        if after.is_up:
            must_go = before.is_up and not before.has_drop_in and not is_start
        else:
            must_go = not before.has_drop_in or not is_start
        must_go = must_go and after.has_drop_in
        is_pacemakers = must_go and self._may_be_pacemakers()
        if must_go and not is_pacemakers:
            anyio.run(self._unload_drop_in)
        path = drop_in_path(self._parameters.unit)
        return Changes(
            unit=self._parameters.unit,
            has_started=after.is_up and not before.is_up,
            has_stopped=before.is_up and not after.is_up and not is_stop,
            drop_in=path if path.exists() and not before.has_drop_in and not is_pacemakers else None,
        )

    def _may_be_pacemakers(self) -> bool:
        """Return whether Pacemaker may have started the unit meanwhile: then its start may have written the drop-in."""
        try:
            return any(each.nodes for each in resources_of(self._parameters.unit))
        except ClusterError:
            return True

    async def _unload_drop_in(self) -> None:
        request = self._request()
        await unload_drop_in(request, await show_unit(request, request.deadline))

    async def _state(self) -> HostState | None:
        request = self._request()
        unit = await show_unit(request, anyio.current_time() + _SHOW_S)
        if not isinstance(unit, UnitState):
            return None
        return HostState(not unit.is_inactive or unit.has_job, request.drop_in_path.exists())

    def _request(self) -> Request:
        timeline = Timeline(Action.STOP, self._parameters.unit)
        operation, deadline = read_operation(self._environment), anyio.current_time() + _UNLOAD_S
        return Request(Action.STOP, self._parameters, operation, deadline, self._environment, timeline, processes.run)
