"""Checks of a unit's relations to others: what its start and stop do to them, and theirs to it."""

import re
from collections.abc import Iterator

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.observations import LoadState
from ocf_systemd.doctor.check import Check, needs
from ocf_systemd.doctor.facts import Facts, RelatedUnit, Unit
from ocf_systemd.doctor.fixes import check_again, drop_in, quoted

_CLUSTER = frozenset(
    f"{name}.service" for name in ("corosync", "corosync-qdevice", "pacemaker", "pacemaker_remote", "sbd")
)
_PACEMAKER = frozenset({"pacemaker.service", "pacemaker_remote.service"})
_ENABLED = frozenset({"enabled", "enabled-runtime"})
# Started by every boot and stopped by no upgrade.
_ALWAYS_THERE = re.compile(r"(dbus(-broker)?|systemd-.*)\.service")
_PSEUDO = frozenset(
    {
        *("autofs", "binfmt_misc", "bpf", "cgroup2", "configfs", "debugfs", "efivarfs", "fusectl", "hugetlbfs"),
        *("mqueue", "nfsd", "proc", "ramfs", "rpc_pipefs", "securityfs", "squashfs", "sysfs", "tmpfs", "tracefs"),
    }
)
_ACTING_TARGETS = frozenset(
    f"{name}.target" for name in ("emergency", "rescue", "reboot", "poweroff", "halt", "kexec", "exit", "shutdown")
)
_JOBS = "(re)?start|stop|(try|reload-or|try-reload-or)-restart|isolate|kill|reboot|poweroff|halt|kexec|emergency|rescue"
_ACTING_COMMAND = re.compile(
    rf"\bsystemctl( +-\S+)* +({_JOBS})\b|(^|[\s;&|/])(reboot|poweroff|halt|shutdown|init [06]|crm|pcs|crm_resource)\b"
)

_Known = tuple[Facts, Unit]


def _find_loaded(facts: Facts) -> _Known | str:
    if facts.unit is None or facts.unit.load_state is not LoadState.LOADED:
        return "the unit is not loaded"
    return facts, facts.unit


def _others(known: _Known, *properties: str) -> Iterator[RelatedUnit]:
    facts, unit = known
    return (facts.related.get(name, RelatedUnit(name)) for name in unit.related_by(*properties))


def _settings(unit: Unit, name: str, *properties: str) -> str:
    """Return the settings that name another unit, as in `Requires= and BindsTo=`."""
    return " and ".join(f"{each}=" for each in properties if name in unit.relations.get(each, ()))


def _remove(unit: str, setting: str, other: str) -> tuple[str, ...]:
    """Return the commands that remove a dependency, which a drop-in can only add."""
    return (
        f"systemctl cat {quoted(unit)}   # shows the file with {setting}{other}",
        f"systemctl edit --full {quoted(unit)}   # remove it there",
    )


@needs(_find_loaded)
def check_conflicts(check: Check, known: _Known) -> CheckResult:
    """Check that a start does not stop the cluster."""
    unit = known[1]
    for relation, first in (("Conflicts", True), ("ConflictedBy", False)):
        for name in unit.related_by(relation):
            if name in _CLUSTER:
                return check.error(
                    f"{unit.id} conflicts with {name}" if first else f"{name} conflicts with {unit.id}",
                    f"A start of {unit.id} stops {name}, and a start of {name} stops {unit.id}: they cannot run on the "
                    "same node.",
                    *_remove(*((unit.id, "Conflicts=", name) if first else (name, "Conflicts=", unit.id))),
                )
    return check.ok("no conflict with the cluster")


@needs(_find_loaded)
def check_after_pacemaker(check: Check, known: _Known) -> CheckResult:
    """Check that the unit is not ordered after Pacemaker, which stops it at shutdown."""
    unit = known[1]
    after = set(unit.related_by("After"))
    between = [other for other in _others(known, "After") if _PACEMAKER & set(other.relations.get("After", ()))]
    for name in sorted(_PACEMAKER & after) or [other.name for other in between]:
        via = "" if name in _PACEMAKER else ", which is ordered after Pacemaker"
        return check.error(
            f"{unit.id} has After={name}{via}",
            "At shutdown systemd then stops it before Pacemaker, which sees a failure. With the agent's drop-in, which "
            "has Before=pacemaker.service, it is an ordering cycle: systemd drops one of the stop jobs.",
            *_remove(unit.id, "After=", name),
        )
    return check.ok("not ordered after Pacemaker")


