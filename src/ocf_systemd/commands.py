"""The commands for people: `debug`, `install`, `uninstall`, `sandbox`, `serve`.

What each does is imported when it is called.
"""

import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ocf_systemd import __version__
from ocf_systemd.cli import PROGRAM, AgentGroup, run
from ocf_systemd.ocf import Action

if TYPE_CHECKING:
    from ocf_systemd.debug.session import View
    from ocf_systemd.sandbox import Copy, Sandbox

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


_program = _ProgramGroup(_SUMMARY)
click.version_option(__version__, prog_name=PROGRAM)(_program)


def main() -> NoReturn:
    """Run `ocf-systemd`."""
    sys.exit(run(_program))


def _duration(_ctx: click.Context, _parameter: click.Parameter, text: str) -> float:
    from ocf_systemd.parameters import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise click.BadParameter(f"'{text}' {error}") from None


def _options(_ctx: click.Context, _parameter: click.Parameter, assignments: tuple[str, ...]) -> dict[str, str]:
    from ocf_systemd.parameters import TABLE

    known = {row.name for row in TABLE}
    options: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.BadParameter(f"'{assignment}' is no NAME=VALUE")
        if name not in known and not name.startswith(("CRM_meta_", "OCF_")):
            raise click.BadParameter(f"there is no parameter '{name}'; there are {', '.join(sorted(known))}")
        options[name] = value
    return options


@_program.command()
@click.argument("action", type=click.Choice([*map(str, Action), "cycle"]), metavar="ACTION")
@click.option("--unit", required=True, help="The systemd unit, as the parameter `unit`.")
@click.option("--monitor-hook", help="The health hook, as the parameter `monitor_hook`.")
@click.option("--timeout", default="20s", show_default=True, callback=_duration, help="What Pacemaker would grant.")
@click.option(
    "-o", "options", multiple=True, metavar="NAME=VALUE", callback=_options, help="Any parameter; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def debug(
    action: str, unit: str, monitor_hook: str | None, timeout: float, options: dict[str, str], *, as_json: bool
) -> int:
    """Run an OCF ACTION as Pacemaker would, and show how it goes.

    ACTION is start, stop, monitor, reload, reload-agent, validate-all, meta-data, or cycle: monitor, stop,
    monitor, start, monitor, twice each. The exit code is the action's.

    \b
    Examples:
      ocf-systemd debug start --unit postfix@-
      ocf-systemd debug monitor --unit nginx --monitor-hook /usr/local/lib/hooks/http
      ocf-systemd debug cycle --unit redis-server -o monitor_hook_timeout=2s
    """
    from ocf_systemd.debug.session import Call, run_call

    given = {"unit": unit, **({"monitor_hook": monitor_hook} if monitor_hook else {}), **options}
    call = Call(action, given, timeout)
    if action != Action.META_DATA and not Path("/run/systemd/system").is_dir():
        raise click.ClickException(
            f"this host does not run systemd; try it in a throw-away one: {PROGRAM} sandbox run -- {PROGRAM} debug …"
        )
    return run_call(call, _view(call.name, as_json=as_json))


def _view(name: str, *, as_json: bool) -> "View":
    """Return the view for where the output goes; rich is imported for a terminal alone."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a hook may print what this encoding has no letters for
    if as_json:
        from ocf_systemd.debug.machine import JsonView

        return JsonView()
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        from ocf_systemd.debug.plain import PlainView

        return PlainView()
    from rich.console import Console

    from ocf_systemd.debug.live import LiveView

    return LiveView(Console(highlight=False), in_cycle=name == "cycle")


_ocf_root = click.option("--ocf-root", default="/usr/lib/ocf", show_default=True, type=click.Path(path_type=Path))
_provider = click.option("--provider", default="pacemaker", show_default=True)
_name = click.option("--name", default="systemd", show_default=True)


@_program.command("install")
@_ocf_root
@_provider
@_name
@click.option("--resident", is_flag=True, help="Have a server run the actions: quicker, and of less cost.")
@click.option("--force", is_flag=True, help="Replace an agent, or units, that are not ours.")
def install_agent(ocf_root: Path, provider: str, name: str, *, resident: bool, force: bool) -> int:
    """Put the resource agent where Pacemaker looks for it.

    With --resident, systemd is to listen on a socket and start a server that runs the actions of all agents of this
    installation; where it is away, each agent runs its action itself. A server that is there already is renewed.
    """
    from ocf_systemd import residence
    from ocf_systemd.installation import AgentFile, InstallationError, install

    try:
        agent = AgentFile(ocf_root, provider, name)
        warnings = install(agent, force=force)
        click.echo(f"installed {agent.standard} as {agent.path}")
        place = residence.THIS_HOST
        told = residence.set_up(place, force=force) if resident else residence.refresh(place)
    except InstallationError as error:
        raise click.ClickException(str(error)) from error
    if told:
        click.echo(told)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    return 0


@_program.command("uninstall")
@_ocf_root
@_provider
@_name
@click.option("--force", is_flag=True, help="Remove an agent, or units, that are not ours.")
def uninstall_agent(ocf_root: Path, provider: str, name: str, *, force: bool) -> int:
    """Take the resource agent away again, and with the last one the resident server."""
    from ocf_systemd.installation import AgentFile, InstallationError, uninstall

    try:
        agent = AgentFile(ocf_root, provider, name)
        removed = uninstall(agent, force=force)
        click.echo(f"removed {agent.path}" if removed else f"{agent.path} is not there: nothing to remove")
        told = _end_residence(ocf_root, force=force)
    except InstallationError as error:
        raise click.ClickException(str(error)) from error
    if told:
        click.echo(told)
    return 0


def _end_residence(ocf_root: Path, *, force: bool) -> str:
    """Remove the server's units, unless an agent is left that it may serve; return what to tell."""
    from ocf_systemd import residence
    from ocf_systemd.installation import DEFAULT_OCF_ROOT, agents_below

    place = residence.THIS_HOST
    left = agents_below(ocf_root, DEFAULT_OCF_ROOT)
    if not left:
        return residence.remove(place, force=force)
    return f"left {residence.SERVICE_UNIT} to {left[0]}" if residence.is_set_up(place) else ""


