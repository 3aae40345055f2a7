"""The commands for people, each in a module of its name.

What a command does is imported when it is called.
"""

import os
import sys
from importlib import import_module
from signal import SIGINT
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from ocf_systemd.agent.entry import AgentGroup

# In the order in which --help lists what is in them.
_MODULES = ("doctor", "rehearse", "debug", "sandbox", "install", "completion", "serve")


def main() -> NoReturn:
    """Run `ocf-systemd`, or answer a shell that completes its command line."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # so early that no command has begun
        sys.exit(128 + SIGINT)


def _run() -> int:
    program = whole_program()
    if shell := os.environ.get("_OCF_SYSTEMD_COMPLETE"):
        from ocf_systemd.commands.completion import answer

        return answer(shell)
    from ocf_systemd.agent.entry import run

    return run(program)


def whole_program() -> "AgentGroup":
    """Return the program, with all its commands."""
    for name in _MODULES:
        import_module(f"ocf_systemd.commands.{name}")
    from ocf_systemd.commands.program import program

    return program