@needs(_find_loaded)
def check_own_trigger(check: Check, known: _Known) -> CheckResult:
    """Check that a start does not leave a socket, timer or path unit active that starts the unit after a stop."""
    unit = known[1]
    pulled = unit.related_by("Requires", "BindsTo", "Wants", "Upholds")
    triggers = {edge.by for edge in unit.edges if edge.relation == "TriggeredBy"} & set(pulled)
    for trigger in (other for other in _others(known, "TriggeredBy") if other.name in triggers):
        if not unit.stops(trigger):
            setting = _settings(unit, trigger.name, "Requires", "BindsTo", "Wants", "Upholds")
            return check.error(
                f"{unit.id} starts {trigger.name} ({setting}), which stays active after a stop",
                f"After the cluster has stopped the service, {trigger.name} starts it again without the cluster "
                "knowing, possibly while it runs on another node.",
                *drop_in(unit.id, f"PropagatesStopTo={trigger.name}", section="Unit"),
            )
    return check.ok("a stop leaves nothing active that starts it again")


@needs(_find_loaded)
def check_requires(check: Check, known: _Known) -> CheckResult:
    """Check that the unit does not depend on another service that the cluster does not control."""
    unit = known[1]
    properties = ("Requires", "BindsTo", "Requisite")
    for other in _others(known, *properties):
        setting = _settings(unit, other.name, *properties)
        if other.is_missing:
            return check.error(
                f"{other.name} is not found, which {unit.id} needs ({setting})",
                "A start fails.",
                f"systemctl list-unit-files {quoted('*' + other.name.partition('.')[0] + '*')}   # or install it",
                *_remove(unit.id, setting, other.name),
            )
        if not other.name.endswith(".service") or _ALWAYS_THERE.fullmatch(other.name) or unit.stops(other):
            continue
        if other.type == "oneshot" and not other.remain_after_exit:
            continue
        needs_it_running = setting == "Requisite=" and not other.is_running and other.file_state not in _ENABLED
        starts = "A start fails unless it runs" if setting == "Requisite=" else "A start also starts it"
        return (check.error if needs_it_running else check.warning)(
            f"{unit.id} stops when {other.name} stops ({setting})",
            f"A stop or restart of {other.name}, such as by an upgrade, also stops {unit.id}, which the cluster "
            f"detects as a failure. {starts}, without the cluster knowing.",
            f"# Make {other.name} a resource, in a group before this one. Or, if it runs on every node, use Wants=:",
            *_remove(unit.id, setting, other.name),
        )
    return check.ok("it requires no other service")


@needs(_find_loaded)
def check_helpers(check: Check, known: _Known) -> CheckResult:
    """Check that a stop leaves no service running that only this unit starts."""
    unit = known[1]
    for other in _others(known, "Wants"):
        only_this = {edge.by for edge in other.edges} <= {unit.id}
        is_service = other.name.endswith(".service") and not other.is_missing and other.type != "oneshot"
        if is_service and only_this and other.file_state not in _ENABLED and not unit.stops(other):
            return check.warning(
                f"{unit.id} starts {other.name} (Wants=), which keeps running after a stop",
                "It may still use the data or the address that the cluster then moves to another node.",
                f"# If only {unit.id} uses it, stop it too:",
                *drop_in(unit.id, f"PropagatesStopTo={other.name}", section="Unit"),
            )
    return check.ok("a stop leaves no helper running")


