"""A cluster of real corosync and real Pacemaker, each node in a sandbox of its own."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from ocf_systemd.sandbox import boot
from tests.cluster.configuration import Primitive, resources
from tests.cluster.fencing import PowerSwitch
from tests.cluster.history import parse_history
from tests.cluster.network import Switch, address
from tests.cluster.node import Node
from tests.cluster.status import Status, parse_status
from tests.jobs import LIST_JOBS, queued_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CLUSTER_BOOT_S = 120.0
LOOK_AGAIN_S = 0.2
HOOKS = "/usr/local/lib/ocf-systemd/hooks"
EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "hooks"
AGENT = "ocf:pacemaker:systemd"
DROP_INS = "/run/systemd/system/*.d/*-ocf-systemd.conf"  # of any version
_CRM_MON = ("crm_mon", "--output-as=xml", "--inactive", "--failcounts", "--operations")
_JOURNAL_TAIL = 40

# dc-deadtime is how long a starting node waits to hear of a DC that is there already: 20 s by default. load-threshold
# keeps a busy machine from having fewer actions at once than a test counts on.
_OPTIONS = """\
<crm_config>
  <cluster_property_set id="options">
    <nvpair id="options-stonith" name="stonith-enabled" value="false"/>
    <nvpair id="options-deadtime" name="dc-deadtime" value="2s"/>
    <nvpair id="options-load" name="load-threshold" value="10000%"/>
  </cluster_property_set>
</crm_config>
"""
_CIB = f"""\
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration>
    {_OPTIONS}
    <nodes/>
    <resources/>
    <constraints/>
  </configuration>
  <status/>
</cib>
"""
_COROSYNC = """\
totem {{
    version: 2
    cluster_name: test
    transport: udpu
    token: 2000
    crypto_cipher: none
    crypto_hash: none
}}
nodelist {{
{nodes}}}
quorum {{
    provider: corosync_votequorum
}}
logging {{
    to_syslog: yes
}}
"""
_COROSYNC_NODE = """\
    node {{
        ring0_addr: {address}
        name: {name}
        nodeid: {number}
    }}
