"""Checks of the cluster on this host: its properties, and the resources that manage the unit."""

import re

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.cluster import Cluster, Resource, is_false
from ocf_systemd.core.named_resource import options_of
from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.core.parameter_table import TABLE, Parameter
from ocf_systemd.core.parameters import wrong_values
from ocf_systemd.core.suggestions import proposed_value
from ocf_systemd.doctor.check import Check, needs
from ocf_systemd.doctor.facts import Facts
from ocf_systemd.doctor.fixes import names, response, update_operation

# From Pacemaker 3.0.2 on, names of properties may begin with `fencing-` instead of `stonith-`.
_FENCING = ("stonith-enabled", "fencing-enabled")
_WATCHDOG = ("stonith-watchdog-timeout", "fencing-watchdog-timeout")
_QUORUM = "no-quorum-policy"
_WITHOUT_QUORUM = (
    "# This node has no quorum now, and without it the next command stops all resources. Restore quorum first:",
    "corosync-quorumtool   # must report: Quorate: Yes",
)
NO_ANSWER = "the cluster cannot be queried"
"""Why a check is skipped: this host is in a cluster, but a query failed, such as for lack of permission."""
_NO_CLUSTER = "no cluster runs on this host"


def _find_cluster(facts: Facts) -> Cluster | str:
    return facts.cluster or (NO_ANSWER if facts.why_no_cluster else _NO_CLUSTER)


def _find_resources(facts: Facts) -> tuple[Resource, ...] | str:
    cluster = _find_cluster(facts)
    return cluster if isinstance(cluster, str) else facts.resources or "no resource manages the unit"


def _find_running(facts: Facts) -> tuple[Resource, ...] | str:
    return f"Pacemaker does not run here: only {file} is known" if (file := _file(facts)) else _find_resources(facts)


def _file(facts: Facts) -> str:
    """Return the file that the cluster was read from because Pacemaker does not run here; empty: it was queried."""
    return facts.cluster.file if facts.cluster else ""


def _disabled_fencing(cluster: Cluster) -> str:
    return next((name for name in _FENCING if is_false(cluster.properties.get(name))), "")


def check_cluster(check: Check, facts: Facts) -> CheckResult:
    """Check that a cluster that runs on this host can be queried."""
    if file := _file(facts):
        found = names([each.id for each in facts.resources]) or "no resource manages the unit"
        return check.ok(f"Pacemaker does not run here; read from {file}: {found}")
    if facts.why_no_cluster:
        return check.warning(
            facts.why_no_cluster,
            "Its configuration is not checked, the parameters of the resource are unknown, and times of operations are "
            "assumed to be those advertised.",
            facts.as_root or "crm_mon --one-shot   # must print the state of the cluster, to root",
        )
    if facts.cluster is None:
        return check.skipped(_NO_CLUSTER)
    return check.ok("; ".join(map(str, facts.resources)) or "no resource manages the unit")


@needs(_find_cluster)
def check_fencing(check: Check, cluster: Cluster) -> CheckResult:
    """Check that Pacemaker can fence a node."""
    if off := _disabled_fencing(cluster):
        return check.warning(
            f"{off}={cluster.properties[off]}",
            "After a failed stop Pacemaker blocks the resource, and if a node does not respond, the service may run "
            f"twice. Decide which fence devices the nodes need, create them, then set {off}=true.",
        )
    if devices := [each.id for each in cluster.resources if each.agent.startswith("stonith:") and not each.is_disabled]:
        return check.ok(names(devices))
    if any(re.search("[1-9]", cluster.properties.get(name, "")) for name in _WATCHDOG):  # -1: twice SBD's timeout
        return check.ok("by watchdog")
    return check.error(
        "fencing is enabled, but there is no fence device",
        "Pacemaker starts no resource without one.",
        "# Decide which fence devices the nodes need, and create them:",
        "pcs stonith list   # shows the fence agents",
        "pcs stonith create DEVICE AGENT OPTIONS   # crm configure primitive DEVICE stonith:AGENT params OPTIONS",
    )


@needs(_find_cluster)
def check_quorum(check: Check, cluster: Cluster) -> CheckResult:
    """Check that nodes without quorum do not run the service."""
    policy = cluster.properties.get(_QUORUM, "stop")
    if policy != "ignore":
        return check.ok(f"{_QUORUM}={policy}")
    # Without quorum and fencing, nothing prevents a second copy of the service. If only fencing is off, as
    # check_fencing reports, nodes without quorum stop their resources.
    report, fenced = check.warning, ", unless fencing ends the others first"
    if _disabled_fencing(cluster):
        report, fenced = check.error, ""
    return report(
        f"{_QUORUM}=ignore",
        f"If the nodes lose contact, each side starts the service{fenced}. In a cluster of two nodes, the surviving "
        "one keeps quorum with two_node in votequorum(5).",
        *(() if cluster.has_quorum else _WITHOUT_QUORUM),
        f"pcs property set {_QUORUM}=stop   # crm configure property {_QUORUM}=stop",
    )


