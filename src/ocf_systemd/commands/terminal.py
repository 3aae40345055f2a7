"""Where output for people goes: drawn by rich, or as plain text to whatever reads it."""

import io
import os
import sys
from collections.abc import Mapping
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
