"""`install`, `uninstall` and `serve` as people call them, as far as the resident server goes; and the byte code."""

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

# The commands, with units below a directory of the test's.
PROGRAM = """
from pathlib import Path
from ocf_systemd.install import server_units
server_units.THIS_HOST = server_units.Place(Path("{root}/units"), Path("{root}/booted"), Path("{root}/socket"))
from ocf_systemd.commands import main
main()
"""
SERVE = """
import os
from ocf_systemd.server import server
server.serve = lambda path, idle_after_s, environment: print(path, idle_after_s, environment["X"]) or 0
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
    """A directory that stands for a host: units, an OCF root, and a systemctl that does nothing."""

    root: Path

    def __call__(self, *words: str, ocf_root: str = "ocf") -> subprocess.CompletedProcess[str]:
        return run_python(PROGRAM.format(root=self.root), *self._words(words, ocf_root), env=self._environment)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(root=self.root), *self._words(words, "ocf")],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": f"{self.root}/bin:/usr/bin:/bin"}

    def _words(self, words: tuple[str, ...], ocf_root: str) -> tuple[str, ...]:
        return (*words, "--ocf-root", str(self.root / ocf_root), "--share", str(self.root / "share"))

    def agent(self, name: str = "systemd", ocf_root: str = "ocf") -> Path:
        return self.root / ocf_root / "resource.d/pacemaker" / name

    def units(self) -> list[str]:
        return sorted(path.name for path in (self.root / "units").glob("*"))

    def fail(self) -> None:
        executable(self.root / "bin/systemctl", "#!/bin/sh\necho 'no such bus' >&2; exit 1\n")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for name in ("bin", "booted", "units"):
        (tmp_path / name).mkdir()
    executable(tmp_path / "bin/systemctl", "#!/bin/sh\nexit 0\n")
    return Host(tmp_path)


UNITS = ["ocf-systemd.service", "ocf-systemd.socket"]


class TestInstall:
    def test_way_there_and_back(self, host: Host) -> None:
        """The agent first, then the server; away again in the same order."""
        done = host("install", "--resident")
        told = f"set up ocf-systemd.service, which listens on {host.root}/socket and runs the actions from now on"
        assert (done.returncode, done.stdout) == (
            0,
            f"installed ocf:pacemaker:systemd as {host.agent()}\n{told}\n",
        )
        assert (host.agent().exists(), host.units()) == (True, UNITS)
        done = host("uninstall")
        removed = f"removed {host.root}/units/ocf-systemd.socket and {host.root}/units/ocf-systemd.service"
        pages = f"removed manual pages and completion below {host.root}/share"
        assert (done.returncode, done.stdout, done.stderr) == (0, f"removed {host.agent()}\n{pages}\n{removed}\n", "")
        assert (host.agent().exists(), host.units()) == (False, [])

    def test_without_a_server_none_is_set_up(self, host: Host) -> None:
        """Nor is a word said of it."""
        done = host("install")
        assert (done.returncode, done.stdout) == (0, f"installed ocf:pacemaker:systemd as {host.agent()}\n")
        assert host.units() == []

    def test_a_server_that_is_there_is_renewed(self, host: Host) -> None:
        """An upgrade is `pip install` and `install`."""
        host("install", "--resident")
        done = host("install")
        assert done.stdout.splitlines()[1:] == ["renewed ocf-systemd.service"]

    def test_a_server_that_cannot_be_set_up(self, host: Host) -> None:
        """1 and a sentence; the agent is there, and runs its actions itself."""
        host.fail()
        done = host("install", "--resident")
        assert done.returncode == 1
        assert done.stdout == f"installed ocf:pacemaker:systemd as {host.agent()}\n"
        assert done.stderr.startswith("Error: systemctl daemon-reload failed: no such bus. See ")
        assert (host.agent().exists(), host.units()) == (True, [])

    def test_force_goes_for_units_too(self, host: Host) -> None:
        """Only then are units of somebody else's replaced, or removed."""
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
    def test_the_last_agent_takes_the_server_along(self, host: Host) -> None:
        """While another one below the same OCF root is left, the server stays, and that is told."""
        host("install", "--resident")
        host("install", "--name", "other")
        done = host("uninstall")
        assert done.stdout.splitlines()[1:] == [f"left ocf-systemd.service to {host.agent('other')}"]
        assert host.units() == UNITS
        done = host("uninstall", "--name", "other")
        assert done.stdout.count("removed") == 3
        assert host.units() == []

    def test_an_agent_that_was_gone_before(self, host: Host) -> None:
        """A server without any agent goes all the same."""
        host("install", "--resident")
        host.agent().unlink()
        done = host("uninstall")
        assert done.returncode == 0
        assert done.stdout.startswith(f"{host.agent()} is not there: nothing to remove\nremoved ")
        assert host.units() == []

    def test_what_systemd_refuses_is_told(self, host: Host) -> None:
        """1 and a sentence, to be tried again: the units stay."""
        host("install", "--resident")
        host.fail()
        done = host("uninstall")
        assert (done.returncode, done.stdout) == (1, f"removed {host.agent()}\n")
        assert done.stderr.startswith("Error: systemctl disable --now ocf-systemd.socket failed: no such bus. See ")
        assert host.units() == UNITS


