"""Where output for people is drawn, and where it is plain text."""

from __future__ import annotations

import pytest

from ocf_systemd.display.terminal import wants_drawing


@pytest.mark.parametrize(
    ("environment", "is_terminal", "drawn"),
    [
        pytest.param({"TERM": "xterm"}, True, True, id="terminal"),
        pytest.param({}, True, True, id="terminal of no known kind"),
        pytest.param({"TERM": "xterm"}, False, False, id="pipe"),
        pytest.param({"TERM": "dumb"}, True, False, id="dumb"),
        pytest.param({"TERM": "xterm", "NO_COLOR": "1"}, True, True, id="NO_COLOR is about colour"),
        pytest.param({"TERM": "xterm", "NO_COLOR": "1"}, False, False, id="NO_COLOR in a pipe"),
        pytest.param({"TERM": "xterm", "FORCE_COLOR": "1"}, False, True, id="FORCE_COLOR in a pipe"),
        pytest.param({"FORCE_COLOR": ""}, False, False, id="FORCE_COLOR that is empty"),
        pytest.param({"TERM": "dumb", "FORCE_COLOR": "1"}, True, False, id="FORCE_COLOR for a dumb terminal"),
    ],
)
def test_wants_drawing(environment: dict[str, str], *, is_terminal: bool, drawn: bool) -> None:
    """A terminal is drawn on unless it is dumb, anything else when FORCE_COLOR says so."""
    assert wants_drawing(environment, is_terminal=is_terminal) == drawn
