"""The commands `install`, `uninstall` and `serve`: messages, exit codes, byte code, and Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import ocf_systemd
from ocf_systemd import __version__
from tests.unit.builders import executable, run_python

# The commands, with units and the link in the PATH below a directory of the test.
PROGRAM = """
from pathlib import Path
from ocf_systemd.install import path_link, server_units
server_units.THIS_HOST = server_units.UnitPaths(Path("{root}/units"), Path("{root}/run"))
path_link.LINK = Path("{root}/link/ocf-systemd")
from ocf_systemd.commands import main
main()
"""
# A cluster on this host that does not reply.
UNKNOWN_CLUSTER = """
from ocf_systemd.host import cluster
def fail():
    raise cluster.ClusterError("the cluster hangs")
cluster.query_cluster = fail
"""
# A cluster on this host that has two resources of the agent.
CLUSTER = """
from ocf_systemd.core.cluster import Cluster, Resource
from ocf_systemd.host import cluster
found = Cluster({}, tuple(Resource(name, "ocf:pacemaker:systemd", name, {}) for name in ("web", "mail")))
cluster.query_cluster = lambda: found
"""
# Pacemaker is stopped on this host; its CIB has a resource of the agent, or of another one.
STOPPED = """
from pathlib import Path
from ocf_systemd.host import cluster
cluster.runs_cluster = lambda: False
cluster._CIB = Path({cib!r})
"""
# A deleted resource of the agent is still active.
ORPHAN = (
    CLUSTER.replace("found = Cluster(", "orphan = Cluster(")
    + """
from dataclasses import replace
orphans = [replace(each, nodes=("n1",), unit="", is_orphan=True) for each in orphan.resources]
cluster.query_cluster = lambda: Cluster({}, (), tuple(orphans))
"""
)
# A process that ignores SIGHUP, as below nohup(1), would pass that on.
_WITH_SIGNALS = ("env", "--default-signal")
# An earlier version of this program.
OLDER = """
import ocf_systemd
ocf_systemd.__version__ = "0.0.9"
"""
SERVE = """
import os
from ocf_systemd.server import process
process.serve = lambda path, idle_after_s, environment: print(path, idle_after_s, environment["X"]) or 0
from ocf_systemd.commands import main
main()
"""
COMPILE = """
import sys
sys.path.insert(0, sys.argv[1])
import os
from pathlib import Path
from ocf_systemd.install.agent_file import AgentFile, install
os.umask(0o077)
install(AgentFile(Path(sys.argv[2])))
print(oct(os.umask(0)))
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A directory in place of a host: units, an OCF root, and a systemctl that does nothing."""

    root: Path

    def __call__(self, *arguments: str, ocf_root: str = "ocf", before: str = "") -> subprocess.CompletedProcess[str]:
        program = before + PROGRAM.format(root=self.root)
        return run_python(program, *self._arguments(arguments, ocf_root), env=self._environment)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_WITH_SIGNALS, sys.executable, "-c", PROGRAM.format(root=self.root), *self._arguments(arguments, "ocf")],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": f"{self.root}/bin:/usr/bin:/bin"}

    def _arguments(self, arguments: tuple[str, ...], ocf_root: str) -> tuple[str, ...]:
        return (*arguments, "--ocf-root", str(self.root / ocf_root), "--share", str(self.root / "share"))

    def agent(self, name: str = "systemd", ocf_root: str = "ocf") -> Path:
        return self.root / ocf_root / "resource.d/pacemaker" / name

    @property
    def as_default(self) -> str:
        """Return a program that makes this host's OCF root that of Pacemaker."""
        module = "from pathlib import Path\nfrom ocf_systemd.install import agent_file\n"
        return f"{module}agent_file.DEFAULT_OCF_ROOT = Path({str(self.root / 'ocf')!r})\n"

    def installed(self, status: str = "installed") -> list[str]:
        """Return the lines about the agent file and the data files."""
        return [
            f"{status} ocf:pacemaker:systemd as {self.agent()}",
            f"{status} manual pages and completion below {self.root}/share",
        ]

    def units(self) -> list[str]:
        return sorted(path.name for path in (self.root / "units").glob("*"))

    def drop_in(self, unit: str, name: str = "zz-ocf-systemd.conf") -> Path:
        """Return the path of a drop-in, which is created."""
        path = self.root / "run/systemd/system" / f"{unit}.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    def fail(self) -> None:
        executable(self.root / "bin/systemctl", "#!/bin/sh\necho 'no such bus' >&2; exit 1\n")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for name in ("bin", "run/systemd/system", "units"):
        (tmp_path / name).mkdir(parents=True)
    executable(tmp_path / "bin/systemctl", "#!/bin/sh\nexit 0\n")
    return Host(tmp_path)


