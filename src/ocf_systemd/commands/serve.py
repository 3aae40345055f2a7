"""`ocf-systemd serve`: the resident server."""

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
    help="Listen here, where systemd has passed no socket.",
)
@click.option(
    "--idle-after",
    default="10min",
    metavar="DURATION",
    show_default=True,
    callback=_duration_or_never,
    help="End after that long without work; 0: never.",
)
def serve(path: Path | None, idle_after: float) -> int:
    """Run monitors for agents that connect (systemd starts this).

    Many at once. `ocf-systemd install --resident` sets up ocf-systemd.socket, by which systemd starts the server.

    \b
    Example:
      ocf-systemd serve --socket /run/ocf-systemd.socket --idle-after 0
    """
    from ocf_systemd.server.server import serve as run_server

    try:
        return run_server(path, idle_after, os.environ)
    except OSError as error:
        raise click.ClickException(f"cannot serve: {error}") from error
