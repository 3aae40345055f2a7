"""The click group of all commands, the checks of what a command needs to run, and types of parameters for commands."""

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd import __version__
from ocf_systemd.agent.entry import PROGRAM, perform_action
from ocf_systemd.core.ocf import Action

if TYPE_CHECKING:
    from collections.abc import Iterable

# secure_path of sudo(8) in Debian, RHEL and SUSE: sudo finds a program by its name only in these directories.
_SECURE_PATH = frozenset({"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"})

_SUMMARY = """Run systemd units under Pacemaker, with a health hook in their monitor.

\b
Examples:
  ocf-systemd doctor nginx
  ocf-systemd rehearse nginx
"""

_ACTION_HELP = {
    Action.START: "Start the unit, and wait until systemd and the hook report it running.",
    Action.STOP: "Stop the unit, and wait until it has stopped.",
    Action.MONITOR: "Query systemd and run the hook, concurrently.",
    Action.RELOAD: "Reload the unit's configuration, and wait as after a start.",
    Action.RELOAD_AGENT: "Apply changed parameters without a restart.",
    Action.VALIDATE_ALL: "Check the parameters and, with OCF_CHECK_LEVEL >= 10, that this host has unit and hooks.",
    Action.META_DATA: "Print the agent's meta-data as XML.",
}
_ACTION_PARAMETERS = (
    f"The parameters are the OCF_RESKEY_* variables of the environment. To try an action, use {PROGRAM} debug."
)


class SuggestingGroup(click.Group):
    """A group whose usage error for an unknown command proposes a similar one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Without any, show the help as an error, which click does only from 8.2 on."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, and the arguments after it."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            known = (name for name, command in self.commands.items() if not command.hidden)
            ctx.fail(f"No such command '{args[0]}'.{_did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)


class SuggestingChoice(click.Choice):  # type: ignore[type-arg]  # it is generic from click 8.2 on
    """A choice whose usage error proposes a similar value."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value. Raises BadParameter."""
        try:
            converted: str = super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message}{_did_you_mean(str(value), self.choices)}", param, ctx)
        return converted


class ProgramGroup(SuggestingGroup):
    """The command line of `ocf-systemd`: OCF actions and commands for people. Usage errors have click's code 2."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the usage line with the names of the options."""
        options = (f"[{option}]" for each in self.get_params(ctx) for option in each.opts)
        return [*options, "COMMAND", "[ARGS]..."]

    def format_options(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their descriptions, and the actions in one line, so that the help fits a screen."""
        commands = [(name, command) for name, command in self.commands.items() if name not in set(Action)]
        with formatter.section("Commands"):  # without a limit, click does not shorten the first sentence
            formatter.write_dl([(name, command.get_short_help_str(limit=sys.maxsize)) for name, command in commands])
        with formatter.section("OCF actions, which Pacemaker calls with OCF_RESKEY_* in the environment"):
            formatter.write_text(" ".join(Action))


class NotRunError(click.ClickException):
    """The command has not run: exit code 2, as after a usage error, because 1 means that it ran and found errors."""

    exit_code = 2


def require_systemd(advice: str) -> None:
    """Raise `NotRunError` with this advice unless systemd is running on this host."""
    from ocf_systemd.host.systemctl import is_booted

    if not is_booted():
        raise NotRunError(f"systemd is not running on this host. {advice}")


def require_root(why: str) -> None:
    """Raise `NotRunError` unless this process runs as root; `why` is a phrase such as "only root starts units"."""
    if not is_root():
        raise NotRunError(f"this user is not root: {why}. Run: {command_as_root()}")


def is_root() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def command_as_root() -> str:
    """Return the shell command that runs this program as root, by sudo(8), with the arguments of this process."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        program = [sys.executable, "-m", "ocf_systemd"]
    else:
        program = [PROGRAM if str(called.parent) in _SECURE_PATH else str(called.absolute())]
    return shlex.join(("sudo", *program, *sys.argv[1:]))


def _did_you_mean(word: str, known: "Iterable[str]") -> str:
    from ocf_systemd.core.suggestions import did_you_mean

    return did_you_mean(word, known)


program = ProgramGroup(PROGRAM, help=_SUMMARY)
for _action, _description in _ACTION_HELP.items():
    _help = _description if _action is Action.META_DATA else f"{_description}\n\n{_ACTION_PARAMETERS}"
    program.add_command(click.Command(_action, help=_help, callback=partial(perform_action, _action)))
click.version_option(__version__, prog_name=PROGRAM)(program)


def duration(_ctx: click.Context, _parameter: click.Parameter, text: str) -> float:
    """Parse the duration that an option has, in the syntax of the agent's parameters; return seconds."""
    from ocf_systemd.core.durations import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise click.BadParameter(f"'{text}' {error}") from None
