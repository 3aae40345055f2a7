"""Checks of a unit of any type: that it is there, and that nothing but the cluster starts or stops it."""

from ocf_systemd.core.observations import ActiveState, LoadState
from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.doctor.facts import Edge, Facts, Relative, Unit
from ocf_systemd.doctor.findings import Check, Finding, Outcome, Sound, quoted

# Started by every boot (bootup(7)), whether or not they are loaded at the moment.
_BOOT_TARGETS = frozenset(
    f"{name}.target"
    for name in ("default", "graphical", "multi-user", "basic", "sysinit", "local-fs", "remote-fs", "sockets", "timers")
)
_ENABLED = frozenset({"enabled", "enabled-runtime"})
_TRUE = frozenset({"/bin/true", "/usr/bin/true", "true", ":"})
_BUS_OVERRIDES = "/usr/local/share/dbus-1/system-services"
_TRIGGERS = {"socket": "the next connection", "timer": "its next time", "path": "the next change of its path"}


def _to_pacemaker(code: ExitCode) -> str:
    return f"to Pacemaker a {consequence(Action.START, code, recurring=False)}"


def _harm_of_wrong_name() -> str:
    return f"A probe returns 7 and a stop 0, but a start returns 6, {_to_pacemaker(ExitCode.ERR_CONFIGURED)}."


