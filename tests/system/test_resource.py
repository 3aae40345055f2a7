"""A resource of a cluster, and a misspelt unit: the tools of the cluster print what those of a real one would."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

import ocf_systemd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from tests.system.box import Box

    class Program(Protocol):
        def __call__(self, *arguments: str, **variables: str) -> CompletedProcess[str]: ...


PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
CIB = """
<cib><configuration><crm_config/><resources>
  <clone id="mail-clone">
    <primitive id="mail" class="ocf" provider="pacemaker" type="systemd">
      <instance_attributes id="i">
        <nvpair id="i-u" name="unit" value="{unit}"/><nvpair id="i-h" name="monitor_hook" value="{hook}"/>
        <nvpair id="i-l" name="monitor_hook_level" value="10"/><nvpair id="i-p" name="poll_interval" value="5000"/>
      </instance_attributes>
      <operations>
        <op id="o-m" name="monitor" interval="30s" timeout="25s">
          <instance_attributes id="o-l"><nvpair id="o-l-l" name="OCF_CHECK_LEVEL" value="10"/></instance_attributes>
        </op>
        <op id="o-s" name="start" interval="0" timeout="15min"/>
      </operations>
    </primitive>
  </clone>
  <primitive id="old" class="systemd" type="{unit}"/>
  <primitive id="address" class="ocf" provider="heartbeat" type="IPaddr2"/>
