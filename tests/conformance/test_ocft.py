"""Test cases in the language of resource-agents' `ocft`, which a user can run as well."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ocf_systemd.sandbox import boot
from tests.system.requirements import Requirements

CASES = Path(__file__).parent / "ocft" / "systemd"
PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
TIMEOUT_S = 300.0
# ocft waits for each action in whole seconds.
SLEEP = "#!/bin/sh\nexec /usr/bin/sleep 0.2\n"


def test_cases() -> None:
    """All cases pass, and ocft leaves no unit behind."""
    Requirements.package("ocft", "resource-agents")
    with boot(name="ocft") as sandbox:
        assert sandbox.run([PROGRAM, "install"]).returncode == 0
        sandbox.write("/usr/local/bin/sleep", SLEEP, 0o755)
        sandbox.copy_in(CASES, f"/root/ocft/{CASES.name}")
        made = sandbox.run(["ocft", "make", "-d", "/root/ocft", CASES.name])
        assert made.returncode == 0, made.stderr
        done = sandbox.run(["ocft", "test", CASES.name], timeout_s=TIMEOUT_S)
        left = sandbox.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "ocft-*"]).stdout
    output = f"{done.stdout}{done.stderr}"
    passed = re.findall(r"^systemd: (.*) - \x1b\[32mOK", output, re.MULTILINE)
    assert passed == re.findall(r'^CASE "(.*)"$', CASES.read_text(encoding="utf-8"), re.MULTILINE), output
    assert (done.returncode, left) == (0, ""), output
