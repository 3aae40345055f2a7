"""Makes systemd load the unit's files: the unit file itself, and the agent's drop-in."""

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
    """Whether systemd has read that the drop-in was written, or removed."""

    APPLIED = "systemd has read it"
    PENDING = "systemd must read it"


async def query_unit_file(request: Request) -> UnitState | ActionResult:
    """Query the unit's state; if systemd does not find the unit, or an outdated one, make it read its unit files again.

    The file's storage may have been mounted a moment ago, by another resource. Until systemd has read its unit files it
    is not known that there is none, and 5 would be a hard error: the resource may not run on this node until cleanup.
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
    """Write the drop-in, or remove it, as order_at_shutdown has it; a result: that cannot be done."""
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
    # It may have been changed by an action that was killed before it made systemd load it.
    return DropInState.APPLIED if has_loaded(unit, path, wanted=wanted) else DropInState.PENDING


async def load_drop_in(request: Request) -> str:
    """Make systemd load the drop-in, or its absence; return why it did not, or an empty string.

    A unit that is down and that no other names is forgotten between two queries, and loaded with its drop-ins by the
    next ("Unit garbage collection" in systemd.unit(5)): then no daemon-reload is needed, which takes
    longest in a start.
    """
    path, wanted = request.drop_in_path, request.parameters.order_at_shutdown
    return await reload_daemon(
        request, lambda unit: has_loaded(unit, path, wanted=wanted), attempt_deadline(request.deadline)
    )


async def unload_drop_in(request: Request, unit: UnitState | NoAnswer) -> None:
    """Remove the drop-in of a unit that is down; an error here does not make the stop fail.

    systemd forgets the drop-in of a unit that it unloads by itself, which is one that no other names ("Unit garbage
    collection" in systemd.unit(5)). Its unit files are read again only if it has not.
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
    # It may have been removed by an action that was killed before it made systemd load that.
    if not isinstance(unit, UnitState) or not loaded_drop_ins(unit, path):
        return
    if why := await reload_daemon(request, lambda unit: not loaded_drop_ins(unit, path), request.deadline):
        request.reporter.report(WarningNotice(why))


async def reload_daemon(request: Request, is_settled: Callable[[UnitState], bool], deadline: float) -> str:
    """Have systemd read its unit files again, unless it has what is wanted of the unit; return why it did not.

    Agents take turns, for half of the time at most, and a reload serves all that wait for one: a dozen at once need two
    or three. If systemd does not answer it may be reloading already, with a slow generator: another reload would only
    make that longer.
    """
    now = anyio.current_time()
    async with reload_lock(request.run_directory, now + (deadline - now) / 2):
        unit = await show_unit(request, deadline)
        if isinstance(unit, UnitState) and is_settled(unit):
            return ""
        return unit.why if isinstance(unit, NoAnswer) else await request.systemctl.daemon_reload(deadline)