def _is_template(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")
    return name.endswith("@") or (bool(suffix) and stem.endswith("@"))


def name(facts: Facts) -> Outcome:
    """Check that the name is one that the agent takes."""
    if _is_template(facts.given):
        return None
    if not facts.why_unusable:
        return Sound("a name the agent takes")
    return Finding(
        f"the name {facts.given!r} {facts.why_unusable}",
        _harm_of_wrong_name(),
        ("systemctl list-unit-files   # the names there are",),
    )


def template(facts: Facts) -> Outcome:
    """Check that an instance is named, not its template."""
    if not _is_template(facts.given):
        return Sound("no template") if facts.unit and "@" in facts.unit.id else None
    stem = facts.given.partition("@")[0]
    return Finding(
        f"{facts.given} is a template, expected an instance of it",
        _harm_of_wrong_name(),
        _try_others(facts) or (f"ocf-systemd doctor --unit {quoted(f'{stem}@INSTANCE')}",),
    )


def _try_others(facts: Facts) -> tuple[str, ...]:
    return tuple(f"ocf-systemd doctor --unit {quoted(other)}" for other in facts.similar)


def found(facts: Facts) -> Outcome:
    """Check that systemd knows the unit."""
    if facts.silence:
        return Finding(
            f"systemd does not answer: {facts.silence}",
            "In doubt the agent answers 1, never 7: a monitor fails, and so does a stop, which fences the node.",
            ("systemctl is-system-running",),
        )
    if facts.unit is None:
        return None
    if facts.unit.load_state is not LoadState.NOT_FOUND:
        return Sound(f"{facts.unit.path or facts.unit.source or facts.unit.id}, {facts.unit.active_state}")
    stem = facts.unit.id.rpartition(".")[0].partition("@")[0]
    return Finding(
        f"{facts.unit.id} is not found on this host",
        f"A start answers 5 here, {_to_pacemaker(ExitCode.ERR_INSTALLED)}.",
        _try_others(facts)
        or (
            f"systemctl list-unit-files {quoted(f'*{stem}*')}",
            "# or install, on every node, the package that brings it",
        ),
    )


def _known(facts: Facts) -> Unit | None:
    """Return the unit where systemd knows it."""
    unit = facts.unit
    return None if unit is None or unit.load_state is LoadState.NOT_FOUND else unit


def loads(facts: Facts) -> Outcome:
    """Check that systemd understands its files."""
    unit = _known(facts)
    if unit is None or unit.load_state is LoadState.MASKED:
        return None
    if unit.load_state is LoadState.LOADED:
        return Sound("understood by systemd")
    return Finding(
        f"{unit.id} does not load: LoadState={unit.load_state}",
        f"A start answers 5 here, {_to_pacemaker(ExitCode.ERR_INSTALLED)}.",
        (f"systemctl status {quoted(unit.id)}   # tells the line", f"systemd-analyze verify {quoted(unit.id)}"),
    )


def masked(facts: Facts) -> Outcome:
    """Check that it can be started at all."""
    unit = _known(facts)
    if unit is None:
        return None
    if unit.load_state is not LoadState.MASKED:
        return Sound("not masked")
    runtime = "--runtime " if unit.file_state == "masked-runtime" else ""
    return Finding(
        f"{unit.id} is masked",
        f"Not even the cluster can start it: it answers 5, {_to_pacemaker(ExitCode.ERR_INSTALLED)}.",
        (f"systemctl unmask {runtime}{quoted(unit.id)}",),
    )


def alias(facts: Facts) -> Outcome:
    """Check that the name is still there when the unit is disabled."""
    unit = _known(facts)
    full = facts.parameters.unit if facts.parameters else facts.given
    if unit is None or unit.id == full:
        return None
    if not unit.alias_link:
        return Sound(f"{full} is {unit.id}, by a link that stays")
    return Finding(
        f"{full} is only an alias of {unit.id}",
        f"`systemctl disable {unit.id}`, which a cluster needs, removes {unit.alias_link}: then the unit is not "
        "found, and a start returns 5, a hard error: the resource may not run on this node until cleanup.",
        (f"ocf-systemd doctor --unit {quoted(unit.id)}   # and so in the cluster: unit={quoted(unit.id)}",),
    )


def daemon_reload(facts: Facts) -> Outcome:
    """Check that what systemd knows is what the files say."""
    unit = _known(facts)
    if unit is None:
        return None
    if not unit.needs_daemon_reload and not unit.unread:
        return Sound("files are as systemd has read them")
    told = f": {', '.join(unit.unread)}" if unit.unread else ""
    return Finding(
        f"files of {unit.id} have changed since systemd read them{told}",
        "This page, too, is about what systemd has read. The agent's next start has it read all again, so the change "
        "comes into force then, on one node after the other, whenever the cluster moves the resource.",
        ("systemctl daemon-reload",),
    )


def placeholder(facts: Facts) -> Outcome:
    """Check that the unit runs something itself."""
    unit = _known(facts)
    if unit is None or unit.service is None or unit.service.type != "oneshot" or not unit.service.exec_start:
        return None
    if not all(command in _TRUE for command in unit.service.exec_start):
        return Sound("does something itself")
    return Finding(
        f"{unit.id} runs nothing itself: ExecStart={unit.service.exec_start[0]}",
        "It stands for other units, and stays active whatever becomes of those: no monitor would ever see a failure.",
        tuple(f"ocf-systemd doctor --unit {quoted(part)}" for part in unit.consists_of)
        or (f"systemctl show --property=Wants,Requires,ConsistsOf {quoted(unit.id)}   # which unit does the work?",),
    )


def enabled(facts: Facts) -> Outcome:
    """Check that boot does not start it."""
    unit = _known(facts)
    if unit is None:
        return None
    if not unit.links:
        return Sound("boot does not start it")
    runtime = "--runtime " if unit.file_state == "enabled-runtime" else ""
    running = (f"systemctl stop {quoted(unit.id)}   # unless the cluster runs it already",) if unit.is_running else ()
    return Finding(
        f"{unit.id} is enabled: boot starts it ({unit.links[0]})",
        "Every node's boot starts it before the cluster has decided where it is to run: two at once, on the same data.",
        (f"systemctl disable {runtime}{quoted(unit.id)}", *running),
    )


def _starts_by_itself(facts: Facts, unit: str, seen: frozenset[str] = frozenset()) -> str:
    """Return how a unit starts without anybody's asking, as in "is enabled"; empty: it does not."""
    relative = facts.relatives.get(unit, Relative(unit))
    if unit in _BOOT_TARGETS:
        return "is part of every boot"
    if relative.file_state in _ENABLED:
        return "is enabled"
    if unit.endswith(".target") and relative.active_state is ActiveState.ACTIVE:
        return "is active"
    for edge in relative.edges:
        if edge.by not in seen and (how := _starts_by_itself(facts, edge.by, seen | {unit})):
            return f"is started by {edge.by}, which {how}"
    return ""


def wanted(facts: Facts) -> Outcome:
    """Check that no other unit starts it by itself."""
    unit = _known(facts)
    if unit is None:
        return None
    edges = tuple(edge for edge in unit.edges if edge.relation != "TriggeredBy")
    for edge in edges:
        if how := _starts_by_itself(facts, edge.by):
            return Finding(
                f"{edge.by} {how}, and starts {unit.id}",
                f"With every start of {edge.by} it starts behind the cluster's back: perhaps on two nodes at once.",
                _untie(facts, unit, edge),
            )
    if edges:
        return Sound(f"only {edges[0].by} starts it, which nothing starts")
    return Sound("no other unit starts it")


def _untie(facts: Facts, unit: Unit, edge: Edge) -> tuple[str, ...]:
    """Return how another unit is kept from starting this one."""
    if unit.source == "/etc/fstab":
        return ("# Give its line in /etc/fstab the option noauto. Then:", "systemctl daemon-reload")
    relative = facts.relatives.get(edge.by, Relative(edge.by))
    if relative.file_state in _ENABLED and not edge.by.endswith(".target"):
        return (f"systemctl disable {quoted(edge.by)}",)
    if edge.link:
        kind = edge.link.rpartition("/")[0].rpartition(".")[2]
        directory = f"/etc/systemd/system/{edge.by}.{kind}"
        return (
            f"mkdir -p {quoted(directory)}",
            f"ln -s /dev/null {quoted(f'{directory}/{unit.id}')}",
            "systemctl daemon-reload",
        )
    return (f"systemctl edit --full {quoted(edge.by)}   # take {unit.id} out of its dependencies",)


def triggered(facts: Facts) -> Outcome:
    """Check that no socket, timer or path unit starts it."""
    unit = _known(facts)
    if unit is None:
        return None
    triggers = [edge.by for edge in unit.edges if edge.relation == "TriggeredBy"]
    for trigger in triggers:
        relative = facts.relatives.get(trigger, Relative(trigger))
        is_active = relative.active_state is ActiveState.ACTIVE and trigger not in unit.consists_of
        if is_active or relative.file_state in _ENABLED:
            state = "enabled" if relative.file_state in _ENABLED else "active"
            event = _TRIGGERS.get(trigger.rpartition(".")[2], "whatever it waits for")
            return Finding(
                f"{trigger} is {state}: {event} starts {unit.id}",
                "It goes on waiting where the cluster has stopped the service, and starts it again behind its back.",
                (f"systemctl disable --now {quoted(trigger)}",),
            )
    return Sound(f"{triggers[0]} is neither enabled nor active" if triggers else "no socket, timer or path starts it")


def bus(facts: Facts) -> Outcome:
    """Check that D-Bus does not start it."""
    unit = _known(facts)
    if unit is None:
        return None
    if not unit.bus_files:
        return Sound("D-Bus does not start it")
    file = unit.bus_files[0]
    bus_name = file.rpartition("/")[2].removesuffix(".service")
    without_unit = f"sed '/^SystemdService=/d; s|^Exec=.*|Exec=/bin/false|' {quoted(file)}"
    overriding = (
        f"mkdir -p {_BUS_OVERRIDES}",
        f"{without_unit} >{quoted(f'{_BUS_OVERRIDES}/{bus_name}.service')}",
    )
    return Finding(
        f"D-Bus starts {unit.id} for whoever calls {bus_name} ({file})",
        "Any program's call starts it on a node where the cluster has stopped it.",
        (*((f"rm {quoted(file)}",) if file.startswith(_BUS_OVERRIDES) else overriding), "systemctl reload dbus"),
    )


def part_of(facts: Facts) -> Outcome:
    """Check that it does not stop with another unit."""
    unit = _known(facts)
    if unit is None or not unit.part_of:
        return None
    told = {edge.by for edge in unit.edges if _starts_by_itself(facts, edge.by)}  # and mended by the same
    for whole in unit.part_of:
        relative = facts.relatives.get(whole, Relative(whole))
        state = "enabled" if relative.file_state in _ENABLED else relative.active_state.value
        if state in {"enabled", "active"} and whole not in _BOOT_TARGETS | told:
            return Finding(
                f"{unit.id} is part of {whole}, which is {state}",
                f"A stop or restart of {whole}, as at an upgrade, does the same to it: the cluster sees a failure.",
                (
                    f"systemctl disable {quoted(whole)}",
                    f"systemctl stop {quoted(whole)}   # stops {unit.id}: before the cluster runs it",
                ),
            )
    return Sound(f"part of {unit.part_of[0]}{', as told' if told else ', which nothing starts'}")


CHECKS = (
    Check("name", name),
    Check("template", template),
    Check("found", found),
    Check("loads", loads),
    Check("masked", masked),
    Check("alias", alias),
    Check("daemon-reload", daemon_reload),
    Check("placeholder", placeholder),
    Check("enabled", enabled),
    Check("wanted", wanted),
    Check("triggered", triggered),
    Check("d-bus", bus),
    Check("part-of", part_of),
)
