"""One action in a process of its own: environment in, verdict out, and nothing left running.

Pacemaker's calls and debug mode's go through here alike; they differ in who is told. What performs an action until it
has a verdict or is interrupted is the resident server's too.
"""

import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping

import anyio

from ocf_systemd import processes
from ocf_systemd.actions import Request, perform
from ocf_systemd.ocf import Action, ExitCode, Verdict
from ocf_systemd.parameters import ParameterError, Parameters, read_operation, read_parameters
from ocf_systemd.reporting import Interrupted, Judged, Reporter, Warned

Watch = Callable[[Callable[[signal.Signals], None]], Coroutine[None, None, None]]
"""Waits for the signals that an agent receives, and calls what it is given with each."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_action(
    action: Action, environment: Mapping[str, str], reporter: Reporter, *, age_s: Callable[[], float]
) -> Verdict:
    """Perform an action that was called for `age_s()` seconds ago, and end what hooks leave behind.

    SIGINT, SIGTERM and SIGHUP end it early: hooks and systemctl are ended, and the verdict is 1.
    """
    parameters = parameters_or_verdict(action, environment, reporter)
    if isinstance(parameters, Verdict):
        return parameters
    operation = read_operation(environment)
    processes.adopt_orphans()

    async def main() -> Verdict:
        deadline = operation.deadline(anyio.current_time() - age_s())
        request = Request(action, parameters, operation, deadline, environment, reporter, processes.run)
        with anyio.open_signal_receiver(*_SIGNALS) as received:

            async def watch(interrupt: Callable[[signal.Signals], None]) -> None:
                async for number in received:
                    interrupt(number)

            return await perform_until_interrupted(request, watch)

    try:
        return anyio.run(main)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        report_strays(reporter, processes.end_strays())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def parameters_or_verdict(action: Action, environment: Mapping[str, str], reporter: Reporter) -> Parameters | Verdict:
    """Return the parameters that an action was called with; a verdict: they are wrong."""
    try:
        return read_parameters(environment)
    except ParameterError as error:
        verdict = Verdict(ExitCode.ERR_CONFIGURED, str(error))
        reporter.report(Judged(action, verdict))
        return verdict


def report_strays(reporter: Reporter, strays: Iterable[str]) -> None:
    """Tell of what hooks left behind, by its command lines."""
    for stray in strays:
        reporter.report(Warned(f"a hook left a process behind, ended now: {stray}"))


async def perform_until_interrupted(request: Request, watch: Watch) -> Verdict:
    """Perform an action that a signal may end; further signals cannot disturb the end."""
    verdict = Verdict(ExitCode.ERR_GENERIC)
    performing = anyio.CancelScope()

    def interrupt(number: signal.Signals) -> None:
        nonlocal verdict
        told = f"{request.action} of {request.parameters.unit} was interrupted by {number.name}"
        verdict = Verdict(ExitCode.ERR_GENERIC, told)
        request.reporter.report(Interrupted(request.action, number))
        performing.cancel()

    async with anyio.create_task_group() as beside:
        beside.start_soon(watch, interrupt)
        with performing:
            verdict = await perform(request)
        beside.cancel_scope.cancel()
    if performing.cancelled_caught:
        request.reporter.report(Judged(request.action, verdict))
    return verdict