</resources></configuration></cib>
"""
CATALOG = Path(ocf_systemd.__file__).parent / "share/systemd/catalog/ocf-systemd.catalog"
COMMANDS = sorted(set(re.findall("^    ([a-z].+)$", CATALOG.read_text(encoding="utf-8"), re.MULTILINE)))
CRM_MON = '<pacemaker-result><nodes/><resources><resource id="mail" managed="true"/></resources></pacemaker-result>'
LISTEN = (
    "import signal, socket; s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + 'cib_ro'); s.listen(); signal.pause()"
)
TOOLS = {"cibadmin": "/run/cluster/cib.xml", "crm_mon": "/run/cluster/crm_mon.xml"}


@pytest.fixture
def program(box: Box, measuring: Mapping[str, str]) -> Program:
    def run(*arguments: str, **variables: str) -> CompletedProcess[str]:
        return box.sandbox.run([PROGRAM, *arguments], env={**measuring, **variables}, timeout_s=60)

    return run


@pytest.fixture
def unit(box: Box) -> Iterator[str]:
    """Yield the unit of the resources of a cluster; its tools are in front of the real ones, if these are installed."""
    unit, hook = box.started("Type=exec", "ExecStart=sleep infinity"), box.marking("hook")
    box.write("/run/cluster/cib.xml", CIB.format(unit=unit, hook=hook))
    box.write("/run/cluster/crm_mon.xml", CRM_MON)
    for tool, file in TOOLS.items():
        box.write(f"/run/cluster/{tool}", f"#!/bin/sh\nexec cat {file}\n", 0o755)
        box.sh('touch "/usr/sbin/$1"; mount --bind "/run/cluster/$1" "/usr/sbin/$1"', tool)
    box.write("/run/cluster/listen.py", LISTEN)
    box.unit("listening.service", "[Service]\nType=exec\nExecStart=/usr/bin/python3 /run/cluster/listen.py\n")
    box.sh("systemctl start listening; until grep -q @cib_ro /proc/net/unix; do sleep 0.02; done")
    yield unit
    for tool in TOOLS:
        box.sh('umount "/usr/sbin/$1"', tool)
    box.sh("rm -r /run/cluster")


class TestResource:
    @pytest.mark.parametrize("name", ["mail", "mail:0", "mail-clone"])
    def test_debug(self, box: Box, unit: str, program: Program, name: str) -> None:
        """A monitor has the resource's unit, hook, check level and timeout; its times are checked too."""
        done = program("debug", "monitor", "--resource", name, "--json")
        result = json.loads(done.stdout)
        assert (result["code"], result["unit"], result["timeout_s"]) == (0, unit, 25.0)
        assert box.marks("hook") == ["ran "]
        assert "warning: poll_interval=5000 is 5000 s (83 min); did you mean 5000ms?" in done.stderr

    def test_doctor(self, unit: str, program: Program) -> None:
        """The report is about the resource's unit, hook and times; what the command line has wins."""
        report = json.loads(program("doctor", "--resource", "mail", "--op", "monitor=20s", "--json").stdout)
        assert report["unit"] == unit
        assert report["monitor_hook"].endswith("/hook")
        assert report["operations"] == {"start": 900.0, "stop": 20.0, "monitor": 20.0, "interval": 30.0}

    def test_rehearse(self, unit: str, program: Program) -> None:
        """A rehearsal on this host has the resource's unit, and refuses to act on what Pacemaker controls."""
        done = program("rehearse", "--resource", "mail", "--on-this-host")
        assert done.returncode == 2
        assert f"Pacemaker controls {unit}: resource mail" in done.stderr

    def test_a_unit(self, unit: str, program: Program) -> None:
        """A resource of the class systemd gives the unit."""
        result = json.loads(program("debug", "monitor", "--resource", "old", "--json").stdout)
        assert (result["code"], result["unit"]) == (0, unit)

    @pytest.mark.usefixtures("unit")
    @pytest.mark.parametrize(
        ("name", "error"), [("mial", "Did you mean 'mail'?"), ("address", "of ocf:heartbeat:IPaddr2, which is another")]
    )
    def test_errors(self, program: Program, name: str, error: str) -> None:
        """An error has what was probably meant, and the resources of this agent."""
        done = program("doctor", "--resource", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert error in done.stderr
        assert "Resources of this agent: mail (" in done.stderr

    @pytest.mark.usefixtures("unit")
    def test_completion(self, box: Box, program: Program) -> None:
        """Names are completed; a cluster that does not answer delays the prompt by a second at most."""
        line = "ocf-systemd\ndoctor\n--resource"
        words = {"_OCF_SYSTEMD_COMPLETE": "fish", "_OCF_SYSTEMD_LINE": line, "_OCF_SYSTEMD_WORD": "ma"}
        assert program(**words).stdout.partition("\t")[0] == "mail"
        box.write("/run/cluster/cibadmin", "#!/bin/sh\nexec sleep 60\n", 0o755)
        assert program(**words).stdout == ""


class TestCatalogue:
    @pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("pcs ")])
    def test_command(self, box: Box, unit: str, command: str) -> None:
        """A command that the message catalogue gives for a log line runs for the resource and unit of that line."""
        fields = {"OCF_RESOURCE": "mail", "OBJECT_SYSTEMD_UNIT": unit, "OCF_ACTION": "monitor"}
        filled = re.sub("@([A-Z_]+)@", lambda match: fields[match[1]], command)
        done = box.sandbox.run(["sh", "-c", f"PATH={Path(PROGRAM).parent}:$PATH; {filled}"], timeout_s=120)
        # Both report problems of this unit and its hook, with exit code 1.
        assert done.returncode == (1 if {"doctor", "rehearse"} & {*command.split()} else 0), done.stderr
        assert unit in done.stdout


class TestUnknownUnit:
    def test_debug(self, box: Box, program: Program) -> None:
        """The unit that was probably meant is proposed to the user, and is not in the exit reason."""
        box.unit("answering-server.service", "[Service]\nExecStart=sleep infinity\n")
        done = program("debug", "start", "answring-server", "--json")
        found = "answring-server.service is not found on this host; did you mean answering-server.service?"
        assert done.stderr == f"{found}\n"
        result = json.loads(done.stdout)
        assert (result["code"], "answering" in result["reason"]) == (5, False)

    def test_rehearse(self, box: Box, program: Program) -> None:
        """A rehearsal proposes it too."""
        box.unit("answering-server.service", "[Service]\nExecStart=sleep infinity\n")
        done = program("rehearse", "answring-server", "--on-this-host")
        assert done.returncode == 1
        assert "did you mean answering-server.service?" in done.stderr

    def test_a_known_one(self, box: Box, program: Program) -> None:
        """Nothing is proposed for a unit that exists."""
        assert program("debug", "monitor", box.started()).stderr == ""
