"""One action in a process of its own: environment in, verdict out, and nothing left running.

Pacemaker's calls and debug mode's go through here alike; they differ in who is told.
"""

import signal
from collections.abc import AsyncIterable, Callable, Mapping

import anyio

from ocf_systemd import processes
from ocf_systemd.actions import Request, perform
from ocf_systemd.ocf import Action, ExitCode, Verdict
from ocf_systemd.parameters import ParameterError, read_operation, read_parameters
from ocf_systemd.reporting import Interrupted, Judged, Reporter, Warned

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_action(
    action: Action, environment: Mapping[str, str], reporter: Reporter, *, age_s: Callable[[], float]
) -> Verdict:
    """Perform an action that was called for `age_s()` seconds ago, and end what hooks leave behind.

    SIGINT, SIGTERM and SIGHUP end it early: hooks and systemctl are ended, and the verdict is 1.
    """
    try:
        parameters = read_parameters(environment)
    except ParameterError as error:
        verdict = Verdict(ExitCode.ERR_CONFIGURED, str(error))
        reporter.report(Judged(action, verdict))
        return verdict
    operation = read_operation(environment)
    processes.adopt_orphans()

    async def main() -> Verdict:
        deadline = operation.deadline(anyio.current_time() - age_s())
        request = Request(action, parameters, operation, deadline, environment, reporter, processes.run)
        return await _perform_until_signalled(request)

    try:
        return anyio.run(main)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for stray in processes.end_strays():
            reporter.report(Warned(f"a hook left a process behind, ended now: {stray}"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


async def _perform_until_signalled(request: Request) -> Verdict:
    """Perform an action that a signal may end; further signals cannot disturb the end."""
    verdict = Verdict(ExitCode.ERR_GENERIC)
    performing = anyio.CancelScope()

    async def watch(received: AsyncIterable[signal.Signals]) -> None:
        nonlocal verdict
        async for number in received:
            told = f"{request.action} of {request.parameters.unit} was interrupted by {number.name}"
            verdict = Verdict(ExitCode.ERR_GENERIC, told)
            request.reporter.report(Interrupted(request.action, number))
            performing.cancel()

    with anyio.open_signal_receiver(*_SIGNALS) as received:
        async with anyio.create_task_group() as beside:
            beside.start_soon(watch, received)
            with performing:
                verdict = await perform(request)
            beside.cancel_scope.cancel()
    if performing.cancelled_caught:
        request.reporter.report(Judged(request.action, verdict))
    return verdict
