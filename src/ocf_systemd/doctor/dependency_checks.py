"""Checks of dependencies: how a start or stop of the unit affects other units, and how theirs affects the unit."""

import re
from collections.abc import Iterable, Iterator

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.doctor.check import Check, find_loaded, needs
from ocf_systemd.doctor.facts import PULLING, Facts, RelatedUnit, Unit
from ocf_systemd.doctor.fixes import check_again, drop_in, names, quoted

_CLUSTER = frozenset(
    f"{name}.service" for name in ("corosync", "corosync-qdevice", "pacemaker", "pacemaker_remote", "sbd")
)
_PACEMAKER = frozenset({"pacemaker.service", "pacemaker_remote.service"})
# Services that every boot starts and no upgrade stops.
_ALWAYS_THERE = re.compile(r"(dbus(-broker)?|systemd-.*)\.service")
# Types of file systems that a second node cannot damage when it mounts them.
_PSEUDO = frozenset(
    {
        *("autofs", "binfmt_misc", "bpf", "cgroup2", "configfs", "debugfs", "efivarfs", "fusectl", "hugetlbfs"),
        *("mqueue", "nfsd", "proc", "ramfs", "rpc_pipefs", "securityfs", "squashfs", "sysfs", "tmpfs", "tracefs"),
    }
)
# Targets that act on the whole host.
_ACTING_TARGETS = frozenset(
    f"{name}.target" for name in ("emergency", "rescue", "reboot", "poweroff", "halt", "kexec", "exit", "shutdown")
)
# Verbs of systemctl that change something.
_JOBS = "(re)?start|stop|(try|reload-or|try-reload-or)-restart|isolate|kill|reboot|poweroff|halt|kexec|emergency|rescue"
# Subcommands and options of the cluster's tools that change something: pcs(8), crm(8), crm_resource(8).
_CHANGES = (
    "ban|clear|cleanup|confirm|create|delete|demote|destroy|disable|enable|fail|fence|force-\\w+|kill|maintenance|manage|"
    "migrate|move|online|promote|reboot|refresh|relocate|remove|restart|set|set-parameter|standby|start|stop|unfence|"
    "unmanage|unmaintenance|unstandby|update"
)
_TOOLS = (
    "reboot|poweroff|halt|shutdown|init [06]|"
    rf"(?:pcs|crm|crm_resource|crm_node|stonith_admin)\b[^;&|\n]* (?:-[BCFRU]|(?:--)?(?:{_CHANGES}))"
)
_ACTING_COMMAND = re.compile(
    rf"\bsystemctl( +-\S+)* +({_JOBS})\b|(^|[;&|(/]|\s-\w*c)\s*({_TOOLS})(?=[\s;=]|$)", re.MULTILINE
)

_Known = tuple[Facts, Unit]


def _others(known: _Known, *properties: str) -> Iterator[RelatedUnit]:
    facts, unit = known
    return (facts.related.get(name, RelatedUnit(name)) for name in unit.related_by(*properties))


def _settings(unit: Unit, name: str, *properties: str) -> str:
    """Return which of these settings name another unit, as part of a sentence: `Requires= and BindsTo=`."""
    return " and ".join(f"{each}=" for each in properties if name in unit.relations.get(each, ()))


def _listed(others: Iterable[RelatedUnit]) -> str:
    return names([other.name for other in others])


def _stop_too(unit: Unit, others: Iterable[RelatedUnit]) -> tuple[str, ...]:
    """Return the commands after which a stop of the unit stops the others."""
    return drop_in(unit.id, *(f"PropagatesStopTo={other.name}" for other in others), section="Unit")


def _remove(unit: str, setting: str, other: str) -> tuple[str, ...]:
    """Return the commands that remove a dependency from the unit's file; a drop-in can only add dependencies."""
    return (
        f"systemctl cat {quoted(unit)}   # shows which file names {other} in {setting}, if no link does",
        f"systemctl edit --full {quoted(unit)}   # change it there, or in its drop-in",
    )


