"""What differs between the releases of Debian that the tests run on; tests take it from here, without conditions."""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Versions:
    """What a release of Debian has."""

    postfix: str
    """The unit of Postfix's daemon, without its suffix."""
    postfix_is_instance: bool
    """Whether that unit is an instance of a template, which postfix.service groups."""
    postgresql: str
    """The unit of PostgreSQL's main cluster, without its suffix."""
    has_cts: bool
    """Whether there is a package of Pacemaker's tests, pacemaker-cts."""


_RELEASES = {
    "12": Versions(postfix="postfix@-", postfix_is_instance=True, postgresql="postgresql@15-main", has_cts=False),
    "13": Versions(postfix="postfix", postfix_is_instance=False, postgresql="postgresql@17-main", has_cts=True),
}

RELEASE = _RELEASES[platform.freedesktop_os_release().get("VERSION_ID", "")]
"""What the release of this host has."""
