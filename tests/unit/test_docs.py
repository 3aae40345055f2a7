"""The documentation agrees with the code, and its links lead to existing files and headings."""

from __future__ import annotations

import ast
import re
import runpy
from typing import TYPE_CHECKING

import pytest

from tests.docs.commands import HIDDEN, PAGES, ROOT, Commands, Place, read_page
from tests.unit.test_architecture import ARCHITECTURE

if TYPE_CHECKING:
    from pathlib import Path

A_PAGE = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
NOT_RUN = {"README.md", "CONTRIBUTING.md", "docs/bench.md", "docs/install.md", "docs/simulation.md"}
# Commands of a release, which publish it, and one that tests/packaging/test_debian_package.py runs.
NOT_NOX = r"(git|gh|pipx run) .*|apt install \./dist/ocf-systemd_\*\.deb"
WRITTEN = [
    pytest.param("docs/reference.md", "tools/write_reference.py", "reference", id="the tables"),
    pytest.param("docs/faults.md", "tools/write_faults.py", "faults", id="the marks on the tests"),
    pytest.param("docs/results.md", "tools/write_results.py", "results", id="the judgement"),
]


@pytest.mark.parametrize(("page", "script", "name"), WRITTEN)
def test_written_pages_are_up_to_date(page: str, script: str, name: str) -> None:
    """A generated page agrees with the code; `nox -s docs` writes it again."""
    assert (ROOT / page).read_text(encoding="utf-8") == runpy.run_path(str(ROOT / script))[name]()


