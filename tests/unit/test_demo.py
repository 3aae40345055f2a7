"""`ocf-systemd demo` where it cannot run: one line, before anything is tried."""

from __future__ import annotations

import pytest

from tests.unit.builders import run_python

PROGRAM = """
import os
from pathlib import Path
from ocf_systemd.commands import main, demo
{before}
main()
"""


@pytest.mark.parametrize(
    ("before", "why"),
    [
        pytest.param("os.geteuid = lambda: 1000", "root", id="not root"),
        pytest.param("demo._EXAMPLES = (Path('/no/such'),)", "Install ocf-systemd again", id="files are missing"),
    ],
)
def test_cannot_run(before: str, why: str) -> None:
    """It is an error with exit code 2 that says what to do."""
    done = run_python(PROGRAM.format(before=before), "demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
