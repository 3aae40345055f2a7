"""The group of all commands, and the options that several of them have."""

import click

from ocf_systemd import __version__
from ocf_systemd.cli import PROGRAM, AgentGroup
from ocf_systemd.ocf import Action

_SUMMARY = """OCF resource agent that wraps a systemd unit and adds a health hook to its monitor.

The actions are what Pacemaker calls, with OCF_RESKEY_* in the environment; `debug` shows to people how one goes.
"""


class _ProgramGroup(AgentGroup):
    """The OCF actions and the commands for people, listed apart."""

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both lists."""
        actions = [(name, command) for name, command in self.commands.items() if name in set(Action)]
        others = [(name, command) for name, command in self.commands.items() if name not in set(Action)]
        for title, rows in (("Commands for people", others), ("OCF actions", actions)):
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(limit=60)) for name, command in rows])


program = _ProgramGroup(_SUMMARY)
click.version_option(__version__, prog_name=PROGRAM)(program)


def duration(_ctx: click.Context, _parameter: click.Parameter, text: str) -> float:
    """Read an option's duration, in seconds, as parameters have it."""
    from ocf_systemd.parameters import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise click.BadParameter(f"'{text}' {error}") from None


def assignments(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Read options NAME=VALUE, each a parameter or a variable of the operation."""
    from ocf_systemd.parameters import TABLE

    known = {row.name for row in TABLE}
    options: dict[str, str] = {}
    for assignment in texts:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.BadParameter(f"'{assignment}' is no NAME=VALUE")
        if name not in known and not name.startswith(("CRM_meta_", "OCF_")):
            raise click.BadParameter(f"there is no parameter '{name}'; there are {', '.join(sorted(known))}")
        options[name] = value
    return options
