"""The documentation tells what the code does, and leads nowhere that is not there."""

from __future__ import annotations

import ast
import re
import runpy
from typing import TYPE_CHECKING

import pytest

from tests.docs.commands import PAGES, ROOT, Commands, Place, read_page
from tests.unit.test_architecture import ARCHITECTURE

if TYPE_CHECKING:
    from pathlib import Path

A_PAGE = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
WRITTEN = [
    pytest.param("docs/reference.md", "tools/write_reference.py", "reference", id="the tables"),
    pytest.param("docs/faults.md", "tools/write_faults.py", "faults", id="the marks on the tests"),
    pytest.param("docs/results.md", "tools/write_results.py", "results", id="the judgement"),
]


@pytest.mark.parametrize(("page", "script", "name"), WRITTEN)
def test_written_pages_are_not_behind(page: str, script: str, name: str) -> None:
    """A page that is written from the code is what the code says now: `nox -s docs` writes it anew."""
    assert (ROOT / page).read_text(encoding="utf-8") == runpy.run_path(str(ROOT / script))[name]()


@pytest.mark.parametrize("page", A_PAGE)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository, and to a heading in it, finds it."""
    text = page.read_text(encoding="utf-8")
    for target, _, heading in re.findall(r"\]\(([^)#:]*)(#([^)]+))?\)", text):
        found = page.parent / target if target else page
        assert found.exists(), target
        if heading:
            assert heading in anchors(found.read_text(encoding="utf-8")), f"{target}#{heading}"


def test_manual_is_what_the_code_says() -> None:
    """The manual pages are never behind parameters, actions, codes and commands: `nox -s docs` writes them anew."""
    share = ROOT / "src/ocf_systemd/share/man"
    written = runpy.run_path(str(ROOT / "tools/write_manual.py"))["pages"]()
    assert {str(path.relative_to(share)) for path in share.glob("*/*")} == set(written)
    for place, page in written.items():
        assert (share / place).read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        pytest.param("unit=a-b", r"unit=a\-b", id="hyphen"),
        pytest.param(r"a\x2db", r"a\ex2d" + "b", id="backslash"),
        pytest.param('say "x"', r"say \(dqx\(dq", id="quotes"),
        pytest.param("~^", r"\(ti\(ha", id="accents"),
    ],
)
def test_manual_is_escaped(text: str, escaped: str) -> None:
    """For groff to show text as it is."""
    assert runpy.run_path(str(ROOT / "tools/write_manual.py"))["escaped"](text) == escaped


def anchors(text: str) -> set[str]:
    """Return what a page's headings can be reached by."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_readme() -> None:
    """Whoever reads the README finds all pages."""
    linked = set(re.findall(r"\]\(([^)#:]+\.md)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {str(page.relative_to(ROOT)) for page in PAGES} - {"README.md"} <= linked


@pytest.mark.parametrize("page", A_PAGE)
def test_commands_say_where_they_run(page: Path) -> None:
    """Every block is of a named language, and one of sh says where it is run, or why it is not."""
    text = page.read_text(encoding="utf-8")
    assert read_page(text) or "```sh" not in text
    assert "" not in re.findall(r"^ *```(\w*)$", text, re.MULTILINE)[::2]


@pytest.mark.parametrize("page", A_PAGE)
def test_sessions_are_there(page: Path) -> None:
    """A nox session that a page names is one, those too that no test runs."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    named = set(re.findall(r"(?:nox|noxfile\.py) -s (\w+)", page.read_text(encoding="utf-8")))
    assert named <= sessions


def test_every_module_is_in_the_architecture() -> None:
    """ARCHITECTURE.md has a row for every folder, in their order, with its modules."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/?` \| .* \| (.*) \|$", text, re.MULTILINE)
    assert [folder for folder, _ in rows] == [folder for folder in ARCHITECTURE["imports"] if folder != "__main__"]
    for folder, modules in rows:
        files = {path.stem for path in (ROOT / "src/ocf_systemd" / folder).glob("*.py")} - {"__init__"}
        assert set(re.findall(r"`(\w+)`", modules)) == files, folder


MANUAL = """\
<!-- run: sandbox
prepare
-->

```sh
one \\
    two   # three
four
```

<!-- run: every node -->

1. Then:

   ```sh
   five
   ```

<!-- not run: takes a year -->

```sh
six
```
"""


def test_reads_a_page() -> None:
    """What is run is what stands in the blocks, and what their comments have; a line that goes on is one command."""
    assert read_page(MANUAL) == [
        Commands(Place.SANDBOX, ("prepare",), are_shown=False),
        Commands(Place.SANDBOX, ("one      two   # three", "four"), are_shown=True),
        Commands(Place.EVERY_NODE, ("five",), are_shown=True),
        Commands(Place.NOWHERE, ("six",), are_shown=True),
    ]
