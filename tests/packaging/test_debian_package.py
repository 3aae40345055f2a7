"""The Debian package for the release that the tests run on: its contents, use, upgrade, removal and purge."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tomllib
from typing import TYPE_CHECKING

import pytest

from ocf_systemd import __version__
from tests.packaging.conftest import PROJECT
from tests.packaging.test_installing import AGENT, OUTPUT, use
from tests.packaging.wheelhouse import NEWER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packaging.conftest import Host

pytestmark = pytest.mark.xdist_group("packaging")
# All that a package may leave behind, without the byte code of other packages, and without the directories that
# systemctl(1) removes with the last link in them.
_LISTING = """
find /etc /opt /usr /run/systemd/system -not -path '*/__pycache__*' -not -name '*.target.wants' | sort
find /usr/lib -path '*/ocf[-_]systemd/*/__pycache__/*'
find /var/lib -name '*ocf[-_]systemd*'
"""

# A package that dpkg can install only without ocf-systemd.
CONTROL = """\
Package: other
Version: 1
Architecture: all
Maintainer: The ocf-systemd authors <authors@ocf-systemd.invalid>
Description: other
{relation}
"""


def listing(host: Host) -> list[str]:
    return host.sh(_LISTING).splitlines()


def install(host: Host, number: int) -> str:
    """Install one of the packages with apt-get; sandboxes have no network, but the dependencies are installed."""
    return host.sh(f"apt-get install --yes --no-install-recommends /srv/{number}.deb")


def server_pid(host: Host) -> int:
    """Return the process id of the resident server, or 0."""
    return int(host.sh("systemctl show --property=MainPID --value ocf-systemd.service"))


@pytest.fixture
def package_host(host: Host, debs: tuple[Path, Path]) -> Host:
    """Return a host with the packages in /srv, on which packages may start services."""
    for number, deb in enumerate(debs):
        host.sandbox.copy_in(deb, f"/srv/{number}.deb")
    host.sh("rm -f /usr/sbin/policy-rc.d")
    return host


def test_version() -> None:
    """The package has the version of the program."""
    assert (PROJECT / "debian/changelog").read_text(encoding="utf-8").startswith(f"ocf-systemd ({__version__}) ")


def test_lintian(debs: tuple[Path, Path]) -> None:
    """Lintian finds no error in the source package and in the binary package."""
    (changes,) = debs[0].parent.glob(f"*_{__version__}_*.changes")
    command = ["lintian", "--allow-root", "--fail-on=error", str(changes)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_libraries(debs: tuple[Path, Path]) -> None:
    """The package depends on the distribution's Python and libraries, in the versions that pip would accept."""
    command = ["dpkg-deb", "--field", str(debs[0]), "Depends"]
    depends = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    libraries = {f"python3-{name}" for name in project["dependencies"]}
    required = {f"python3:any{project['requires-python']}~", *libraries}
    assert required <= {re.sub(r"[\s()]", "", each) for each in depends.split(",")}


