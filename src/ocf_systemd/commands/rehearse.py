"""`ocf-systemd rehearse`: exercises a unit and its hook before a cluster controls them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd.commands.cluster import advice, describe, describe_down, our_agents
from ocf_systemd.commands.program import NotRunError, program, require_root, require_systemd
from ocf_systemd.commands.resource import Choice, ResourceCommand, Target, report_similar_units, resource_options
from ocf_systemd.display.terminal import console, uses_rich

if TYPE_CHECKING:
    from ocf_systemd.core.cluster import Resource
    from ocf_systemd.rehearse.actions import Call
    from ocf_systemd.rehearse.progress import View


@program.command(cls=ResourceCommand)
@resource_options
@click.option("--on-this-host", is_flag=True, help="Use the unit of this host itself, not a sandbox.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation on this host.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rehearse(choice: Choice, *, on_this_host: bool, yes: bool, as_json: bool) -> int:
    """Exercise a unit and its hook the way a cluster would: repeated actions, crashes, hangs.

    Repeats actions in a sandbox and runs them concurrently; restarts the unit ten times, kills and freezes it. Reports
    each problem with reason and fix. Proposes timeouts. Exit code 0: no errors; 1: errors; 2: not run.

    \b
    Examples:
      ocf-systemd rehearse nginx
      ocf-systemd rehearse --resource web --op start=5min
    """
    choice.require_unit()
    require_root("a rehearsal starts, stops and kills the unit, in a sandbox or on this host, which only root can")
    call = _call(choice.find())
    if not on_this_host:
        return _rehearse_in_sandbox(call, as_json=as_json)
    require_systemd("Use the sandbox: leave out --on-this-host")
    return _rehearse_here(call, yes=yes, as_json=as_json)


def _call(target: Target) -> "Call":
    """Return what to rehearse. Raises UsageError if a value is wrong."""
    from ocf_systemd.core.parameters import ParameterError
    from ocf_systemd.core.plausibility import far_off
    from ocf_systemd.core.suggestions import similar_values
    from ocf_systemd.rehearse.actions import Call

    call = Call(target.options, target.operations)
    try:
        _ = call.parameters
    except ParameterError as error:
        raise click.UsageError(f"{error}.{similar_values(target.options)}") from None
    for warning in far_off(target.options, target.operations, target.times):
        click.echo(f"warning: {warning}", err=True)
    return call


def _rehearse_here(call: "Call", *, yes: bool, as_json: bool) -> int:
    from ocf_systemd.rehearse import runner

    unit = call.parameters.unit
    resources, is_down = _uncontrolled_resources(unit)
    initial = runner.read_initial_state(call)
    concerns = [
        str(each) if each.is_in_maintenance else f"{each}: without maintenance, its monitors count failures"
        for each in resources
        if each.nodes
    ]
    concerns += filter(None, [is_down])
    if initial.is_running:
        concerns.append(f"{unit} is running")
    if concerns and not yes and not _is_confirmed(unit, concerns):
        raise NotRunError("not confirmed; nothing was changed")
    code = runner.rehearse(call, initial, _view(as_json=as_json)).exit_code
    report_similar_units(unit)
    return code


def _uncontrolled_resources(unit: str) -> "tuple[tuple[Resource, ...], str]":
    """Return the cluster's resources for the unit, and a message if the cluster wrongly believes the unit active here.

    Raises NotRunError if Pacemaker may act on one of these resources, or if the unit is down here and runs on another
    node.
    """
    from ocf_systemd.host.cluster import ClusterError, active_while_down, resources_of

    try:
        resources = resources_of(unit, our_agents())
        active = active_while_down(unit, resources)
    except ClusterError as error:
        raise NotRunError(
            f"{error}. It may control {unit}: leave out --on-this-host to rehearse in a sandbox"
        ) from None
    if found := [each for each in resources if each.is_controlled]:
        harm = "It would count each crash and stop as a failure, and could start the service elsewhere meanwhile"
        if found[0].file:
            harm = "Another node may run the service"
        raise NotRunError(
            f"{describe(unit, found)}. {harm}. Leave out --on-this-host to rehearse in a sandbox, or run first:\n"
            f"{advice(found, active.elsewhere)}"
        )
    message = describe_down(unit, active)
    if active.elsewhere:
        raise NotRunError(f"{message}. Run this command there, or leave out --on-this-host to rehearse in a sandbox")
    return resources, message


def _is_confirmed(unit: str, concerns: list[str]) -> bool:
    """Return whether the user confirms a rehearsal here despite the concerns. Raises UsageError without a terminal."""
    what = "; ".join(concerns)
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{what}, and there is no terminal to ask for confirmation on: add --yes to rehearse it here, "
            "or leave out --on-this-host to rehearse in a sandbox"
        )
    question = f"A rehearsal starts, stops, kills and freezes {unit} here about a dozen times, then restores its state."
    return click.confirm(f"{what}. {question} Continue?", err=True)


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
    """Boot a sandbox, run the same rehearsal in it with --on-this-host, and return its exit code."""
    from ocf_systemd.commands.sandbox import booted, run_in_foreground

    arguments = [f"-o{name}={value}" for name, value in call.options.items() if name != "unit"]
    times = {**call.operations.configured, **call.operations.chosen}
    arguments += [f"--op={name}={round(time_s * 1000)}ms" for name, time_s in times.items()]
    arguments += [call.options["unit"], "--on-this-host", "--yes", *(["--json"] if as_json else [])]
    hook = call.parameters.monitor_hook
    with booted([]) as host:
        # The sandbox lacks some files of this host, such as those below /tmp: if the hook is one of them, copy it.
        if hook and Path(hook).exists() and host.run(["test", "-e", hook]).returncode:
            host.copy_in(Path(hook), hook)
        return run_in_foreground(host, [sys.executable, "-m", "ocf_systemd", "rehearse", *arguments])
