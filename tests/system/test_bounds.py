"""What a hook prints: however much, it takes no memory; and up to 64 KiB of each stream, none of it is lost."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from ocf_systemd.core.observations import KEPT_OUTPUT, Exited
from ocf_systemd.host.processes import Command, run
from tests.system.box import HOOKS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.agent import Agent
    from tests.system.agent_result import AgentResult
    from tests.system.box import Box

PEAK = "/run/test/peak"
ALLOWED_KIB = 16 * 1024

# Runs a command and writes down the most memory that it had, or any that it has waited for (getrusage(2), wait4(2)).
MEASURE = f"""
import os, sys
child = os.fork()
if not child:
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss, file=open("{PEAK}", "w"))
sys.exit(os.waitstatus_to_exitcode(status))
"""

# 1,024 lines of 64 bytes: as much as is kept. Written at once, it fits into a pipe, whose writer then need not wait.
LINES = [f"{number:04} {'.' * 58}" for number in range(1024)]
WHOLE = "".join(f"{line}\n" for line in LINES).encode()
PRINT_ALL = """import os
for stream in (1, 2):
    os.write(stream, b"".join(b"%04d %s\\n" % (number, b"." * 58) for number in range(1024)))
os._exit(42)
"""


def peak_of(agent: Agent, unit: str, script: str, *, path: str = "") -> tuple[int, AgentResult]:
    """Return the peak in KiB of a monitor with this hook, and its result."""
    agent.box.sh("mkdir -p /run/test")
    through = (sys.executable, "-I", "-S", "-c", MEASURE)
    hook = agent.box.hook(script)
    call = agent.begin("monitor", through=through, timeout_s=60, measured=False, unit=unit, monitor_hook=path or hook)
    result = call.finish()
    agent.audit(call, result)
    return int(agent.box.marks("peak")[0]), result


class TestMemory:
    @pytest.mark.parametrize(
        "flood",
        [
            pytest.param("head -c 2G /dev/zero", id="stdout"),
            pytest.param("head -c 2G /dev/zero >&2", id="stderr"),
            pytest.param("head -c 2G /dev/zero & head -c 2G /dev/zero >&2; wait", id="both"),
            pytest.param("yes | head -c 2G", id="lines"),
        ],
    )
    def test_a_flood(self, agent: Agent, box: Box, flood: str) -> None:
        """2 GB cost a monitor at most 16 MB more than no output, and do not change its result."""
        unit = box.started()
        silent_kib, result = peak_of(agent, unit, "exit 42")
        assert result.code == 42
        flooded_kib, result = peak_of(agent, unit, f"{flood}; echo at last >&2; exit 42")
        assert result.code == 42
        assert result.reason == "hook hook: at last (exit 42)"
        assert result.elapsed_s < 30
        print(f"{silent_kib} KiB silent, {flooded_kib} KiB flooded, {result.elapsed_s:.1f} s")  # noqa: T201
        assert flooded_kib - silent_kib <= ALLOWED_KIB

    def test_many_hooks_that_flood(self, agent: Agent, box: Box) -> None:
        """Each of a directory's has its own bounds."""
        unit = box.started()
        silent_kib, _ = peak_of(agent, unit, "exit 42")
        for number in range(7):
            box.hook("head -c 100M /dev/zero; head -c 100M /dev/zero >&2; exit 42", f"hook{number}")
        flooded_kib, result = peak_of(agent, unit, "exit 42", path=HOOKS)
        assert result.code == 42
        assert flooded_kib - silent_kib <= ALLOWED_KIB


class TestNothingIsLost:
    def test_as_a_command_ends(self, tmp_path: Path) -> None:
        """All output of a hook that prints 64 KiB on each stream and exits at once is kept."""
        (tmp_path / "print").write_text("cat $0.out; cat $0.out >&2; exit 42", encoding="ascii")
        (tmp_path / "print.out").write_bytes(WHOLE)
        command = Command(("/bin/sh", f"{tmp_path}/print"), {"PATH": os.defpath})

        async def main() -> None:
            for _ in range(100):
                outcome = await run(command, deadline=anyio.current_time() + 10)
                assert isinstance(outcome, Exited)
                assert (outcome.code, outcome.stdout, outcome.stderr) == (42, WHOLE, WHOLE)

        assert len(WHOLE) == KEPT_OUTPUT
        anyio.run(main)

    @pytest.mark.parametrize("log", ["/run/test/log", ""], ids=["file", "journal"])
    def test_on_its_way_to_the_log(self, agent: Agent, box: Box, log: str) -> None:
        """All of it reaches the log, be that a file or, over its socket, journald; ten times out of ten."""
        unit, hook = box.started(), box.hook(PRINT_ALL, shebang=f"#!{sys.executable} -I\n")
        box.sh("mkdir -p /run/test")
        for number in range(10):
            instance = {"OCF_RESOURCE_INSTANCE": f"{unit}-{number}"}
            to_file = {"HA_LOGFILE": log, "HA_LOGFACILITY": ""} if log else {}
            result = agent("monitor", unit=unit, monitor_hook=hook, variables={**instance, **to_file})
            assert result.code == 42
            output = "".join(line for line in logged(box, log, f"{unit}-{number}") if f"{hook}: " in line)
            assert {output.count(line) for line in LINES} == {2}


def logged(box: Box, log: str, instance: str) -> list[str]:
    """Return the lines of a log file, and remove it; without one, what the journal has of the agent's instance."""
    journal = f"journalctl --sync; journalctl --output=cat --identifier='systemd({instance})'"
    return box.sh(f"cat {log}; rm {log}" if log else journal).splitlines()
