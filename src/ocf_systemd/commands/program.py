"""The group of all commands, and the options that several of them have."""

from typing import TYPE_CHECKING

import click

from ocf_systemd import __version__
from ocf_systemd.agent.entry import PROGRAM, AgentGroup
from ocf_systemd.core.ocf import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from ocf_systemd.commands.candidates import Candidate
    from ocf_systemd.core.operations import Operations

_SUMMARY = """Run systemd units under Pacemaker, with a health hook in their monitor.

\b
Examples:
  ocf-systemd doctor --unit nginx
  ocf-systemd rehearse --sandbox --unit nginx
"""


class _ProgramGroup(AgentGroup):
    """The OCF actions and the commands for people, told apart."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the options by name, which tell enough."""
        options = (f"[{option}]" for each in self.get_params(ctx) for option in each.opts)
        return [*options, "COMMAND", "[ARGS]..."]

    def format_options(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with what it does, and the actions in a line: it is all to fit a screen."""
        others = [(name, command) for name, command in self.commands.items() if name not in set(Action)]
        width = formatter.width - formatter.current_indent - max(len(name) for name, _ in others) - len("    ")
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit=max(width, 20))) for name, command in others])
        with formatter.section("OCF actions, which Pacemaker calls with OCF_RESKEY_* in the environment"):
            formatter.write_text(" ".join(Action))


program = _ProgramGroup(_SUMMARY)
click.version_option(__version__, prog_name=PROGRAM)(program)


def duration(_ctx: click.Context, _parameter: click.Parameter, text: str) -> float:
    """Read an option's duration, in seconds, as parameters have it."""
    from ocf_systemd.core.durations import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise click.BadParameter(f"'{text}' {error}") from None


def assignments(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Read options NAME=VALUE, each a parameter or a variable of the operation."""
    from ocf_systemd.core.parameter_table import TABLE

    known = {row.name for row in TABLE}
    options: dict[str, str] = {}
    for assignment in texts:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.BadParameter(f"'{assignment}' is no NAME=VALUE, expected one such as poll_interval=500ms")
        if name not in known and not name.startswith(("CRM_meta_", "OCF_")):
            raise click.BadParameter(f"there is no parameter '{name}'; there are {', '.join(sorted(known))}")
        options[name] = value
    return options


def operations(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> "Operations":
    """Read options NAME=TIME, each the timeout of an operation or the monitor's interval."""
    from ocf_systemd.core.operations import OPERATION_NAMES, Operations

    chosen: dict[str, float] = {}
    for text in texts:
        name, equals, time = text.partition("=")
        if not equals or name not in OPERATION_NAMES:
            raise click.BadParameter(f"'{text}' is not NAME=TIME with one of the names {', '.join(OPERATION_NAMES)}")
        chosen[name] = duration(ctx, parameter, time)
    return Operations(chosen)


def _completed(
    find: "Callable[[str], list[Candidate]]",
) -> "Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]":
    """Return what click asks for an option's values, from what finds them."""

    def complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(each.text, help=each.description) for each in find(incomplete)]

    return complete


def _units(incomplete: str) -> "list[Candidate]":
    from ocf_systemd.commands.candidates import units

    return units(incomplete)


def _hooks(incomplete: str) -> "list[Candidate]":
    from ocf_systemd.commands.candidates import hooks

    return hooks(incomplete)


def _assignments(incomplete: str) -> "list[Candidate]":
    from ocf_systemd.commands.candidates import assignments

    return assignments(incomplete)


unit_option = click.option(
    "--unit", required=True, shell_complete=_completed(_units), help="The systemd unit, as the parameter `unit`."
)
hook_option = click.option(
    "--monitor-hook",
    metavar="PATH",
    shell_complete=_completed(_hooks),
    help="The health hook, as the parameter `monitor_hook`.",
)
parameter_option = click.option(
    "-o",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=assignments,
    shell_complete=_completed(_assignments),
    help="Any parameter; repeatable.",
)
operation_option = click.option(
    "--op",
    "operations",
    multiple=True,
    metavar="NAME=TIME",
    callback=operations,
    help="The timeout of an operation (start=5min) or the monitor's interval=; repeatable. Default: as advertised.",
)
