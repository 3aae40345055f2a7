"""Runs one action in this process: environment in, result out, and no process left running.

Pacemaker and debug mode both run actions here, each with its own reporter.
"""

import signal
from collections.abc import Callable, Coroutine, Mapping

import anyio

from ocf_systemd.agent.actions import perform
from ocf_systemd.agent.events import ActionEnded, Interrupted, Reporter, WarningNotice
from ocf_systemd.agent.request import Request
from ocf_systemd.core.judgement import describe_process
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.parameters import Operation, Parameters, read_leniently, read_operation
from ocf_systemd.core.records import replace
from ocf_systemd.host import processes
from ocf_systemd.host.leftovers import Leftovers, adopt_orphans, end_leftovers
from ocf_systemd.host.survivors import record_survivors, recorded_survivors

Watch = Callable[[Callable[[signal.Signals], None]], Coroutine[None, None, None]]
"""A function that waits for the signals that an agent receives, and calls its argument with each signal."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_action(
    action: Action, environment: Mapping[str, str], reporter: Reporter, *, age_s: Callable[[], float]
) -> ActionResult:
    """Perform an action requested `age_s()` seconds ago, and end all processes that hooks leave behind (leftovers).

    SIGINT, SIGTERM and SIGHUP end the action early: its hooks and systemctl are ended, and its exit code is 1.
    """
    operation = read_operation(environment)
    parameters = parameters_or_result(action, operation, environment, reporter)
    if isinstance(parameters, ActionResult):
        return parameters
    adopt_orphans()

    async def main() -> ActionResult:
        deadline = operation.deadline(anyio.current_time() - age_s())
        request = Request(action, parameters, operation, deadline, environment, reporter, processes.run)
        with anyio.open_signal_receiver(*_SIGNALS) as received:

            async def watch(interrupt: Callable[[signal.Signals], None]) -> None:
                async for number in received:
                    interrupt(signal.Signals(number))

            return await perform_until_interrupted(request, watch)

    try:
        return anyio.run(main)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        report_leftovers(reporter, parameters, end_leftovers())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def parameters_or_result(
    action: Action, operation: Operation, environment: Mapping[str, str], reporter: Reporter
) -> Parameters | ActionResult:
    """Return the parameters of an action, or a result if they are wrong and the action must not be performed.

    Wrong values give exit code 6, a fatal error, except in a probe and a stop. After a probe with 6, Pacemaker would
    stop the resource; if that stop returned 6 too, Pacemaker would fence the node because of a typing error. With wrong
    values, a probe therefore uses only the unit's state, and a stop uses the defaults.
    """
    parameters, problems = read_leniently(environment)
    is_probe = action is Action.MONITOR and operation.is_probe
    if not problems:
        return parameters
    if is_probe or action is Action.STOP:
        instead = "the unit's state alone counts" if is_probe else "assuming the default"
        for problem in problems:
            reporter.report(WarningNotice(f"{problem}: {instead if parameters.unit else 'treated as not running'}"))
        if parameters.unit:
            return replace(parameters, monitor_hook=None, stop_verify=False) if is_probe else parameters
        result = ActionResult(ExitCode.NOT_RUNNING if is_probe else ExitCode.SUCCESS)
    else:
        result = ActionResult(ExitCode.ERR_CONFIGURED, "; ".join(problems))
    reporter.report(ActionEnded(action, result))
    return result


def report_leftovers(reporter: Reporter, parameters: Parameters, leftovers: Leftovers) -> None:
    """Report the leftovers of hooks; record those that cannot be killed, so that no later run of a hook adds more."""
    for leftover in leftovers.ended:
        text = f"a hook left a process behind, killed now: {leftover.process}"
        reporter.report(WarningNotice(text, leftover.command_line))
    if survivors := leftovers.survivors:
        known = {(process.pid, process.started) for process, _ in recorded_survivors(parameters.unit)}
        found = [each for each in survivors if each.is_uninterruptible and (each.pid, each.started) not in known]
        for process in found:
            text = f"a hook left a process behind that cannot be killed: {describe_process(process)}"
            reporter.report(WarningNotice(text))
        record_survivors(parameters.unit, parameters.monitor_hook or "", found)


async def perform_until_interrupted(request: Request, watch: Watch) -> ActionResult:
    """Perform an action until it has a result, or a signal ends it early; further signals do not disturb this end."""
    result = ActionResult(ExitCode.ERR_GENERIC)
    performing, has_ended = anyio.CancelScope(), False

    def interrupt(number: signal.Signals) -> None:
        nonlocal result
        why = f"{request.action} of {request.parameters.unit} was interrupted by {number.name}"
        result = ActionResult(ExitCode.ERR_GENERIC, why)
        request.reporter.report(Interrupted(request.action, number))
        performing.cancel()

    async with anyio.create_task_group() as concurrently:
        concurrently.start_soon(watch, interrupt)
        with performing:
            result = await perform(request)
            has_ended = True
        concurrently.cancel_scope.cancel()
    if not has_ended:
        request.reporter.report(ActionEnded(request.action, result))
    return result
