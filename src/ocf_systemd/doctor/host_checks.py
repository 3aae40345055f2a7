"""Checks of the host: the agent's file, the resident server, and the versions of systemd and Pacemaker."""

import re

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.observations import RUNNING_STATES, ActiveState
from ocf_systemd.doctor.check import Check
from ocf_systemd.doctor.facts import Facts

SYSTEMD_MIN = (252,)
"""The oldest version of systemd with which the agent is tested."""
PACEMAKER_MIN = (2, 1)
"""The first version of Pacemaker that supports OCF 1.1, which introduced the action reload-agent."""

_INSTALL_EVERYWHERE = "ocf-systemd install   # on every node"
_INSTALL_BELOW_OPT = (
    "python3 -m venv /opt/ocf-systemd",
    "/opt/ocf-systemd/bin/pip install SOURCE   # where this program was installed from",
    "/opt/ocf-systemd/bin/ocf-systemd install",
)


def check_agent(check: Check, facts: Facts) -> CheckResult:
    """Check that the agent is installed where Pacemaker expects it, and that it runs."""
    agent = facts.agent
    if agent.is_foreign:
        return check.error(
            f"{agent.path} is not an agent of ocf-systemd",
            "Pacemaker runs this file as the agent ocf:pacemaker:systemd, whatever it is. Other resources may use it.",
            "ocf-systemd install --provider ocf-systemd   # on every node, for ocf:ocf-systemd:systemd",
        )
    if not agent.path:
        return check.error(
            "the agent is not installed",
            "A resource of ocf:pacemaker:systemd may not run on this node until the agent is installed and the "
            "resource is cleaned up.",
            _INSTALL_EVERYWHERE,
        )
    if agent.failure:
        return check.error(
            f"{agent.path} does not run: {agent.failure}",
            "Every action fails, including stop, and a failed stop fences the node.",
            "ocf-systemd install",
        )
    return check.ok(agent.standard)


def check_agent_readable(check: Check, facts: Facts) -> CheckResult:
    """Check that users other than root can read the meta-data: Pacemaker's controller does not run as root."""
    agent = facts.agent
    if not agent.path or agent.is_foreign or agent.failure:
        return check.skipped("the agent does not run")
    if not agent.unreadable:
        return check.ok("every user can run the agent")
    return check.warning(
        f"users other than root cannot run the agent: {agent.unreadable}",
        "Pacemaker's controller reads the agent's meta-data and does not run as root. Without the meta-data, Pacemaker "
        "restarts the service whenever a parameter changes.",
        *_INSTALL_BELOW_OPT,
    )


def check_agent_safety(check: Check, facts: Facts) -> CheckResult:
    """Check that only root can change what Pacemaker runs as root."""
    agent = facts.agent
    if not agent.path or agent.is_foreign:
        return check.skipped("the agent is not installed")
    if not agent.unsafe:
        return check.ok("only root can change the agent, its interpreter and its packages")
    why = "Pacemaker runs the agent as root. A user who can change it can run commands as root."
    unsafe = agent.unsafe.partition(" ")[0]
    if unsafe == agent.path:
        return check.error(agent.unsafe, why, _INSTALL_EVERYWHERE)
    if f"{agent.path}/".startswith(f"{unsafe.rstrip('/')}/"):
        return check.error(agent.unsafe, why, f"namei -l {agent.path}   # only root may own and write to these")
    return check.error(agent.unsafe, why, *_INSTALL_BELOW_OPT)


def check_agent_current(check: Check, facts: Facts) -> CheckResult:
    """Check that the installed agent is the file that this version of the program installs."""
    agent, package = facts.agent, facts.host.package
    if not agent.version:
        return check.skipped("the agent does not run")
    if agent.version == package and agent.is_current:
        return check.ok(agent.version)
    what = (
        f"the installed agent is version {agent.version}, this program is {package}"
        if agent.version != package
        else f"the installed agent is not the file that version {package} installs"
    )
    return check.warning(what, "The cluster runs another agent than the one that is checked here.", _INSTALL_EVERYWHERE)


def check_server(check: Check, facts: Facts) -> CheckResult:
    """Check that the resident server, which performs the monitors of all resources in one process, can serve."""
    if not facts.server:
        return check.skipped("the resident server is not installed")
    # An inactive service is not a problem: it ends when it has no work, and its socket starts it again.
    broken = [
        f"{name} is {state}"
        for name, state in facts.server.items()
        if state == ActiveState.FAILED or (name.endswith(".socket") and state not in RUNNING_STATES)
    ]
    if not broken:
        return check.ok(" and ".join(f"{name} is {state}" for name, state in facts.server.items()))
    units = " ".join(facts.server)
    return check.warning(
        " and ".join(broken),
        "Each monitor runs in the agent's own process, which takes several times the processor time.",
        f"systemctl reset-failed {units}; systemctl start {next(iter(facts.server))}",
        "journalctl --unit=ocf-systemd.service --lines=20   # shows why, if they fail again",
    )


def _number(version: str) -> tuple[int, ...]:
    match = re.search(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def check_systemd(check: Check, facts: Facts) -> CheckResult:
    """Check that the agent is tested with this version of systemd, or with an older one."""
    version = facts.host.systemd
    if not _number(version):
        return check.skipped("the version of systemd is unknown")
    if _number(version) >= SYSTEMD_MIN:
        return check.ok(version)
    return check.warning(
        f"systemd {version} is older than {SYSTEMD_MIN[0]}",
        "The agent is not tested with it, and may misread the state of a unit. An upgrade may restart services. Decide "
        "when to upgrade this node to a later release of its distribution.",
    )


def check_pacemaker(check: Check, facts: Facts) -> CheckResult:
    """Check that Pacemaker supports all actions of the agent."""
    version = facts.host.pacemaker
    if not _number(version):
        return check.skipped("Pacemaker is not installed, or its version is unknown")
    if _number(version) >= PACEMAKER_MIN:
        return check.ok(version)
    return check.warning(
        f"Pacemaker {version} is older than {'.'.join(map(str, PACEMAKER_MIN))}",
        "It does not support reload-agent: it restarts the service whenever a parameter changes. An upgrade restarts "
        "Pacemaker, which first stops or moves all resources of the node. Decide when to upgrade the nodes.",
    )


CHECKS = (
    Check("agent", check_agent),
    Check("agent-readable", check_agent_readable),
    Check("agent-safety", check_agent_safety),
    Check("agent-current", check_agent_current),
    Check("systemd", check_systemd),
    Check("pacemaker", check_pacemaker),
    Check("server", check_server),
)
