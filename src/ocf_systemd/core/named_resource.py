"""Finds the resource that a user names in a cluster, and its parameters and operations, for this agent."""

from collections.abc import Collection, Mapping

from ocf_systemd.core.cluster import Cluster, Resource, configured_operations
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameter_table import MONITOR_HOOK, PREFIX, TABLE, UNIT
from ocf_systemd.core.parameters import read_leniently
from ocf_systemd.core.suggestions import did_you_mean

_OF_ONE_HOOK = frozenset({"monitor_hook_args", "monitor_hook_protocol"})


def find_resource(cluster: Cluster, name: str, agents: Collection[str]) -> Resource:
    """Return the resource with the id `name`, which may also be that of its clone, or of an instance such as `web:0`.

    The resource has one of these `agents`, or is of a class whose resources are units, such as `systemd:`. If there is
    no such resource, raises LookupError, whose message is for the user.
    """
    ids = {each.id: each for each in cluster.resources}
    in_clone = [each for each in cluster.resources if each.clone == name]
    if len(in_clone) > 1:
        raise LookupError(f"clone {name} has several resources, expected one of {', '.join(r.id for r in in_clone)}")
    instance, _, number = name.partition(":")
    found = ids.get(name) or next(iter(in_clone), None) or (ids.get(instance) if number.isdigit() else None)
    if found is None:
        raise LookupError(f"the cluster has no resource '{name}'. {_known(cluster, name, agents)}")
    if found.agent not in agents and not is_unit(found):
        raise LookupError(
            f"resource {found.id} is of {found.agent}, which is another agent. {_known(cluster, '', agents)}"
        )
    if UNIT.name not in options_of(found):
        raise LookupError(f"resource {found.id} has no parameter {UNIT.name}")
    return found


def is_unit(resource: Resource) -> bool:
    """Return whether a resource is of a class, such as `systemd:`, whose resources are units."""
    return bool(resource.unit) and not resource.agent.startswith("ocf:")


def options_of(resource: Resource) -> dict[str, str]:
    """Return those parameters of a resource that this agent knows; if the resource is itself a unit, only `unit`."""
    if is_unit(resource):
        return {UNIT.name: resource.unit}
    return {row.name: resource.parameters[row.name] for row in TABLE if row.name in resource.parameters}


def override(configured: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the `configured` parameters of a resource, replaced where a command line has `given` others.

    If the command line gives a hook, the arguments and the protocol of the resource's own hook are left out.
    monitor_hook_user stays: if the resource's own hook does not run as root, the given one must not either.
    """
    if MONITOR_HOOK.name in given:
        configured = {name: text for name, text in configured.items() if name not in _OF_ONE_HOOK}
    return {**configured, **given}


def operations_of(resource: Resource, options: Mapping[str, str]) -> Operations:
    """Return the operations of a resource as Pacemaker runs them; `options` are its parameters as text."""
    parameters, _ = read_leniently({PREFIX + name: text for name, text in options.items()})
    return configured_operations(resource, parameters.monitor_hook_level)


def _known(cluster: Cluster, name: str, agents: Collection[str]) -> str:
    """Return sentences that list the resources that the user can name instead."""
    own = [each for each in cluster.resources if each.agent in agents]
    usable = [*own, *(each for each in cluster.resources if is_unit(each))]
    close = did_you_mean(name, (text for each in usable for text in (each.id, each.clone) if text)).lstrip()
    listed = ", ".join(f"{each.id} ({each.unit})" for each in own)
    return " ".join(filter(None, (close, f"Resources of this agent: {listed or 'none'}.")))
