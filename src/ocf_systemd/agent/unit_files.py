"""Makes systemd load the unit's files: the unit file itself, and the agent's drop-in (`host.drop_in`)."""

from collections.abc import Callable
from enum import Enum

import anyio

from ocf_systemd.agent.events import Notice, WarningNotice
from ocf_systemd.agent.observing import query_unit, show_unit
from ocf_systemd.agent.polling import Pauses, attempt_deadline
from ocf_systemd.agent.request import Request
from ocf_systemd.core.judgement import judge_no_answer
from ocf_systemd.core.observations import LoadState, NoAnswer, UnitState
from ocf_systemd.core.ocf import ActionResult, ExitCode
from ocf_systemd.host.drop_in import has_loaded, loaded_drop_ins, put_drop_in, remove_drop_in
from ocf_systemd.host.reload_lock import reload_lock


class DropInState(Enum):
    """Whether systemd has read the last change of the drop-in: that it was written, or that it was removed."""

    APPLIED = "systemd has read it"
    PENDING = "systemd must read it"


async def query_unit_file(request: Request) -> UnitState | ActionResult:
    """Query the unit's state; if systemd finds no unit, or an outdated one, make systemd read its unit files again.

    Another resource may have mounted the unit file's storage a moment ago, so a unit is missing for certain only after
    systemd has read its unit files again. Exit code 5 is a hard error: Pacemaker runs the resource on this node again
    only after a cleanup, or when failure-timeout has passed.
    """
    pauses = Pauses(request)
    while True:
        unit = await query_unit(request)
        if isinstance(unit, ActionResult) or not _may_be_outdated(unit):
            return unit
        why = await reload_daemon(request, lambda unit: not _may_be_outdated(unit), attempt_deadline(request.deadline))
        if not why:
            return await query_unit(request)
        result = judge_no_answer(NoAnswer(why))
        if not await pauses.wait(result):
            return result


def _may_be_outdated(unit: UnitState) -> bool:
    is_loaded = unit.is_running or unit.load_state is LoadState.LOADED
    return not is_loaded and (unit.load_state is LoadState.NOT_FOUND or unit.needs_daemon_reload)


def write_drop_in(request: Request, unit: UnitState) -> DropInState | ActionResult:
    """Write or remove the drop-in as order_at_shutdown requires; return a result with the reason if that fails."""
    path, wanted = request.drop_in_path, request.parameters.order_at_shutdown
    done = "written" if wanted else "removed"
    try:
        has_changed = put_drop_in(request.parameters.unit, path) if wanted else remove_drop_in(path)
    except OSError as error:
        code = ExitCode.ERR_PERM if isinstance(error, PermissionError) else ExitCode.ERR_GENERIC
        return ActionResult(code, f"drop-in {path} cannot be {done}: {error.strerror}")
    if has_changed:
        request.reporter.report(Notice(f"drop-in {path} {done}"))
        return DropInState.PENDING
    # An earlier action may have changed the drop-in, and may have been killed before it made systemd load the change.
    return DropInState.APPLIED if has_loaded(unit, path, wanted=wanted) else DropInState.PENDING


async def load_drop_in(request: Request) -> str:
    """Make systemd load the drop-in, or notice that it was removed; return why that failed, or an empty string.

    systemd unloads a unit that is down and that no other unit refers to ("Unit garbage collection" in systemd.unit(5)).
    The next query then loads the unit together with its drop-ins, and no daemon-reload is needed, which is the step of
    a start that takes longest.
    """
    path, wanted = request.drop_in_path, request.parameters.order_at_shutdown
    return await reload_daemon(
        request, lambda unit: has_loaded(unit, path, wanted=wanted), attempt_deadline(request.deadline)
    )


async def unload_drop_in(request: Request, unit: UnitState | NoAnswer) -> None:
    """Remove the drop-in of a unit that is down; an error here does not make the stop fail.

    systemd unloads a stopped unit that no other unit refers to, and the drop-in with it ("Unit garbage collection" in
    systemd.unit(5)). This function makes systemd read its unit files again only if the drop-in is still loaded.
    """
    path = request.drop_in_path
    try:
        has_changed = remove_drop_in(path)
    except OSError as error:
        request.reporter.report(WarningNotice(f"drop-in {path} cannot be removed: {error.strerror}"))
        return
    if has_changed:
        request.reporter.report(Notice(f"drop-in {path} removed"))
        unit = await show_unit(request, attempt_deadline(request.deadline))
    # An earlier action may have removed the drop-in, and may have been killed before it made systemd notice that.
    if not isinstance(unit, UnitState) or not loaded_drop_ins(unit, path):
        return
    if why := await reload_daemon(request, lambda unit: not loaded_drop_ins(unit, path), request.deadline):
        request.reporter.report(WarningNotice(why))


async def reload_daemon(request: Request, is_settled: Callable[[UnitState], bool], deadline: float) -> str:
    """Make systemd read its unit files again unless `is_settled` accepts the unit; return why that failed, or "".

    The agents of a host take turns, and each waits for its turn for half of its time at most. One reload serves all
    agents that wait: a dozen agents at once need two or three reloads. If systemd does not answer, it may be reloading
    already, with a slow generator: another reload would only prolong that, so none is requested.
    """
    now = anyio.current_time()
    async with reload_lock(request.run_directory, now + (deadline - now) / 2):
        unit = await show_unit(request, deadline)
        if isinstance(unit, UnitState) and is_settled(unit):
            return ""
        return unit.why if isinstance(unit, NoAnswer) else await request.systemctl.daemon_reload(deadline)
