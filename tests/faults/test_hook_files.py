"""Hooks that cannot be run, that vanish, or that other users could have written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box


@pytest.mark.fault(
    "A hook is missing, not executable, a dangling link or a loop of links. Or its first line names no interpreter or "
    "a missing interpreter, or ends in CR LF.",
    "Start and monitor return 5 with a reason that names the problem. `sh` does not run the hook instead. A stop "
    "returns 0.",
)
@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param("rm H", "No such file or directory", id="missing"),
        pytest.param("chmod -x H", "it is not executable", id="not-executable"),
        pytest.param("printf '#!/no/such\\n' >H", "its interpreter /no/such cannot be run", id="interpreter"),
        pytest.param("printf '#!/usr/bin/env no-such\\n' >H", "its interpreter no-such is not in PATH", id="env"),
        pytest.param("printf '#!/bin/sh\\r\\nexit 0\\r\\n' >H", "its first line ends in CR LF", id="crlf"),
        pytest.param(
            "printf 'touch /run/test/ran\\n' >H",
            "it is not a program and its first line has no interpreter",
            id="no-shebang",
        ),
        pytest.param(": >H", "it is not a program and its first line has no interpreter", id="empty"),
        pytest.param("rm H; ln -s /no/such H", "No such file or directory", id="dangling"),
        pytest.param("rm H; ln -s H H", "Too many levels of symbolic links", id="loop"),
    ],
)
def test_cannot_be_run(agent: Agent, box: Box, prepare: str, reason: str) -> None:
    """A hook that cannot be run is 5 with why, for monitor and start; it does not keep a stop from being 0."""
    unit, hook = box.started(), box.marking("ran")
    box.sh(prepare.replace("H", hook))
    for action in ("monitor", "start"):
        result = agent(action, unit=unit, monitor_hook=hook)
        assert result.code == 5
        assert result.reason.startswith(f"hook hook: cannot be run: {reason}")
    assert agent("stop", unit=unit, monitor_hook=hook).code == 0
    assert agent("monitor", unit=unit, monitor_hook=hook).code == 7
    assert box.marks("ran") == []


@pytest.mark.fault(
    "A directory of hooks contains a dangling link.", "The monitor returns 5, and the reason names the link."
)
def test_dangling_entry(agent: Agent, box: Box) -> None:
    """A dangling entry is reported, not skipped: it was meant to run."""
    directory = Path(box.hook("exit 0", "good")).parent
    box.sh(f"ln -s /no/such {directory}/dangling")
    result = agent("monitor", unit=box.started(), monitor_hook=str(directory))
    assert result.code == 5
    assert result.reason.startswith("hook dangling: cannot be run: ")


@pytest.mark.fault(
    "A hook is deleted after the start.",
    "A monitor returns 5 while the unit is active, and 7 when the unit is down. A stop returns 0.",
)
def test_vanished(agent: Agent, box: Box) -> None:
    """A hook that vanishes after the start is 5 while the unit runs, 7 once it is down; stop is 0."""
    unit, hook = box.service(), box.hook("exit 0")
    assert agent("start", unit=unit, monitor_hook=hook).code == 0
    box.sh('rm "$1"', hook)
    codes = [agent(action, unit=unit, monitor_hook=hook).code for action in ("monitor", "stop", "monitor")]
    assert codes == [5, 0, 7]


@pytest.mark.fault(
    "A user other than root can write to a hook or to a directory above it, or owns one of them. Or the hook is a link "
    "to a file in such a directory.",
    "Start, monitor and `validate-all` return 4 and do not run the hook. A stop returns 0.",
)
@pytest.mark.parametrize(
    ("prepare", "culprit"),
    [
        pytest.param("chmod o+w H", "H", id="writable-by-all"),
        pytest.param("chgrp nogroup H; chmod g+w H", "H", id="writable-by-group"),
        pytest.param("chown nobody H", "H", id="owned-by-nobody"),
        pytest.param("chmod o+w D", "D", id="directory-writable-by-all"),
        pytest.param("chown nobody D", "D", id="directory-owned-by-nobody"),
        pytest.param(
            "mkdir -p /run/test/d; chmod 777 /run/test/d; mv H /run/test/d/; ln -s /run/test/d/hook H",
            "/run/test/d",
            id="behind-a-link",
        ),
    ],
)
def test_unsafe(agent: Agent, box: Box, prepare: str, culprit: str) -> None:
    """A hook that others could change is 4, names what is at fault and is not run; stop works."""
    unit, hook = box.started(), box.marking("ran")
    directory = hook.rpartition("/")[0]
    box.sh(prepare.replace("H", hook).replace("D", directory))
    for action in ("monitor", "start", "validate-all"):
        result = agent(action, unit=unit, monitor_hook=hook, variables={"OCF_CHECK_LEVEL": "10"})
        assert result.code == 4
        assert f"{culprit.replace('H', hook).replace('D', directory)} is" in result.reason
    assert agent("stop", unit=unit, monitor_hook=hook).code == 0
    assert box.marks("ran") == []
