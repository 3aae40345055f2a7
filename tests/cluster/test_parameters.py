"""A wrong value of a parameter keeps a service from starting, with a reason; no node is fenced for it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.cluster.pacemaker import Cluster
    from tests.cluster.status import Status

NOT_CONFIGURED = 6
# Resources by name: the parameter, and a wrong value.
TYPING_ERRORS = {
    "poll": ("poll_interval", "abc"),
    "hook": ("monitor_hook", "relative/path"),
    "retries": ("monitor_hook_retries", "x"),
    "verify": ("stop_verify", "perhaps"),
    "blank": ("unit", "foo bar"),
}
RIGHT = {"poll_interval": "2s", "monitor_hook": "/bin/true", "monitor_hook_retries": "1", "stop_verify": "no"}


@pytest.fixture(autouse=True)
def unfenced(cluster: Cluster) -> Iterator[None]:
    """Have a fence device, which must not be used."""
    cluster.enable_fencing()
    before, began = {node.name: node.sandbox.pid for node in cluster.nodes}, time.time()
    yield
    assert {node.name: node.sandbox.pid for node in cluster.up} == before
    entries = [str(each) for node in cluster.nodes for each in node.journal("pacemaker-schedulerd", since_s=began)]
    assert [entry for entry in entries if "will be fenced" in entry] == []


def services(cluster: Cluster, names: Iterable[str]) -> list[Primitive]:
    """Have a service for each of these resources; return the resources, with right values."""
    return [Primitive(name, {"unit": cluster.service(f"{name}-typed")}, monitor_interval_s=10) for name in names]


def with_values(primitives: Iterable[Primitive], values: Mapping[str, tuple[str, str]]) -> list[Primitive]:
    """Return resources with one parameter more each, or with another unit."""
    return [replace(each, parameters={**each.parameters, **dict([values[each.name]])}) for each in primitives]


def reasons(status: Status, wrong: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return the reasons, by resource, of the failures with code 6 that name the wrong parameter."""
    failures = [each for each in status.failures if each.code == NOT_CONFIGURED and each.resource in wrong]
    return {each.resource: each.reason for each in failures if wrong[each.resource][0] in each.reason}


def running_on(cluster: Cluster, primitives: Iterable[Primitive]) -> dict[str, list[str]]:
    """Return the nodes that each resource's unit runs on."""
    return {each.name: cluster.running_on(each.parameters["unit"]) for each in primitives}


def correct(cluster: Cluster, primitives: list[Primitive], wrong: Mapping[str, tuple[str, str]]) -> None:
    """Correct each value and clean up; check that each service runs on one node then."""
    right = {each.name: (name := wrong[each.name][0], RIGHT.get(name, each.parameters["unit"])) for each in primitives}
    cluster.add(with_values(primitives, right))
    cluster.pcs("resource", "cleanup")
    cluster.wait_until(lambda now: all(map(now.runs_on, wrong)), 60, "all are started")
    status = cluster.settle()
    assert running_on(cluster, primitives) == {name: [status.runs_on(name)] for name in wrong}
    assert status.failures == ()


class TestTypingError:
    @pytest.mark.fault(
        "A resource is created with a wrong value, with a `unit` that is not a valid name, or without `unit`, in a "
        "cluster with fencing.",
        "The start returns 6 with a reason, and Pacemaker fences no node. When the value is corrected, the service "
        "runs on one node.",
    )
    def test_on_create(self, cluster: Cluster) -> None:
        """Probes of a resource that was created with a wrong value return 7, its start returns 6; no node is fenced."""
        wrong = TYPING_ERRORS | {"missing": ("unit", "")}
        primitives = services(cluster, wrong)
        cluster.add(with_values(primitives, wrong))
        failed = lambda now: reasons(now, wrong).keys() == wrong.keys()  # noqa: E731
        status = cluster.wait_until(failed, 60, "every start has failed")
        cluster.settle()
        assert {each.action for each in status.failures} == {"start"}
        assert "poll_interval='abc'" in reasons(status, wrong)["poll"]
        assert {code for (name, _), code in cluster.probes().items() if name in wrong} == {7}
        assert running_on(cluster, primitives) == {name: [] for name in wrong}
        correct(cluster, primitives, wrong)

    @pytest.mark.fault(
        "`pcs resource update` sets a wrong value for a service that runs, in a cluster with fencing.",
        "Pacemaker stops the service, shows 6 with a reason, and fences no node. When the value is corrected, the "
        "service runs on one node.",
    )
    def test_on_update(self, cluster: Cluster) -> None:
        """A running service that gets a wrong value is stopped, and its stop succeeds; no node is fenced."""
        primitives = services(cluster, TYPING_ERRORS)
        cluster.add(primitives)
        cluster.wait_until(lambda now: all(map(now.runs_on, TYPING_ERRORS)), 60, "all are started")
        cluster.settle()
        for name, (parameter, value) in TYPING_ERRORS.items():
            cluster.pcs("resource", "update", name, f"{parameter}={value}")
        failed = lambda now: reasons(now, TYPING_ERRORS).keys() == TYPING_ERRORS.keys()  # noqa: E731
        status = cluster.wait_until(failed, 60, "every change has failed")
        cluster.settle()
        assert "poll_interval='abc'" in reasons(status, TYPING_ERRORS)["poll"]
        assert running_on(cluster, primitives) == {name: [] for name in TYPING_ERRORS}
        correct(cluster, primitives, TYPING_ERRORS)