"""
_BARE = {"constraints": "<constraints/>", "resources": "<resources/>", "crm_config": _OPTIONS}


@dataclass(slots=True)
class Cluster:
    """The nodes, and an administrator's commands, on the first of them that is up."""

    nodes: list[Node]
    switch: Switch
    actions_at_once: int | None = None
    boot_s: float = 0.0
    _audited_s: float = 0.0
    _files: dict[str, tuple[str, int]] = field(default_factory=dict)
    _power: PowerSwitch = field(init=False)

    def __post_init__(self) -> None:
        self._power = PowerSwitch(lambda name: self.node(name).kill())

    def close(self) -> None:
        """Let go of what is no node's own."""
        self._power.close()

    def node(self, name: str) -> Node:
        """Return a node by its name."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def up(self) -> list[Node]:
        """The nodes that are up."""
        return [node for node in self.nodes if node.is_up]

    def others(self, name: str) -> list[Node]:
        """Return the nodes but for one."""
        return [node for node in self.nodes if node.name != name]

    def boot(self, *nodes: Node) -> None:
        """Boot nodes and start Pacemaker on them; they join the cluster soon after."""
        members = "".join(
            _COROSYNC_NODE.format(address=address(node.number), name=node.name, number=node.number)
            for node in self.nodes
        )
        system = {
            "/etc/corosync/corosync.conf": (_COROSYNC.format(nodes=members), 0o644),
            "/var/lib/pacemaker/cib/cib.xml": (_CIB, 0o600),
        }
        if self.actions_at_once:  # in force from the first action on, as the cluster property is not: the DC remembers
            system["/etc/default/pacemaker"] = (f"PCMK_node_action_limit={self.actions_at_once}\n", 0o644)
        for node in nodes:
            node.boot(system | self._files)
            self.switch.plug(node.number, node.sandbox)
            self._power.listen_in(node.sandbox)
        for node in nodes:
            node.run("systemctl", "start", "--no-block", "corosync", "pacemaker")

    def wait_until_whole(self) -> Status:
        """Wait until all nodes are members of one cluster with a DC."""
        names = {node.name for node in self.nodes}
        whole = lambda status: bool(status.dc) and status.has_quorum and status.online == names  # noqa: E731
        return self.wait_until(whole, CLUSTER_BOOT_S, f"{', '.join(sorted(names))} form a cluster")

    def write(self, path: str, text: str, mode: int = 0o644) -> str:
        """Have a file on all nodes, on those too that boot later; return its path."""
        self._files[path] = (text, mode)
        for node in self.up:
            node.sandbox.write(path, text, mode)
        return path

    def service(self, name: str, *lines: str) -> str:
        """Have a service on all nodes and return its unit's name; without lines, one that just runs.

        systemd need not be told: it reads a unit when it is asked for it, and forgets one that is down.
        """
        text = "\n".join(lines or ("ExecStart=sleep infinity",))
        self.write(f"/etc/systemd/system/{name}.service", f"[Service]\n{text}\n")
        return f"{name}.service"

    def hook(self, name: str, script: str) -> str:
        """Have a hook on all nodes and return its path."""
        return self.write(f"{HOOKS}/{name}", f"#!/bin/sh\n{script}\n", 0o755)

    def example_hook(self, name: str) -> str:
        """Have one of the hooks that come with the agent on all nodes and return its path."""
        return self.write(f"{HOOKS}/{name}", (EXAMPLES / name).read_text(encoding="utf-8"), 0o755)

    def pcs(self, *arguments: str) -> str:
        """Run pcs, as an administrator would."""
        return self._first.run("pcs", *arguments)

    def create(self, name: str, *words: str, **parameters: str) -> None:
        """Create a resource of our agent; `words` follow its parameters."""
        given = [f"{parameter}={value}" for parameter, value in parameters.items()]
        self.pcs("resource", "create", name, AGENT, *given, *words)

    def configure(self, primitives: Iterable[Primitive]) -> None:
        """Have these resources, and no others."""
        self._first.run("cibadmin", "--replace", "--scope=resources", f"--xml-text={resources(primitives)}")

    def add(self, primitives: Iterable[Primitive]) -> None:
        """Add these resources, or change the parameters of those that exist."""
        xml = resources(primitives)
        self._first.run("cibadmin", "--modify", "--allow-create", "--scope=resources", f"--xml-text={xml}")

    def enable_fencing(self) -> None:
        """Create a fence device for all nodes, the power switch, and enable fencing."""
        names = " ".join(node.name for node in self.nodes)
        self.pcs(
            "stonith", "create", "power", "fence_sandbox", f"pcmk_host_list={names}", "pcmk_host_check=static-list"
        )
        self.pcs("property", "set", "stonith-enabled=true", "stonith-action=off")
        self.wait_until_runs("power")

    @property
    def _first(self) -> Node:
        return next(node for node in self.nodes if node.is_in_cluster())

    def status(self) -> Status:
        """Look at the cluster."""
        status = self._look()
        assert status is not None, f"no node is in a cluster\n{self.portrait()}"
        return status

    def wait_until(self, holds: Callable[[Status], bool], timeout_s: float, what: str) -> Status:
        """Look at the cluster until something holds; return what was seen then."""
        deadline = time.monotonic() + timeout_s
        while True:
            began = time.monotonic()
            status = self._look()
            if status and holds(status):
                return status
            assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}\n{self.portrait()}"
            time.sleep(max(LOOK_AGAIN_S, time.monotonic() - began))  # a look at a hundred resources is dear

    def _look(self) -> Status | None:
        """Return the cluster's state, if a node is up."""
        for node in self.up:
            done = node.sandbox.run(_CRM_MON, timeout_s=30)
            if done.returncode == 0:
                return parse_status(done.stdout)
        return None

    def probes(self) -> dict[tuple[str, str], int]:
        """Return the exit codes of the probes, by resource and node, that no other operation followed."""
        history = parse_history(self._first.run("cibadmin", "--query", "--scope=status").encode())
        return {(result.resource, result.node): result.code for result in history if result.is_probe}

    def wait_until_runs(self, resource: str, timeout_s: float = 60, *, on: str = "", not_on: str = "") -> str:
        """Wait until a resource is started on one node and nothing is left to do; return the node's name.

        Of a node that has just been lost, the cluster reports for a while that the resource runs there: `not_on`.
        """
        names = {on} if on else {node.name for node in self.nodes} - {not_on}
        status = self.wait_until(
            lambda status: status.runs_on(resource) in names, timeout_s, f"{resource} runs on one of {sorted(names)}"
        )
        self.settle()
        return status.runs_on(resource)

    def settle(self, timeout_s: float = 90) -> Status:
        """Wait until the cluster has nothing left to do; return what was seen then."""
        self.wait_until(lambda _: self._is_idle(), timeout_s, "nothing is left to do")
        return self.status()  # not the one before: the DC may have come to rest, and to a conclusion, in between

    def _is_idle(self) -> bool:
        """Return whether the DC rests, and would by the state the cluster is in now; not if no node answers."""
        node = next((node for node in self.nodes if node.is_in_cluster()), None)
        status = self._look()
        if node is None or status is None:
            return False
        planned = node.sandbox.run(["crm_simulate", "--live-check", "--simulate", "--output-as=xml"], timeout_s=30)
        rests = bool(status.dc) and "S_IDLE" in node.run(
            "crmadmin", "--output-as=xml", "--status", status.dc, check=False
        )
        return (
            rests and planned.returncode == 0 and not etree.fromstring(planned.stdout.encode()).findall("transition/*")
        )

    def running_on(self, unit: str) -> list[str]:
        """Return the nodes on which a unit is active, by their own systemd."""
        return [node.name for node in self.up if node.show(unit, "ActiveState") == "active"]

    def portrait(self) -> str:
        """Return what helps to understand why something did not come."""
        parts = []
        for node in self.nodes:
            if node.is_up:
                parts.append(node.run("crm_mon", "-1", "--inactive", "--failcounts", check=False))
            parts.append(f"--- journal of {node.name}{'' if node.is_up else ' (down)'}")
            parts += map(str, node.journal()[-_JOURNAL_TAIL:])
        return "\n".join(parts)

    def managed_units(self) -> dict[str, set[str]]:
        """Return the units that resources manage, by ours or by Pacemaker's own systemd class, with those resources."""
        root = etree.fromstring(self._first.run("cibadmin", "--query", "--scope=resources").encode())
        units: dict[str, set[str]] = {}
        for primitive in root.iter("primitive"):
            unit = primitive.get("type", "")
            if primitive.get("class") == "ocf" and unit == "systemd":
                given = primitive.find("instance_attributes/nvpair[@name='unit']")
                unit = given.get("value", "") if given is not None else ""
            elif primitive.get("class") != "systemd":
                continue
            if not unit:  # as of a resource that was created without
                continue
            units.setdefault(unit if "." in unit else f"{unit}.service", set()).add(primitive.get("id", ""))
        return units

    def audit(self) -> None:
        """Fail where a service runs that the cluster does not know of, or the other way round, or something is left."""
        status = self.settle()
        complaints = []
        for unit, names in self.managed_units().items():
            runs = {node.name for node in self.up if node.show(unit, "ActiveState") not in {"inactive", "failed"}}
            known = [node for name in names for node in status.resources[name].nodes]
            if sorted(known) != sorted(runs):
                complaints.append(f"{unit} runs on {sorted(runs)}, and the cluster says {sorted(known)}")
        jobs = [(node.name, job) for node in self.up for job in queued_jobs(node.run(*LIST_JOBS))]
        complaints += [f"{name} has a job queued: {job}" for name, job in jobs]
        said = [(node.name, entry) for node in self.nodes for entry in node.journal(since_s=self._audited_s)]
        complaints += [f"{name}: {entry}" for name, entry in said if _is_bug(entry.message)]
        assert not complaints, "\n".join([*complaints, self.portrait()])

    def clean(self) -> None:
        """Stop all resources, look for what is left, and forget them and what was put on the nodes."""
        self.switch.heal()
        for node in self.up:  # where a test that failed has left them down
            node.run("systemctl", "start", "--no-block", "corosync", "pacemaker")
        if dead := [node for node in self.nodes if not node.is_up]:
            self.boot(*dead)
        if resources := self.wait_until_whole().resources:
            if any(each.is_blocked for each in resources.values()):  # what no stop would come to
                self._first.run("crm_resource", "--cleanup")
            self._first.run("crm_attribute", "--name=stop-all-resources", "--update=true")
            stopped = lambda status: not any(each.nodes for each in status.resources.values())  # noqa: E731
            self.wait_until(stopped, 60, "all is stopped")
        units = self.managed_units()
        try:
            self._audit_stopped(units)
        finally:
            self._forget(units)
            self._audited_s = time.time()

    def _audit_stopped(self, units: dict[str, set[str]]) -> None:
        self.audit()
        left = [f"{node.name}: {line}" for node in self.nodes for line in node.leftovers()]
        left += [
            f"{node.name}: {line}" for node in self.nodes for line in node.sh(f"ls {DROP_INS}", check=False).split()
        ]
        assert not left, f"left behind by {units}: {left}"

    def _forget(self, units: dict[str, set[str]]) -> None:
        self._first.run("crm_resource", "--cleanup")
        for section, bare in _BARE.items():  # in this order: constraints name resources
            self._first.run("cibadmin", "--replace", f"--scope={section}", f"--xml-text={bare}")
        files = list(self._files)
        self._files.clear()
        for node in self.nodes:
            node.run("rm", "-rf", "/run/test", *files)
            node.sh('systemctl reset-failed -- "$@" 2>/dev/null', *units, check=False)
        self.settle()


def _is_bug(message: str) -> bool:
    """Return whether it is of a bug here, or of an assertion in Pacemaker, which metadata may violate."""
    return any(text in message for text in ("Traceback (most recent call last)", "internal error: ", "fatal assertion"))


@contextmanager
def cluster(nodes: int = 3, actions_at_once: int | None = None) -> Iterator[Cluster]:
    """Boot a cluster of so many nodes, each with so many actions at once; all of it ends with the block."""
    began = time.monotonic()
    with ExitStack() as stack:
        switch = Switch(stack.enter_context(boot(name="switch")))
        members = [Node(f"node{number}", number) for number in range(1, nodes + 1)]
        for node in members:
            stack.callback(node.close)
        made = Cluster(members, switch, actions_at_once)
        stack.callback(made.close)
        made.boot(*members)
        made.wait_until_whole()
        made.boot_s = time.monotonic() - began
        yield made
