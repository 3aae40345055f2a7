"""Checks of a unit of any type: that it can be loaded and started, and that only the cluster starts and stops it."""

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.observations import LoadState
from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.doctor.check import Check, needs
from ocf_systemd.doctor.facts import PULLING, Edge, Facts, RelatedUnit, Unit
from ocf_systemd.doctor.fixes import check_again, quoted, response

# Started by every boot (bootup(7)), whether or not they are loaded at the moment.
_BOOT_TARGETS = frozenset(
    f"{name}.target"
    for name in ("default", "graphical", "multi-user", "basic", "sysinit", "local-fs", "remote-fs", "sockets", "timers")
)
_ENABLED = frozenset({"enabled", "enabled-runtime"})
_TRUE = frozenset({"/bin/true", "/usr/bin/true", "true", ":"})
_BUS_OVERRIDES = "/usr/local/share/dbus-1/system-services"
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
    return check.error(f"{unit.id} is not found on this host", _NOT_STARTED, *fix)


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
    """Check that the name still exists when the unit is disabled."""
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
    """Check that boot does not start the unit."""
    if not unit.links:
        return check.ok("boot does not start the unit")
    runtime = "--runtime " if unit.file_state == "enabled-runtime" else ""
    running = (f"systemctl stop {quoted(unit.id)}   # unless the cluster has started it",) if unit.is_running else ()
    return check.error(
        f"{unit.id} is enabled: boot starts it ({unit.links[0]})",
        "Each node starts it at boot, before the cluster decides where it may run. It may then run on two nodes at "
        "once, on the same data.",
        f"systemctl disable {runtime}{quoted(unit.id)}",
        *running,
    )


def _related(facts: Facts, name: str) -> RelatedUnit:
    return facts.related.get(name, RelatedUnit(name))


def _starts_automatically(facts: Facts, name: str, visited: frozenset[str] = frozenset()) -> str:
    """Return why a unit starts without a request, such as "is enabled"; empty: it does not."""
    related = _related(facts, name)
    if name in _BOOT_TARGETS:
        return "is part of every boot"
    if related.file_state in _ENABLED:
        return "is enabled"
    if name.endswith(".target") and related.is_running:
        return "is active"
    for edge in related.edges:
        if edge.by not in visited and (why := _starts_automatically(facts, edge.by, visited | {name})):
            return f"is started by {edge.by}, which {why}"
    return ""


@needs(_find_unit_and_facts)
def check_wanted(check: Check, known: tuple[Facts, Unit]) -> CheckResult:
    """Check that no other unit that starts automatically starts this one."""
    facts, unit = known
    edges = tuple(edge for edge in unit.edges if edge.relation != "TriggeredBy")
    for edge in edges:
        if why := _starts_automatically(facts, edge.by):
            return check.error(
                f"{edge.by} {why}, and starts {unit.id}",
                f"Each start of {edge.by} starts it without the cluster knowing, possibly on two nodes at once.",
                *_remove_edge(facts, unit, edge),
            )
    if edges:
        return check.ok(f"only {edges[0].by} starts it, and does not start automatically")
    return check.ok("no other unit starts it")


def _remove_edge(facts: Facts, unit: Unit, edge: Edge) -> tuple[str, ...]:
    """Return the commands that keep another unit from starting this one."""
    if unit.source == "/etc/fstab":
        return ("# Add the option noauto to its line in /etc/fstab. Then:", "systemctl daemon-reload")
    if _related(facts, edge.by).file_state in _ENABLED and not edge.by.endswith(".target"):
        return (f"systemctl disable {quoted(edge.by)}",)
    if edge.link:
        kind = edge.link.rpartition("/")[0].rpartition(".")[2]
        directory = f"/etc/systemd/system/{edge.by}.{kind}"
        return (
            f"mkdir -p {quoted(directory)}",
            f"ln -s /dev/null {quoted(f'{directory}/{unit.id}')}",
            "systemctl daemon-reload",
        )
    return (f"systemctl edit --full {quoted(edge.by)}   # remove {unit.id} from its dependencies",)


@needs(_find_unit_and_facts)
def check_triggered(check: Check, known: tuple[Facts, Unit]) -> CheckResult:
    """Check that no socket, timer or path unit starts the unit."""
    facts, unit = known
    triggers = [edge.by for edge in unit.edges if edge.relation == "TriggeredBy"]
    for trigger in triggers:
        related = _related(facts, trigger)
        # One that this unit starts is reported by `own-trigger`.
        is_pulled = trigger in unit.related_by(*PULLING)
        is_kept = related.is_running and trigger not in unit.consists_of and not is_pulled
        if is_kept or related.file_state in _ENABLED:
            state = "enabled" if related.file_state in _ENABLED else "active"
            event = _EVENTS.get(trigger.rpartition(".")[2], "its event")
            return check.error(
                f"{trigger} is {state}: {event} starts {unit.id}",
                "It stays active where the cluster has stopped the service, and starts the service there again without "
                "the cluster knowing.",
                f"systemctl disable --now {quoted(trigger)}",
            )
    return check.ok(f"{triggers[0]} is neither enabled nor active" if triggers else "no socket, timer or path unit")


@needs(_find_unit)
def check_bus(check: Check, unit: Unit) -> CheckResult:
    """Check that D-Bus does not start the unit."""
    if not unit.bus_files:
        return check.ok("D-Bus does not start the unit")
    file = unit.bus_files[0]
    bus_name = file.rpartition("/")[2].removesuffix(".service")
    without_unit = f"sed '/^SystemdService=/d; s|^Exec=.*|Exec=/bin/false|' {quoted(file)}"
    overriding = (
        f"mkdir -p {_BUS_OVERRIDES}",
        f"{without_unit} >{quoted(f'{_BUS_OVERRIDES}/{bus_name}.service')}",
    )
    return check.error(
        f"D-Bus starts {unit.id} when a program calls {bus_name} ({file})",
        "A call by any program starts it on a node where the cluster has stopped it.",
        *((f"rm {quoted(file)}",) if file.startswith(_BUS_OVERRIDES) else overriding),
        "systemctl reload dbus",
    )


@needs(_find_unit_and_facts)
def check_part_of(check: Check, known: tuple[Facts, Unit]) -> CheckResult:
    """Check that the unit does not stop with another unit."""
    facts, unit = known
    if not unit.part_of:
        return check.skipped("the unit has no PartOf=")
    reported = {edge.by for edge in unit.edges if _starts_automatically(facts, edge.by)}  # by check_wanted
    for whole in unit.part_of:
        related = _related(facts, whole)
        is_enabled = related.file_state in _ENABLED
        if (is_enabled or related.is_running) and whole not in _BOOT_TARGETS | reported:
            return check.warning(
                f"{unit.id} is part of {whole}, which is {'enabled' if is_enabled else related.active_state}",
                f"A stop or restart of {whole}, such as by an upgrade, also stops or restarts {unit.id}. The cluster "
                "detects that as a failure.",
                f"systemctl disable {quoted(whole)}",
                f"systemctl stop {quoted(whole)}   # also stops {unit.id}: run this before the cluster starts it",
            )
    return check.ok(f"part of {unit.part_of[0]}{', which `wanted` reports' if reported else ''}")


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
