"""`ocf-systemd debug`: runs an action and shows how it goes."""

import sys
from typing import TYPE_CHECKING

import click

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.cluster import advice, describe, describe_down, our_agents
from ocf_systemd.commands.program import NotRunError, program, require_systemd, resource_options
from ocf_systemd.core.ocf import Action
from ocf_systemd.display.terminal import console, uses_rich

if TYPE_CHECKING:
    from ocf_systemd.core.operations import Operations
    from ocf_systemd.debug.session import View

_ASKS_FIRST = frozenset({"start", "stop", "reload", "cycle"})
_STARTS = frozenset({"start", "cycle"})


@program.command()
@click.argument("action", type=click.Choice([*map(str, Action), "cycle"]), metavar="ACTION")
@resource_options
@click.option("--yes", is_flag=True, help="Run it even if Pacemaker controls the unit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def debug(
    action: str,
    unit: str,
    monitor_hook: str | None,
    options: dict[str, str],
    operations: "Operations",
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Run an OCF ACTION as Pacemaker would, and show how it goes.

    ACTION is start, stop, monitor, reload, reload-agent, validate-all, meta-data, or cycle: monitor, stop, monitor,
    start, monitor, each of them twice. The exit code is the action's; of cycle, the first unexpected one, or 0.

    \b
    Examples:
      ocf-systemd debug start --unit postfix@-
      ocf-systemd debug monitor --unit nginx \\
          --monitor-hook /usr/local/lib/ocf-systemd/hooks/http
      ocf-systemd debug start --unit mariadb --op start=15min
      ocf-systemd debug cycle --unit redis-server -o monitor_hook_timeout=2s
    """
    from ocf_systemd.debug.session import Call, run_call

    given = {"unit": unit, **({"monitor_hook": monitor_hook} if monitor_hook else {}), **options}
    call = Call(action, given, operations)
    if action != Action.META_DATA:
        require_systemd(f"Use a sandbox: {PROGRAM} sandbox run -- {PROGRAM} debug …")
    if action in _ASKS_FIRST and not yes:
        _confirm_if_controlled(action, given["unit"])
    return run_call(call, _view(call.name, as_json=as_json))


def _confirm_if_controlled(action: str, unit: str) -> None:
    """Ask whether to act on a unit that Pacemaker controls or another node runs. Raises NotRunError without a yes."""
    from ocf_systemd.core.parameter_values import unit_name
    from ocf_systemd.host.cluster import Active, ClusterError, active_while_down, resources_of

    try:
        name = unit_name(unit.strip())
        resources = resources_of(name, our_agents())
        active = active_while_down(name, resources)
        found = [each for each in resources if each.is_controlled]
        concern = describe(name, found) if found else ""
        if not found and action in _STARTS:
            concern = describe_down(name, active)
    except ValueError:  # the action reports it
        return
    except ClusterError as error:
        found, active, concern = [], Active(), f"{error}. It may control {unit}"
    if not concern:
        return
    if not sys.stdin.isatty():
        alone = f". To make Pacemaker leave it alone first:\n{advice(found, active.elsewhere)}" if found else ""
        raise NotRunError(
            f"{concern}. There is no terminal to ask for confirmation on: add --yes to run {action}{alone}"
        )
    if not click.confirm(f"{concern}. Run {action} nevertheless?", err=True):
        raise NotRunError("not confirmed; nothing was changed")


def _view(name: str, *, as_json: bool) -> "View":
    """Return the view for the output; rich is imported for a terminal only."""
    if as_json:
        from ocf_systemd.debug.json_view import JsonView

        return JsonView()
    if not uses_rich():
        from ocf_systemd.debug.text_view import TextView

        return TextView()
    from ocf_systemd.debug.live_view import LiveView

    return LiveView(console(), in_cycle=name == "cycle")
