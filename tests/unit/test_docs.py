"""The documentation tells what the code does, and leads nowhere that is not there."""

import re
import runpy
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/reference.md",
    "docs/bench.md",
    "docs/faults.md",
    "docs/pacemaker.md",
    "docs/resident.md",
    "docs/security.md",
    "docs/simulation.md",
    "examples/README.md",
)


def test_reference_is_what_the_tables_say() -> None:
    """docs/reference.md is never behind the tables it is written from: `nox -s docs` writes it anew."""
    written = runpy.run_path(str(_ROOT / "docs/write_reference.py"))["reference"]()
    assert (_ROOT / "docs/reference.md").read_text(encoding="utf-8") == written


def test_faults_are_what_the_tests_do() -> None:
    """docs/faults.md is never behind the marks it is written from: `nox -s docs` writes it anew."""
    written = runpy.run_path(str(_ROOT / "docs/write_faults.py"))["faults"]()
    assert (_ROOT / "docs/faults.md").read_text(encoding="utf-8") == written


def test_manual_is_what_the_code_says() -> None:
    """The manual pages are never behind parameters, actions, codes and commands: `nox -s docs` writes them anew."""
    share = _ROOT / "src/ocf_systemd/share/man"
    written = runpy.run_path(str(_ROOT / "docs/write_manual.py"))["pages"]()
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
    assert runpy.run_path(str(_ROOT / "docs/write_manual.py"))["escaped"](text) == escaped


@pytest.mark.parametrize("page", _PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a file of the repository finds it."""
    text = (_ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    missing = [target for target in targets if not ((_ROOT / page).parent / target).exists()]
    assert not missing


def test_every_module_is_in_the_architecture() -> None:
    """ARCHITECTURE.md has a row for every module and package."""
    text = (_ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    modules = {path.stem for path in (_ROOT / "src/ocf_systemd").iterdir() if not path.name.startswith(("_", "py."))}
    assert modules == set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
