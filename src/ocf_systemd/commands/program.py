"""The click group of all commands, and the options that several commands have."""

from functools import partial
from typing import TYPE_CHECKING, ParamSpec

import click

from ocf_systemd import __version__
from ocf_systemd.agent.entry import PROGRAM, perform_action
from ocf_systemd.core.ocf import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from ocf_systemd.core.operations import Operations

P = ParamSpec("P")

_SUMMARY = """Run systemd units under Pacemaker, with a health hook in their monitor.

\b
Examples:
  ocf-systemd doctor --unit nginx
  ocf-systemd rehearse --unit nginx
"""

_ACTION_HELP = {
    Action.START: "Start the unit, and wait until systemd and the hook report it running.",
    Action.STOP: "Stop the unit, and wait until it has stopped.",
    Action.MONITOR: "Query systemd and run the hook, concurrently.",
    Action.RELOAD: "Reload the unit's configuration, and wait as after a start.",
    Action.RELOAD_AGENT: "Apply changed parameters without a restart.",
    Action.VALIDATE_ALL: "Check the parameters, and with OCF_CHECK_LEVEL=10 this host.",
    Action.META_DATA: "Print the agent's metadata as XML.",
}
_ACTION_PARAMETERS = (
    f"The parameters are the OCF_RESKEY_* variables of the environment. To try an action, use {PROGRAM} debug."
)


class ProgramGroup(click.Group):
    """The command line of `ocf-systemd`: the OCF actions and the commands for people. Usage errors are click's own."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the usage line with the names of the options."""
        options = (f"[{option}]" for each in self.get_params(ctx) for option in each.opts)
        return [*options, "COMMAND", "[ARGS]..."]

    def format_options(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their descriptions, and the actions in one line, so that the help fits a screen."""
        commands = [(name, command) for name, command in self.commands.items() if name not in set(Action)]
        width = formatter.width - formatter.current_indent - max(len(name) for name, _ in commands) - len("    ")
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit=max(width, 20))) for name, command in commands])
        with formatter.section("OCF actions, which Pacemaker calls with OCF_RESKEY_* in the environment"):
            formatter.write_text(" ".join(Action))


class NotRunError(click.ClickException):
    """The command has not run, which must not be mistaken for an error that it found: exit code 2, as for usage."""

    exit_code = 2


def require_systemd(advice: str) -> None:
    """Raise `NotRunError` with this advice unless systemd is running on this host."""
    from ocf_systemd.host.systemctl import is_booted

    if not is_booted():
        raise NotRunError(f"systemd is not running on this host. {advice}")


program = ProgramGroup(PROGRAM, help=_SUMMARY)
for _action, _description in _ACTION_HELP.items():
    _help = f"{_description}\n\n{_ACTION_PARAMETERS}"
    program.add_command(click.Command(_action, help=_help, callback=partial(perform_action, _action)))
click.version_option(__version__, prog_name=PROGRAM)(program)


def duration(_ctx: click.Context, _parameter: click.Parameter, text: str) -> float:
    """Parse an option's duration, in the syntax of parameters; return seconds."""
    from ocf_systemd.core.durations import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise click.BadParameter(f"'{text}' {error}") from None


def assignments(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Parse options NAME=VALUE, each a parameter, a CRM_meta_ attribute or an OCF_ variable."""
    from ocf_systemd.core.parameter_table import TABLE

    known = {row.name for row in TABLE}
    options: dict[str, str] = {}
    for assignment in texts:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.BadParameter(f"'{assignment}' is not NAME=VALUE, expected for example poll_interval=500ms")
        if name not in known and not name.startswith(("CRM_meta_", "OCF_")):
            raise click.BadParameter(f"unknown parameter '{name}', expected {', '.join(sorted(known))}")
        options[name] = value
    return options


def operations(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> "Operations":
    """Parse options NAME=TIME, each the timeout of an operation or the interval of the monitor."""
    from ocf_systemd.core.operations import OPERATION_NAMES, Operations

    chosen: dict[str, float] = {}
    for text in texts:
        name, equals, time = text.partition("=")
        if not equals or name not in OPERATION_NAMES:
            raise click.BadParameter(f"'{text}' is not NAME=TIME with one of the names {', '.join(OPERATION_NAMES)}")
        chosen[name] = duration(ctx, parameter, time)
    return Operations(chosen)


def _completed(kind: str) -> "Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]":
    """Return a click callback that completes the values of an option by the function `kind` of `candidates`."""

    def complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        from ocf_systemd.commands import candidates

        find: Callable[[str], list[CompletionItem[str]]] = getattr(candidates, kind)
        return find(incomplete)

    return complete


_RESOURCE_OPTIONS = (
    click.option(
        "--unit", required=True, shell_complete=_completed("units"), help="The systemd unit (parameter `unit`)."
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
        callback=assignments,
        shell_complete=_completed("assignments"),
        help="Set a parameter, a CRM_meta_ or an OCF_ variable.",
    ),
    click.option(
        "--op",
        "operations",
        multiple=True,
        metavar="NAME=TIME",
        callback=operations,
        help="A timeout (start=15min), or interval=30s; repeatable.",
    ),
)


def resource_options(command: "Callable[P, int]") -> "Callable[P, int]":
    """Add the options of a command that acts on a resource: --unit, --monitor-hook, -o and --op."""
    for option in reversed(_RESOURCE_OPTIONS):
        command = option(command)
    return command
