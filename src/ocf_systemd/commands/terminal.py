"""Where output for people goes: to a terminal, drawn by rich, or to whatever reads plain text."""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def is_drawn() -> bool:
    """Tell whether standard output is a terminal that can be drawn on.

    Afterwards what its encoding has no letters for, as a hook may print, is written with backslashes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def console() -> "Console":
    """Return what draws on standard output."""
    from rich.console import Console

    return Console(highlight=False)
