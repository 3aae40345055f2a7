"""The command line of `ocf-systemd`, a module for each command. Most imports wait until the command is called."""

import os
import sys
from importlib import import_module
from signal import SIGINT
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from ocf_systemd.commands.program import ProgramGroup

# The modules of the commands, in the order in which --help lists the commands.
_MODULES = ("demo", "doctor", "rehearse", "debug", "sandbox", "install", "completion", "serve")


def main() -> NoReturn:
    """Run `ocf-systemd`, or print completions if a shell requests them by _OCF_SYSTEMD_COMPLETE."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # before any command has started
        sys.exit(128 + SIGINT)


def _run() -> int:
    program = whole_program()
    if shell := os.environ.get("_OCF_SYSTEMD_COMPLETE"):
        from ocf_systemd.commands.completion import print_completions

        return print_completions(shell)
    from ocf_systemd.agent.entry import run

    return run(program)


def whole_program() -> "ProgramGroup":
    """Import the modules of all commands, which add the commands to the program, and return the program."""
    for name in _MODULES:
        import_module(f"ocf_systemd.commands.{name}")
    from ocf_systemd.commands.program import program

    return program
