"""The options by which debug, doctor and rehearse get a unit, its hook, parameters and times of operations.

The values come from the command line, or from the resource of the cluster that `--resource` names. If both have
a value, that of the command line applies.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec

import click

from ocf_systemd.commands.cluster import our_agents
from ocf_systemd.commands.program import NotRunError, command_as_root, duration
from ocf_systemd.core.durations import duration_s
from ocf_systemd.core.operations import OPERATION_NAMES, Operations
from ocf_systemd.core.parameter_table import MONITOR_HOOK, TABLE, UNIT
from ocf_systemd.core.parameter_values import unit_name
from ocf_systemd.core.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from ocf_systemd.core.cluster import Resource

P = ParamSpec("P")

_DEFAULT_AGENT = "ocf:pacemaker:systemd"
_SHOW_TIMEOUT_S = 2.0  # for `systemctl show`


@dataclass(frozen=True, slots=True)
class Target:
    """What a command acts on: parameters by name, the unit among them, and the times of the operations.

    `times` are the times on the command line, as text. `resource` is the one that `--resource` names, if any.
    """

    options: dict[str, str]
    operations: Operations = field(default_factory=Operations)
    times: dict[str, str] = field(default_factory=dict)
    resource: "Resource | None" = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line chooses: parameters by name, times of operations as text, and a resource's name, if any.

    `options` includes the unit if the command line names one.
    """

    options: dict[str, str]
    times: dict[str, str]
    resource: str = ""

    def require_unit(self) -> None:
        """Raise UsageError unless a unit or a resource is chosen."""
        if UNIT.name not in self.options and not self.resource:
            raise click.UsageError("Missing argument 'UNIT', or option '--resource' on a node of a cluster.")

    def find(self) -> Target:
        """Return what the command acts on; if a resource is chosen, query the cluster for it. Raises NotRunError."""
        chosen = {name: duration_s(text) for name, text in self.times.items()}
        if not self.resource:
            return Target(self.options, Operations(chosen), self.times)
        from ocf_systemd.core.named_resource import operations_of, options_of, override

        resource = _find_resource(self.resource)
        options = override(options_of(resource), self.options)
        configured = operations_of(resource, options)
        operations = Operations({**configured.chosen, **chosen}, configured.configured)
        return Target(options, operations, self.times, resource)


def _find_resource(name: str) -> "Resource":
    from ocf_systemd.core.named_resource import find_resource
    from ocf_systemd.host.cluster import ClusterError, MayNotQueryError, is_stopped_cib_hidden, query_cluster

    advice = f"Run this command on a node of the cluster, or give the unit and its parameters instead of {name}"
    try:
        cluster = query_cluster()
    except MayNotQueryError as error:
        raise NotRunError(f"{error}. Run: {command_as_root()}") from None
    except ClusterError as error:
        raise NotRunError(f"{error}. --resource {name} needs it. {advice}") from None
    if cluster is None and is_stopped_cib_hidden():
        why = "Pacemaker does not run on this host, and this user may not read its CIB on the disk"
        raise NotRunError(f"{why}. --resource {name} needs it. Run: {command_as_root()}")
    if cluster is None:
        raise NotRunError(f"no cluster runs on this host, so --resource {name} is not known. {advice}")
    try:
        return find_resource(cluster, name, our_agents() | {_DEFAULT_AGENT})
    except LookupError as error:
        raise NotRunError(str(error)) from None


def report_similar_units(unit: str) -> None:
    """Print to standard error which units may be meant if systemd does not know this one; errors are ignored."""
    from ocf_systemd.commands.candidates import known_units
    from ocf_systemd.core.observations import LoadState
    from ocf_systemd.core.suggestions import similar_units
    from ocf_systemd.host.commands import run_to_end

    with suppress(OSError, ValueError):
        name = unit_name(unit.strip())
        show = ("systemctl", "show", "--property=LoadState", "--value", "--", name)
        if run_to_end(*show, timeout_s=_SHOW_TIMEOUT_S).stdout.strip() != LoadState.NOT_FOUND:
            return
        if similar := similar_units(name, known_units()):
            click.echo(f"{name} is not found on this host; did you mean {' or '.join(similar)}?", err=True)


