"""Builds the commands that fix problems, and the phrases that several checks use."""

import shlex

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.doctor.facts import FOREVER_S

HOOK = "/usr/local/lib/ocf-systemd/hooks/HOOK"
"""Placeholder in commands for a hook that does not exist yet."""

_DROP_IN = "zzz-cluster.conf"  # sorts after all others, the agent's included, and the last one wins (systemd.unit(5))


def time_span(seconds: float) -> str:
    """Return a time for people: `90 s`, `15 min`, `infinity`."""
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
    """Return the commands that add settings to a drop-in below /etc."""
    lines = "\\n".join((f"[{section}]", *settings, ""))
    return (
        f"cd /etc/systemd/system && mkdir -p {quoted(f'{unit}.d')}",
        f"printf '{lines}' >>{quoted(f'{unit}.d/{name}')}",
        "systemctl daemon-reload",
    )


def update(*settings: str) -> str:
    """Return the command that sets parameters or operations of the resource, whose name doctor does not know."""
    return " ".join(("pcs resource update RESOURCE", *settings))


def check_again(unit: str, *options: str) -> str:
    """Return the command that runs doctor for a unit."""
    return " ".join(("ocf-systemd doctor --unit", quoted(unit), *options))


def response(action: Action, code: int) -> str:
    """Return a sentence on what Pacemaker does when an action, a recurring monitor for one, returns a code."""
    return f"Pacemaker {consequence(action, code, recurring=True)}."
