"""rehearse, debug and uninstall on the nodes of a cluster: they do not harm what Pacemaker controls."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive
from tests.cluster.node import PROGRAM
from tests.cluster.pacemaker import AGENT
from tests.system.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

AGENT_FILE = "/usr/lib/ocf/resource.d/pacemaker/systemd"
DROP_IN = "/run/systemd/system/plain.service.d/zz-ocf-systemd.conf"
ADVICE = ("pcs resource meta web maintenance=true", "crm resource maintenance web on")
# What an administrator types before and after work on a service, with what it then is.
LEFT_ALONE = [
    pytest.param("resource meta web maintenance=true", "resource meta web maintenance=", id="in maintenance"),
    pytest.param("property set maintenance-mode=true", "property set maintenance-mode=false", id="cluster"),
    pytest.param("node maintenance node1", "node unmaintenance node1", id="node"),
    pytest.param("resource unmanage web", "resource manage web", id="unmanaged"),
]


def typed(node: Node, *arguments: str, timeout_s: float = 90) -> CompletedProcess[str]:
    """Run ocf-systemd on a node, without a terminal."""
    return node.sandbox.run([str(PROGRAM), *arguments], timeout_s=timeout_s)


def follow(node: Node, advice: str) -> None:
    """Run the commands for pcs that a message advises; none of them is deprecated."""
    commands = re.findall(r"^  ((?:pcs|crm_resource) .*)$", advice, re.MULTILINE)
    done = node.sandbox.run(["sh", "-c", "\n".join(["set -e", *commands])], timeout_s=90)
    assert (len(commands), done.returncode) == (2, 0), done.stderr
    assert "deprecat" not in done.stderr.lower()


def has(node: Node, path: str) -> bool:
    return node.sandbox.run(["test", "-e", path]).returncode == 0


def invocation(node: Node) -> str:
    return node.show("plain", "InvocationID")


@pytest.fixture
def node(cluster: Cluster) -> Node:
    """Return the node on which the cluster runs the service `plain` by the resource `web`."""
    cluster.service("plain")
    cluster.pcs("constraint", "location", "regexp%web", "prefers", "node1")
    cluster.create("web", unit="plain")
    return cluster.node(cluster.wait_until_runs("web", on="node1"))


class TestRehearse:
    @pytest.mark.parametrize("name", ["node1", "node2"])
    def test_refuses(self, cluster: Cluster, node: Node, name: str) -> None:
        """Where the resource runs and where it does not: exit code 2, and what makes it safe; nothing is changed."""
        before = invocation(node)
        done = typed(cluster.node(name), "rehearse", "--on-this-host", "--yes", "--unit", "plain")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"resource web ({AGENT}) is managed and active on node1" in done.stderr
        assert [command in done.stderr for command in ADVICE] == [name == "node1"] * 2
        assert "pcs resource disable web\n" in done.stderr
        assert invocation(node) == before
        assert cluster.node("node2").show("plain", "ActiveState") == "inactive"

    def test_another_name_of_the_unit(self, cluster: Cluster, node: Node) -> None:
        """An alias of the unit is the same unit, in a resource of another class too."""
        cluster.write("/etc/systemd/system/other.service", "[Service]\nExecStart=sleep infinity\n")
        for each in cluster.nodes:
            each.sh("ln -s other.service /etc/systemd/system/alias.service; systemctl daemon-reload")
        cluster.pcs("resource", "create", "old", "systemd:alias")
        cluster.settle()
        done = typed(node, "rehearse", "--on-this-host", "--unit", "other")
        for each in cluster.nodes:
            each.run("rm", "/etc/systemd/system/alias.service")
        assert done.returncode == 2
        assert "resource old (systemd:alias) is managed" in done.stderr

    @pytest.mark.parametrize(("before", "after"), LEFT_ALONE)
    def test_left_alone(self, cluster: Cluster, node: Node, before: str, after: str) -> None:
        """While Pacemaker leaves the resource alone it only prompts, as for any unit that runs."""
        cluster.pcs(*before.split())
        cluster.settle()
        done = typed(node, "rehearse", "--on-this-host", "--unit", "plain")
        cluster.pcs(*after.split())
        assert done.returncode == 2
        assert "plain.service is running, and there is no terminal" in done.stderr
        assert f"resource web ({AGENT}) is {'unmanaged' if 'unmanage ' in before else 'in maintenance'}" in done.stderr

    @pytest.mark.parametrize(("before", "after"), LEFT_ALONE)
    def test_left_alone_elsewhere(self, cluster: Cluster, node: Node, before: str, after: str) -> None:
        """Where the unit is down while another node runs it, a rehearsal is refused, with --yes too."""
        cluster.pcs(*before.split())
        cluster.settle()
        done = typed(cluster.node("node2"), "rehearse", "--on-this-host", "--yes", "--unit", "plain")
        cluster.pcs(*after.split())
        assert (done.returncode, done.stdout) == (2, "")
        assert f"active on {node.name}" in done.stderr
        assert cluster.node("node2").show("plain", "ActiveState") == "inactive"

    def test_in_maintenance(self, cluster: Cluster, node: Node) -> None:
        """A rehearsal in maintenance runs, restores the service and its drop-in, and the cluster counts no failure."""
        cluster.pcs("resource", "meta", "web", "maintenance=true")
        cluster.settle()
        done = typed(node, "rehearse", "--on-this-host", "--yes", "--unit", "plain")
        assert "plain.service is running, as before" in done.stdout
        assert has(node, DROP_IN)
        cluster.pcs("resource", "meta", "web", "maintenance=")
        assert cluster.wait_until_runs("web") == "node1"
        assert cluster.status().failures == ()

    def test_disabled(self, cluster: Cluster, node: Node) -> None:
        """A resource that is disabled by the advised commands is stopped: a rehearsal runs without a question."""
        follow(node, typed(cluster.node("node2"), "rehearse", "--on-this-host", "--unit", "plain").stderr)
        done = typed(node, "rehearse", "--on-this-host", "--unit", "plain")
        assert "plain.service is stopped, as before" in done.stdout
        assert cluster.status().failures == ()

    def test_in_a_sandbox(self, cluster: Cluster, node: Node) -> None:
        """Without --on-this-host the rehearsal runs in a sandbox: the service runs on, without a prompt."""
        before = invocation(node)
        done = typed(node, "rehearse", "--unit", "plain")
        assert "plain.service is stopped, as before" in done.stdout
        assert invocation(node) == before
        assert cluster.status().failures == ()


class TestDebug:
    @pytest.mark.parametrize("action", ["start", "stop", "reload", "cycle"])
    def test_prompts_for_confirmation(self, node: Node, action: str) -> None:
        """Without a terminal it is exit code 2, with the resource, its state and what to do; nothing is changed."""
        before = invocation(node)
        done = typed(node, "debug", action, "--unit", "plain.service")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"resource web ({AGENT}) is managed and active on node1" in done.stderr
        assert "--yes" in done.stderr
        assert all(command in done.stderr for command in ADVICE)
        assert invocation(node) == before

    def test_on_a_terminal(self, node: Node) -> None:
        """If the user enters no, nothing is changed and the exit code is 2."""
        before = invocation(node)
        command = node.sandbox.command([str(PROGRAM), "debug", "stop", "--unit", "plain"], env={"TERM": "xterm"})
        terminal = Terminal(command, (24, 80))
        terminal.look_for("nevertheless? [y/N]")
        terminal.child.sendline("n")
        assert "nothing was changed" in "\n".join(terminal.watch())
        assert (terminal.child.exitstatus, invocation(node)) == (2, before)

    def test_yes(self, node: Node) -> None:
        """With --yes it runs at once; the drop-in of the cluster's start stays."""
        done = typed(node, "debug", "start", "--unit", "plain", "--yes")
        assert done.returncode == 0
        assert "left " not in done.stdout
        assert has(node, DROP_IN)

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            pytest.param(("monitor", "--unit", "plain"), 0, id="monitor"),
            pytest.param(("validate-all", "--unit", "plain"), 0, id="validate-all"),
            pytest.param(("meta-data", "--unit", "plain"), 0, id="meta-data"),
            pytest.param(("reload-agent", "--unit", "plain"), 0, id="reload-agent"),
            pytest.param(("start", "--unit", "free"), 0, id="another unit"),
        ],
    )
    def test_needs_no_confirmation(self, cluster: Cluster, node: Node, arguments: tuple[str, ...], code: int) -> None:
        """What changes nothing, and a unit that the cluster does not control, needs no confirmation."""
        cluster.service("free")
        done = typed(node, "debug", *arguments)
        typed(node, "debug", "stop", "--unit", "free")
        assert (done.returncode, done.stderr) == (code, "")

    @pytest.mark.parametrize(("before", "after"), LEFT_ALONE)
    def test_left_alone(self, cluster: Cluster, node: Node, before: str, after: str) -> None:
        """While Pacemaker leaves the resource alone there is no prompt."""
        cluster.pcs(*before.split())
        cluster.settle()
        done = typed(node, "debug", "start", "--unit", "plain")
        cluster.pcs(*after.split())
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("action", ["start", "cycle"])
    def test_left_alone_elsewhere(self, cluster: Cluster, node: Node, action: str) -> None:
        """What starts the unit where it is down while another node runs it needs confirmation."""
        cluster.pcs("resource", "meta", "web", "maintenance=true")
        cluster.settle()
        done = typed(cluster.node("node2"), "debug", action, "--unit", "plain")
        cluster.pcs("resource", "meta", "web", "maintenance=")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"resource web ({AGENT}) is in maintenance and active on {node.name}" in done.stderr
        assert cluster.node("node2").show("plain", "ActiveState") == "inactive"

    def test_disabled(self, cluster: Cluster, node: Node) -> None:
        """While the resource is disabled there is no prompt; start and stop leave nothing behind."""
        cluster.pcs("resource", "disable", "web")
        cluster.settle()
        started, stopped = (typed(node, "debug", action, "--unit", "plain") for action in ("start", "stop"))
        assert (started.returncode, stopped.returncode) == (0, 0)
        assert DROP_IN in started.stdout
        assert not has(node, DROP_IN)

    def test_a_cluster_that_does_not_answer(self, cluster: Cluster, node: Node) -> None:
        """A cluster whose daemons hang may control the unit: each command ends with that error, and changes nothing."""
        before = invocation(node)
        with frozen(node, "pacemakerd", "pacemaker-based"):
            stop = typed(node, "debug", "stop", "--unit", "plain")
            rehearse = typed(node, "rehearse", "--on-this-host", "--yes", "--unit", "plain")
            uninstall = typed(node, "uninstall")
        assert [done.returncode for done in (stop, rehearse, uninstall)] == [2, 2, 1]
        assert all("does not answer" in done.stderr for done in (stop, rehearse, uninstall))
        assert "--yes" in stop.stderr
        assert has(node, AGENT_FILE)
        assert invocation(node) == before
        cluster.wait_until_whole()