def _assignments(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Parse the values NAME=VALUE of `-o`; each NAME is a parameter, a CRM_meta_ attribute or an OCF_ variable."""
    known = sorted(row.name for row in TABLE)
    options: dict[str, str] = {}
    for assignment in texts:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.BadParameter(f"'{assignment}' is not NAME=VALUE, expected for example poll_interval=500ms")
        if name not in known and not name.startswith(("CRM_meta_", "OCF_")):
            suggestion = did_you_mean(name, known) or f" Expected {', '.join(known)}."
            raise click.BadParameter(f"unknown parameter '{name}'.{suggestion}")
        options[name] = value
    return options


def _times(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Check the values NAME=TIME of `--op`, which are timeouts or the monitor's interval; return each time as text."""
    times: dict[str, str] = {}
    for text in texts:
        name, equals, time = text.partition("=")
        if not equals or name not in OPERATION_NAMES:
            expected = f"with one of the names {', '.join(OPERATION_NAMES)}"
            suggestion = "" if name in OPERATION_NAMES else did_you_mean(name, OPERATION_NAMES)
            raise click.BadParameter(f"'{text}' is not NAME=TIME {expected}.{suggestion}")
        duration(ctx, parameter, time)
        times[name] = time
    return times


def _completed(kind: str) -> "Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]":
    """Return a click callback that completes the values of an option by the function `kind` of `candidates`."""

    def complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        from ocf_systemd.commands import candidates

        find: Callable[[str], list[CompletionItem[str]]] = getattr(candidates, kind)
        return find(incomplete)

    return complete


_OPTIONS = (
    click.argument("unit", required=False, shell_complete=_completed("units")),
    click.option(
        "--unit",
        "unit_option",
        metavar="UNIT",
        shell_complete=_completed("units"),
        help="The unit, instead of the argument UNIT.",
    ),
    click.option(
        "--resource",
        metavar="NAME",
        shell_complete=_completed("resources"),
        help="Take the unit and all options from this resource.",
    ),
    click.option(
        "--monitor-hook",
        metavar="PATH",
        shell_complete=_completed("hooks"),
        help="The health hook (parameter `monitor_hook`).",
    ),
    click.option(
        "-o",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_assignments,
        shell_complete=_completed("assignments"),
        help="A parameter, CRM_meta_* or OCF_* variable; repeatable.",
    ),
    click.option(
        "--op",
        "times",
        multiple=True,
        metavar="NAME=TIME",
        callback=_times,
        shell_complete=_completed("operations"),
        help="A timeout (start=15min) or the interval (interval=30s).",
    ),
)
_NAMES = ("unit", "unit_option", "resource", "monitor_hook", "options", "times")


def resource_options(command: "Callable[P, int]") -> "Callable[P, int]":
    """Add the argument UNIT and the options that choose a resource, for a `ResourceCommand`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class ResourceCommand(click.Command):
    """A click command with `resource_options`; its function gets their values as one argument, `choice`."""

    def invoke(self, ctx: click.Context) -> int:
        """Run the command; return its exit code. Raises UsageError."""
        unit, unit_option, resource, monitor_hook, options, times = map(ctx.params.pop, _NAMES)
        given = {
            UNIT.name: _unit(ctx, unit, unit_option, options.get(UNIT.name)),
            MONITOR_HOOK.name: monitor_hook,
            **options,
        }
        ctx.params["choice"] = Choice(
            {name: text for name, text in given.items() if text is not None}, times, resource or ""
        )
        code: int = super().invoke(ctx)
        return code


def _unit(ctx: click.Context, *given: str | None) -> str | None:
    """Return the unit that the argument UNIT, --unit or `-o unit=` gives. Raises UsageError if these differ."""
    units = [text for text in given if text is not None]
    if len({full_name(text) for text in units}) > 1:
        ctx.fail(f"Different units are given, {' and '.join(map(repr, units))}, expected one.")
    return next(iter(units), None)


def full_name(text: str) -> str:
    """Return the full name of a unit, or the text itself if it is not a name of a unit."""
    try:
        return unit_name(text.strip())
    except ValueError:
        return text
