"""The commands for people, each in a module of its name.

What a command does is imported when it is called.
"""

import sys
from typing import NoReturn

from ocf_systemd.cli import run
from ocf_systemd.commands import debug, install, sandbox, serve
from ocf_systemd.commands.program import program

__all__ = ["debug", "install", "main", "sandbox", "serve"]


def main() -> NoReturn:
    """Run `ocf-systemd`."""
    sys.exit(run(program))
