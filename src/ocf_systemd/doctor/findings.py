"""What a check can say, and the words that checks share: times, commands to mend things with."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from ocf_systemd.doctor.facts import FOREVER_S, Facts

RESOURCE = "RESOURCE"
"""Stands in commands for the resource's name, which doctor does not know."""

HOOK = "/usr/local/lib/ocf-systemd/hooks/HOOK"
"""Stands in commands for a hook that there is none of yet."""

_DROP_IN = "zzz-cluster.conf"  # after all others, the agent's included, so that it has the last word (systemd.unit(5))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mend: what is so, why it matters in a cluster, and lines of a shell that mend it."""

    what: str
    why: str
    mend: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """All is well; `told` says in a few words how it is."""

    told: str


Outcome = Finding | Sound | None
"""None: the check is about something that is not there, such as a hook."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name, which does not change."""

    name: str
    run: Callable[[Facts], Outcome]


def time_span(seconds: float) -> str:
    """Return a time for people: `90 s`, `15 min`, `infinity`."""
    if seconds == FOREVER_S:
        return "infinity"
    for size_s, unit in ((3600, "h"), (60, "min")):
        if seconds % size_s == 0 and seconds > max(size_s - 1, 60):
            return f"{seconds / size_s:g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004


def quoted(unit: str) -> str:
    """Return a unit's name as a shell has to be given it."""
    return shlex.quote(unit)


def drop_in(unit: str, *settings: str, section: str = "Service", name: str = _DROP_IN) -> tuple[str, ...]:
    """Return the commands that put settings into a drop-in of the administrator's."""
    lines = "\\n".join((f"[{section}]", *settings, ""))
    return (
        f"cd /etc/systemd/system && mkdir -p {quoted(f'{unit}.d')}",
        f"printf '{lines}' >>{quoted(f'{unit}.d/{name}')}",
        "systemctl daemon-reload",
    )


def update(*settings: str) -> str:
    """Return the command that gives the resource parameters, or operations timeouts."""
    return " ".join(("pcs resource update", RESOURCE, *settings))