class TestServe:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            pytest.param((), "None 600.0 y\n", id="as systemd starts it"),
            pytest.param(("--socket", "/a", "--idle-after", "2s"), "/a 2.0 y\n", id="by hand"),
            pytest.param(("--idle-after", "0"), "None 0.0 y\n", id="for ever"),
        ],
    )
    def test_options(self, words: tuple[str, ...], told: str) -> None:
        """The socket, seconds without work, and the environment reach the server."""
        done = run_python(SERVE, "serve", *words, env={"PATH": os.defpath, "X": "y"})
        assert (done.returncode, done.stdout, done.stderr) == (0, told, "")

    def test_no_duration(self) -> None:
        """Wrong usage is told as click does."""
        done = run_python(SERVE, "serve", "--idle-after", "soon", env={"X": "y"})
        assert (done.returncode, done.stdout) == (2, "")
        assert "'soon' is not a duration" in " ".join(done.stderr.split())

    def test_as_a_module(self) -> None:
        """`python -I -m ocf_systemd` is the program, for the unit, which does not look for a script."""
        command = [sys.executable, "-I", "-m", "ocf_systemd", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"ocf-systemd, version {__version__}\n")


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

    def test_all_of_it_is_there_afterwards(self, site: Path, tmp_path: Path) -> None:
        """For everybody to read, whatever the umask, and beside a file that does not compile."""
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

    def test_where_it_cannot_be_written(self, site: Path, tmp_path: Path) -> None:
        """Nobody is told, and the agent is installed all the same."""
        (site / "ocf_systemd/__pycache__").touch()
        done = run_python(COMPILE, str(site), str(tmp_path / "ocf"), options=("-B",))
        assert (done.returncode, done.stdout, done.stderr) == (0, "0o77\n", "")
        assert (tmp_path / "ocf/resource.d/pacemaker/systemd").exists()


class TestInterrupted:
    def test_while_it_is_tried_out(self, host: Host) -> None:
        """Ctrl-C before anything is in place leaves nothing in place, and no traceback; 130."""
        with host.begin("install") as process:
            drafts = host.agent().parent
            deadline = time.monotonic() + 20
            while not (drafts.is_dir() and any(drafts.iterdir())):
                assert time.monotonic() < deadline
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=20)
        assert (process.returncode, stderr.strip()) == (130, "")
        assert not (host.root / "ocf").exists()
        assert not (host.root / "share").exists()

    def test_what_goes_together(self) -> None:
        """Between agent and manual pages it waits: either both are there, or none."""
        code = "with uninterrupted():\n signal.raise_signal(signal.SIGINT)\n print('all')\nprint('no more')"
        done = run_python(f"import signal\nfrom ocf_systemd.install.agent_file import uninterrupted\n{code}")
        assert done.stdout == "all\n"

    def test_while_the_server_is_set_up(self, host: Host) -> None:
        """The server's units are taken back, and what stands is told: the agent, which acts by itself."""
        executable(host.root / "bin/systemctl", f"#!/bin/sh\n: >{host.root}/called; exec sleep 0.5\n")
        with host.begin("install", "--resident") as process:
            deadline = time.monotonic() + 20
            while not (host.root / "called").exists():
                assert time.monotonic() < deadline
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=20)
        assert (process.returncode, stdout) == (130, f"installed ocf:pacemaker:systemd as {host.agent()}\n")
        assert stderr.strip() == "interrupted: the agent is installed, the resident server is as it was before"
        assert (host.agent().exists(), host.units()) == (True, [])
