"""The network between the nodes: a bridge in a sandbox of its own, and a cable from each node to it.

Nothing of it is in the host's own network namespace; all of it goes with the sandboxes.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from ocf_systemd.sandbox import Sandbox

_BRIDGES = """
for bridge in lan0 lan1 lan2; do
    ip link add "$bridge" type bridge
    ip link set "$bridge" up
done
"""
_PLUG = """
ip address add "$1/24" dev cluster
ip link set cluster up
"""


def address(number: int) -> str:
    """Return a node's address."""
    return f"192.0.2.{number}"


@dataclass(slots=True)
class Switch:
    """Three bridges, of which all nodes share the first while the network is whole."""

    sandbox: Sandbox
    _ports: dict[int, str] = field(default_factory=dict)
    _plugged: int = 0

    def __post_init__(self) -> None:
        self._sh(_BRIDGES)

    def plug(self, number: int, node: Sandbox) -> None:
        """Connect a node that has just booted."""
        self._plugged += 1
        port = self._ports[number] = f"port{self._plugged}"
        # Made between the two namespaces, the cable goes with either of them.
        pair = f"link add cluster netns {node.pid} type veth peer name {port} netns {self.sandbox.pid}"
        subprocess.run(["ip", *pair.split()], check=True)
        _check(node.run(["sh", "-e", "-c", _PLUG, "sh", address(number)]))
        self._sh(f"ip link set {port} master lan0 up")

    def split(self, *islands: Collection[int]) -> None:
        """Let nodes reach only those on the same island."""
        moves = [
            f"ip link set {self._ports[node]} master lan{lan}" for lan, island in enumerate(islands) for node in island
        ]
        self._sh("\n".join(moves))

    def heal(self) -> None:
        """Make the network whole again."""
        self._sh("\n".join(f"ip link set {port} master lan0 2>/dev/null || :" for port in self._ports.values()))

    def _sh(self, script: str) -> None:
        _check(self.sandbox.run(["sh", "-e", "-c", script]))


def _check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
