"""doctor on a node of a cluster: its properties, and the resource of the unit, as an administrator may configure them.

Each problem is caused, reported, and fixed by the commands that doctor prints where there are some.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.doctor import cluster_checks
from tests.cluster.configuration import Primitive
from tests.cluster.node import PROGRAM
from tests.cluster.test_controlled_units import frozen
from tests.system.test_doctor import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

AGENT_FILE = "/usr/lib/ocf/resource.d/pacemaker/systemd"
SERVICE = ("Type=exec", "ExecStart=sleep infinity", "[Install]", "WantedBy=multi-user.target")
CLUSTER_CHECKS = {check.name for check in cluster_checks.CHECKS}


@dataclass(frozen=True, slots=True)
class Report:
    """What doctor reports of the unit `plain`: its findings by name, and the times of the operations."""

    done: CompletedProcess[str]

    @property
    def checks(self) -> dict[str, dict[str, str]]:
        return {check["name"]: check for check in json.loads(self.done.stdout)["checks"]}

    @property
    def operations(self) -> dict[str, float]:
        operations: dict[str, float] = json.loads(self.done.stdout)["operations"]
        return operations

    def status(self, name: str) -> str:
        return self.checks[name]["status"]

    def what(self, name: str) -> str:
        return self.checks[name]["what"]

    def fix(self, name: str) -> list[str]:
        return list(self.checks[name]["fix"])


@dataclass(frozen=True, slots=True)
class Doctor:
    """doctor on one node, for the unit `plain`, whose hook ends by itself."""

    node: Node
    hook: str
    tally: Tally

    def report(self, *arguments: str) -> Report:
        """Run doctor, and count the checks that found a problem and those that passed."""
        return self.of("plain", "--monitor-hook", self.hook, *arguments)

    def of(self, unit: str, *arguments: str) -> Report:
        """Run doctor for a unit, without the hook."""
        done = self.node.sandbox.run([str(PROGRAM), "doctor", "--unit", unit, "--json", *arguments], timeout_s=60)
        self.tally.add(done)
        return Report(done)

    def run(self, commands: list[str]) -> None:
        """Run the commands of a fix; none of them is deprecated."""
        done = self.node.sandbox.run(["sh", "-c", "\n".join(["set -e", *commands])], timeout_s=60)
        assert done.returncode == 0, done.stderr
        assert "deprecat" not in done.stderr.lower()


@pytest.fixture
def doctor(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Doctor]:
    """Yield doctor; each check that the test is marked to show must have found a problem, and must have passed."""
    cluster.service("plain", *SERVICE)
    doctor = Doctor(cluster.nodes[0], cluster.hook("stopped", "timeout 5 true; exit 7"), Tally())
    yield doctor
    shown = {name for mark in request.node.iter_markers("shows") for name in mark.args}
    assert shown <= doctor.tally.failed & doctor.tally.passed


def create(cluster: Cluster, *words: str) -> None:
    """Create the disabled resource `web` of the unit, so that nothing starts it during the test."""
    cluster.create("web", *words, "--disabled", unit="plain")
    cluster.settle()


class TestProperties:
    @pytest.mark.shows("fencing")
    def test_fencing(self, cluster: Cluster, doctor: Doctor) -> None:
        """Fencing is disabled; then enabled without a device; then there is one."""
        report = doctor.report()
        assert (report.status("fencing"), report.what("fencing")) == ("warning", "stonith-enabled=false")
        cluster.pcs("property", "set", "stonith-enabled=true")
        assert doctor.report().status("fencing") == "error"
        cluster.pcs("property", "set", "stonith-enabled=false")
        cluster.enable_fencing()
        report = doctor.report()
        assert (report.status("fencing"), report.what("fencing")) == ("ok", "power")

    @pytest.mark.shows("quorum")
    def test_quorum(self, cluster: Cluster, doctor: Doctor) -> None:
        """A loss of quorum is ignored: worse without fencing."""
        assert doctor.report().status("quorum") == "ok"
        cluster.pcs("property", "set", "no-quorum-policy=ignore")
        assert doctor.report().status("quorum") == "error"
        cluster.enable_fencing()
        report = doctor.report()
        assert report.status("quorum") == "warning"
        doctor.run(report.fix("quorum"))
        assert doctor.report().status("quorum") == "ok"


class TestResources:
    @pytest.mark.shows("one-resource")
    def test_two_with_one_unit(self, cluster: Cluster, doctor: Doctor) -> None:
        """Both are named, also if one has another class and another name of the unit."""
        create(cluster)
        assert doctor.report().status("one-resource") == "ok"
        cluster.pcs("resource", "create", "second", "systemd:plain", "--disabled")
        report = doctor.report()
        assert (report.status("one-resource"), "web and second" in report.what("one-resource")) == ("error", True)
        cluster.pcs("resource", "delete", "second")
        assert doctor.report().status("one-resource") == "ok"

    @pytest.mark.shows("parameters")
    def test_wrong_parameter(self, cluster: Cluster, doctor: Doctor) -> None:
        """A wrong value is reported, for the unit and for the resource; the proposed commands correct it."""
        create(cluster)
        assert doctor.report().status("parameters") == "ok"
        cluster.pcs("resource", "update", "web", "monitor_hook_protocol=nagois", "--force")
        named = doctor.node.sandbox.run([str(PROGRAM), "doctor", "--resource", "web", "--json"], timeout_s=60)
        for report in (doctor.report(), Report(named)):
            assert (report.status("parameters"), "(resource web)" in report.what("parameters")) == ("error", True)
        doctor.run(report.fix("parameters"))
        assert doctor.report().status("parameters") == "ok"

    @pytest.mark.shows("unique-clone")
    def test_globally_unique_clone(self, cluster: Cluster, doctor: Doctor) -> None:
        """Each instance needs a unit of its own; an anonymous clone does not."""
        create(cluster, "clone", "globally-unique=true")
        report = doctor.report()
        assert report.status("unique-clone") == "error"
        doctor.run(report.fix("unique-clone"))
        cluster.settle()
        assert doctor.report().status("unique-clone") == "ok"

    @pytest.mark.shows("monitor")
    def test_no_recurring_monitor(self, cluster: Cluster, doctor: Doctor) -> None:
        """There is none, the only one is a probe, or it is still disabled after work on the service."""
        cluster.configure([Primitive("web", {"unit": "plain"}, {"target-role": "Stopped"})])
        self._has_no_monitor(doctor)
        cluster.pcs("resource", "op", "remove", "web", "monitor")
        self._has_no_monitor(doctor)
        cluster.pcs("resource", "unmanage", "web", "--monitor")
        assert doctor.report().status("monitor") == "ok"
        cluster.pcs("resource", "manage", "web")
        self._has_no_monitor(doctor)

    @staticmethod
    def _has_no_monitor(doctor: Doctor) -> None:
        report = doctor.report()
        assert report.status("monitor") == "error"
        doctor.run(report.fix("monitor"))
        assert doctor.report().status("monitor") == "ok"

    def test_monitor_without_a_timeout(self, cluster: Cluster, doctor: Doctor) -> None:
        """Pacemaker's default applies, unless op_defaults have another one."""
        create(cluster, "op", "monitor", "interval=10s")
        doctor.node.run(
            "cibadmin", "--replace", "--xml-text", '<op id="web-monitor-interval-10s" name="monitor" interval="10s"/>'
        )
        report = doctor.report()
        assert report.status("monitor") == "warning"
        cluster.pcs("resource", "op", "defaults", "update", "timeout=45s")
        assert doctor.report().status("monitor") == "ok"
        assert doctor.report().operations["monitor"] == 45
        cluster.pcs("resource", "op", "defaults", "update", "timeout=")
        doctor.run(report.fix("monitor"))
        assert doctor.report().status("monitor") == "ok"

    def test_configured_times(self, cluster: Cluster, doctor: Doctor) -> None:
        """The times of the resource are the default of --op; what is too short is reported with the command for it."""
        doctor = replace(doctor, hook=cluster.hook("slow", "timeout 5 sleep 1.5; exit 7"))
        times = (
            "start",
            "timeout=30s",
            "on-fail=block",
            "op",
            "stop",
            "timeout=40s",
            "op",
            "monitor",
            "interval=7s",
            "timeout=2s",
        )
        create(cluster, "op", *times)
        report = doctor.report()
        assert report.operations == {"start": 30, "stop": 40, "monitor": 2, "interval": 7}
        short = {"start-timeout": "start", "stop-timeout": "stop", "hook-speed": "monitor"}
        commands = [report.fix(name)[0] for name in short]
        for command, (name, action) in zip(commands, short.items(), strict=True):
            assert report.status(name) in {"warning", "error"}
            assert command.startswith(f"pcs resource update web op {action} ")
            assert command.endswith(f"   # now {report.operations[action]:g}s; crm configure edit web")
        overridden = doctor.report("--op", "start=200s", "--op", "stop=200s", "--op", "monitor=60s")
        doctor.run(commands)
        fixed = doctor.report()
        assert {each.status(name) for each in (overridden, fixed) for name in short} == {"ok"}
        assert "on-fail=block" in cluster.pcs("resource", "config", "web")  # which pcs resets if it is not named

    def test_configured_parameters(self, cluster: Cluster, doctor: Doctor) -> None:
        """Its parameters apply unless others are given; those of another hook do not, and wrong ones are reported."""
        seconds = cluster.hook("seconds", 'timeout 5 sleep "$1"; exit 7')
        create(
            cluster, f"monitor_hook={seconds}", "monitor_hook_args=1.6", "stop_escalate=no", "op", "stop", "timeout=60s"
        )

        def hook_of(*arguments: str) -> tuple[str, str, str]:
            document = json.loads(doctor.of("plain", *arguments).done.stdout)
            checks = {each["name"]: each["status"] for each in document["checks"]}
            return document["monitor_hook"], checks["hook-speed"], checks["stop-timeout"]

        monitor = ("--op", "monitor=3s")
        assert hook_of() == (seconds, "ok", "error")
        assert hook_of(*monitor) == (seconds, "warning", "error")
        assert hook_of(*monitor, "-o", "monitor_hook_args=0", "-o", "stop_escalate=yes") == (seconds, "ok", "warning")
        assert hook_of(*monitor, "--monitor-hook", doctor.hook) == (
            doctor.hook,
            "ok",
            "error",
        )  # stop_escalate applies still
        cluster.pcs("resource", "update", "web", "poll_interval=soon")
        assert hook_of() == (seconds, "ok", "error")
        assert doctor.of("plain").status("parameters") == "error"


