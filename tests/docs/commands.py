"""The commands in the documentation: the contents of a page's fenced `sh` blocks, and where a test runs them.

A comment before a block names the place. It may contain commands of its own, which run first and which a reader does
not see:

    <!-- run: sandbox -->       in a sandbox for this page
    <!-- run: cluster -->       on a node of a cluster
    <!-- run: every node -->    on each of its nodes
    <!-- file: PATH -->         nowhere: it is a script, which is created at PATH in the sandbox
    <!-- not run: REASON -->    nowhere

A comment with commands needs no block.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _pytest.mark import ParameterSet

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])

_PART = re.compile(
    r"<!-- (?P<what>run|file|not run): (?P<where>[^\n]*?)(?: -->|\n(?P<unseen>.*?)-->)|^ *```sh\n(?P<shown>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
# Each command is printed on standard error, as by sh -v, but with its lines joined.
_STEP = """\
echo '$' {quoted} >&2
{line}
code=$?; [ "$code" = 0 ] || {{ echo "exit code $code" >&2; exit 1; }}
"""


class Place(StrEnum):
    """Where commands run."""

    SANDBOX = "sandbox"
    CLUSTER = "cluster"
    EVERY_NODE = "every node"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Commands:
    """Lines for a shell, one command each, and whether a reader sees them."""

    place: Place
    lines: tuple[str, ...]
    are_shown: bool


def script(lines: tuple[str, ...]) -> str:
    """Return the lines as a script that ends with 1 after the first that did not end with 0."""
    return "".join(_STEP.format(quoted=shlex.quote(line), line=line) for line in lines)


def read_page(text: str) -> list[Commands]:
    """Return the commands of a page, in order.

    Raises ValueError if a block has no comment with a place.
    """
    found: list[Commands] = []
    what = where = ""
    for part in _PART.finditer(text):
        block = textwrap.dedent(part["shown"] or part["unseen"] or "")
        if part["what"]:
            what, where = part["what"], part["where"]
        if block:
            found.append(_commands(what, where, block, is_shown=not part["what"]))
        if not part["what"]:
            what = ""
    return found


def _commands(what: str, where: str, block: str, *, is_shown: bool) -> Commands:
    match what:
        case "run":
            return Commands(Place(where), _lines(block), is_shown)
        case "file":
            writing = f"install -D -m 0755 /dev/stdin {where} <<'EOF'\n{block}EOF"
            return Commands(Place.SANDBOX, (writing,), is_shown)
        case "not run":
            return Commands(Place.NOWHERE, _lines(block), is_shown)
        case _:
            raise ValueError(f"this block has no comment with the place where it runs:\n{block}")


def _lines(block: str) -> tuple[str, ...]:
    joined = block.replace("\\\n", " ")
    return tuple(line for line in joined.splitlines() if line.strip())


def runs(commands: Iterable[Commands], *places: Place) -> Iterator[tuple[Place, str]]:
    """Yield the scripts for these places, in order; consecutive commands of one place share a shell."""
    wanted = (each for each in commands if each.place in places)
    for place, group in groupby(wanted, key=lambda each: each.place):
        yield place, script(tuple(line for each in group for line in each.lines))


def pages_with(*places: Place) -> list[ParameterSet]:
    """Return the pages that have commands for one of these places, as a test's parameters."""
    read = {str(page.relative_to(ROOT)): read_page(page.read_text(encoding="utf-8")) for page in PAGES}
    return [
        pytest.param(commands, id=name)
        for name, commands in read.items()
        if any(each.place in places for each in commands)
    ]