@_program.group()
def sandbox() -> None:
    """Try things in a throw-away host with a real systemd."""


def _copies(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> "list[Copy]":
    from ocf_systemd.sandbox import Copy

    try:
        return [Copy.parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_copy = click.option(
    "--copy", "copies", multiple=True, metavar="SRC:DST", callback=_copies, help="Copy in; repeatable."
)


@sandbox.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_copy
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run_in_sandbox(copies: "list[Copy]", command: tuple[str, ...]) -> int:
    """Boot a sandbox, run COMMAND in it, pass on its exit code, end the sandbox.

    This host's files are there, as copies: whatever COMMAND writes is gone with the sandbox.

    \b
    Example:
      ocf-systemd sandbox run --copy ./smtp:/usr/local/lib/hooks/smtp -- \\
          ocf-systemd debug cycle --unit postfix@- --monitor-hook /usr/local/lib/hooks/smtp
    """
    with _booted(copies) as host:
        return _run_in_foreground(host, command)


@sandbox.command()
@_copy
def shell(copies: "list[Copy]") -> int:
    """Boot a sandbox and give a prompt in it; its end is the sandbox's."""
    with _booted(copies) as host:
        click.echo(
            f"A throw-away host, booted in {host.boot_s:.1f} s; exit ends it and all that changed in it.", err=True
        )
        return _run_in_foreground(host, ("bash", "--norc"), PS1=r"[sandbox] \w\$ ")


@contextmanager
def _booted(copies: "list[Copy]") -> "Iterator[Sandbox]":
    from ocf_systemd.sandbox import SandboxUnavailableError, boot

    try:
        with boot(copies=copies) as host:
            yield host
    except (SandboxUnavailableError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _run_in_foreground(host: "Sandbox", command: Sequence[str], **variables: str) -> int:
    """Run a command on this terminal; Ctrl-C is for it alone, and its end ends the sandbox."""
    here = str(Path.cwd())
    directory = here if host.run(["test", "-d", here]).returncode == 0 else "/root"
    # This program is to be found in there too, wherever it is installed.
    path = f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{Path(sys.executable).parent}"
    display = {name: os.environ[name] for name in ("TERM", "COLORTERM", "NO_COLOR") if name in os.environ}
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = host.call(command, env={"PATH": path, **display, **variables}, cwd=directory, terminal=terminal)
    finally:
        signal.signal(signal.SIGINT, interrupt)
    return code if code >= 0 else 128 - code


def _duration_or_never(ctx: click.Context, parameter: click.Parameter, text: str) -> float:
    return 0.0 if text == "0" else _duration(ctx, parameter, text)


@_program.command()
@click.option(
    "--socket", "path", type=click.Path(path_type=Path), help="Listen here, where systemd has passed no socket."
)
@click.option(
    "--idle-after",
    default="10min",
    show_default=True,
    callback=_duration_or_never,
    help="End after that long without work; 0: never.",
)
def serve(path: Path | None, idle_after: float) -> int:
    """Run actions for agents that call, many at once (ocf-systemd.socket starts this)."""
    from ocf_systemd.server import serve as run_server

    try:
        return run_server(path, idle_after, os.environ)
    except OSError as error:
        raise click.ClickException(f"cannot serve: {error}") from error