@needs(_find_loaded)
def check_upholds(check: Check, known: _Known) -> CheckResult:
    """Check that the unit does not make systemd restart another unit."""
    unit = known[1]
    for other in _others(known, "Upholds"):
        if not unit.stops(other):
            return check.warning(
                f"{unit.id} has Upholds={other.name}",
                f"While it runs, systemd starts {other.name} whenever that is stopped, also if the cluster has stopped "
                "it, and leaves it running after a stop.",
                *_remove(unit.id, "Upholds=", other.name),
            )
    return check.ok("it keeps no other unit running")


@needs(_find_loaded)
def check_stop_propagated(check: Check, known: _Known) -> CheckResult:
    """Check that a stop of another unit does not stop this one."""
    unit = known[1]
    for other in _others(known, "StopPropagatedFrom"):
        if (other.is_running or other.file_state in _ENABLED) and other.name not in unit.part_of:
            return check.warning(
                f"a stop of {other.name} stops {unit.id} (StopPropagatedFrom=)",
                "The cluster detects that as a failure.",
                *_remove(unit.id, "StopPropagatedFrom=", other.name),
                f"systemctl cat {quoted(other.name)}   # or it has PropagatesStopTo={unit.id}",
            )
    return check.ok("no other unit stops it")


@needs(_find_loaded)
def check_mounts(check: Check, known: _Known) -> CheckResult:
    """Check that a start mounts no file system that boot does not mount."""
    unit = known[1]
    for mount in _others(known, "Requires", "BindsTo", "Wants", "Requisite"):
        is_by_boot = any(edge.by.endswith(".target") for edge in mount.edges) or mount.file_state in _ENABLED
        if mount.name.endswith(".mount") and mount.path and not is_by_boot and mount.type not in _PSEUDO:
            return check.warning(
                f"a start of {unit.id} also mounts {mount.name}, which boot does not mount",
                "If another node has mounted the same storage, this destroys the data: the cluster must mount it. A "
                "start by hand then does it without the cluster knowing.",
                f"# Put the resource that mounts it into a group, before {unit.id}, and remove it from {mount.path}:",
                f"editor {quoted(mount.path)}   # then: systemctl daemon-reload",
            )
    return check.ok("it mounts nothing that boot does not mount")


@needs(_find_loaded)
def check_on_failure(check: Check, known: _Known) -> CheckResult:
    """Check that systemd leaves the response to a failure or to the end of the service to Pacemaker."""
    unit = known[1]
    for setting in ("OnFailure", "OnSuccess"):
        for other in _others(known, setting):
            acting = [found[0].strip() for command in other.commands if (found := _ACTING_COMMAND.search(command))]
            if other.name in _ACTING_TARGETS or acting:
                when = "fails" if setting == "OnFailure" else "stops"
                return check.error(
                    f"{setting}={other.name} {f'runs {acting[0]}' if acting else 'is for the whole host'}",
                    f"When the service {when}, systemd does this without the cluster knowing, at the same time as "
                    "Pacemaker's recovery.",
                    *_remove(unit.id, f"{setting}=", other.name),
                )
    return check.ok("nothing acts on a failure besides Pacemaker")


@needs(_find_loaded)
def check_triggered_unit(check: Check, known: _Known) -> CheckResult:
    """Check that a stop of a socket, timer or path unit stops the service that it has started."""
    unit = known[1]
    if unit.id.rpartition(".")[2] not in {"socket", "timer", "path"}:
        return check.skipped("the unit starts no other unit")
    for other in _others(known, "Triggers"):
        if not other.is_missing and not unit.stops(other):
            stem = unit.id.rpartition(".")[0]
            report = check.warning if other.type == "oneshot" else check.error
            fix = (
                drop_in(f"{stem}@.service", f"PartOf={unit.id}", section="Unit")
                if unit.accepts
                else (
                    f"{check_again(other.name)}   # to put the service under cluster control instead. Or stop it too:",
                    *drop_in(unit.id, f"PropagatesStopTo={other.name}", section="Unit"),
                )
            )
            return report(
                f"a stop of {unit.id} leaves {other.name} running",
                f"The cluster starts {unit.id} on another node while {other.name} still runs on this one.",
                *fix,
            )
    return check.ok("a stop also stops what it has started")


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
