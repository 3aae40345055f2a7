"""Where rich prints output for people, and where it is text."""

from __future__ import annotations

import pytest

from ocf_systemd.display.terminal import wants_rich


@pytest.mark.parametrize(
    ("environment", "is_terminal", "rich"),
    [
        pytest.param({"TERM": "xterm"}, True, True, id="terminal"),
        pytest.param({}, True, True, id="terminal of unknown type"),
        pytest.param({"TERM": "xterm"}, False, False, id="pipe"),
        pytest.param({"TERM": "dumb"}, True, False, id="dumb"),
        pytest.param({"TERM": "xterm", "NO_COLOR": "1"}, True, True, id="NO_COLOR"),
        pytest.param({"TERM": "xterm", "NO_COLOR": "1"}, False, False, id="NO_COLOR in a pipe"),
        pytest.param({"TERM": "xterm", "FORCE_COLOR": "1"}, False, True, id="FORCE_COLOR in a pipe"),
        pytest.param({"FORCE_COLOR": ""}, False, False, id="empty FORCE_COLOR"),
        pytest.param({"TERM": "dumb", "FORCE_COLOR": "1"}, True, False, id="FORCE_COLOR on a dumb terminal"),
    ],
)
def test_wants_rich(environment: dict[str, str], *, is_terminal: bool, rich: bool) -> None:
    """Output is by rich on a terminal that is not dumb, and anywhere else if FORCE_COLOR is set."""
    assert wants_rich(environment, is_terminal=is_terminal) == rich
