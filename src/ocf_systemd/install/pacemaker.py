"""Checks whether this host's Pacemaker finds an installed agent and can run it."""

import os
import pwd
import shutil
from contextlib import suppress

from ocf_systemd.core.text import printable
from ocf_systemd.host.commands import run_to_end
from ocf_systemd.host.programs import SEARCH_PATH
from ocf_systemd.install import agent_file
from ocf_systemd.install.agent_file import AgentFile, why_unreadable

_USER = "hacluster"  # Pacemaker's controller runs meta-data as this user
_TIMEOUT_S = 30.0


def check(agent: AgentFile) -> str:
    """Return a line for the user: Pacemaker finds the agent and can run it, or why not.

    The line is empty if the installation has already warned of the reason.
    """
    default = AgentFile(agent_file.DEFAULT_OCF_ROOT, agent.provider, agent.name)
    is_elsewhere = not agent.is_for_this_host
    tool = shutil.which("crm_resource", path=SEARCH_PATH)
    failure = _failure(tool, agent) if tool else ""
    if is_elsewhere and (not tool or failure or default.path.exists()):
        return (
            f"warning: Pacemaker looks for agents in {default.ocf_root}, not in {agent.ocf_root}: it does not find "
            "this one. Install without --ocf-root, unless this builds a package, an image or a system extension"
        )
    if not tool:
        return "Pacemaker is not installed here (no crm_resource): install the package pacemaker to use the agent"
    query = f"crm_resource --show-metadata {agent.standard}"
    if failure and why_unreadable():
        return ""  # the installation has warned of it
    if failure:
        return f"warning: Pacemaker cannot run the agent: `{query}` as user {_USER} fails: {failure}"
    return f"Pacemaker finds the agent: {query}"


def _failure(tool: str, agent: AgentFile) -> str:
    """Query the agent's meta-data as Pacemaker's controller does; return why that fails, empty if it does not."""
    command = (tool, "--show-metadata", agent.standard)
    environment = {"PATH": SEARCH_PATH, "LC_ALL": "C"}
    account = None
    if os.geteuid() == 0:
        with suppress(KeyError):
            account = pwd.getpwnam(_USER)
    try:
        done = run_to_end(*command, timeout_s=_TIMEOUT_S, environment=environment, account=account)
    except OSError as error:
        return str(error)
    if done.returncode == 0 and "</resource-agent>" in done.stdout:
        return ""
    return printable((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0])
