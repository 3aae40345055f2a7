"""`ocf-systemd serve`: the resident server, which runs the monitors of the agents that connect to it."""

import os
from pathlib import Path

import click

from ocf_systemd.commands.program import duration, program


def _duration_or_never(ctx: click.Context, parameter: click.Parameter, text: str) -> float:
    return 0.0 if text == "0" else duration(ctx, parameter, text)


@program.command()
@click.option(
    "--socket",
    "path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The socket, unless systemd passes one.",
)
@click.option(
    "--idle-after",
    default="10min",
    metavar="DURATION",
    show_default=True,
    callback=_duration_or_never,
    help="End after this time without work; 0: never.",
)
def serve(path: Path | None, idle_after: float) -> int:
    """Run the resident server (systemd starts this).

    The server runs the monitors of all agents that connect, concurrently. `ocf-systemd install --resident` installs
    ocf-systemd.socket, which starts the server.

    \b
    Example:
      ocf-systemd serve --socket /run/ocf-systemd.socket --idle-after 0
    """
    from ocf_systemd.server.process import serve as run_server

    try:
        return run_server(path, idle_after, os.environ)
    except OSError as error:
        raise click.ClickException(f"the server cannot run: {error}") from error
