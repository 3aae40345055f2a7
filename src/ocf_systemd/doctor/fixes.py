"""Builds the commands that fix problems, and the phrases that several checks use.

A command changes only what belongs to the checked unit. It never stops, disables or masks a unit that others may use,
and never changes the owner or mode of a file that others may use. If no such command fixes a problem, the check reports
a warning without a fix. The reason of the warning states the consequences, and its last sentence begins with "Decide".
"""

import shlex
from collections.abc import Sequence

from ocf_systemd.core.cluster import Resource
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.doctor.facts import FOREVER_S, Edge, Unit

OWN = "/usr/local/lib/ocf-systemd"
HOOKS, OTHER_HOOKS = f"{OWN}/hooks", "/etc/ocf-systemd/hooks"
"""Where to put hooks, and where to put them if users other than root can change a directory above the first place."""
HOOK = f"{HOOKS}/HOOK"
"""Placeholder in commands for a hook that does not exist yet."""

DAEMON_RELOAD = "systemctl daemon-reload"
# systemd applies drop-ins in the order of their names, and the last one wins (systemd.unit(5)): this name sorts after
# those of other drop-ins, including the agent's.
_DROP_IN = "zzz-cluster.conf"


def time_span(seconds: float) -> str:
    """Return a time as people write it: `90 s`, `15 min`, `infinity`."""
    if seconds == FOREVER_S:
        return "infinity"
    for size_s, unit in ((3600, "h"), (60, "min")):
        if seconds % size_s == 0 and seconds > max(size_s - 1, 60):
            return f"{seconds / size_s:g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004


def quoted(text: str) -> str:
    """Return a unit's name or a path, quoted for a shell."""
    return shlex.quote(text)


def drop_in(unit: str, *settings: str, section: str = "Service", name: str = _DROP_IN) -> tuple[str, ...]:
    """Return the commands that add settings to a drop-in of a unit, in /etc/systemd/system."""
    escaped = (setting.replace("\\", "\\\\").replace("%", "%%") for setting in settings)  # for printf(1)
    lines = "\\n".join((f"[{section}]", *escaped, ""))
    return (
        f"cd /etc/systemd/system && mkdir -p {quoted(f'{unit}.d')}",
        f"printf '{lines}' >>{quoted(f'{unit}.d/{name}')}",
        DAEMON_RELOAD,
    )


def disable(unit: str, links: Sequence[str], also: Sequence[str]) -> tuple[str, ...]:
    """Return the commands after which the administrator's links no longer start a unit.

    `also` are the other units that `systemctl disable` of the unit would disable (Also=). If there are any, the
    commands only remove the links.
    """
    if also:
        return (f"rm {' '.join(map(quoted, links))}", DAEMON_RELOAD)
    is_runtime = [link.startswith("/run/") for link in links]  # without --runtime, `systemctl disable` keeps these
    persistent = (f"systemctl disable {quoted(unit)}",) if not links or not all(is_runtime) else ()
    return (*persistent, *((f"systemctl disable --runtime {quoted(unit)}",) if any(is_runtime) else ()))


def mask_links(edges: Sequence[Edge]) -> tuple[str, ...]:
    """Return the commands that hide the links by which packages and generators start a unit."""
    masks = ["/etc/systemd/system/" + "/".join(edge.link.split("/")[-2:]) for edge in edges]
    making = (f"mkdir -p {quoted(mask.rpartition('/')[0])} && ln -s /dev/null {quoted(mask)}" for mask in masks)
    return (*making, DAEMON_RELOAD)


def is_lsb_script(unit: Unit) -> bool:
    """Return whether systemd-sysv-generator(8) has made the unit for an init script."""
    return "/init.d/" in unit.source


def names(units: Sequence[str]) -> str:
    """Return the names of units as a part of a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(units[:-1]), *units[-1:])))


def update(*settings: str) -> str:
    """Return the command that sets parameters or operations of the placeholder RESOURCE.

    `checks` replaces the placeholder if it knows the name of the resource.
    """
    return " ".join(("pcs resource update RESOURCE", *settings))


def update_operation(resource: Resource, action: str, times: str) -> str:
    """Return the command that changes the times of an operation, and repeats its other options.

    `pcs resource update` would reset the options that the command does not name (pcs(8)). If the resource has several
    operations of that name, pcs would change the first of them. So the command is then a comment that replaces one of
    the operations by its id.
    """
    configured = [each for each in resource.operations if each.name == action]
    options = "".join(f" {name}={quoted(value)}" for each in configured[:1] for name, value in each.options.items())
    if configured[1:]:
        add = f"pcs resource op add {resource.id} {action} {times} …"
        return f"# for one of the {len(configured)}: pcs resource op delete ID; {add}"
    return f"pcs resource update {resource.id} op {action} {times}{options}"


def check_again(unit: str, *options: str) -> str:
    """Return the command that runs doctor for a unit."""
    return " ".join(("ocf-systemd doctor", quoted(unit), *options))


def with_hook(unit: str) -> tuple[str, ...]:
    """Return two commands: the first runs doctor for a unit with a hook, the second sets the hook of the resource."""
    return check_again(unit, f"--monitor-hook {HOOK}"), update(f"monitor_hook={HOOK}")


def response(action: Action, code: int) -> str:
    """Return a sentence on what Pacemaker does when an action returns an exit code; a monitor is a recurring one."""
    return f"Pacemaker {consequence(action, code, recurring=True)}."
