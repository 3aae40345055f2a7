"""`--help` of every command fits a screen and has examples."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click
import pytest

from ocf_systemd.commands import whole_program
from ocf_systemd.core.ocf import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS, COLUMNS = 24, 80
PROGRAM = whole_program()


def contexts(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield a context for each command, without the OCF actions."""
    context = click.Context(command, parent, name, terminal_width=COLUMNS)
    yield context
    if isinstance(command, click.Group):
        for each, below in command.commands.items():
            if each not in set(Action):
                yield from contexts(below, each, context)


ALL = [pytest.param(context, id=context.command_path) for context in contexts(PROGRAM, "ocf-systemd")]


@pytest.mark.parametrize("context", ALL)
def test_fits_a_screen(context: click.Context) -> None:
    """A terminal of 80x24 shows the whole help and the next prompt."""
    lines = context.get_help().splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert len(lines) < ROWS


@pytest.mark.parametrize("context", ALL)
def test_shows_examples(context: click.Context) -> None:
    """Each example calls this command or one of its subcommands."""
    text = context.get_help().replace("\\\n", " ")
    examples = [line.strip() for line in text.splitlines() if line.startswith("    ocf-systemd ")]
    examples += [line for line in text.splitlines() if "$(ocf-systemd " in line]
    assert examples
    for example in examples:
        tokens = shlex.split(example.replace('eval "$(', "").replace(')"', "").partition("|")[0], comments=True)
        assert " ".join(tokens).startswith(context.command_path)


@pytest.mark.parametrize("columns", [pytest.param(40, id="40"), pytest.param(200, id="200")])
@pytest.mark.parametrize("context", ALL)
def test_other_widths(context: click.Context, columns: int) -> None:
    """The text fits a narrow terminal, except examples, and is no wider on a wide one."""
    narrow = click.Context(context.command, context.parent, context.info_name, terminal_width=columns)
    lines = [line for line in narrow.get_help().splitlines() if not line.startswith(("    ", "Usage: "))]
    assert max(map(len, lines)) <= max(columns, COLUMNS)
