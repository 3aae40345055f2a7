"""What a release needs to agree: version, changelog, and supported Pythons."""

from __future__ import annotations

import re
import runpy
import subprocess
import tomllib

import pytest

from ocf_systemd import __version__
from tests.docs.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FRAGMENTS = sorted(path.name for path in (ROOT / "changelog.d").glob("*.md"))
README = "[a](docs/a.md#b) ![text\nof it](docs/b.svg) [c](#c) [d](https://d.example/) [`e`](src/e.py)"


def test_changelog_begins_with_this_version() -> None:
    """The newest section is this version's: between two releases, the version is that of the last one."""
    sections = re.findall(r"^## (\S+) \(", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sections[0] == __version__


def test_release_has_the_newest_section() -> None:
    """The workflow publishes the text of the changelog's newest section, without its title and without older ones."""
    workflow = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    (program,) = re.findall("awk '(.*)' CHANGELOG.md", workflow)
    changelog = "# Changelog\n\nText\n\n## 0.2.0 (2026-11-28)\n\n### Added\n\n- a\n\n## 0.1.0 (2026-11-01)\n\n- b\n"
    done = subprocess.run(["awk", program], input=changelog, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "### Added\n\n- a"


def test_fragments_are_found() -> None:
    """Each fragment has a name that towncrier and its template understand."""
    kinds = "|".join(kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"])
    for name in FRAGMENTS:
        assert re.fullmatch(rf"(\d+(\.[\w-]+)?|\+[\w-]+)\.({kinds})\.md", name), name


def test_pythons_agree() -> None:
    """The workflow tests the same Pythons as nox, from the oldest that pip accepts on."""
    oldest = int(PROJECT["project"]["requires-python"].removeprefix(">=3."))
    newest = re.findall(r'max_version="3\.(\d+)"', (ROOT / "noxfile.py").read_text(encoding="utf-8"))
    pythons = [f"3.{minor}" for minor in range(oldest, int(newest[0]) + 1)]
    workflow = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    assert re.findall(r'python: "(3\.\d+)", sessions: unit', workflow) == pythons
    assert f"versions({pythons[0]}, lowest)" in workflow


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("", "a  c [d](https://d.example/) `e`", id="none"),
        pytest.param(
            "https://x.example/y",
            "[a](https://x.example/y/blob/v1.2/docs/a.md#b) ![text\nof it](https://x.example/y/raw/v1.2/docs/b.svg) "
            "[c](https://x.example/y/blob/v1.2/README.md#c) [d](https://d.example/) "
            "[`e`](https://x.example/y/blob/v1.2/src/e.py)",
            id="public",
        ),
    ],
)
def test_description(address: str, expected: str) -> None:
    """An index shows the README without the repository: links lead to the project's address, or are left out."""
    description = runpy.run_path(str(ROOT / "hatch_build.py"))["description"]
    assert description(README, address, "1.2") == expected
