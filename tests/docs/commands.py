"""The commands in the documentation: the contents of a page's fenced `sh` blocks, and where a test runs them.

A test runs what the reader sees. All that a command needs is in the visible text or in an earlier visible block of the
same page; the page states what else it assumes, such as a cluster, and the test has that. A comment before a block
names the place:

    <!-- run: sandbox -->               in a sandbox for this page
    <!-- run: cluster -->               on a node of a cluster
    <!-- run: every node -->            on each of its nodes
    <!-- run: sandbox, every node -->   in both
    <!-- file: PATH -->                 nowhere: it is a script, which is created at PATH in the sandbox
    <!-- not run: REASON -->            nowhere

A comment may contain commands of its own, which run before the block and which a reader does not see. They serve only
the test: HIDDEN has all that they may do. A comment with commands needs no block.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
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
# What a hidden command may do. None of it is needed by a reader who types the visible commands one after the other.
_READS = r"(?:crm_mon|crm_resource --wait|systemctl show|cibadmin --query|journalctl|grep|diff|tr|wc)\b[^|;&<>$`]*"
_PIPE = rf"{_READS}(?:\| {_READS})*"
HIDDEN = (
    rf"{_PIPE}(?:>/run/[\w-]+)?",  # checks what the visible commands did, or notes what a later check compares
    rf"until {_PIPE}; do sleep [\d.]+; done",  # waits, as a reader does who looks at the cluster
    r"pcs constraint location regexp%[\w-]+ prefers node1",  # runs a resource where the visible commands are typed
    r"pcs resource create [\w-]+ (?:systemd:|ocf:heartbeat:Dummy\b).*",  # a resource that the page assumes
    r"pcs resource group add services first [\w-]+ last",  # the same
    r"systemctl (?:mask|kill --signal=[A-Z]+) [\w@-]+",  # causes the fault that the page is about
    r"pcs resource update [\w-]+ poll_interval=abc",  # the same
    r"env [\w =@-]+ /usr/lib/ocf/resource\.d/pacemaker/systemd monitor \|\| test \$\? = 7",  # the same: for its log
    r"pcs resource delete [\w-]+",  # ends one of two alternatives, of which a reader types one
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
    """Lines for a shell, one command each, the places where they run, and whether a reader sees them."""

    places: frozenset[Place]
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
            return Commands(frozenset(map(Place, where.split(", "))), _lines(block), is_shown)
        case "file":
            writing = f"install -D -m 0755 /dev/stdin {where} <<'EOF'\n{block}EOF"
            return Commands(frozenset({Place.SANDBOX}), (writing,), is_shown)
        case "not run":
            return Commands(frozenset({Place.NOWHERE}), _lines(block), is_shown)
        case _:
            raise ValueError(f"this block has no comment with the place where it runs:\n{block}")


def _lines(block: str) -> tuple[str, ...]:
    joined = block.replace("\\\n", " ")
    return tuple(line for line in joined.splitlines() if line.strip())


def runs(commands: Iterable[Commands], *places: Place) -> Iterator[tuple[Place, str]]:
    """Yield the scripts for these places, in order; consecutive commands of one place share a shell."""
    wanted = ((place, each.lines) for each in commands for place in places if place in each.places)
    for place, group in groupby(wanted, key=itemgetter(0)):
        yield place, script(tuple(line for _, lines in group for line in lines))


def installs_program(commands: Iterable[Commands]) -> bool:
    """Return whether the reader of a page installs the program by its commands."""
    return any(each.are_shown and "pip install ." in line for each in commands for line in each.lines)


def pages_with(*places: Place) -> list[ParameterSet]:
    """Return the pages that have commands for one of these places, as a test's parameters."""
    read = {str(page.relative_to(ROOT)): read_page(page.read_text(encoding="utf-8")) for page in PAGES}
    return [
        pytest.param(commands, id=name)
        for name, commands in read.items()
        if any(each.places.intersection(places) for each in commands)
    ]
