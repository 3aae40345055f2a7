"""Checks of a unit of any type: that it can be loaded and started, and that only the cluster starts and stops it."""

from collections.abc import Iterator

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.observations import LoadState
from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.doctor.check import Check, needs
from ocf_systemd.doctor.facts import PULLING, Edge, Facts, RelatedUnit, Unit
from ocf_systemd.doctor.fixes import (
    DAEMON_RELOAD,
    check_again,
    disable,
    drop_in,
    is_lsb_script,
    mask_links,
    names,
    quoted,
    response,
)

# Targets that every boot starts (bootup(7)), whether or not systemd has loaded them at the moment.
_BOOT_TARGETS = frozenset(
    f"{name}.target"
    for name in ("default", "graphical", "multi-user", "basic", "sysinit", "local-fs", "remote-fs", "sockets", "timers")
)
# Nothing restarts these targets (systemd.special(7)): they stop only at shutdown, or with `systemctl isolate`.
_NEVER_STOPPED = _BOOT_TARGETS | frozenset(
    f"{name}.target" for name in ("network", "network-online", "nss-lookup", "paths", "slices", "time-sync")
)
_TRUE = frozenset({"/bin/true", "/usr/bin/true", "true", ":"})  # commands that do nothing
_BUS_OVERRIDES = "/usr/local/share/dbus-1/system-services"
# What makes a unit of each of these types start its service.
_EVENTS = {"socket": "a connection", "timer": "the elapsed timer", "path": "a change of the path"}

_WRONG_NAME = (
    f"A probe returns 7 and a stop 0, but a start returns 6. {response(Action.START, ExitCode.ERR_CONFIGURED)}"
)
_NOT_STARTED = f"A start returns 5. {response(Action.START, ExitCode.ERR_INSTALLED)}"


