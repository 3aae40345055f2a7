"""`ocf-systemd debug`: runs an action of the agent, or a cycle of actions, and shows each step of it."""

import shlex
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.cluster import advice, describe, describe_down, our_agents
from ocf_systemd.commands.program import (
    NotRunError,
    SuggestingChoice,
    command_as_root,
    is_root,
    program,
    require_root,
    require_systemd,
)
from ocf_systemd.commands.resource import (
    Choice,
    ResourceCommand,
    Target,
    full_name,
    report_similar_units,
    resource_options,
)
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameter_table import MONITOR_HOOK
from ocf_systemd.display.terminal import console, uses_rich

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ocf_systemd.agent.timeline import Timeline
    from ocf_systemd.core.cluster import Resource
    from ocf_systemd.debug.session import Call, View

_ASKS_FIRST = frozenset({"start", "stop", "reload", "cycle"})  # for confirmation, if the cluster may run the unit
_STARTS = frozenset({"start", "cycle"})
_MONITORS = frozenset({"monitor", "cycle"})
_FOR_ANYONE = frozenset({Action.MONITOR, Action.VALIDATE_ALL, Action.META_DATA})  # the others need root


@program.command(cls=ResourceCommand)
@click.argument("action", type=SuggestingChoice([*map(str, Action), "cycle"]), metavar="ACTION")
@resource_options
@click.option("--yes", is_flag=True, help="Do not ask, even if the cluster may run the unit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def debug(action: str, choice: Choice, *, yes: bool, as_json: bool) -> int:
    """Run an OCF ACTION as Pacemaker would, and show each step.

    ACTION is start, stop, monitor, reload, reload-agent, validate-all, meta-data, or cycle: monitor, stop, monitor,
    start, monitor, each twice. The exit code is that of the action. For cycle, it is 0 if all results are expected.

    \b
    Examples:
      ocf-systemd debug start nginx
      ocf-systemd debug monitor --resource web
      ocf-systemd debug cycle redis-server -o monitor_hook_timeout=2s \\
          --monitor-hook /usr/local/lib/ocf-systemd/hooks/redis
    """
    from ocf_systemd.debug.session import Call, run_call

    if action == Action.META_DATA:
        return run_call(Call(action, choice.options), _view(action, as_json=as_json))
    choice.require_unit()
    _require_absolute(choice.options.get(MONITOR_HOOK.name, ""))
    if action not in _FOR_ANYONE:
        require_root(f"debug {action} changes the unit and its drop-in as the cluster does, which only root can")
    require_systemd(f"Use a sandbox: {PROGRAM} sandbox run -- {PROGRAM} debug …")
    target = choice.find()
    _warn(target)
    call = Call(action, _options(action, target), target.operations)
    asks = action in _ASKS_FIRST and not yes
    resources, why_unknown = _resources(target, needs_all=asks) if asks or not as_json else ((), "")
    if not as_json:
        call = _for_people(call, target, resources)
    if asks:
        _confirm_if_controlled(action, target.options["unit"], resources, why_unknown)
    code = run_call(call, _view(call.name, as_json=as_json))
    if as_json:
        _report_suggestions(target)
    return code


def _require_absolute(hook: str) -> None:
    """Raise UsageError if the command line gives the hook by a relative path: the agent requires an absolute one."""
    if hook.strip() and not Path(hook.strip()).is_absolute():
        raise click.UsageError(f"The hook '{hook}' is not an absolute path, expected {Path(hook.strip()).absolute()}")


def _options(action: str, target: Target) -> dict[str, str]:
    """Return the target's parameters and, for a monitor or a cycle, the highest check level of its monitors."""
    levels = [each.check_level for each in target.resource.monitors] if target.resource else []
    if action not in _MONITORS or not levels:
        return target.options
    return {"OCF_CHECK_LEVEL": max(levels, key=lambda level: (len(level), level)), **target.options}


def _for_people(call: "Call", target: Target, resources: "tuple[Resource, ...]") -> "Call":
    """Return the call with what JSON does not show; print a note if the unit's resource has other parameters."""
    if not target.resource:
        _note_other_parameters(call.name, target.options, resources)
    why_down = _why_down(resources) if call.name == Action.MONITOR else ""
    return replace(call, suggest=partial(_suggestion, target.options), expected_down=why_down)


def _resources(target: Target, *, needs_all: bool) -> "tuple[tuple[Resource, ...], str]":
    """Return the cluster's resources that may manage the unit, and why they are unknown if they are.

    Unless `needs_all`, the resource that --resource names is enough, and needs no other query. There are none for the
    name of a unit that is wrong: the action reports it.
    """
    from ocf_systemd.core.parameter_values import unit_name
    from ocf_systemd.host.cluster import ClusterError, resources_of

    try:
        name = unit_name(target.options["unit"].strip())
        if not needs_all and (resource := target.resource) and resource.unit == name:
            return (resource,), ""
        return resources_of(name, our_agents() if needs_all else ()), ""
    except ValueError:
        return (), ""
    except ClusterError as error:
        return (), str(error)


def _note_other_parameters(action: str, given: "Mapping[str, str]", resources: "tuple[Resource, ...]") -> None:
    """Print to standard error how to use the parameters of the unit's resource, if they differ from the given ones."""
    from ocf_systemd.core.named_resource import options_of
    from ocf_systemd.core.parameter_table import PREFIX, UNIT
    from ocf_systemd.core.parameters import read_leniently

    for resource in resources:
        configured = {**options_of(resource), UNIT.name: given[UNIT.name]}
        ours, theirs = (
            read_leniently({PREFIX + name: text for name, text in each.items()}) for each in (given, configured)
        )
        if resource.unit and resource.agent in our_agents() and ours != theirs:
            use = f"{PROGRAM} debug {action} --resource {shlex.quote(resource.id)}"
            what = f"resource {resource.id} manages {resource.unit} with other parameters"
            click.echo(f"note: {what}; to use them: {use}", err=True)
            return


def _why_down(resources: "tuple[Resource, ...]") -> str:
    """Return why the unit is expected to be down on this node; empty: it is not, or nothing is known."""
    from ocf_systemd.host.cluster import ClusterError, node_name

    if not resources or any(each.file for each in resources):
        return ""
    active = [each for each in resources if each.nodes]
    if not active:
        return f"the cluster does not run {resources[0].id} now: 7 is the expected result of a probe"
    with suppress(ClusterError):
        node = node_name()
        if not any(node in each.nodes for each in active):
            where = f"the cluster runs {active[0].id} on {', '.join(active[0].nodes)}"
            return f"{where}: here, 7 is the expected result of a probe"
    return ""


def _suggestion(options: "Mapping[str, str]", timeline: "Timeline") -> str:
    """Return what was probably meant by a unit that is not found, or by a wrong value; empty: nothing is similar."""
    from ocf_systemd.commands.candidates import known_units
    from ocf_systemd.core.observations import LoadState, UnitState
    from ocf_systemd.core.suggestions import similar_units, similar_values

    unit = timeline.states[-1][1] if timeline.states else None
    if isinstance(unit, UnitState) and unit.load_state == LoadState.NOT_FOUND:
        with suppress(OSError):
            if similar := similar_units(unit.unit, known_units()):
                return f"Did you mean {' or '.join(similar)}?"
    return similar_values(options).strip()


def _report_suggestions(target: Target) -> None:
    """Print suggestions for wrong values and names to standard error: the JSON has only what the agent reports."""
    from ocf_systemd.core.suggestions import similar_values

    if suggestion := similar_values(target.options).strip():
        click.echo(suggestion, err=True)
    report_similar_units(target.options["unit"])


def _warn(target: Target) -> None:
    """Print to standard error which times are likely mistakes, and that without root the hook runs as this user."""
    from ocf_systemd.core.plausibility import far_off, ineffective_hook_timeout

    warnings = [str(each) for each in far_off(target.options, target.operations, target.times)]
    warnings.append(ineffective_hook_timeout(target.options, target.operations))
    for warning in filter(None, warnings):
        click.echo(f"warning: {warning}", err=True)
    if not is_root():
        what = "the hook runs as this user, Pacemaker runs it as root"
        click.echo(f"note: this user is not root: {what}. To run it as root: {command_as_root()}", err=True)


def _confirm_if_controlled(action: str, unit: str, resources: "Collection[Resource]", why_unknown: str) -> None:
    """Require a confirmation if Pacemaker may control the unit, or believes a down unit active. Raises NotRunError."""
    from ocf_systemd.host.cluster import Active, ClusterError, active_while_down

    found, active = [each for each in resources if each.is_controlled], Active()
    try:
        name = full_name(unit)
        active = active_while_down(name, resources)
        concern = describe(name, found) if found else describe_down(name, active) if action in _STARTS else ""
    except ClusterError as error:
        found, why_unknown = [], str(error)
    if why_unknown:
        concern = f"{why_unknown}. It may control {unit}"
    if not concern:
        return
    alone = f". To make Pacemaker leave it alone first:\n{advice(found, active.elsewhere)}" if found else ""
    if not sys.stdin.isatty():
        raise NotRunError(
            f"{concern}. There is no terminal to ask for confirmation on: add --yes to run {action}{alone}"
        )
    click.echo(f"{concern}{alone or '.'}", err=True)
    if not click.confirm(f"Run {action} nevertheless?", err=True):
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