UNITS = ["ocf-systemd.service", "ocf-systemd.socket"]


class TestInstall:
    def test_install_and_uninstall(self, host: Host) -> None:
        """The agent is installed first, then the server; both are removed in that order."""
        done = host("install", "--resident")
        server = f"installed ocf-systemd.service; the server listens on {host.root}/run/ocf-systemd.socket"
        assert (done.returncode, done.stdout.splitlines()) == (0, [*host.installed(), server])
        assert (host.agent().exists(), host.units()) == (True, UNITS)
        done = host("uninstall")
        removed = f"removed {host.root}/units/ocf-systemd.socket and {host.root}/units/ocf-systemd.service"
        pages = f"removed manual pages and completion below {host.root}/share"
        assert (done.returncode, done.stdout, done.stderr) == (0, f"removed {host.agent()}\n{pages}\n{removed}\n", "")
        assert (host.agent().exists(), host.units()) == (False, [])

    def test_without_a_server(self, host: Host) -> None:
        """Without --resident no server is installed or mentioned."""
        done = host("install")
        assert (done.returncode, done.stdout.splitlines()) == (
            0,
            [*host.installed(), "no resident server; --resident installs one"],
        )
        assert host.units() == []

    def test_again(self, host: Host) -> None:
        """Installing again reports that agent, manual pages, completion and server are unchanged."""
        host("install", "--resident")
        done = host("install")
        assert done.stdout.splitlines() == [*host.installed("unchanged:"), "unchanged: ocf-systemd.service"]

    def test_upgrade(self, host: Host) -> None:
        """`pip install` and `install` upgrade agent and server, and the version before is reported."""
        host("install", "--resident", before=OLDER)
        done = host("install")
        assert done.stdout.splitlines() == [
            f"updated from 0.0.9: ocf:pacemaker:systemd as {host.agent()}",
            f"unchanged: manual pages and completion below {host.root}/share",
            "updated from 0.0.9: ocf-systemd.service",
        ]

    def test_upgrade_without_a_version(self, host: Host) -> None:
        """Agents of versions before 0.2.0 do not contain a version, and are updated all the same."""
        host("install")
        host.agent().write_text(host.agent().read_text().replace(f"# Version {__version__}\n", ""))
        done = host("install")
        assert done.stdout.startswith(f"updated: ocf:pacemaker:systemd as {host.agent()}\n")

    @pytest.mark.parametrize("umask", [0o077, 0o000, 0o027], ids=oct)
    def test_umask(self, host: Host, umask: int) -> None:
        """Every file and directory is readable for all and writable for its owner only, whatever the umask."""
        before = {*host.root.rglob("*")}
        units = host.root / "units"
        units.rmdir()
        assert host("install", "--resident", before=f"import os; os.umask({umask})").returncode == 0
        made = {*host.root.rglob("*")} - before | {units}
        assert {each for each in made if each.is_file()} > {host.agent(), host.root / "units/ocf-systemd.service"}
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
        expected = {path: 0o755 if path.is_dir() or path == host.agent() else 0o644 for path in made}
        assert modes == expected

    def test_a_server_that_cannot_be_installed(self, host: Host) -> None:
        """An error with exit code 1; the agent is installed, and works without a server."""
        host.fail()
        done = host("install", "--resident")
        assert done.returncode == 1
        assert done.stdout.splitlines() == host.installed()
        assert done.stderr.startswith("Error: systemctl daemon-reload failed: no such bus. See ")
        assert (host.agent().exists(), host.units()) == (True, [])

    def test_force_applies_to_units(self, host: Host) -> None:
        """Units of another program are replaced or removed with --force only."""
        unit = host.root / "units/ocf-systemd.service"
        unit.write_text("[Unit]\n")
        refused = host("install", "--resident")
        assert refused.stderr == f"Error: {unit} is not a unit of ocf-systemd; --force replaces it\n"
        assert host("install", "--resident", "--force").returncode == 0
        unit.write_text("[Unit]\n")
        host("uninstall")
        assert host.units() == ["ocf-systemd.service"]
        host("uninstall", "--force")
        assert host.units() == []