@needs(find_loaded)
def check_conflicts(check: Check, known: _Known) -> CheckResult:
    """Check that a start of the unit does not stop the cluster's services."""
    unit = known[1]
    for name in unit.related_by("Conflicts", "ConflictedBy"):
        if name in _CLUSTER:
            is_own = name in unit.related_by("Conflicts")
            return check.error(
                f"{unit.id} conflicts with {name}" if is_own else f"{name} conflicts with {unit.id}",
                f"A start of {unit.id} stops {name}, and a start of {name} stops {unit.id}.",
                *(_remove(unit.id, "Conflicts=", name) if is_own else (f"systemctl cat {name}   # shows the file",)),
            )
    return check.ok("no conflict with the cluster")


@needs(find_loaded)
def check_after_pacemaker(check: Check, known: _Known) -> CheckResult:
    """Check that the unit is not ordered after Pacemaker: at shutdown, Pacemaker stops the unit, not systemd."""
    unit = known[1]
    after = set(unit.related_by("After"))
    between = [other for other in _others(known, "After") if _PACEMAKER & set(other.relations.get("After", ()))]
    for name in sorted(_PACEMAKER & after) or [other.name for other in between]:
        via = "" if name in _PACEMAKER else ", which is ordered after Pacemaker"
        return check.error(
            f"{unit.id} has After={name}{via}",
            "At shutdown systemd then stops it before Pacemaker, which detects a failure. The agent's drop-in sets "
            "Before=pacemaker.service, so this is an ordering cycle: systemd drops one of the stop jobs.",
            *_remove(unit.id, "After=", name),
        )
    return check.ok("not ordered after Pacemaker")


@needs(find_loaded)
def check_own_trigger(check: Check, known: _Known) -> CheckResult:
    """Check that the unit starts no trigger of its own, such as its socket, that a stop of the unit leaves active."""
    unit = known[1]
    pulled = set(unit.related_by(*PULLING)) & {edge.by for edge in unit.edges if edge.relation == "TriggeredBy"}
    left = [other for other in _others(known, *PULLING) if other.name in pulled and not unit.stops(other)]
    # A trigger that other units use must keep running for them. If it is also enabled, check_triggered reports it.
    if not (left := [other for other in left if not other.users or not other.is_enabled]):
        return check.ok("a stop leaves nothing active that starts it again")
    setting, own = _settings(unit, left[0].name, *PULLING), [other for other in left if not other.users]
    what = f"{unit.id} starts {_listed(left)} ({setting}), which stay{'' if left[1:] else 's'} active after a stop"
    why = (
        f"After the cluster has stopped the service, {left[0].name} starts it again without the cluster knowing, "
        "possibly while it runs on another node."
    )
    if users := list(dict.fromkeys(user for other in left for user in other.users)):
        why += f" Decide whether {names(users)} can do without {_listed(other for other in left if other.users)}."
    return check.error(what, why, *_stop_too(unit, own)) if own else check.warning(what, why)


@needs(find_loaded)
def check_requires(check: Check, known: _Known) -> CheckResult:
    """Check that the unit does not depend on another service that the cluster does not control."""
    unit, properties = known[1], ("Requires", "BindsTo", "Requisite")
    others = tuple(_others(known, *properties))
    if unusable := [other for other in others if other.is_unusable]:
        setting = _settings(unit, unusable[0].name, *properties)
        return check.error(
            f"{unit.id} needs {_listed(unusable)} ({setting}), which cannot be started",
            "A start fails.",
            f"systemctl status {quoted(unusable[0].name)}   # it is masked, or its package is not installed",
            *_remove(unit.id, setting, unusable[0].name),
        )
    needed = [other for other in others if _is_independent(unit, other)]
    if not needed:
        return check.ok("it requires no other service")
    setting = _settings(unit, needed[0].name, *properties)
    # Requisite= starts nothing: a start of this unit fails unless the other unit runs.
    idle = [other for other in needed if _settings(unit, other.name, *properties) == "Requisite=" and not _runs(other)]
    return (check.error if idle else check.warning)(
        f"{unit.id} stops when {_listed(needed)} stops ({setting})",
        f"A stop or restart of {needed[0].name}, such as by an upgrade, also stops {unit.id}, which the cluster "
        f"detects as a failure. {_FAILS if idle else _STARTS}",
        f"# Make {_listed(needed)} a resource, in a group before this one. Or, if it runs on every node, use Wants= "
        f"instead of {setting}:",
        *_remove(unit.id, setting, needed[0].name),
    )