def test_pacemaker_stopped(cluster: Cluster, node: Node) -> None:
    """While Pacemaker is stopped on a node, the CIB on its disk counts: no tool harms what another node may run."""
    cib = "/var/lib/pacemaker/cib/cib.xml"
    other = cluster.node("node2")
    other.run("systemctl", "stop", "pacemaker")
    start = typed(other, "debug", "start", "--unit", "plain")
    rehearse = typed(other, "rehearse", "--on-this-host", "--yes", "--unit", "plain")
    in_sandbox = typed(other, "rehearse", "--unit", "plain")
    uninstall = typed(other, "uninstall")
    doctor = typed(other, "doctor", "--unit", "plain")
    state, has_agent = other.show("plain", "ActiveState"), has(other, AGENT_FILE)
    other.run("systemctl", "start", "pacemaker")
    cluster.wait_until_whole()
    assert [done.returncode for done in (start, rehearse, uninstall)] == [2, 2, 1]
    assert all(f"resource web ({AGENT}) is configured in {cib}" in done.stderr for done in (start, rehearse, uninstall))
    assert (state, has_agent) == ("inactive", True)
    assert "plain.service is stopped, as before" in in_sandbox.stdout
    assert f"read from {cib}: web" in " ".join(doctor.stdout.split())
    assert cluster.status().runs_on("web") == node.name


