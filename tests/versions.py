"""What differs between the releases of Debian that the tests run on; tests take it from here, without conditions."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Versions:
    """What a release of Debian has."""

    postfix: str
    """The unit of Postfix's daemon, without its suffix."""
    postfix_is_instance: bool
    """Whether that unit is an instance of a template, which postfix.service groups."""
    smtp_hooks: Sequence[str]
    """The hooks that Postfix answers; from 3.9 on, it rejects a client that sends before the greeting, as `origin`."""
    postgresql: str
    """The unit of PostgreSQL's main cluster, without its suffix."""
    has_cts: bool
    """Whether there is a package of Pacemaker's tests, pacemaker-cts."""
    results: Mapping[int, str]
    """The text of an agent's exit code, as Pacemaker's tools and daemons write it."""
    complete: str
    """The status that `crm_mon` shows of an action that ended by itself."""
    crm_ra_title: str
    """The first line of `crm ra info`, with the fields `agent` and `shortdesc`."""
    crm_ra_order: Callable[[Sequence[str]], list[str]]
    """How `crm ra info` orders the optional parameters: as the metadata, or by name."""


_RELEASES = {
    "12": Versions(
        postfix="postfix@-",
        postfix_is_instance=True,
        smtp_hooks=("example", "origin"),
        postgresql="postgresql@15-main",
        has_cts=False,
        results={0: "ok", 1: "error", 6: "not configured", 7: "not running", 190: "OCF_DEGRADED"},
        complete="complete",
        crm_ra_title="{shortdesc} ({agent})",
        crm_ra_order=list,
    ),
    "13": Versions(
        postfix="postfix",
        postfix_is_instance=False,
        smtp_hooks=("example",),
        postgresql="postgresql@17-main",
        has_cts=True,
        results={
            0: "OK",
            1: "Error occurred",
            6: "Not configured",
            7: "Not running",
            190: "Service is active but might fail soon",
        },
        complete="Done",
        crm_ra_title="{agent} - {shortdesc}",
        crm_ra_order=sorted,
    ),
}

_VERSION = platform.freedesktop_os_release().get("VERSION_ID", "")
if _VERSION not in _RELEASES:
    raise LookupError(f"tests/versions.py has no entry for this release: {_VERSION or 'none is in /etc/os-release'}")
RELEASE = _RELEASES[_VERSION]
"""What the release of this host has."""