_STARTS = "A start also starts it, without the cluster knowing."
_FAILS = "A start fails unless it runs already."


def _runs(other: RelatedUnit) -> bool:
    return other.is_running or other.is_enabled


def _is_independent(unit: Unit, other: RelatedUnit) -> bool:
    """Return whether another unit is a long-running service that a stop of this unit does not stop.

    Services of the cluster, and those that always run, do not count.
    """
    ends = other.type == "oneshot" and not other.remain_after_exit
    is_service = other.name.endswith(".service") and other.name not in _CLUSTER
    is_service = is_service and not _ALWAYS_THERE.fullmatch(other.name)
    return is_service and not ends and not unit.stops(other)


@needs(find_loaded)
def check_helpers(check: Check, known: _Known) -> CheckResult:
    """Check that a stop of this unit leaves no service running that only this unit starts (Wants=)."""
    unit = known[1]
    left = [
        other
        for other in _others(known, "Wants")
        if other.type != "oneshot"
        and not other.is_unusable
        and not other.is_enabled
        and {edge.by for edge in other.edges} <= {unit.id}
        and _is_independent(unit, other)
    ]
    if not left:
        return check.ok("a stop leaves no helper running")
    what = f"{unit.id} starts {_listed(left)} (Wants=), which keep{'' if left[1:] else 's'} running after a stop"
    why = f"{_STARTS} After a stop it may still use the data or the address that the cluster moves to another node."
    # A service that has other users, or that `systemctl enable` can enable, may serve more than this unit.
    own = [other for other in left if not other.users and other.file_state == "static"]
    if shared := [other for other in left if other not in own]:
        users = names(list(dict.fromkeys(user for other in shared for user in other.users)))
        others = f"Others, such as {users}," if users else "Others"
        why += f" {others} may use {_listed(shared)} too. Decide whether they can do without it."
    if not own:
        return check.warning(what, why)
    return check.warning(
        what,
        why,
        f"# Make {_listed(own)} a resource, in a group before this one. Or, if only {unit.id} uses it, stop it too:",
        *_stop_too(unit, own),
    )


@needs(find_loaded)
def check_upholds(check: Check, known: _Known) -> CheckResult:
    """Check that the unit does not make systemd restart another unit (Upholds=)."""
    unit = known[1]
    own = unit.related_by("TriggeredBy")  # `own-trigger` reports these
    upheld = [other for other in _others(known, "Upholds") if other.name not in own and not unit.stops(other)]
    if not upheld:
        return check.ok("it keeps no other unit running")
    other = upheld[0].name
    return check.warning(
        f"{unit.id} has Upholds={_listed(upheld)}",
        f"While {unit.id} runs, systemd starts {other} whenever {other} is stopped, also if the cluster has stopped "
        f"it. A stop of {unit.id} leaves {other} running.",
        *_remove(unit.id, "Upholds=", other),
    )


@needs(find_loaded)
def check_stop_propagated(check: Check, known: _Known) -> CheckResult:
    """Check that a stop of another unit does not stop this unit by StopPropagatedFrom=."""
    unit = known[1]
    for other in _others(known, "StopPropagatedFrom"):
        if (other.is_running or other.is_enabled) and other.name not in unit.part_of:
            return check.warning(
                f"a stop of {other.name} stops {unit.id} (StopPropagatedFrom=)",
                "The cluster detects that as a failure.",
                *_remove(unit.id, "StopPropagatedFrom=", other.name),
                f"systemctl cat {quoted(other.name)}   # or it has PropagatesStopTo={unit.id}",
            )
    return check.ok("no other unit stops it")