def _is_template(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")
    return name.endswith("@") or (bool(suffix) and stem.endswith("@"))


def check_name(check: Check, facts: Facts) -> CheckResult:
    """Check that the agent accepts the name."""
    if _is_template(facts.given):
        return check.skipped("it is the name of a template")
    if not facts.why_unusable:
        return check.ok("the agent accepts the name")
    return check.error(
        f"the name {facts.given!r} {facts.why_unusable}",
        _WRONG_NAME,
        "systemctl list-unit-files   # lists the names of all units",
    )


def check_template(check: Check, facts: Facts) -> CheckResult:
    """Check that the unit is an instance, not its template."""
    if not _is_template(facts.given):
        is_instance = facts.unit and "@" in facts.unit.id
        return check.ok("an instance, not a template") if is_instance else check.skipped("the unit has no template")
    stem = facts.given.partition("@")[0]
    return check.error(
        f"{facts.given} is a template, expected an instance of it",
        _WRONG_NAME,
        *(map(check_again, facts.similar or (f"{stem}@INSTANCE",))),
    )


def check_found(check: Check, facts: Facts) -> CheckResult:
    """Check that systemd knows the unit."""
    if facts.no_answer:
        return check.error(
            f"systemd does not answer: {facts.no_answer}",
            "If the state is unknown, the agent returns 1, never 7: monitor and stop fail, and a failed stop fences "
            "the node.",
            "systemctl is-system-running",
        )
    if (unit := facts.unit) is None:
        return check.skipped("the name is not valid")
    if unit.load_state is not LoadState.NOT_FOUND:
        return check.ok(f"{unit.path or unit.source or unit.id}, {unit.active_state}")
    pattern = f"*{unit.id.rpartition('.')[0].partition('@')[0]}*"
    search = (
        f"systemctl list-unit-files {quoted(pattern)}",
        "# or install its package on every node",
    )
    fix = map(check_again, facts.similar) if facts.similar else search
    question = f"; did you mean {' or '.join(facts.similar)}?" if facts.similar else ""
    return check.error(f"{unit.id} is not found on this host{question}", _NOT_STARTED, *fix)


def _find_unit_and_facts(facts: Facts) -> tuple[Facts, Unit] | str:
    if facts.unit is None or facts.unit.load_state is LoadState.NOT_FOUND:
        return "the unit is not found"
    return facts, facts.unit


def _find_unit(facts: Facts) -> Unit | str:
    found = _find_unit_and_facts(facts)
    return found if isinstance(found, str) else found[1]


@needs(_find_unit)
def check_loads(check: Check, unit: Unit) -> CheckResult:
    """Check that systemd can load the unit's files."""
    if unit.load_state is LoadState.MASKED:
        return check.skipped("the unit is masked")
    if unit.load_state is LoadState.LOADED:
        return check.ok("systemd has loaded the unit")
    return check.error(
        f"{unit.id} is not loaded: LoadState={unit.load_state}",
        _NOT_STARTED,
        f"systemctl status {quoted(unit.id)}   # shows the line with the error",
        f"systemd-analyze verify {quoted(unit.id)}",
    )


@needs(_find_unit)
def check_masked(check: Check, unit: Unit) -> CheckResult:
    """Check that the unit is not masked."""
    if unit.load_state is not LoadState.MASKED:
        return check.ok("not masked")
    runtime = "--runtime " if unit.file_state == "masked-runtime" else ""
    return check.error(f"{unit.id} is masked", _NOT_STARTED, f"systemctl unmask {runtime}{quoted(unit.id)}")


@needs(_find_unit_and_facts)
def check_alias(check: Check, known: tuple[Facts, Unit]) -> CheckResult:
    """Check that the given name, if it is an alias, still exists when the unit is disabled."""
    facts, unit = known
    full = facts.parameters.unit if facts.parameters else facts.given
    if unit.id == full:
        return check.skipped("the name is not an alias")
    if not unit.alias_link:
        return check.ok(f"{full} is an alias of {unit.id} that `systemctl disable` keeps")
    return check.error(
        f"{full} is an alias of {unit.id} that `systemctl disable` removes",
        f"The unit must be disabled. Then {unit.alias_link} does not exist, and a start returns 5. "
        f"{response(Action.START, ExitCode.ERR_INSTALLED)}",
        f"{check_again(unit.id)}   # and in the cluster: unit={quoted(unit.id)}",
    )


@needs(_find_unit)
def check_daemon_reload(check: Check, unit: Unit) -> CheckResult:
    """Check that systemd has loaded the latest version of the unit's files."""
    if not unit.needs_daemon_reload and not unit.unread:
        return check.ok("systemd has loaded the latest version of the files")
    paths = f": {', '.join(unit.unread)}" if unit.unread else ""
    return check.warning(
        f"files of {unit.id} have changed since systemd loaded them{paths}",
        "These checks use what systemd has loaded. The agent reloads changed files before the next start, so each node "
        "applies the change when the cluster starts the resource there.",
        "systemctl daemon-reload",
    )


@needs(_find_unit)
def check_placeholder(check: Check, unit: Unit) -> CheckResult:
    """Check that the unit runs something itself."""
    if unit.service is None or unit.service.type != "oneshot" or not unit.service.exec_start:
        return check.skipped("the unit is not a oneshot service")
    if not all(command in _TRUE for command in unit.service.exec_start):
        return check.ok("the unit runs a command")
    search = f"systemctl show --property=Wants,Requires,ConsistsOf {quoted(unit.id)}   # lists the other units"
    return check.error(
        f"{unit.id} runs nothing itself: ExecStart={unit.service.exec_start[0]}",
        "It groups other units and stays active if those fail, so a monitor does not detect any failure.",
        *(map(check_again, unit.consists_of) if unit.consists_of else (search,)),
    )


@needs(_find_unit)
def check_enabled(check: Check, unit: Unit) -> CheckResult:
    """Check that the unit is not enabled, so that boot does not start it."""
    if not unit.links:
        return check.ok("boot does not start the unit")
    return check.error(
        f"{unit.id} is enabled: boot starts it ({', '.join(unit.links)})",
        "Each node starts it at boot, before the cluster decides where it may run. It may then run on two nodes at "
        "once, on the same data.",
        *disable(unit.id, unit.links, unit.also),
    )


def _related(facts: Facts, name: str) -> RelatedUnit:
    return facts.related.get(name, RelatedUnit(name))


def _starts_automatically(facts: Facts, name: str, visited: frozenset[str]) -> str:
    """Return why a unit starts automatically, such as "is enabled"; empty: it does not.

    `visited` are the units on the way from the checked unit to this one: a start by any of them does not count.
    """
    related = _related(facts, name)
    if name in _BOOT_TARGETS:
        return "is part of every boot"
    if related.is_enabled and not any(edge.link for edge in related.edges):
        return "is enabled"
    if name.endswith(".target") and related.is_running:
        return "is active"
    for edge in related.edges:
        if edge.by not in visited and (why := _starts_automatically(facts, edge.by, visited | {name})):
            return "is enabled" if edge.link and related.is_enabled else f"is started by {edge.by}, which {why}"
    return ""


def _why_started(facts: Facts, edge: Edge, own: frozenset[str]) -> str:
    """Return why the unit `edge.by` runs or starts automatically, and so starts the checked unit; empty: it does not.

    `own` are the names of the checked unit.
    """
    if edge.relation == "UpheldBy" and _related(facts, edge.by).is_running:
        return "is active"  # its Upholds= starts the checked unit again whenever that is stopped
    return _starts_automatically(facts, edge.by, own)


@needs(_find_unit_and_facts)
def check_wanted(check: Check, known: tuple[Facts, Unit]) -> CheckResult:
    """Check that no other unit starts automatically and then starts this unit too."""
    facts, unit = known
    edges = tuple(edge for edge in unit.edges if edge.relation != "TriggeredBy")
    # A unit that only the checked unit starts is not a reason, not even if it binds to the checked unit.
    own = frozenset({unit.id, *unit.names})
    reasons = {edge.by: why for edge in edges if (why := _why_started(facts, edge, own))}
    if reasons:
        starting = names([f"{by}, which {why}," for by, why in reasons.items()])
        return _report_starting(check, unit, tuple(edge for edge in edges if edge.by in reasons), starting)
    if facts.unexamined:
        return check.skipped(f"{len(facts.unexamined)} related units are not examined, such as {facts.unexamined[0]}")
    if edges:
        return check.ok(f"only {edges[0].by} starts it, and nothing starts {edges[0].by} automatically")
    return check.ok("no other unit starts it")


def _report_starting(check: Check, unit: Unit, edges: tuple[Edge, ...], starting: str) -> CheckResult:
    """Return the problem that other units start this unit automatically; its fix, if any, affects no other unit."""
    what = f"{unit.id} is started by {starting.rstrip(',')}"
    why = "It is started without the cluster knowing, possibly on two nodes at once."
    if unit.source == "/etc/fstab":
        return check.error(what, why, "# Add the option noauto to its line in /etc/fstab. Then:", DAEMON_RELOAD)
    if all(edge.link for edge in edges):
        disabling = (f"systemctl disable {quoted(unit.id)}",) if is_lsb_script(unit) else mask_links(edges)
        return check.error(what, why, *disabling)
    if bound := [edge.by for edge in edges if edge.relation == "BoundBy"]:
        return check.warning(
            what, f"{why} {names(bound)} cannot run without it. Decide whether the cluster must start both, in a group."
        )
    return check.warning(
        what, f"{why} Decide whether to put the other units under cluster control too, or to change their files."
    )


@needs(_find_unit_and_facts)
def check_triggered(check: Check, known: tuple[Facts, Unit]) -> CheckResult:
    """Check that no socket, timer or path unit starts the unit."""
    facts, unit = known
    if unit.is_triggered_command:
        return check.skipped("`remain-after-exit` reports the cause")
    triggers = [_related(facts, name) for name in unit.triggers]
    starting = [each for each in triggers if _is_enabled(unit, each) or _is_left_active(unit, each)]
    if not starting:
        idle = f"{triggers[0].name} is neither enabled nor active" if triggers else "no socket, timer or path unit"
        return check.ok(idle)
    states = [f"{each.name} is {'enabled' if _is_enabled(unit, each) else 'active'}" for each in starting]
    events = [_EVENTS.get(each.name.rpartition(".")[2], "its event") for each in starting]
    what = f"{names(states)}: {' or '.join(dict.fromkeys(events))} starts {unit.id}"
    why = "Where the cluster has stopped the service, this starts it again without the cluster knowing."
    fix = tuple(command for each in starting if not each.users for command in _quiet(unit, each))
    if shared := [each for each in starting if each.users]:
        used = names([f"{names(each.users)} use{'' if each.users[1:] else 's'} {each.name}" for each in shared])
        why += f" {used}. Decide whether those can do without it."
    return (check.error if fix else check.warning)(what, why, *fix)


def _is_enabled(unit: Unit, trigger: RelatedUnit) -> bool:
    """Return whether a trigger is enabled; it is not if all its links are in this unit's .wants/ and the like."""
    starting = {edge.by for edge in trigger.edges if edge.link}
    return trigger.is_enabled and not (starting and starting <= {unit.id, *unit.names})


def _is_left_active(unit: Unit, trigger: RelatedUnit) -> bool:
    """Return whether a trigger is active, and stays active when this unit stops."""
    is_pulled = trigger.name in unit.related_by(*PULLING)  # the check `own-trigger` reports these
    return trigger.is_running and trigger.name not in unit.consists_of and not is_pulled


def _quiet(unit: Unit, trigger: RelatedUnit) -> Iterator[str]:
    """Yield the commands after which a trigger no longer starts the stopped unit.

    While the unit runs, no command stops the trigger, because this may stop the unit as well.
    """
    if unit.source == "/etc/fstab":
        yield "# Remove the option x-systemd.automount from its line in /etc/fstab. Then:"
        yield DAEMON_RELOAD
    if _is_enabled(unit, trigger):
        yield from disable(trigger.name, trigger.links, trigger.also)
    if not _is_left_active(unit, trigger):
        return
    if unit.is_running:
        yield from drop_in(trigger.name, f"PartOf={unit.id}", section="Unit")
    else:
        yield f"systemctl stop {quoted(trigger.name)}"


@needs(_find_unit)
def check_bus(check: Check, unit: Unit) -> CheckResult:
    """Check that D-Bus does not start the unit."""
    if not unit.bus_files:
        return check.ok("D-Bus does not start the unit")
    bus_names = [file.rpartition("/")[2].removesuffix(".service") for file in unit.bus_files]
    return check.error(
        f"D-Bus starts {unit.id} when a program calls {names(bus_names)} ({', '.join(unit.bus_files)})",
        "A call by any program starts it on a node where the cluster has stopped it.",
        *(command for file in unit.bus_files for command in _overriding(file)),
        "systemctl reload dbus",
    )


def _overriding(file: str) -> tuple[str, ...]:
    """Return the commands after which a D-Bus file starts nothing: they override a package's file, or edit another."""
    edit = "'/^SystemdService=/d; s|^Exec=.*|Exec=/bin/false|'"
    if not file.startswith(("/usr/share/", "/lib/")):  # such a file has precedence over `_BUS_OVERRIDES`
        return (f"sed -i {edit} {quoted(file)}",)
    override = f"{_BUS_OVERRIDES}/{file.rpartition('/')[2]}"
    return (f"mkdir -p {_BUS_OVERRIDES}", f"sed {edit} {quoted(file)} >{quoted(override)}")


@needs(_find_unit_and_facts)
def check_part_of(check: Check, known: tuple[Facts, Unit]) -> CheckResult:
    """Check that the unit does not stop whenever another unit stops (PartOf=)."""
    facts, unit = known
    if not unit.part_of:
        return check.skipped("the unit has no PartOf=")
    if all(name in _NEVER_STOPPED for name in unit.part_of):
        return check.ok(f"part of {names(unit.part_of)}, which systemd stops only at shutdown")
    related = [_related(facts, name) for name in unit.part_of if name not in _NEVER_STOPPED]
    states = {each.name: "enabled" if each.is_enabled else each.active_state for each in related}
    wholes = [each.name for each in related if each.is_running or each.is_enabled]
    if not wholes:
        return check.ok(f"part of {names(unit.part_of)}, which does not run")
    return check.warning(
        f"{unit.id} is part of " + names([f"{name}, which is {states[name]}," for name in wholes]).rstrip(","),
        f"A stop or restart of {' or '.join(wholes)}, such as by an upgrade, also stops or restarts {unit.id}. The "
        "cluster detects that as a failure. Other units may need it, so it should not be disabled for this one. Decide "
        "when it may stop, and set the resource to unmanaged for that time.",
    )


CHECKS = (
    Check("name", check_name),
    Check("template", check_template),
    Check("found", check_found),
    Check("loads", check_loads),
    Check("masked", check_masked),
    Check("alias", check_alias),
    Check("daemon-reload", check_daemon_reload),
    Check("placeholder", check_placeholder),
    Check("enabled", check_enabled),
    Check("wanted", check_wanted),
    Check("triggered", check_triggered),
    Check("d-bus", check_bus),
    Check("part-of", check_part_of),
)