class TestUninstall:
    def test_the_server_and_the_last_agent(self, host: Host) -> None:
        """While another agent is installed below the same OCF root, the server is kept, with a message."""
        host("install", "--resident")
        host("install", "--name", "other")
        done = host("uninstall")
        assert done.stdout.splitlines()[1:] == [f"kept ocf-systemd.service: {host.agent('other')} is installed"]
        assert host.units() == UNITS
        done = host("uninstall", "--name", "other")
        assert done.stdout.count("removed ") == 3
        assert host.units() == []

    def test_without_an_agent(self, host: Host) -> None:
        """A server without any agent is removed too."""
        host("install", "--resident")
        host.agent().unlink()
        done = host("uninstall")
        assert done.returncode == 0
        assert done.stdout.startswith(f"{host.agent()} does not exist: nothing to remove\nremoved ")
        assert host.units() == []

    def test_a_server_that_cannot_be_removed(self, host: Host) -> None:
        """An error with exit code 1; the units are kept, so that the command can be repeated."""
        host("install", "--resident")
        host.fail()
        done = host("uninstall")
        assert (done.returncode, done.stdout) == (1, f"removed {host.agent()}\n")
        assert done.stderr.startswith("Error: systemctl disable --now ocf-systemd.socket failed: no such bus. See ")
        assert host.units() == UNITS

    def test_drop_ins(self, host: Host) -> None:
        """Drop-ins of starts, of older versions too, are removed with the last agent; those of others stay."""
        host("install")
        host("install", "--name", "other")
        ours = [host.drop_in("a.service"), host.drop_in("b.socket", "50-ocf-systemd.conf")]
        foreign = host.drop_in("a.service", "override.conf")
        assert "drop-ins" not in host("uninstall").stdout
        assert all(path.exists() for path in ours)
        done = host("uninstall", "--name", "other")
        assert done.stdout.splitlines()[-1] == "removed the drop-ins of a.service, b.socket"
        assert [path.parent.exists() for path in ours] == [True, False]
        assert foreign.exists()

    def test_a_drop_in_that_cannot_be_removed(self, host: Host) -> None:
        """It is an error with exit code 1."""
        host("install")
        drop_in = host.drop_in("a.service")
        drop_in.unlink()
        drop_in.mkdir()
        done = host("uninstall")
        assert done.returncode == 1
        assert done.stderr == f"Error: {drop_in} cannot be removed: Is a directory\n"

    def test_a_cluster_that_does_not_answer(self, host: Host) -> None:
        """It may have resources of this agent: only --force removes it, and not the drop-ins."""
        host("install")
        drop_in = host.drop_in("a.service")
        done = host("uninstall", before=UNKNOWN_CLUSTER + host.as_default)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: the cluster hangs. It may have resources of ocf:pacemaker:systemd")
        assert host.agent().exists()
        done = host("uninstall", "--force", before=UNKNOWN_CLUSTER + host.as_default)
        assert (done.returncode, host.agent().exists(), drop_in.exists()) == (0, False, True)
        assert "kept the drop-ins, whose units the cluster may run: the cluster does not answer" in done.stdout

    def test_resources(self, host: Host) -> None:
        """Each resource of the agent must be deleted first."""
        host("install")
        done = host("uninstall", before=CLUSTER + host.as_default)
        assert (done.returncode, done.stdout) == (1, "")
        assert all(f"\n  pcs resource delete {name}\n" in done.stderr for name in ("web", "mail"))
        assert host.agent().exists()

    @pytest.mark.parametrize("is_own", [pytest.param(True, id="the package's"), pytest.param(False, id="another")])
    def test_an_agent_of_a_package(self, host: Host, *, is_own: bool) -> None:
        """Only the package's own program is refused; another one keeps the agent, but nothing else of its own."""
        host("install", "--resident")
        this = str(Path(ocf_systemd.__file__).parents[1])
        packages = this if is_own else "/packages"
        host.agent().write_text(host.agent().read_text().replace(repr(this), repr(packages)))
        of_package = f"{host.as_default}agent_file._OF_PACKAGES = {packages!r}\n"
        assert host("uninstall", before=CLUSTER + of_package).returncode == int(is_own)
        assert host("uninstall", before=of_package).returncode == 0
        assert (host.agent().exists(), host.units(), [*(host.root / "share").rglob("*.1")]) == (True, [], [])

    @pytest.mark.parametrize(("name", "is_refused"), [("systemd", True), ("Dummy", False)])
    def test_stopped(self, host: Host, name: str, *, is_refused: bool) -> None:
        """The CIB on the disk counts while Pacemaker is stopped: the message names it; all drop-ins are kept."""
        host("install")
        drop_in, cib = host.drop_in("a.service"), host.root / "cib.xml"
        primitive = f'<primitive id="web" class="ocf" provider="pacemaker" type="{name}"/>'
        cib.write_text(f"<cib><configuration><resources>{primitive}</resources></configuration></cib>")
        before = STOPPED.format(cib=str(cib)) + host.as_default
        done = host("uninstall", before=before)
        assert (done.returncode, host.agent().exists()) == (int(is_refused), is_refused)
        if is_refused:
            assert str(cib) in done.stderr
            assert "pcs cluster start" in done.stderr
            done = host("uninstall", "--force", before=before)
        assert f"Pacemaker does not run here, and {cib} has resources" in done.stdout
        assert (host.agent().exists(), drop_in.exists()) == (False, True)

    def test_orphans(self, host: Host) -> None:
        """A deleted resource that is active needs the agent for its stop; its unit is unknown."""
        host("install")
        drop_in = host.drop_in("a.service")
        done = host("uninstall", before=ORPHAN + host.as_default)
        assert (done.returncode, host.agent().exists()) == (1, True)
        assert "crm_resource --wait" in done.stderr
        assert "pcs resource delete" not in done.stderr
        assert host("uninstall", "--force", before=ORPHAN + host.as_default).returncode == 0
        assert drop_in.exists()

    @pytest.mark.parametrize("cluster", [CLUSTER, UNKNOWN_CLUSTER], ids=["resources", "unknown"])
    def test_another_ocf_root(self, host: Host, cluster: str) -> None:
        """The cluster does not use an agent in another directory: it is removed."""
        host("install")
        done = host("uninstall", before=cluster)
        assert (done.returncode, host.agent().exists()) == (0, False)


