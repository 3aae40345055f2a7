"""Messages of debug, rehearse and uninstall about the cluster's resources that control a unit."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ocf_systemd.core.cluster import Resource
    from ocf_systemd.host.cluster import Active


def our_agents() -> frozenset[str]:
    """Return the names of this program's agents on this host, such as `ocf:pacemaker:systemd`."""
    from ocf_systemd.install.agent_file import DEFAULT_OCF_ROOT, agents_below

    return frozenset(f"ocf:{path.parent.name}:{path.name}" for path in agents_below(DEFAULT_OCF_ROOT))


def describe(unit: str, resources: "Collection[Resource]") -> str:
    """Return a sentence, without its period, that says which resources control a unit.

    The sentence has "may control" if no resource is known to control the unit: Pacemaker does not run here, or the unit
    of a resource is unknown, or its OCF agent is of another origin and may use a parameter `unit` for something else.
    """
    ours = our_agents()
    is_certain = any(
        each.unit and not each.file and (each.agent in ours or not each.agent.startswith("ocf:")) for each in resources
    )
    return f"Pacemaker {'controls' if is_certain else 'may control'} {unit}: {', '.join(map(str, resources))}"


def describe_down(unit: str, active: "Active") -> str:
    """Return a sentence, without its period, about a unit that is down here and that the cluster believes active.

    Empty: the unit is not down here, or the cluster believes none of its resources active.
    """
    if active.elsewhere:
        names = ", ".join(map(str, active.elsewhere))
        return f"{unit} is down here, but {names}: a start here would run it on two nodes"
    if active.here:
        return f"{unit} is down, although the cluster believes it active here: {', '.join(map(str, active.here))}"
    return ""


def advice(resources: "Iterable[Resource]", elsewhere: "Collection[Resource]") -> str:
    """Return the commands, one per line, for pcs and for crm, after which Pacemaker does not act on these resources.

    The resources `elsewhere`, which are active on another node, must be stopped: in maintenance, their service would
    continue to run there.
    """
    lines = []
    for each in resources:
        if each.file:
            return stopped_advice(each.file)
        if each.is_orphan:
            lines.append(f"  # Pacemaker stops {each.id}; if that has failed: crm_resource --cleanup -r {each.id}")
            continue
        if each not in elsewhere:
            lines += [f"  pcs resource meta {each.id} maintenance=true", f"  crm resource maintenance {each.id} on"]
            lines.append("  # or, which also stops what depends on it:")
        else:
            lines.append("  # also stops what depends on it:")
        lines += [f"  pcs resource disable {each.id}", f"  crm --wait resource stop {each.id}"]
    return "\n".join([*lines, "  crm_resource --wait"])


def stopped_advice(file: str) -> str:
    """Return the commands, one per line, to start the stopped Pacemaker of this CIB, or to move an old CIB away."""
    return (
        "  pcs cluster start   # crm cluster start; then repeat this command\n"
        f"  # or, only if this host is not in a cluster any more:\n  mv --no-clobber {file} {file}.old"
    )