class TestNode:
    def test_enabled(self, doctor: Doctor) -> None:
        """Boot starts the unit as well."""
        doctor.node.run("systemctl", "enable", "plain")
        report = doctor.report()
        doctor.run(report.fix("enabled"))
        assert report.status("enabled") == "error"
        assert doctor.report().status("enabled") == "ok"

    def test_agent_of_another_version(self, cluster: Cluster, doctor: Doctor) -> None:
        """The agent on this node is older than the program."""
        create(cluster)
        text = doctor.node.run("cat", AGENT_FILE)
        version = doctor.node.run(str(PROGRAM), "--version").split()[-1]
        old = f"{AGENT_FILE}.old"
        filtered = f'#!/bin/sh\n{text.splitlines()[1]}\n{old} "$@" | sed \'s/version="{version}"/version="0.0.1"/\'\n'
        doctor.node.sandbox.write(old, text, 0o755)
        doctor.node.sandbox.write(AGENT_FILE, filtered, 0o755)
        report = doctor.report()
        doctor.run([line.replace("ocf-systemd ", f"{PROGRAM} ", 1) for line in report.fix("agent-current")])
        doctor.node.run("rm", old)
        assert report.status("agent-current") == "warning"
        assert "0.0.1" in report.what("agent-current")
        assert doctor.report().status("agent-current") == "ok"

    def test_environment(self, doctor: Doctor) -> None:
        """Everyone can write to the package that Pacemaker runs as root."""
        package = doctor.node.run(str(PROGRAM.with_name("python")), "-c", "import ocf_systemd as o; print(*o.__path__)")
        doctor.node.run("chmod", "o+w", package)
        report = doctor.report()
        doctor.node.run("chmod", "o-w", package)
        assert (report.status("agent-safety"), package in report.what("agent-safety")) == ("error", True)
        assert doctor.report().status("agent-safety") == "ok"