def test_source_package(tmp_path: Path) -> None:
    """What git ignores in a checkout is not packed into the source package."""
    checkout = tmp_path / "checkout"
    shutil.copytree(PROJECT / "debian", checkout / "debian")
    ignored = (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for name in ("kept", *(each.strip("/").replace("*", "x") for each in ignored if not each.startswith("/debian/"))):
        (checkout / name).mkdir()
        (checkout / name / "file").touch()
    subprocess.run(["dpkg-source", "--build", checkout.name], cwd=tmp_path, check=True)
    with tarfile.open(tmp_path / f"ocf-systemd_{__version__}.tar.xz") as source:
        packed = {name.split("/")[1] for name in source.getnames() if "/" in name}
    assert packed == {"debian", "kept"}


def test_use(package_host: Host) -> None:
    """All is installed at once, and no server is started; `install` changes nothing."""
    install(package_host, 0)
    assert __version__ in package_host.sh("ocf-systemd --version")
    assert use(package_host) == OUTPUT
    assert package_host.sh(f"dpkg --search {AGENT}") == f"ocf-systemd: {AGENT}\n"
    assert package_host.sh("systemctl is-enabled ocf-systemd.socket", check=False) == "disabled\n"
    assert server_pid(package_host) == 0
    assert "smtp" in package_host.sh("ls /usr/share/doc/ocf-systemd/examples/hooks").split()
    assert "ocf-systemd" in package_host.sh("journalctl --list-catalog")
    before = listing(package_host)
    assert "no resident server" in package_host.sh("ocf-systemd install")
    assert (package_host.sh("dpkg --verify ocf-systemd"), listing(package_host)) == ("", before)


@pytest.mark.parametrize(
    "enable",
    [
        pytest.param("ocf-systemd install --resident", id="install"),
        pytest.param("systemctl enable --now ocf-systemd.socket && systemctl start ocf-systemd", id="systemctl"),
    ],
)
def test_upgrade_and_purge(package_host: Host, enable: str) -> None:
    """An upgrade restarts a server that runs; a purge leaves nothing, however the server was enabled."""
    before = listing(package_host)
    install(package_host, 0)
    package_host.sh(enable)
    pid = server_pid(package_host)
    install(package_host, 1)
    assert NEWER in package_host.sh("ocf-systemd --version")
    assert NEWER in package_host.sh(f"{AGENT} meta-data")
    assert server_pid(package_host) not in {0, pid}
    assert package_host.sh("systemctl is-active ocf-systemd.socket") == "active\n"
    assert "unchanged: ocf-systemd.socket of the package" in package_host.sh("ocf-systemd install")
    package_host.sh("apt-get remove --yes ocf-systemd")
    assert package_host.sh("systemctl is-active ocf-systemd.socket", check=False) == "inactive\n"
    of_another_package = "/usr/lib/python3/dist-packages/ocf_systemd"
    package_host.sh(f"mkdir {of_another_package}; apt-get purge --yes ocf-systemd; rmdir {of_another_package}")
    assert listing(package_host) == before


@pytest.mark.parametrize(
    ("relation", "is_removed"),
    [
        pytest.param("Breaks: ocf-systemd", False, id="deconfigured"),
        pytest.param("Conflicts: ocf-systemd\nReplaces: ocf-systemd", True, id="removal aborted"),
    ],
)
def test_agent_outlives(package_host: Host, relation: str, *, is_removed: bool) -> None:
    """The agent works while dpkg has deconfigured its package, and after dpkg has aborted the removal of it."""
    install(package_host, 0)
    package_host.sandbox.write("/srv/other/DEBIAN/control", CONTROL.format(relation=relation))
    if is_removed:
        package_host.sandbox.write("/srv/other/DEBIAN/preinst", "#!/bin/sh\nexit 1\n", mode=0o755)
    package_host.sh("dpkg-deb --build /srv/other")
    output = package_host.sh("dpkg --auto-deconfigure --install /srv/other.deb", check=False)
    assert (f"kept {AGENT}" in output) == is_removed
    state = "installed" if is_removed else "half-configured"
    assert package_host.sh("dpkg-query --show --showformat='${db:Status-Status}' ocf-systemd") == state
    assert "</resource-agent>" in package_host.sh(f"{AGENT} meta-data")
    package_host.sh("dpkg --remove other; dpkg --configure --pending")
    assert package_host.sh("dpkg --verify ocf-systemd") == ""


def test_pip_before(package_host: Host) -> None:
    """The Debian package takes the place of an installation by pip, as docs/install.md describes it."""
    environment = "/opt/ocf-systemd"
    before = listing(package_host)
    package_host.sh(f"python3 -m venv {environment} && {environment}/bin/pip install ocf-systemd")
    package_host.sh(f"{environment}/bin/ocf-systemd install --resident")
    install(package_host, 0)
    output = package_host.sh(f"{environment}/bin/ocf-systemd uninstall && rm -r {environment}")
    assert f"kept {AGENT}" in output
    assert use(package_host) == OUTPUT
    assert package_host.sh("dpkg --verify ocf-systemd") == ""
    package_host.sh("ocf-systemd install --resident")
    assert server_pid(package_host)
    package_host.sh("apt-get purge --yes ocf-systemd")
    assert listing(package_host) == before
