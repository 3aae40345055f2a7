"""Decides whether standard output is rendered by rich, or is text without escape codes; draws live views."""

import io
import os
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

_REFRESHES_PER_S = 12


def uses_rich() -> bool:
    """Return whether to print by rich on standard output.

    This also changes standard output: a character that its encoding lacks, such as in the output of a hook, no longer
    raises an error, but is written as an escape sequence with a backslash.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return wants_rich(os.environ, is_terminal=sys.stdout.isatty())


def wants_rich(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Return whether to print by rich: on a terminal, or if FORCE_COLOR is set, but not if TERM is `dumb`.

    NO_COLOR (https://no-color.org) is not considered here: if it is set, rich prints without colours.
    """
    return environment.get("TERM") != "dumb" and (is_terminal or bool(environment.get("FORCE_COLOR")))


def console() -> "Console":
    """Return a console on standard output."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def live(console: "Console", picture: "Callable[[], RenderableType]") -> Iterator[None]:
    """Draw a picture repeatedly during the block, and then remove it; draw nothing if the output is not a terminal."""
    from rich.live import Live

    if not console.file.isatty():
        yield
        return
    drawing = Live(console=console, get_renderable=picture, refresh_per_second=_REFRESHES_PER_S, transient=True)
    with _hide_ctrl_c(), drawing:
        yield


@contextmanager
def _hide_ctrl_c() -> Iterator[None]:
    """Keep the terminal from echoing ^C, which would shift a live view (ECHOCTL in termios(3))."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):
        yield
        return
    local_modes = before[3]
    quiet = [*before]
    quiet[3] = local_modes & ~termios.ECHOCTL
    termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
