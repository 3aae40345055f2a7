"""The log of an action in a real journal: what journalctl and systemctl show of it, and how often."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.agent.journal import MessageId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.system.agent import Agent
    from tests.system.box import Box

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
FORWARDED = """
import os, socket, subprocess
subprocess.run(["systemctl", "--quiet", "stop", "syslog.socket"], stderr=subprocess.DEVNULL)
os.makedirs("/run/systemd/journald.conf.d", exist_ok=True)
with open("/run/systemd/journald.conf.d/forward.conf", "w") as file:
    file.write("[Journal]\\nForwardToSyslog=yes\\n")
subprocess.run(["systemctl", "restart", "systemd-journald"], check=True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
    if os.path.exists("/run/systemd/journal/syslog"):
        os.unlink("/run/systemd/journal/syslog")
    daemon.bind("/run/systemd/journal/syslog")
    daemon.settimeout(10)
    from ocf_systemd.agent.events import WarningNotice
    from ocf_systemd.agent.log import log_reporter
    environment = {"HA_LOGFACILITY": "daemon", "OCF_RESOURCE_INSTANCE": "mail"}
    log_reporter(environment, "systemd").report(WarningNotice("odd"))
    while b"systemd(mail)" not in (line := daemon.recv(9000)):
        pass
    print(line.decode().replace(str(os.getpid()), "PID"))
"""
FIELDS = (
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "OBJECT_SYSTEMD_UNIT",
    "OCF_RESOURCE",
    "OCF_ACTION",
    "OCF_EXIT_CODE",
    "HOOK",
)


def entries(box: Box, *matches: str) -> list[dict[str, str]]:
    """Return the entries that match, with the fields of interest that they have."""
    script = 'journalctl --sync; journalctl --quiet --output=json "$@"'
    found = [json.loads(line) for line in box.sh(script, *matches).splitlines()]
    return [{name: entry[name] for name in FIELDS if name in entry} for entry in found]


def named(resource: str) -> Mapping[str, str]:
    """Return the variables of a resource with a name of its own, so that its lines can be found."""
    return {"OCF_RESOURCE_INSTANCE": resource}


class TestFields:
    def test_a_failed_monitor(self, agent: Agent, box: Box) -> None:
        """`journalctl -u`, `systemctl status` and searches by field find the line, and it is there once."""
        unit, hook = box.started(), box.hook("echo refused >&2; exit 1")
        resource = f"mail-{unit}"
        result = agent("monitor", unit=unit.removesuffix(".service"), monitor_hook=hook, variables=named(resource))
        assert result.code == 1
        message = f"ERROR: {result.reason.replace('hook hook: ', f'hook {hook}: ')}"
        expected = {
            "HOOK": hook,
            "MESSAGE": message,
            "MESSAGE_ID": MessageId.FAILED,
            "PRIORITY": "3",
            "SYSLOG_FACILITY": "3",
            "SYSLOG_IDENTIFIER": f"systemd({resource})",
            "OBJECT_SYSTEMD_UNIT": unit,
            "OCF_RESOURCE": resource,
            "OCF_ACTION": "monitor",
            "OCF_EXIT_CODE": "1",
        }
        assert entries(box, f"--identifier=systemd({resource})") == [expected]
        assert entries(box, f"OCF_RESOURCE={resource}") == [expected]
        assert expected in entries(box, f"MESSAGE_ID={MessageId.FAILED}")
        assert expected in entries(box, f"--unit={unit}")
        assert message in box.sh('systemctl status --no-pager --full -- "$1"', unit, check=False)

    def test_an_alias(self, agent: Agent, box: Box) -> None:
        """A line is with the unit's own name, by which journalctl searches."""
        unit = box.started()
        alias = box.unit(f"alias-of-{unit}", "")
        box.path(f"/etc/systemd/system/{alias}").unlink()
        box.path(f"/etc/systemd/system/{alias}").symlink_to(unit)
        box.sh("systemctl daemon-reload")
        resource = f"alias-{unit}"
        agent("monitor", unit=alias, monitor_hook=box.hook("exit 1"), variables=named(resource))
        (entry,) = entries(box, f"OCF_RESOURCE={resource}")
        assert entry["OBJECT_SYSTEMD_UNIT"] == unit

    def test_the_same_text_as_in_a_file(self, agent: Agent, box: Box) -> None:
        """HA_LOGFILE has the lines of the journal, in the form of ocf-shellfuncs."""
        unit, hook = box.started(), box.hook("echo one; echo two >&2; exit 1")
        resource = f"file-{unit}"
        box.path("/run/test").mkdir(exist_ok=True)
        variables = {**named(resource), "HA_LOGFILE": "/run/test/log"}
        agent("monitor", unit=unit, monitor_hook=hook, variables=variables)
        messages = [entry["MESSAGE"] for entry in entries(box, f"OCF_RESOURCE={resource}")]
        assert messages == [f"WARNING: {hook}: one", f"ERROR: hook {hook}: two (exit 1)"]
        assert [line.split("]: ")[1] for line in box.marks("log")] == messages

    def test_a_wrong_value(self, agent: Agent, box: Box) -> None:
        """An action that does not begin has its line with the unit as well."""
        unit = box.started()
        resource = f"wrong-{unit}"
        agent("monitor", unit=unit, poll_interval="never", variables=named(resource))
        (entry,) = entries(box, f"OCF_RESOURCE={resource}", f"OBJECT_SYSTEMD_UNIT={unit}")
        assert (entry["MESSAGE_ID"], entry["OCF_EXIT_CODE"]) == (MessageId.HARD_ERROR, "6")


class TestOnce:
    def test_start_and_stop(self, agent: Agent, box: Box) -> None:
        """What goes well has no line at the default level, the drop-in included."""
        unit = box.service()
        resource = f"well-{unit}"
        for action in ("start", "monitor", "stop"):
            assert agent(action, unit=unit, variables=named(resource)).code == 0
        assert entries(box, f"OCF_RESOURCE={resource}") == []

    def test_the_drop_in_is_at_debug(self, agent: Agent, box: Box) -> None:
        """With HA_debug it has a line at priority debug."""
        unit = box.service()
        resource = f"debug-{unit}"
        agent("start", unit=unit, variables={**named(resource), "HA_debug": "1"})
        found = entries(box, f"OCF_RESOURCE={resource}", f"MESSAGE_ID={MessageId.DROP_IN}")
        assert [entry["PRIORITY"] for entry in found] == ["7"]

    @pytest.mark.parametrize("action", [pytest.param("start", id="start"), pytest.param("monitor", id="monitor")])
    def test_a_failed_unit(self, agent: Agent, box: Box, action: str) -> None:
        """The failure of a unit has one line."""
        unit = box.service("ExecStart=false", "Type=oneshot")
        resource = f"{action}-{unit}"
        box.sh('systemctl start -- "$1"', unit, check=False)
        result = agent(action, unit=unit, variables=named(resource))
        assert [entry["MESSAGE"] for entry in entries(box, f"OCF_RESOURCE={resource}")] == [f"ERROR: {result.reason}"]

    def test_a_failed_stop(self, agent: Agent, box: Box) -> None:
        """The failure of a stop has one line, after that of what it waits for."""
        unit = box.started()
        resource = f"stop-{unit}"
        result = agent(
            "stop",
            unit=unit,
            monitor_hook=box.hook("exit 0"),
            stop_verify="yes",
            stop_escalate="no",
            timeout_s=3,
            variables=named(resource),
        )
        assert result.code == 1
        kinds = [entry["MESSAGE_ID"] for entry in entries(box, f"OCF_RESOURCE={resource}")]
        assert kinds == [MessageId.WAITING, MessageId.STOP_FAILED]


class TestWaiting:
    def test_a_start_whose_systemctl_blocks(self, agent: Agent, box: Box) -> None:
        """A unit that takes eleven seconds to start is reported once meanwhile."""
        unit = box.service("Type=oneshot", "RemainAfterExit=yes", "ExecStart=sleep 11")
        resource = f"slow-{unit}"
        assert agent("start", unit=unit, timeout_s=60, variables=named(resource)).code == 0
        (entry,) = entries(box, f"OCF_RESOURCE={resource}")
        assert entry["MESSAGE"].startswith("INFO: waiting: systemctl start has run for 10 s; ")
        assert entry["MESSAGE"].endswith(" s left of 60 s")
        assert (entry["MESSAGE_ID"], entry["PRIORITY"]) == (MessageId.WAITING, "6")


class TestCatalog:
    def test_explanations(self, agent: Agent, box: Box) -> None:
        """`journalctl -x` shows cause and remedy, with the names of the resource and the unit."""
        unit = box.started()
        resource = f"explained-{unit}"
        agent("monitor", unit=unit, monitor_hook=box.hook("exit 1"), variables=named(resource))
        shown = box.sh('journalctl --sync; journalctl -x --no-pager "$1"', f"OCF_RESOURCE={resource}")
        assert f"Subject: monitor of resource {resource} failed" in shown
        assert f"ocf-systemd debug monitor --resource {resource}\n" in shown

    def test_every_kind(self, box: Box) -> None:
        """The installed database has an entry for each kind."""
        shown = box.sh('journalctl --dump-catalog "$@"', *MessageId)
        assert [line.removeprefix("-- ") for line in shown.splitlines() if line.startswith("-- ")] == list(MessageId)


def test_forwarded_to_syslog() -> None:
    """A syslog daemon that journald forwards to receives facility, priority, identifier, pid and text as before."""
    command = [PROGRAM, "sandbox", "run", "--", sys.executable, "-c", FORWARDED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"<28>\w{3} [ \d]\d [\d:]{8} systemd\(mail\)\[PID\]: WARNING: odd\n", done.stdout)


@pytest.mark.parametrize("fault", [pytest.param("echo fine", id="success"), pytest.param("sleep 60", id="timeout")])
def test_hidden_output(agent: Agent, box: Box, fault: str) -> None:
    """What a hook prints is in the log only if it led to a failure, and then once."""
    unit = box.started()
    resource = f"quiet-{unit}"
    result = agent(
        "monitor", unit=unit, monitor_hook=box.hook(f"echo hello; {fault}"), timeout_s=3, variables=named(resource)
    )
    messages = [entry["MESSAGE"] for entry in entries(box, f"OCF_RESOURCE={resource}")]
    if result.code == 0:
        assert messages == []
    else:
        assert [message.endswith(result.reason.removeprefix("hook hook")) for message in messages] == [True]
        assert "hello" in result.reason