class TestServe:
    @pytest.mark.parametrize(
        ("arguments", "output"),
        [
            pytest.param((), "None 600.0 y\n", id="as systemd starts it"),
            pytest.param(("--socket", "/a", "--idle-after", "2s"), "/a 2.0 y\n", id="by hand"),
            pytest.param(("--idle-after", "0"), "None 0.0 y\n", id="without end"),
        ],
    )
    def test_options(self, arguments: tuple[str, ...], output: str) -> None:
        """The server gets the socket, the seconds without work, and the environment."""
        done = run_python(SERVE, "serve", *arguments, env={"PATH": os.defpath, "X": "y"})
        assert (done.returncode, done.stdout, done.stderr) == (0, output, "")

    def test_an_invalid_duration(self) -> None:
        """It is a usage error."""
        done = run_python(SERVE, "serve", "--idle-after", "soon", env={"X": "y"})
        assert (done.returncode, done.stdout) == (2, "")
        assert "'soon' is not a duration" in " ".join(done.stderr.split())

    def test_as_a_module(self) -> None:
        """`python -I -m ocf_systemd` runs the program; the service unit starts it so."""
        command = [sys.executable, "-I", "-m", "ocf_systemd", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"ocf-systemd, version {__version__}\n")


class TestConcurrent:
    @pytest.mark.parametrize("command", ["install", "uninstall"])
    def test_one_after_the_other(self, host: Host, command: str) -> None:
        """A second installation or removal says that it waits for the first, and begins when that has ended."""
        executable(
            host.root / "bin/systemctl",
            f"#!/bin/sh\n: >{host.root}/called\nuntil [ -e {host.root}/go ]; do sleep 0.02; done\n",
        )
        with host.begin("install", "--resident") as first:
            deadline = time.monotonic() + 20
            while not (host.root / "called").exists():
                assert time.monotonic() < deadline
                time.sleep(0.001)
            with host.begin(command) as second:
                assert second.stderr is not None
                waits = f"waiting for another installation or removal of ocf-systemd (process {first.pid})\n"
                assert second.stderr.readline() == waits
                assert (second.poll(), first.poll(), host.agent().exists()) == (None, None, True)
                (host.root / "go").touch()
                assert [each.wait(20) for each in (first, second)] == [0, 0]
                assert second.stdout is not None
                agent = {"install": "unchanged: ocf:pacemaker:systemd as", "uninstall": "removed"}[command]
                assert second.stdout.readline() == f"{agent} {host.agent()}\n"
        assert host.units() == (UNITS if command == "install" else [])
        assert [*(host.root / "run").iterdir()] == [host.root / "run/systemd"]


