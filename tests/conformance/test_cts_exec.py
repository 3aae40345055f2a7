"""Pacemaker's own tests of its executor for the resource class `systemd`, with our agent in place of that class."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocf_systemd.sandbox import boot
from tests.conformance.run_cts_exec import CTS_EXEC
from tests.conformance.run_cts_exec import __file__ as runner
from tests.system.requirements import Requirements

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
AGENT = "/usr/lib/ocf/resource.d/pacemaker/systemd"
BOOT_TIMEOUT_S, TEST_TIMEOUT_S = 120.0, 300.0
# Each group has a sandbox of its own, because cts-exec uses one unit for all its tests. The tests that wait for events
# that must not come are alone in theirs: they take the most time, and need no processor.
# 25 monitors a second, each in a process of its own, are more than two processors can run: without the server this test
# passes, too, but takes some minutes.
STRESS = ("systemd_stress",)
GROUPS = (
    ("generic_monitor_duplicate_systemd",),
    ("generic_stop_implies_cancel_systemd",),
    ("generic_monitor_cancel_systemd",),
    ("monitor_fail_systemd", "start_uninstalled_systemd"),
    ("generic_start_stop_systemd", "generic_registration_systemd", "get_systemd_metadata"),
)
ALONE_SHARE = 0.3
"""Of the monitors, how many the resident server may leave to the agents: on a busy machine it is late now and then."""

# An agent notes each call, and each that the server did not serve.
NOTING = """\
def note(name):
    with open(f"/run/{name}", "a") as file:
        file.write(" ".join(sys.argv[1:]) + "\\n")
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What cts-exec reported of a group of tests, and which monitors the agents ran, and ran alone."""

    output: str
    monitors: int
    alone: int


@pytest.mark.parametrize("way", ["cold", "resident"])
def test_class_systemd(way: str) -> None:
    """All nine tests of the class `systemd` pass with the resident server; without it all but the stress test do."""
    Requirements.package(CTS_EXEC, "pacemaker-cts")
    groups = (STRESS, *GROUPS) if way == "resident" else GROUPS
    with ThreadPoolExecutor(len(groups)) as executor:
        outcomes = list(executor.map(lambda names: run(names, is_resident=way == "resident"), groups))
    output = "\n".join(outcome.output for outcome in outcomes)
    passed = re.findall(r"^SUCCESS - '(\w+)'$", output, re.MULTILINE)
    assert sorted(passed) == sorted(name for names in groups for name in names), output
    monitors, alone = sum(outcome.monitors for outcome in outcomes), sum(outcome.alone for outcome in outcomes)
    assert monitors > 0
    assert alone <= ALONE_SHARE * monitors if way == "resident" else alone == monitors


def run(names: tuple[str, ...], *, is_resident: bool) -> Outcome:
    """Run tests in a sandbox, one after the other."""
    with boot(name="cts-exec", timeout_s=BOOT_TIMEOUT_S) as sandbox:
        install = [PROGRAM, "install", *(["--resident"] if is_resident else [])]
        assert sandbox.run(install).returncode == 0
        agent = sandbox.run(["cat", AGENT]).stdout
        agent = agent.replace("gc.disable()", f"{NOTING}\nnote('called')\ngc.disable()", 1)
        sandbox.write(AGENT, agent.replace("\ndel sys.path[0]\n", "\nnote('alone')\ndel sys.path[0]\n", 1), 0o755)
        output = ""
        for name in names:
            done = sandbox.run(
                ["/usr/bin/python3", str(Path(runner).resolve()), "-r", name, "-V"], timeout_s=TEST_TIMEOUT_S
            )
            output += f"{done.stdout}\n{done.stderr}\n"
        noted = {
            name: sandbox.run(["grep", "-c", "-x", "monitor", f"/run/{name}"]).stdout for name in ("called", "alone")
        }
    return Outcome(output, int(noted["called"] or 0), int(noted["alone"] or 0))
