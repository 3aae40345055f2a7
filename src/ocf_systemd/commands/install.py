"""`ocf-systemd install` and `uninstall`: the agent file, manual pages and completion, and the resident server."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.program import program, require_root

if TYPE_CHECKING:
    from ocf_systemd.core.cluster import Resource
    from ocf_systemd.install.agent_file import AgentFile


def _writable(_ctx: click.Context, _parameter: click.Parameter, directory: Path) -> Path:
    """Return the directory. Raises NotRunError if this user is not root and cannot write to the directory."""
    existing = next(each for each in (directory, *directory.absolute().parents) if os.path.exists(each))  # noqa: PTH110
    if not os.access(existing, os.W_OK):
        require_root(f"only root can write to {existing}")
    return directory


_directory = partial(click.option, metavar="DIR", show_default=True, type=click.Path(file_okay=False, path_type=Path))
_ocf_root = _directory(
    "--ocf-root", default="/usr/lib/ocf", callback=_writable, help="Directory where Pacemaker looks for agents."
)
_provider = click.option(
    "--provider", default="pacemaker", show_default=True, help="The PROVIDER in ocf:PROVIDER:NAME."
)
_name = click.option("--name", default="systemd", show_default=True, help="The NAME in ocf:PROVIDER:NAME.")
_share = _directory("--share", default="/usr/local/share", help="Directory for manual pages and completion.")


@program.command("install")
@_ocf_root
@_provider
@_name
@_share
@click.option("--no-share", is_flag=True, help="Do not install manual pages and completion.")
@click.option("--resident", is_flag=True, help="Install a server that runs the monitors faster.")
@click.option("--force", is_flag=True, help="Replace files that ocf-systemd did not install.")
def install_agent(
    ocf_root: Path, provider: str, name: str, share: Path, *, no_share: bool, resident: bool, force: bool
) -> int:
    """Install the resource agent, manual pages and completion.

    If this program is not in the PATH of a login shell, it is linked into /usr/local/bin. With --resident, systemd
    starts a server that runs all monitors. Without --resident, an existing server is upgraded.

    \b
    Examples:
      ocf-systemd install
      ocf-systemd install --resident
    """
    from ocf_systemd.install import server_units
    from ocf_systemd.install.agent_file import AgentFile, InstallationError
    from ocf_systemd.install.lock import installation_lock

    try:
        agent = AgentFile(ocf_root, provider, name)
        with installation_lock(server_units.THIS_HOST.run_directory, partial(click.echo, err=True)):
            no_share = no_share or server_units.are_packaged(server_units.THIS_HOST)  # the package contains them
            for line in _install(agent, None if no_share else share, resident=resident, force=force):
                _print(line)
    except InstallationError as error:
        raise click.ClickException(str(error)) from error
    return 0


def _install(agent: "AgentFile", share: Path | None, *, resident: bool, force: bool) -> Iterator[str]:
    """Install everything; yield a line for the user about each part. Raises InstallationError."""
    from ocf_systemd.install import data_files, pacemaker, path_link
    from ocf_systemd.install.agent_file import install
    from ocf_systemd.install.ownership import describe_change

    agent_before, files_before = agent.text, share and data_files.installed_text(share)
    warnings = install(agent, share=share, force=force)
    yield f"{describe_change(agent_before, agent.text)} {agent.standard} as {agent.path}"
    if share and (files := data_files.installed_text(share)):
        yield f"{describe_change(files_before or '', files)} manual pages and completion below {share}"
    if agent.is_for_this_host:
        yield path_link.install()
    yield _install_server(resident=resident, force=force)
    # The last step, because it may take long, and may be interrupted.
    warnings += (data_files.update_catalog(share),) if share else ()
    yield from (f"warning: {warning}" for warning in filter(None, warnings))
    yield pacemaker.check(agent)
    if agent.is_for_this_host:
        yield f"next: {PROGRAM} doctor UNIT checks a unit and this host; man ocf_pacemaker_systemd describes the agent"


def _install_server(*, resident: bool, force: bool) -> str:
    from ocf_systemd.install import server_units

    paths = server_units.THIS_HOST
    try:
        message = server_units.install(paths, force=force) if resident else server_units.upgrade(paths)
    except KeyboardInterrupt:
        click.echo("interrupted: the agent is installed, the resident server is unchanged", err=True)
        raise
    return message or "no resident server; --resident installs one"


def _print(line: str) -> None:
    """Print a line, if it is not empty: a warning on standard error, any other on standard output."""
    if line:
        click.echo(line, err=line.startswith("warning: "))


@program.command("uninstall")
@_ocf_root
@_provider
@_name
@_share
@click.option(
    "--force",
    is_flag=True,
    help="Also remove an agent that the cluster uses, and files that ocf-systemd did not install.",
)
def uninstall_agent(ocf_root: Path, provider: str, name: str, share: Path, *, force: bool) -> int:
    """Remove the resource agent.

    Refuses while the cluster has resources of this agent: their stop would fail, and the node would be fenced. Unless
    the agent is also installed under another name, this command also removes all that `install` has created, and
    the drop-ins of units that the cluster does not run. Units keep running.

    \b
    Examples:
      ocf-systemd uninstall
      ocf-systemd uninstall --provider heartbeat --name systemd
    """
    from ocf_systemd.install import server_units
    from ocf_systemd.install.agent_file import AgentFile, InstallationError, uninstall
    from ocf_systemd.install.lock import installation_lock

    try:
        agent = AgentFile(ocf_root, provider, name)
        with installation_lock(server_units.THIS_HOST.run_directory, partial(click.echo, err=True)):
            units_in_use = _units_in_use(agent, force=force)
            _print(uninstall(agent, force=force))
            for message in _remove_shared_files(agent, share, units_in_use, force=force):
                _print(message)
    except InstallationError as error:
        raise click.ClickException(str(error)) from error
    return 0


def _units_in_use(agent: "AgentFile", *, force: bool) -> "frozenset[str] | str":
    """Return the units that active resources of this host's cluster manage, or a text that says why they are unknown.

    Without `force`, raises InstallationError if the cluster has resources of this agent, or does not answer.
    """
    from ocf_systemd.host.cluster import ClusterError, query_cluster
    from ocf_systemd.install.agent_file import InstallationError

    must_check = agent.is_for_this_host and agent.path.exists() and not agent.survives_uninstall and not force
    try:
        cluster = query_cluster()
    except ClusterError as error:
        if must_check:
            raise InstallationError(f"{error}. It may have resources of {agent.standard}; --force removes it") from None
        return "the cluster does not answer"
    if cluster is None:
        return frozenset()
    resources = (*cluster.resources, *cluster.orphans)
    if must_check and (own := [each for each in resources if each.agent == agent.standard]):
        raise InstallationError(_refusal(agent.standard, own, cluster.file))
    if cluster.file and resources:
        return f"Pacemaker does not run here, and {cluster.file} has resources"
    if any(each.agent == agent.standard for each in cluster.orphans):
        return "the cluster has not stopped a deleted resource"
    return frozenset(each.unit for each in resources if each.nodes and each.unit)


def _refusal(standard: str, resources: "list[Resource]", file: str) -> str:
    """Return a message that these resources prevent the removal of their agent, with the commands that delete them."""
    from ocf_systemd.commands.cluster import stopped_advice

    names = "".join(f"\n  {each}" for each in resources)
    why = f"the cluster has resources of {standard}. Without it, their stop fails and the node is fenced:{names}"
    if file:
        return (
            f"{why}\nStart Pacemaker and delete them first; --force removes the agent nevertheless:\n"
            f"{stopped_advice(file)}"
        )
    delete = "".join(
        f"\n  crm_resource --wait   # until Pacemaker has stopped {each.id}"
        if each.is_orphan
        else f"\n  pcs resource delete {each.id}\n"
        f"  # crm --wait resource stop {each.id} && crm configure delete {each.id}"
        for each in resources
    )
    return f"{why}\nDelete them first, which stops their services; --force removes the agent nevertheless:{delete}"


def _remove_shared_files(
    agent: "AgentFile", share: Path, units_in_use: "frozenset[str] | str", *, force: bool
) -> Iterator[str]:
    """Remove the files that all agents share, unless another agent is installed; yield messages for the user."""
    from ocf_systemd.host.drop_in import units_with_drop_in
    from ocf_systemd.install import data_files, path_link, server_units
    from ocf_systemd.install.agent_file import DEFAULT_OCF_ROOT, InstallationError, agents_below, describe
    from ocf_systemd.install.drop_ins import remove_drop_ins

    paths = server_units.THIS_HOST
    if others := [path for path in agents_below(agent.ocf_root, DEFAULT_OCF_ROOT) if path != agent.path]:
        if server_units.is_installed(paths):
            yield f"kept {server_units.SERVICE_UNIT}: {others[0]} is installed"
        return
    try:
        messages = [f"removed manual pages and completion below {share}"] if data_files.remove(share) else []
        messages.append(path_link.remove() if agent.is_for_this_host else "")
        messages.append(server_units.remove(paths, force=force))
        yield from filter(None, messages)
        if isinstance(units_in_use, str):
            if units_with_drop_in(paths.run_directory):
                yield f"kept the drop-ins, whose units the cluster may run: {units_in_use}"
        elif units := remove_drop_ins(paths.run_directory, units_in_use):
            yield f"removed the drop-ins of {', '.join(units)}"
    except OSError as error:
        raise InstallationError(f"{error.filename} cannot be removed: {describe(error)}") from error
