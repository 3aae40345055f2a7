"""Installation by pip, by pipx and as a Debian package: use, upgrade, and removal without a trace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd import __version__
from tests.packaging.wheelhouse import NEWER

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
"""
_OUTPUT = [
    "OCF_SUCCESS (0)",
    "1",
    "1",
    "1",
    "complete -o nosort -F _ocf_systemd ocf-systemd",
    "_ocf-systemd",
    "uninstall\tRemove the resource agent.",
]


def use(host: Host, path: str) -> list[str]:
    return host.sh(_USE, PATH=f"{path}:/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root").splitlines()


def test_virtual_environment(host: Host) -> None:
    """By pip in a virtual environment in /opt, as in the README, with the resident server."""
    host.sh("python3 -m venv /opt/ocf-systemd && /opt/ocf-systemd/bin/pip install ocf-systemd")
    before = host.listing()
    assert "warning" not in host.sh("/opt/ocf-systemd/bin/ocf-systemd install --resident")
    assert use(host, "/opt/ocf-systemd/bin") == _OUTPUT
    assert host.sh("/opt/ocf-systemd/bin/ocf-systemd uninstall").count("removed ") == 3
    left = set(host.listing()) ^ set(before)
    assert {path for path in left if "/__pycache__" not in path} == set()


def test_pipx(host: Host) -> None:
    """By pipx for all users: pipx links the manual pages, and `install` and `uninstall` keep the links."""
    host.sh('"$1" install --global --python /usr/bin/python3 ocf-systemd', str(PIPX))
    before = host.listing()
    assert "warning" not in host.sh("ocf-systemd install")
    assert use(host, "/usr/local/bin") == _OUTPUT
    host.sh("ocf-systemd uninstall")
    left = set(host.listing()) ^ set(before)
    assert {path for path in left if "/__pycache__" not in path} == set()


def test_debian_package(host: Host, debs: tuple[Path, Path]) -> None:
    """By dpkg: all is installed at once, an upgrade keeps agent and server, and removal leaves nothing."""
    before = host.listing()
    for number, deb in enumerate(debs):
        host.sandbox.copy_in(deb, f"/srv/{number}.deb")
    host.sh("dpkg --install /srv/0.deb")
    assert __version__ in host.sh("ocf-systemd --version")
    assert use(host, "/usr/local/bin") == _OUTPUT
    host.sh("ocf-systemd install --no-share --resident")
    assert "upgraded ocf-systemd.service" in host.sh("dpkg --install /srv/1.deb")
    assert NEWER in host.sh("ocf-systemd --version")
    assert NEWER in host.sh(f"{AGENT} meta-data")
    host.sh("dpkg --remove ocf-systemd")
    assert host.listing() == before
    host.sh("dpkg --purge ocf-systemd; ! dpkg --status ocf-systemd")
