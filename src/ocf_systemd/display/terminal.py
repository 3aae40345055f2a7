"""Where output for people goes: drawn by rich, or as plain text to whatever reads it."""

import io
import os
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def is_drawn() -> bool:
    """Tell whether standard output can be drawn on.

    Afterwards what its encoding has no letters for, as a hook may print, is written with backslashes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return wants_drawing(os.environ, is_terminal=sys.stdout.isatty())


def wants_drawing(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Tell whether to draw: on a terminal that is not dumb, and wherever FORCE_COLOR asks for it.

    NO_COLOR (https://no-color.org) is about colour alone: rich draws without any then.
    """
    return environment.get("TERM") != "dumb" and (is_terminal or bool(environment.get("FORCE_COLOR")))


def console() -> "Console":
    """Return what draws on standard output."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def ctrl_c_unseen() -> Iterator[None]:
    """Keep the terminal from writing ^C into the drawing, which would shift it by a line (termios(3), ECHOCTL)."""
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
