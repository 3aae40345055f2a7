"""Checks of the host: the agent's file, and the versions of systemd and Pacemaker."""

import re

from ocf_systemd.doctor.facts import Facts
from ocf_systemd.doctor.findings import Check, Finding, Outcome, Sound

SYSTEMD_MIN = (252,)
"""The oldest systemd that this is tested with."""
PACEMAKER_MIN = (2, 1)
"""The first Pacemaker that knows OCF 1.1, and so reload-agent."""

_INTO_OPT = (
    "python3 -m venv /opt/ocf-systemd",
    "/opt/ocf-systemd/bin/pip install ocf-systemd",
    "/opt/ocf-systemd/bin/ocf-systemd install",
)


def installed(facts: Facts) -> Outcome:
    """Check that the agent stands where Pacemaker looks for it, and works."""
    agent = facts.agent
    if agent.is_foreign:
        return Finding(
            f"{agent.path} is not an agent of ocf-systemd",
            "Pacemaker calls what stands there, whatever it is.",
            ("ocf-systemd install --force",),
        )
    if not agent.path:
        return Finding(
            "the agent is not installed",
            "A resource of ocf:pacemaker:systemd may not run on this node, until it is installed and cleaned up.",
            ("ocf-systemd install   # on every node",),
        )
    if agent.failure:
        return Finding(
            f"{agent.path} does not work: {agent.failure}",
            "Every action fails, stops too, and a failed stop fences the node.",
            ("ocf-systemd install",),
        )
    return Sound(agent.standard)


def readable(facts: Facts) -> Outcome:
    """Check that Pacemaker's own user, which is not root, can ask it what it can do."""
    agent = facts.agent
    if not agent.path or agent.is_foreign or agent.failure:
        return None
    if not agent.unreadable:
        return Sound("by every user")
    return Finding(
        f"users other than root cannot run the agent: {agent.unreadable}",
        "Pacemaker's controller, which is no root, reads the metadata. When it cannot, every changed parameter "
        "restarts the service.",
        _INTO_OPT,
    )


def current(facts: Facts) -> Outcome:
    """Check that the agent is this package's."""
    agent = facts.agent
    if not agent.version:
        return None
    if agent.version == facts.host.package and agent.is_current:
        return Sound(agent.version)
    told = f"of {agent.version}" if agent.version != facts.host.package else "as another version has written it"
    return Finding(
        f"the agent is {told}, this program of {facts.host.package}",
        "What is tried out here is not what the cluster runs.",
        ("ocf-systemd install   # on every node",),
    )


def _number(version: str) -> tuple[int, ...]:
    match = re.search(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def systemd(facts: Facts) -> Outcome:
    """Check that systemd is one that this has been tried with."""
    version = facts.host.systemd
    if not _number(version):
        return None
    if _number(version) >= SYSTEMD_MIN:
        return Sound(version)
    return Finding(
        f"systemd {version} is older than {SYSTEMD_MIN[0]}",
        "No older one has been tried: what it says of a unit may be another thing than the agent takes it for.",
        ("apt-get install --only-upgrade systemd   # or another release of the distribution",),
    )


def pacemaker(facts: Facts) -> Outcome:
    """Check that Pacemaker knows what the agent can do."""
    version = facts.host.pacemaker
    if not _number(version):
        return None
    if _number(version) >= PACEMAKER_MIN:
        return Sound(version)
    return Finding(
        f"Pacemaker {version} is older than {'.'.join(map(str, PACEMAKER_MIN))}",
        "It knows no reload-agent: every changed parameter restarts the service.",
        ("apt-get install --only-upgrade pacemaker   # or another release of the distribution",),
    )


CHECKS = (
    Check("agent", installed),
    Check("agent-readable", readable),
    Check("agent-current", current),
    Check("systemd", systemd),
    Check("pacemaker", pacemaker),
)
