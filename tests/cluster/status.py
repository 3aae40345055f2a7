"""The output of `crm_mon`, parsed into immutable values; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as the cluster sees it."""

    name: str
    agent: str
    role: str
    nodes: tuple[str, ...]
    is_failed: bool
    is_blocked: bool
    is_orphaned: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that the cluster remembers as failed, or as degraded."""

    resource: str
    action: str
    node: str
    code: int
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Operation:
    """The last result of an action that the cluster remembers."""

    resource: str
    node: str
    action: str
    interval_s: float
    code: int


@dataclass(frozen=True, slots=True)
class Status:
    """One look at the cluster."""

    dc: str
    has_quorum: bool
    online: frozenset[str]
    resources: Mapping[str, Resource]
    failures: tuple[Failure, ...]
    fail_counts: Mapping[tuple[str, str], int]
    """By resource and node; a million is Pacemaker's INFINITY."""
    operations: tuple[Operation, ...]

    def runs_on(self, resource: str) -> str:
        """Return the one node that a resource is started on, without anything wrong, or an empty string."""
        found = self.resources.get(resource)
        if found is None or found.role != "Started" or found.is_failed or len(found.nodes) != 1:
            return ""
        return found.nodes[0]

    def failures_of(self, resource: str) -> tuple[Failure, ...]:
        """Return what the cluster remembers as failed of one resource."""
        return tuple(failure for failure in self.failures if failure.resource == resource)

    def fail_count(self, resource: str) -> int:
        """Return a resource's failures on all nodes together."""
        return sum(count for (name, _), count in self.fail_counts.items() if name == resource)


def parse_status(xml: str) -> Status:
    """Read what `crm_mon --output-as=xml --inactive --failcounts --operations` printed."""
    root = etree.fromstring(xml.encode())
    dc = root.find("summary/current_dc")
    return Status(
        dc=dc.get("name", "") if dc is not None else "",
        has_quorum=dc is not None and dc.get("with_quorum") == "true",
        online=frozenset(node.get("name", "") for node in root.iterfind("nodes/node") if _is_online(node)),
        resources={element.get("id", ""): _resource(element) for element in root.iter("resource")},
        failures=tuple(_failure(element) for element in root.iterfind("failures/failure")),
        fail_counts={
            (history.get("id", ""), node.get("name", "")): _count(history.get("fail-count", "0"))
            for node in root.iterfind("node_history/node")
            for history in node.iterfind("resource_history")
            if history.get("fail-count")
        },
        operations=tuple(
            _operation(element, history.get("id", ""), node.get("name", ""))
            for node in root.iterfind("node_history/node")
            for history in node.iterfind("resource_history")
            for element in history.iterfind("operation_history")
        ),
    )


def _is_online(node: etree._Element) -> bool:
    return node.get("online") == "true" and node.get("pending") != "true"


def _count(text: str) -> int:
    return 1_000_000 if text == "INFINITY" else int(text)


def _resource(element: etree._Element) -> Resource:
    return Resource(
        name=element.get("id", ""),
        agent=element.get("resource_agent", ""),
        role=element.get("role", ""),
        nodes=tuple(node.get("name", "") for node in element.iterfind("node")),
        is_failed=element.get("failed") == "true",
        is_blocked=element.get("blocked") == "true",
        is_orphaned=element.get("orphaned") == "true",
    )


def _failure(element: etree._Element) -> Failure:
    resource, action, _ = element.get("op_key", "__").rsplit("_", 2)
    return Failure(
        resource=resource,
        action=action,
        node=element.get("node", ""),
        code=int(element.get("exitcode", "0")),
        status=element.get("status", ""),
        reason=unescape(element.get("exitreason", "")),  # which is escaped twice
    )


def _operation(element: etree._Element, resource: str, node: str) -> Operation:
    return Operation(
        resource=resource,
        node=node,
        action=element.get("task", ""),
        interval_s=int(element.get("interval", "0ms").removesuffix("ms")) / 1000,
        code=int(element.get("rc", "0")),
    )
