"""`ocf-systemd install` and `uninstall`: the agent where Pacemaker looks for it, and the resident server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ocf_systemd.commands.program import program

_ocf_root = click.option(
    "--ocf-root",
    default="/usr/lib/ocf",
    metavar="DIR",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where Pacemaker looks for agents.",
)
_provider = click.option("--provider", default="pacemaker", show_default=True, help="As in ocf:PROVIDER:name.")
_name = click.option("--name", default="systemd", show_default=True, help="As in ocf:provider:NAME.")


_share = click.option(
    "--share",
    default="/usr/local/share",
    metavar="DIR",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where manual pages and completion go.",
)


@program.command("install")
@_ocf_root
@_provider
@_name
@_share
@click.option("--no-share", is_flag=True, help="Leave those out, as a package does that has them.")
@click.option("--resident", is_flag=True, help="Have a server run the monitors: faster, less CPU time.")
@click.option("--force", is_flag=True, help="Replace an agent, or units, that are not ours.")
def install_agent(
    ocf_root: Path, provider: str, name: str, share: Path, *, no_share: bool, resident: bool, force: bool
) -> int:
    """Put the resource agent where Pacemaker looks for it.

    With --resident, systemd listens on a socket and starts a server that runs the monitors of all agents of this
    installation. If it cannot answer, the agent runs the monitor in its own process. An existing server is upgraded.

    \b
    Examples:
      ocf-systemd install
      ocf-systemd install --resident
    """
    from ocf_systemd.install import server_units
    from ocf_systemd.install.agent_file import AgentFile, InstallationError, install

    try:
        agent = AgentFile(ocf_root, provider, name)
        warnings = install(agent, share=None if no_share else share, force=force)
        click.echo(f"installed {agent.standard} as {agent.path}")
        place = server_units.THIS_HOST
        with _telling_what_stands():
            told = server_units.set_up(place, force=force) if resident else server_units.refresh(place)
    except InstallationError as error:
        raise click.ClickException(str(error)) from error
    if told:
        click.echo(told)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    return 0


@contextmanager
def _telling_what_stands() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted: the agent is installed, the resident server is as it was before", err=True)
        raise


@program.command("uninstall")
@_ocf_root
@_provider
@_name
@_share
@click.option("--force", is_flag=True, help="Remove an agent, or units, that are not ours.")
def uninstall_agent(ocf_root: Path, provider: str, name: str, share: Path, *, force: bool) -> int:
    """Take the resource agent away again.

    The last one takes along what it shares with others: the resident server, manual pages and completion. Units that
    it manages go on running; remove its resources from the cluster first.

    \b
    Examples:
      ocf-systemd uninstall
      ocf-systemd uninstall --provider heartbeat --name systemd
    """
    from ocf_systemd.install.agent_file import AgentFile, InstallationError, uninstall

    try:
        agent = AgentFile(ocf_root, provider, name)
        removed = uninstall(agent, force=force)
        click.echo(f"removed {agent.path}" if removed else f"{agent.path} is not there: nothing to remove")
        for told in _take_away_the_rest(ocf_root, share, force=force):
            click.echo(told)
    except InstallationError as error:
        raise click.ClickException(str(error)) from error
    return 0


def _take_away_the_rest(ocf_root: Path, share: Path, *, force: bool) -> Iterator[str]:
    """Remove what all agents share, unless one is left; yield what to tell."""
    from ocf_systemd.install import server_units
    from ocf_systemd.install.agent_file import DEFAULT_OCF_ROOT, agents_below, take_away_shared

    place = server_units.THIS_HOST
    if left := agents_below(ocf_root, DEFAULT_OCF_ROOT):
        if server_units.is_set_up(place):
            yield f"left {server_units.SERVICE_UNIT} to {left[0]}"
        return
    yield from filter(None, (take_away_shared(share), server_units.remove(place, force=force)))
