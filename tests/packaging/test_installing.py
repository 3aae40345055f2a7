"""Installation by pip and by pipx: use, and removal without a trace."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.packaging.conftest import Host

pytestmark = pytest.mark.xdist_group("packaging")
PIPX = Path(sys.executable).with_name("pipx")
AGENT = "/usr/lib/ocf/resource.d/pacemaker/systemd"
# Each command prints one line.
_USE = f"""
ocf-systemd debug monitor --unit plain | grep -o 'OCF_SUCCESS (0)'
su nobody -s /bin/sh -c '{AGENT} meta-data' | grep -c '</resource-agent>'
man ocf-systemd | grep -c '^NAME'
man 7 ocf_pacemaker_systemd | grep -c '^NAME'
bash -ic '. /usr/share/bash-completion/bash_completion; _completion_loader ocf-systemd; complete -p ocf-systemd' \\
    2>/dev/null
zsh -fc 'autoload -U compinit; compinit -D -u; print $_comps[ocf-systemd]'
fish -c 'complete -C "ocf-systemd unin"'
ocf-systemd demo 2>/dev/null | grep -c '^exit code 1$'
"""
OUTPUT = [
    "OCF_SUCCESS (0)",
    "1",
    "1",
    "1",
    "complete -o nosort -F _ocf_systemd ocf-systemd",
    "_ocf-systemd",
    "uninstall\tRemove the resource agent.",
    "1",
]
_LOGIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def use(host: Host) -> list[str]:
    return host.sh(_USE, PATH=_LOGIN, HOME="/root").splitlines()


def test_virtual_environment(host: Host) -> None:
    """By pip in a virtual environment in /opt, as in the README, with the resident server and a link in the PATH."""
    host.sh("python3 -m venv /opt/ocf-systemd && /opt/ocf-systemd/bin/pip install ocf-systemd")
    before = host.listing()
    assert "warning" not in host.sh("/opt/ocf-systemd/bin/ocf-systemd install --resident")
    assert use(host) == OUTPUT
    assert host.sh("/opt/ocf-systemd/bin/ocf-systemd uninstall").count("removed ") == 4
    left = set(host.listing()) ^ set(before)
    assert {path for path in left if "/__pycache__" not in path} == set()


def test_pipx(host: Host) -> None:
    """By pipx for all users: pipx links the manual pages, and `install` and `uninstall` keep the links."""
    host.sh('"$1" install --global --python /usr/bin/python3 ocf-systemd', str(PIPX))
    before = host.listing()
    assert "warning" not in host.sh("ocf-systemd install")
    assert use(host) == OUTPUT
    host.sh("ocf-systemd uninstall")
    left = set(host.listing()) ^ set(before)
    assert {path for path in left if "/__pycache__" not in path} == set()


@pytest.mark.parametrize(
    ("umask", "fix"),
    [
        pytest.param("022", "", id="022"),
        pytest.param("077", "chmod -R go+rX /opt/ocf-systemd", id="077"),
        pytest.param("000", "chmod -R go-w /opt/ocf-systemd", id="000"),
    ],
)
def test_umask(host: Host, umask: str, fix: str) -> None:
    """`install` names the command that corrects an environment made with an unusual umask; its own files are right."""
    program = "/opt/ocf-systemd/bin/ocf-systemd"
    before = host.listing()
    host.sh(f"umask {umask}; python3 -m venv /opt/ocf-systemd && /opt/ocf-systemd/bin/pip install ocf-systemd")
    environment = host.listing()
    output = host.sh(f"umask {umask}; rmdir /usr/local/bin; {program} install --resident")
    assert re.findall("Run: (.*)", output) == ([fix] if fix else [])
    made = sorted({*host.listing()} - {*environment} | {"/usr/local/bin"})
    assert {AGENT, "/etc/systemd/system/ocf-systemd.service", "/usr/local/bin/ocf-systemd"} <= set(made)
    wrong = host.sh('find "$@" -maxdepth 0 -not -type l "(" -perm /022 -o -not -perm -044 ")"', *made)
    assert wrong == ""
    assert "warning" not in host.sh(f"{fix or ':'}; {program} install")
    assert host.sh(f"su nobody -s /bin/sh -c '{AGENT} meta-data' | grep -c '</resource-agent>'") == "1\n"
    host.sh(f"{program} uninstall; rm -rf /opt/ocf-systemd; mkdir -p /usr/local/bin")
    assert host.listing() == before


def test_closed_to_pacemaker(host: Host) -> None:
    """An environment below a home directory is a warning with a command, because hacluster cannot read it."""
    host.sh("chmod 700 /root; python3 -m venv /root/e && /root/e/bin/pip install ocf-systemd")
    output = host.sh("/root/e/bin/ocf-systemd install")
    assert "(the mode of /root keeps them out)" in output
    assert "user hacluster" in output
    assert "/usr/bin/python3 -m venv /opt/ocf-systemd" in output
    assert output.count("warning") == 1


def test_what_a_host_lacks(host: Host) -> None:
    """Without Pacemaker, systemd or curl, or with a read-only /usr, a line says what to do."""
    host.sh("python3 -m venv /opt/e && /opt/e/bin/pip install ocf-systemd")
    install = "/opt/e/bin/ocf-systemd install"
    assert "Pacemaker is not installed here" in host.sh(f"rm -f /usr/sbin/crm_resource; {install}")
    output = host.sh("rm /usr/bin/curl; /opt/e/bin/ocf-systemd demo", check=False)
    assert output == "Error: the demo needs curl. Install the package curl\n"
    assert "Install the package systemd" in host.sh(
        f"mv /usr/bin/systemctl /srv; {install}; mv /srv/systemctl /usr/bin"
    )
    read_only = "mount --bind /usr /usr; mount -o remount,bind,ro /usr"
    output = host.sh(f"{read_only}; {install} --force", check=False)
    assert output.startswith(f"Error: {AGENT} cannot be written: Read-only file system. If this host boots an image, ")
    assert len(output.splitlines()) == 1


def test_system_extension(host: Host) -> None:
    """Where /usr is read-only, Pacemaker finds an agent that is installed into a system extension."""
    host.sh("python3 -m venv /opt/e && /opt/e/bin/pip install ocf-systemd")
    directory = "/var/lib/extensions/ocf-systemd/usr"
    output = host.sh(f"/opt/e/bin/ocf-systemd install --ocf-root {directory}/lib/ocf --share {directory}/share")
    assert "warning: Pacemaker looks for agents in /usr/lib/ocf" in output
    release = f"{directory}/lib/extension-release.d/extension-release.ocf-systemd"
    host.sh('mkdir -p "${1%/*}"; echo ID=_any >"$1"; systemd-sysext merge', release)
    assert "</resource-agent>" in host.sh(f"{AGENT} meta-data")
    assert host.sh("man ocf-systemd | grep -c '^NAME'") == "1\n"