@needs(_find_resources)
def check_parameters(check: Check, resources: tuple[Resource, ...]) -> CheckResult:
    """Check that the parameters of the resource are valid."""
    wrong = {each.id: (options_of(each), problems) for each in resources if (problems := _wrong_values(each))}
    if not wrong:
        return check.ok("all are valid")
    return check.error(
        "; ".join(f"{'; '.join(problems.values())} (resource {name})" for name, (_, problems) in wrong.items()),
        f"start and monitor return 6, not configured. {response(Action.MONITOR, ExitCode.ERR_CONFIGURED)}",
        *(
            line
            for name, (options, problems) in wrong.items()
            for line in (
                *(_correct(name, row, options[row.name]) for row in TABLE if row.name in problems),
                f"pcs resource cleanup {name}   # crm resource cleanup {name}",
            )
        ),
    )


def _wrong_values(resource: Resource) -> dict[str, str]:
    return wrong_values(options_of(resource))


def _correct(resource: str, row: Parameter, text: str) -> str:
    """Return the pcs command that corrects a parameter; its comment has the other choices, and the crm command."""
    value = proposed_value(row, text)
    others = ", ".join(each for each in row.choices if each != value)
    comment = f"or {others}; " if others else ""
    crm = f"crm resource param {resource} set {row.name} {value}"
    return f"pcs resource update {resource} {row.name}={value}   # {comment}{crm}"


@needs(_find_resources)
def check_one_resource(check: Check, resources: tuple[Resource, ...]) -> CheckResult:
    """Check that only one resource manages the unit."""
    if len(resources) == 1:
        return check.ok(resources[0].id)
    return check.error(
        f"resources {names([each.id for each in resources])} manage the same unit",
        "A node has one unit of that name. So a stop of one resource also stops the other, and on another node "
        "Pacemaker finds both active. The checks of timeouts assume the advertised ones, not those of these resources.",
        "# Decide which one to keep. Deleting a resource stops the unit, and the other resource starts it again:",
        "pcs resource delete RESOURCE   # crm --wait resource stop RESOURCE && crm configure delete RESOURCE",
    )


@needs(_find_running)
def check_unique_clone(check: Check, resources: tuple[Resource, ...]) -> CheckResult:
    """Check that the resource is not in a clone with globally-unique=true."""
    unique = next((each for each in resources if each.is_globally_unique), None)
    if unique is None:
        return check.ok("not in a globally unique clone")
    return check.error(
        f"clone {unique.clone} of resource {unique.id} has globally-unique=true",
        "A node has one unit of that name, which all instances share. So Pacemaker finds an instance active on nodes "
        "where it has started another one, and a stop of one stops the other.",
        f"pcs resource meta {unique.clone} globally-unique=false   # crm resource meta {unique.clone} set "
        "globally-unique false",
    )


def _add_monitor(resource: Resource) -> str:
    """Return the command that gives a resource a recurring monitor, and keeps the operations that it already has."""
    monitors = [each for each in resource.operations if each.name == Action.MONITOR]
    if any(each.interval_s and is_false(each.options.get("enabled")) for each in monitors):
        return f"pcs resource manage {resource.id} --monitor"  # this enables all monitors
    verb = "op add {} monitor" if monitors else "update {} op monitor"
    forced = " --force" if monitors else ""  # without it, pcs rejects a second monitor as a duplicate
    return f"pcs resource {verb.format(resource.id)} interval=10s timeout=20s{forced}"


@needs(_find_resources)
def check_monitor(check: Check, resources: tuple[Resource, ...]) -> CheckResult:
    """Check that a recurring monitor is configured, with a timeout."""
    # `pcs resource unmanage --monitor` disables the monitors on purpose.
    for resource in (each for each in resources if each.is_managed):
        if not resource.monitors:
            return check.error(
                f"resource {resource.id} has no recurring monitor",
                "Pacemaker does not detect that the service has failed.",
                f"{_add_monitor(resource)}   # crm configure edit {resource.id}",
            )
        if without := next((each for each in resource.monitors if each.timeout is None), None):
            return check.warning(
                f"the monitor of resource {resource.id} has no timeout",
                "Pacemaker's default applies, 20 s, whatever the hook needs.",
                update_operation(resource, Action.MONITOR, f"interval={without.interval} timeout=20s")
                + f"   # or longer; crm configure edit {resource.id}",
            )
    return check.ok("a recurring monitor with a timeout")


CHECKS = (
    Check("cluster", check_cluster),
    Check("fencing", check_fencing),
    Check("quorum", check_quorum),
    Check("parameters", check_parameters),
    Check("one-resource", check_one_resource),
    Check("unique-clone", check_unique_clone),
    Check("monitor", check_monitor),
)
