"""The manual pages, as manual readers format them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

MAN = Path(__file__).parents[2] / "src/ocf_systemd/share/man"
PAGES = [pytest.param(page, id=page.name) for page in sorted(MAN.glob("*/*"))]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(("mandoc", "-Tlint", "-Wwarning"), id="mandoc"),
        pytest.param(("groff", "-ww", "-man", "-Tutf8", "-z"), id="groff"),
    ],
)
def test_formatters(reader: tuple[str, ...], page: Path) -> None:
    """Neither of the two common formatters reports a problem."""
    done = subprocess.run([*reader, str(page)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("page", PAGES)
def test_characters(page: Path) -> None:
    """Hyphens and backslashes are shown as typed, so that commands can be copied."""
    text = subprocess.run(
        ["man", "--no-hyphenation", "--local-file", str(page)],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    assert not {"\N{HYPHEN}", "\N{MINUS SIGN}", "\N{LEFT SINGLE QUOTATION MARK}"} & set(text)
    assert " \\\n" in text