class TestByteCode:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        """Return a directory with a copy of the package, without any byte code."""
        site = tmp_path / "site"
        shutil.copytree(
            Path(ocf_systemd.__file__).parent, site / "ocf_systemd", ignore=shutil.ignore_patterns("__pycache__")
        )
        for path in site.rglob("*.py"):
            path.chmod(0o644)  # byte code gets its source's
        return site

    def test_is_written(self, site: Path, tmp_path: Path) -> None:
        """It is readable for every user, whatever the umask; a file that cannot be compiled does not matter."""
        (site / "ocf_systemd/broken.py").write_text("def\n")
        done = run_python(COMPILE, str(site), str(tmp_path / "ocf"), options=("-B",))
        assert (done.stdout, done.stderr) == ("0o77\n", "")
        package = site / "ocf_systemd"
        sources = {path.relative_to(package) for path in package.rglob("*.py")} - {Path("broken.py")}
        compiled = {
            path.relative_to(package).parent.parent / f"{path.name.split('.')[0]}.py" for path in package.rglob("*.pyc")
        }
        assert compiled == sources
        assert {stat.S_IMODE(path.stat().st_mode) for path in package.rglob("*.pyc")} == {0o644}
        assert {stat.S_IMODE(path.stat().st_mode) for path in package.rglob("__pycache__")} == {0o755}

    def test_cannot_be_written(self, site: Path, tmp_path: Path) -> None:
        """There is no message, and the agent is installed."""
        (site / "ocf_systemd/__pycache__").touch()
        done = run_python(COMPILE, str(site), str(tmp_path / "ocf"), options=("-B",))
        assert (done.returncode, done.stdout, done.stderr) == (0, "0o77\n", "")
        assert (tmp_path / "ocf/resource.d/pacemaker/systemd").exists()


SIGNALS = [pytest.param(each, id=each.name) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


class TestInterrupted:
    @pytest.mark.parametrize("number", SIGNALS)
    def test_during_the_test_run(self, host: Host, number: signal.Signals) -> None:
        """A signal before the agent is installed leaves nothing behind, without a traceback; the exit code is 130."""
        with host.begin("install") as process:
            directory = host.agent().parent
            deadline = time.monotonic() + 20
            while not (directory.is_dir() and any(directory.iterdir())):
                assert time.monotonic() < deadline
                time.sleep(0.001)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=20)
        assert (process.returncode, stderr.strip()) == (130, "")
        assert not (host.root / "ocf").exists()
        assert not (host.root / "share").exists()
        assert [*(host.root / "run").iterdir()] == [host.root / "run/systemd"]

    def test_between_agent_and_manual_pages(self) -> None:
        """Ctrl-C between agent and manual pages waits: either both are installed, or none."""
        code = "with uninterrupted():\n signal.raise_signal(signal.SIGINT)\n print('all')\nprint('no more')"
        done = run_python(f"import signal\nfrom ocf_systemd.host.signals import uninterrupted\n{code}")
        assert done.stdout == "all\n"

    @pytest.mark.parametrize("number", SIGNALS)
    def test_during_the_installation_of_the_server(self, host: Host, number: signal.Signals) -> None:
        """The units are rolled back, and a message names what is installed: the agent."""
        executable(host.root / "bin/systemctl", f"#!/bin/sh\n: >{host.root}/called; exec sleep 0.5\n")
        with host.begin("install", "--resident") as process:
            deadline = time.monotonic() + 20
            while not (host.root / "called").exists():
                assert time.monotonic() < deadline
                time.sleep(0.001)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=20)
        assert (process.returncode, stdout.splitlines()) == (130, host.installed())
        assert "\ninterrupted: the agent is installed, the resident server is unchanged" in f"\n{stderr}"
        assert (host.agent().exists(), host.units()) == (True, [])