def test_deleted_resources(cluster: Cluster) -> None:
    """While Pacemaker stops what is deleted from its configuration, a start needs confirmation."""
    for name in ("named", "unknown"):
        stop = "ExecStop=sh -c 'until test -e /run/go; do sleep 0.1; done'"
        cluster.service(name, "ExecStart=sleep infinity", stop)
    cluster.create("ours", unit="unknown")
    cluster.pcs("resource", "create", "old", "systemd:named")
    node = cluster.node(cluster.wait_until_runs("old"))
    for name in ("ours", "old"):
        node.run("cibadmin", "--delete", "--xml-text", f'<primitive id="{name}"/>')
    cluster.wait_until(
        lambda status: all(name in status.resources and status.resources[name].is_orphaned for name in ("ours", "old")),
        30,
        "the resources are orphans",
    )
    named, unknown = (typed(node, "debug", "start", "--unit", name) for name in ("named", "unknown"))
    for each in cluster.nodes:
        each.run("touch", "/run/go")
    cluster.settle()
    for each in cluster.nodes:
        each.run("rm", "/run/go")
    assert (named.returncode, unknown.returncode) == (2, 2)
    assert "controls named.service: resource old (systemd:named) is deleted from the configuration" in named.stderr
    assert f"may control unknown.service: resource ours ({AGENT}) is deleted from" in unknown.stderr


