"""Whether standard output is shown in a terminal, by rich, or is text without escape codes."""

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

    From then on, characters that its encoding lacks, which a hook may print, are written with backslashes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return wants_rich(os.environ, is_terminal=sys.stdout.isatty())


def wants_rich(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Return whether to print by rich: on a terminal that is not dumb, or if FORCE_COLOR is set.

    NO_COLOR (https://no-color.org) is about colours only: with it, rich prints without them.
    """
    return environment.get("TERM") != "dumb" and (is_terminal or bool(environment.get("FORCE_COLOR")))


def console() -> "Console":
    """Return a console on standard output."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def live(console: "Console", picture: "Callable[[], RenderableType]") -> Iterator[None]:
    """Draw a picture again and again during the block, and then remove it; nothing is drawn in a pipe."""
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