@needs(find_loaded)
def check_mounts(check: Check, known: _Known) -> CheckResult:
    """Check the mounts that boot does not make: a start must neither make them nor succeed without them."""
    unit = known[1]
    mounts = [other for other in _others(known, *PULLING) if _is_only_mounted_on_request(other)]
    ordered = [other for other in _others(known, "After") if _is_only_mounted_on_request(other)]
    if not mounts and (absent := [other for other in ordered if not other.is_running]):
        return check.warning(
            f"{unit.id} is ordered after {_listed(absent)} (After=), which neither boot nor a start mounts",
            "A start succeeds while it is not mounted: the service then runs on an empty directory, or on old data.",
            f"# Put the resource that mounts it into a group, before {unit.id}.",
        )
    if not mounts:
        return check.ok("it mounts nothing that boot does not mount")
    return check.warning(
        f"a start of {unit.id} also mounts {_listed(mounts)}, which boot does not mount",
        "If another node has mounted the same storage, this destroys the data: only the cluster may mount it. A start "
        "outside of the cluster does it without the cluster knowing.",
        f"# If storage moves between nodes: put the resource that mounts it into a group, before {unit.id}, and remove",
        "# the mount from this file. Then: systemctl daemon-reload",
        *dict.fromkeys(f"${{EDITOR:-vi}} {quoted(mount.path)}" for mount in mounts),
    )


def _is_only_mounted_on_request(other: RelatedUnit) -> bool:
    is_by_boot = any(edge.by.endswith(".target") for edge in other.edges) or other.is_enabled
    return other.name.endswith(".mount") and bool(other.path) and not is_by_boot and other.type not in _PSEUDO


@needs(find_loaded)
def check_on_failure(check: Check, known: _Known) -> CheckResult:
    """Check that Pacemaker, not a unit of OnFailure= or OnSuccess=, acts on a failure or on the end of the service."""
    unit = known[1]
    for setting in ("OnFailure", "OnSuccess"):
        for other in _others(known, setting):
            acting = [found[0].strip() for command in other.commands if (found := _ACTING_COMMAND.search(command))]
            if other.name in _ACTING_TARGETS or acting:
                when = "fails" if setting == "OnFailure" else "stops"
                return check.error(
                    f"{setting}={other.name} {f'runs {acting[0]}' if acting else 'acts on the whole host'}",
                    f"When the service {when}, systemd does this without the cluster knowing, at the same time as "
                    "Pacemaker's recovery.",
                    *_remove(unit.id, f"{setting}=", other.name),
                )
    return check.ok("nothing acts on a failure besides Pacemaker")


@needs(find_loaded)
def check_triggered_unit(check: Check, known: _Known) -> CheckResult:
    """Check that a stop of a socket, timer or path unit also stops the service that this unit has started."""
    unit = known[1]
    if unit.id.rpartition(".")[2] not in {"socket", "timer", "path"}:
        return check.skipped("the unit starts no other unit")
    left = [other for other in _others(known, "Triggers") if not other.is_unusable and not unit.stops(other)]
    if not left:
        return check.ok("a stop also stops what it has started")
    report = check.warning if all(other.type == "oneshot" for other in left) else check.error
    return report(
        f"a stop of {unit.id} leaves {_listed(left)} running",
        f"The cluster starts {unit.id} on another node while {left[0].name} still runs on this one.",
        *(
            drop_in(f"{unit.id.rpartition('.')[0]}@.service", f"PartOf={unit.id}", section="Unit")
            if unit.accepts
            else (
                f"{check_again(left[0].name)}   # to put the service under cluster control instead. Or stop it too:",
                *_stop_too(unit, left),
            )
        ),
    )


CHECKS = (
    Check("conflicts", check_conflicts),
    Check("after-pacemaker", check_after_pacemaker),
    Check("own-trigger", check_own_trigger),
    Check("requires", check_requires),
    Check("helpers", check_helpers),
    Check("upholds", check_upholds),
    Check("stop-propagated", check_stop_propagated),
    Check("mounts", check_mounts),
    Check("on-failure", check_on_failure),
    Check("triggered-unit", check_triggered_unit),
)
