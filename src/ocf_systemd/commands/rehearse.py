"""`ocf-systemd rehearse`: exercises a unit and its hook before a cluster controls them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd.commands.program import (
    NotRunError,
    hook_option,
    operation_option,
    parameter_option,
    program,
    require_systemd,
    unit_option,
)
from ocf_systemd.display.terminal import console, uses_rich

if TYPE_CHECKING:
    from ocf_systemd.core.operations import Operations
    from ocf_systemd.rehearse.actions import Call
    from ocf_systemd.rehearse.progress import View
    from ocf_systemd.rehearse.runner import InitialState
    from ocf_systemd.sandbox import Sandbox


@program.command()
@unit_option
@hook_option
@parameter_option
@operation_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation if the unit is running.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="Run in a sandbox: a container over this host's files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rehearse(
    unit: str,
    monitor_hook: str | None,
    options: dict[str, str],
    operations: "Operations",
    *,
    yes: bool,
    in_sandbox: bool,
    as_json: bool,
) -> int:
    """Exercise a unit and its hook the way a cluster would: repeated actions, crashes, hangs.

    Runs each action twice and concurrently, restarts the unit ten times, kills and freezes it. Reports what failed, why
    and how to fix it. Proposes timeouts. Restores the unit's state. Exit code 0: no errors; 1: errors; 2: not run.

    \b
    Examples:
      ocf-systemd rehearse --sandbox --unit nginx
      ocf-systemd rehearse --unit redis-server --op start=5min \\
                           --monitor-hook /usr/local/lib/ocf-systemd/hooks/redis
    """
    from ocf_systemd.rehearse.actions import Call

    call = Call({"unit": unit, **({"monitor_hook": monitor_hook} if monitor_hook else {}), **options}, operations)
    _check_parameters(call)
    if in_sandbox:
        return _rehearse_in_sandbox(call, as_json=as_json)
    require_systemd("Use --sandbox")
    if os.geteuid() != 0:
        raise NotRunError("a rehearsal starts, stops and kills the unit: run this command as root")
    return _rehearse_here(call, yes=yes, as_json=as_json)


def _check_parameters(call: "Call") -> None:
    from ocf_systemd.core.parameters import ParameterError

    try:
        _ = call.parameters
    except ParameterError as error:
        raise click.UsageError(str(error)) from None


def _rehearse_here(call: "Call", *, yes: bool, as_json: bool) -> int:
    from ocf_systemd.rehearse import runner

    initial = runner.read_initial_state(call)
    if initial.facts.is_running and not yes and not _is_confirmed(call.parameters.unit, initial):
        raise NotRunError("not confirmed; nothing was changed")
    return runner.rehearse(call, initial, _view(as_json=as_json)).exit_code


def _is_confirmed(unit: str, initial: "InitialState") -> bool:
    """Ask whether a unit that is running may be stopped."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{unit} is running, and there is no terminal to ask for confirmation on: add --yes to stop it, "
            "or --sandbox to rehearse in a temporary container"
        )
    warning = (
        f"{unit} was probably started by a cluster: put the resource into maintenance first, "
        "or the cluster counts all of this as failures.\n"
        if initial.has_drop_in
        else ""
    )
    question = f"{unit} is running. A rehearsal stops, kills and freezes it about a dozen times, then starts it again."
    return click.confirm(f"{warning}{question} Continue?", err=True)


def _view(*, as_json: bool) -> "View":
    """Return the view for the output; rich is imported for a terminal only."""
    if as_json:
        from ocf_systemd.rehearse.json_view import JsonView

        return JsonView()
    if not uses_rich():
        from ocf_systemd.rehearse.text_view import TextView

        return TextView()
    from ocf_systemd.rehearse.live_view import LiveView

    return LiveView(console())


def _rehearse_in_sandbox(call: "Call", *, as_json: bool) -> int:
    """Boot a sandbox and run this command in it."""
    from ocf_systemd.commands.sandbox import booted, run_in_foreground

    arguments = [f"-o{name}={value}" for name, value in call.options.items() if name != "unit"]
    arguments += [f"--op={name}={round(time_s * 1000)}ms" for name, time_s in call.operations.chosen.items()]
    arguments += [f"--unit={call.options['unit']}", "--yes", *(["--json"] if as_json else [])]
    with booted([]) as host:
        _copy_hook(host, call.parameters.monitor_hook)
        return run_in_foreground(host, [sys.executable, "-m", "ocf_systemd", "rehearse", *arguments])


def _copy_hook(host: "Sandbox", hook: str | None) -> None:
    """Copy in a hook that does not exist in the sandbox, such as one below /tmp."""
    if hook and Path(hook).exists() and host.run(["test", "-e", hook]).returncode:
        host.copy_in(Path(hook), hook)
