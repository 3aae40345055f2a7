"""The whole agent as a process, with real ones for systemctl and hook that print whatever hypothesis thinks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocf_systemd.core.parameter_table import PREFIX, TABLE
from tests.unit.builders import executable, run_python
from tests.unit.hostile import FORGED, TEXT_AS_BYTES, VALUE, unclean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AGENT = "from ocf_systemd.agent.entry import main; main()"
REASON = "ocf-exit-reason:"
NAMES = [row.variable for row in TABLE if row.name not in {"unit", "monitor_hook"}]
FOR_THE_LOG = ("OCF_RESOURCE_INSTANCE", "OCF_RESOURCE_TYPE", "HA_LOGFACILITY", "HA_debug", "OCF_TRACE_RA")
OPERATION = ("OCF_CHECK_LEVEL", f"{PREFIX}CRM_meta_interval", f"{PREFIX}trace_ra")

SYSTEMCTL = """#!/bin/sh
case $* in *" show "*) cat "$HOST/shown" ;; *) cat "$HOST/said" >&2; exit "$CODE" ;; esac
"""
HOOK = """#!/bin/sh
cat "$HOST/said"; cat "$HOST/said" >&2; exit "$CODE"
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return a directory with a systemctl and a hook that print what stands in its files."""
    tmp_path.chmod(0o755)
    (tmp_path / "bin").mkdir(0o755)
    executable(tmp_path / "bin/systemctl", SYSTEMCTL)
    executable(tmp_path / "bin/journalctl", HOOK)
    executable(tmp_path / "hook", HOOK)
    return tmp_path


@dataclass(frozen=True)
class Attempt:
    """What a hook and systemctl print, the code they end with, and what else stands in the environment."""

    action: str
    output: bytes
    code: int
    variables: Mapping[str, str]

    def environment(self, host: Path) -> dict[str, str]:
        given = {"unit": "x", "monitor_hook": f"{host}/hook", "CRM_meta_timeout": "4000"}
        files = {"OCF_TRACE_FILE": f"{host}/trace", **({"HA_LOGFILE": f"{host}/log"} if self.code % 2 else {})}
        ours = {"PATH": f"{host}/bin:/usr/bin:/bin", "HOST": str(host), "CODE": str(self.code), **files}
        return {**self.variables, **ours, **{PREFIX + name: value for name, value in given.items()}}


ATTEMPTS = st.builds(
    Attempt,
    action=st.sampled_from(["monitor", "validate-all", "stop"]),
    output=TEXT_AS_BYTES.map(lambda output: output + f"\n{FORGED}\n x {FORGED}".encode()),
    code=st.integers(0, 255),
    variables=st.dictionaries(st.sampled_from([*FOR_THE_LOG, *OPERATION]), VALUE, max_size=4)
    | st.dictionaries(st.sampled_from([*FOR_THE_LOG, *OPERATION, *NAMES]), VALUE, max_size=4),
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attempt=ATTEMPTS)
def test_whatever_is_printed(host: Path, attempt: Attempt) -> None:
    """An exit code, at most one reason, which is the last line, and no line on any stream or in any log that harms."""
    (host / "said").write_bytes(attempt.output)
    state = "inactive" if attempt.action == "stop" else "active"
    shown = f"LoadState=loaded\nActiveState={state}\nSubState=".encode() + attempt.output.split(b"\n")[0]
    (host / "shown").write_bytes(shown)
    done = run_python(AGENT, attempt.action, env=attempt.environment(host))
    lines = done.stderr.split("\n")
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.returncode >= 0
    assert [REASON in line for line in lines].count(True) == int(done.returncode != 0)
    assert done.returncode == 0 or lines[-2].startswith(REASON)
    for file in (host / "log", host / "trace"):
        lines += file.read_text().split("\n") if file.exists() else []
        file.unlink(missing_ok=True)
    assert not unclean(lines)