@pytest.fixture
def served(doctor: Doctor) -> Iterator[Doctor]:
    """Yield doctor on a node with the resident server, which has none afterwards."""
    doctor.node.run(str(PROGRAM), "install", "--resident")
    yield doctor
    doctor.node.run(str(PROGRAM), "uninstall")
    doctor.node.run(str(PROGRAM), "install")


def test_server(served: Doctor) -> None:
    """The resident server's socket does not listen, so that no monitor is served."""
    assert served.report().status("server") == "ok"
    served.node.run("systemctl", "stop", "ocf-systemd.socket", "ocf-systemd.service")
    report = served.report()
    assert report.status("server") == "warning"
    served.run(report.fix("server"))
    assert served.report().status("server") == "ok"


@pytest.mark.shows("cluster")
@pytest.mark.parametrize(
    "daemons", [pytest.param(("pacemakerd",), id="crm_mon"), pytest.param(("pacemakerd", "pacemaker-based"), id="CIB")]
)
def test_a_cluster_that_does_not_answer(cluster: Cluster, doctor: Doctor, daemons: tuple[str, ...]) -> None:
    """The report comes nevertheless: it has one problem, and skips the checks of the cluster."""
    create(cluster)
    with frozen(doctor.node, *daemons):
        report = doctor.report()
    cluster.wait_until_whole()
    assert report.status("cluster") == "warning"
    assert "does not answer" in report.what("cluster")
    assert {report.status(name) for name in CLUSTER_CHECKS - {"cluster"}} == {"skipped"}
    assert report.status("systemd") == "ok"
    assert doctor.report().status("cluster") == "ok"


def test_a_node_without_pacemaker(cluster: Cluster, doctor: Doctor) -> None:
    """The configuration is read from the CIB on the disk; what only a running cluster knows is skipped."""
    doctor.node.run("systemctl", "stop", "pacemaker")
    report = doctor.report()
    doctor.node.run("systemctl", "start", "pacemaker")
    cluster.wait_until_whole()
    assert report.status("cluster") == "ok"
    assert "/var/lib/pacemaker/cib/cib.xml" in report.what("cluster")
    assert report.status("unique-clone") == "skipped"


def test_every_check_is_tested(request: pytest.FixtureRequest) -> None:
    """Each check of the cluster is shown by a test above, with a problem and without."""
    marks = [mark for item in request.session.items for mark in item.iter_markers("shows")]
    assert {name for mark in marks for name in mark.args} == CLUSTER_CHECKS