@contextmanager
def frozen(node: Node, *daemons: str) -> Iterator[None]:
    """Stop daemons of Pacemaker with SIGSTOP for the time of the block."""
    pids = node.run("pidof", *daemons).split()
    node.run("kill", "-STOP", *pids)
    try:
        yield
    finally:
        node.run("kill", "-CONT", *pids)


class TestUninstall:
    @pytest.mark.parametrize("name", ["node1", "node2"])
    @pytest.mark.parametrize("is_disabled", [pytest.param(True, id="disabled"), pytest.param(False, id="running")])
    def test_refuses(self, cluster: Cluster, node: Node, name: str, *, is_disabled: bool) -> None:
        """While a resource of the agent is configured, wherever it runs: it is named, and nothing is removed."""
        if is_disabled:
            cluster.pcs("resource", "disable", "web")
            cluster.settle()
        done = typed(cluster.node(name), "uninstall")
        state = "disabled and not active" if is_disabled else f"managed and active on {node.name}"
        assert (done.returncode, done.stdout) == (1, "")
        assert f"resource web ({AGENT}) is {state}" in done.stderr
        assert "--force" in done.stderr
        assert has(cluster.node(name), AGENT_FILE)

    def test_force(self, cluster: Cluster) -> None:
        """--force removes the agent; only the drop-in of a unit that the cluster runs stays."""
        cluster.service("plain")
        cluster.service("free")
        cluster.configure([Primitive("web", {"unit": "plain"})])
        node = cluster.node(cluster.wait_until_runs("web"))
        typed(node, "debug", "start", "--unit", "free")
        done = typed(node, "uninstall", "--force")
        left = [has(node, path) for path in (AGENT_FILE, DROP_IN, DROP_IN.replace("plain", "free"))]
        loaded = node.show("free", "DropInPaths")
        node.run("systemctl", "stop", "free")
        node.run(str(PROGRAM), "install")
        assert done.returncode == 0
        assert "removed the drop-ins of free.service\n" in done.stdout
        assert left == [False, True, False]
        assert loaded == ""

    def test_resources_of_others(self, cluster: Cluster, node: Node) -> None:
        """Resources of another agent, also of ours by another name, do not need this one."""
        node.run(str(PROGRAM), "install", "--name", "second")
        done = typed(node, "uninstall", "--name", "second")
        assert (done.returncode, done.stderr) == (0, "")
        assert cluster.status().runs_on("web") == node.name
