"""OCF's exit codes and their names, and the prefix of exit reasons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.ocf import ExitCode, code_name, defused


@pytest.mark.parametrize(
    ("code", "name"),
    [pytest.param(code, f"OCF_{code.name}", id=code.name) for code in ExitCode]
    + [pytest.param(42, "exit code 42", id="42"), pytest.param(255, "exit code 255", id="255")],
)
def test_code_names(code: int, name: str) -> None:
    """OCF's names, and the number for what has none."""
    assert code_name(code) == name


@pytest.mark.parametrize(
    ("code", "number"),
    [
        pytest.param("SUCCESS", 0, id="success"),
        pytest.param("ERR_GENERIC", 1, id="generic"),
        pytest.param("ERR_ARGS", 2, id="args"),
        pytest.param("ERR_UNIMPLEMENTED", 3, id="unimplemented"),
        pytest.param("ERR_PERM", 4, id="perm"),
        pytest.param("ERR_INSTALLED", 5, id="installed"),
        pytest.param("ERR_CONFIGURED", 6, id="configured"),
        pytest.param("NOT_RUNNING", 7, id="not running"),
        pytest.param("DEGRADED", 190, id="degraded"),
    ],
)
def test_the_exit_codes_are_ocfs(code: str, number: int) -> None:
    """The numbers that Pacemaker knows."""
    assert ExitCode[code] == number


@pytest.mark.parametrize(
    ("text", "prefix", "safe"),
    [
        pytest.param("all is well", "ocf-exit-reason:", "all is well", id="nothing to do"),
        pytest.param("a ocf-exit-reason:fine", "ocf-exit-reason:", "a [...]fine", id="within a line"),
        pytest.param("REASON=x REASON=y", "REASON=", "[...]x [...]y", id="another prefix, twice"),
    ],
)
def test_no_text_passes_for_a_reason(text: str, prefix: str, safe: str) -> None:
    """Pacemaker looks for the last prefix, wherever that stands: no text of others has one."""
    assert defused(text, prefix) == safe


@given(st.text(st.sampled_from("ocf-exit-reason:"), max_size=60))
def test_no_prefix_is_left(text: str) -> None:
    """Taking one away does not make another."""
    assert "ocf-exit-reason:" not in defused(f"ocf-exit-ocf-exit-reason:reason:{text}")