def test_tested_versions_are_up_to_date() -> None:
    """The README's table agrees with the records of what the tests ran on."""
    script = runpy.run_path(str(ROOT / "tools/write_tested.py"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    records = script["known"]()
    assert text == script["page"](text, records)
    assert {"Debian 12", "Debian 13"} <= {record.distribution for record in records}


@pytest.mark.parametrize("page", A_PAGE)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository, and to a heading in it, leads to one that exists."""
    text = page.read_text(encoding="utf-8")
    for target, _, heading in re.findall(r"\]\(([^)#:]*)(#([^)]+))?\)", text):
        found = page.parent / target if target else page
        assert found.exists(), target
        if heading:
            assert heading in anchors(found.read_text(encoding="utf-8")), f"{target}#{heading}"


def test_links_of_the_next_changelog_lead_somewhere() -> None:
    """Links in fragments are relative to the changelog, which has them after a release."""
    for fragment in (ROOT / "changelog.d").glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)", fragment.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), fragment


def test_commands_that_are_not_run() -> None:
    """They are on few pages. nox has the sessions that they name, and the programs of the sessions have the options."""
    nox = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {each.name for each in ast.walk(nox) if isinstance(each, ast.FunctionDef) and each.decorator_list}
    pages = {page: read_page(page.read_text(encoding="utf-8")) for page in PAGES}
    lines = [
        (page, line.partition(" #")[0])
        for page, blocks in pages.items()
        for each in blocks
        if Place.NOWHERE in each.places
        for line in each.lines
    ]
    assert {str(page.relative_to(ROOT)) for page, _ in lines} == NOT_RUN
    for page, line in lines:
        if re.fullmatch(NOT_NOX, line):
            continue
        match = re.fullmatch(r"python3 noxfile\.py(?: -s (\w+)(?: -- (.*?))?)? *", line)
        assert match, f"{page}: {line}"
        session, arguments = match.groups("")
        assert session in {"", *sessions}, f"{page}: {line}"
        program = "simulation" if session == "simulate" else session
        for option in re.findall("--[a-z-]+", arguments):
            assert f'"{option}"' in (ROOT / f"tests/{program}/__main__.py").read_text(encoding="utf-8"), option


def test_manual_agrees_with_the_code() -> None:
    """The manual pages agree with parameters, actions, codes and commands; `nox -s docs` writes them again."""
    share = ROOT / "src/ocf_systemd/share/man"
    written = runpy.run_path(str(ROOT / "tools/write_manual.py"))["pages"]()
    assert {str(path.relative_to(share)) for path in share.glob("*/*")} == set(written)
    for place, page in written.items():
        assert (share / place).read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        pytest.param("unit=a-b", r"unit=a\-b", id="hyphen"),
        pytest.param(r"a\x2db", r"a\(rsx2db", id="backslash"),
        pytest.param('say "x"', r"say \(dqx\(dq", id="quotes"),
        pytest.param("~^", r"\(ti\(ha", id="accents"),
        pytest.param("CRM_meta_* or OCF_*", "CRM_meta_* or OCF_*", id="stars"),
        pytest.param("<UNIT> [a](b) #c &lt;", "<UNIT> [a](b) #c &lt;", id="Markdown"),
        pytest.param(".TP", r"\&.TP", id="a line like a macro"),
    ],
)
def test_texts_from_the_code_in_the_manual(text: str, roff: str) -> None:
    """The pages have them as they are, and nothing in them is taken for markup."""
    manual = runpy.run_path(str(ROOT / "tools/write_manual.py"))
    assert manual["roff"](manual["plain"](text)) == f".PP\n{roff}\n"


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", A_PAGE)
def test_pictures_have_a_text(page: Path) -> None:
    """Every picture has an alternative text; those that are drawn by hand have their words as text."""
    for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert len(text.split()) > 2, target
        assert "<text" in (page.parent / target).read_text(encoding="utf-8"), target


def test_every_page_is_in_the_readme() -> None:
    """The README links all pages."""
    linked = set(re.findall(r"\]\(([^)#:]+\.md)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {str(page.relative_to(ROOT)) for page in PAGES} - {"README.md"} <= linked


@pytest.mark.parametrize("page", A_PAGE)
def test_commands_state_where_they_run(page: Path) -> None:
    """Every block has a language, and every sh block has a comment with the place where it runs, or why it does not."""
    text = page.read_text(encoding="utf-8")
    assert read_page(text) or "```sh" not in text
    assert "" not in re.findall(r"^ *```(\w*)$", text, re.MULTILINE)[::2]


def test_every_test_is_in_a_session() -> None:
    """A directory of tests is named in noxfile.py, and a directory that is named there has tests."""
    directories = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert directories <= set(re.findall(r"[\w]+", text))
    (listed,) = re.findall(r"directories = \((.*)\)", text)
    assert set(re.findall(r"\w+", listed)) <= directories | {"the", "longest", "first"}


@pytest.mark.parametrize("page", A_PAGE)
def test_sessions_are_there(page: Path) -> None:
    """Every nox session that a page names exists."""
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

<!-- run: sandbox, every node -->

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
    """The commands are those in the blocks and in their comments; a continued line is one command."""
    assert read_page(MANUAL) == [
        Commands(frozenset({Place.SANDBOX}), ("prepare",), are_shown=False),
        Commands(frozenset({Place.SANDBOX}), ("one      two   # three", "four"), are_shown=True),
        Commands(frozenset({Place.SANDBOX, Place.EVERY_NODE}), ("five",), are_shown=True),
        Commands(frozenset({Place.NOWHERE}), ("six",), are_shown=True),
    ]


def is_for_the_test(line: str) -> bool:
    """Return whether a hidden command is one that a reader does not need."""
    return any(re.fullmatch(pattern, line) for pattern in HIDDEN)


@pytest.mark.parametrize("page", A_PAGE)
def test_nothing_that_a_reader_needs_is_hidden(page: Path) -> None:
    """Hidden commands serve only the test, and the text has the path of each script that the test creates."""
    text = page.read_text(encoding="utf-8")
    hidden = [line for commands in read_page(text) if not commands.are_shown for line in commands.lines]
    assert [line for line in hidden if not is_for_the_test(line)] == []
    visible = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    assert all(path in visible for path in re.findall(r"<!-- file: (\S+) -->", text))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("install -D -m 0755 examples/hooks/smtp /usr/local/lib/ocf-systemd/hooks/smtp", id="a hook"),
        pytest.param("cp examples/hooks/smtp myhook", id="a copy"),
        pytest.param('ln -s "$VIRTUAL_ENV" /opt/ocf-systemd', id="a link"),
        pytest.param("systemctl disable nginx", id="a disabled unit"),
        pytest.param("cd examples", id="a directory"),
        pytest.param("grep -q x /etc/hosts; systemctl start postfix@-", id="after a check"),
        pytest.param("crm_mon -1 | xargs systemctl start", id="in a pipe"),
        pytest.param("cibadmin --query >/root/mail.xml", id="a file"),
        pytest.param("until crm_mon -1 | grep -q x; do systemctl start web; done", id="in a loop"),
        pytest.param("pcs resource create web ocf:pacemaker:systemd unit=web", id="a resource of this agent"),
    ],
)
def test_what_may_not_be_hidden(line: str) -> None:
    """A command that a reader needs is not accepted as one that serves only the test."""
    assert not is_for_the_test(line)
