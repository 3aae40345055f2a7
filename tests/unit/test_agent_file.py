"""The agent file: installed atomically after a test run, and removed."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import ocf_systemd
from ocf_systemd.install.agent_file import AgentFile, InstallationError, install, uninstall
from tests.unit.builders import executable, run_python

NAMES = [
    pytest.param(name, id=repr(name)) for name in ("", ".", "..", "a/b", "/etc", "-x", ".x", "a b", "a\n", "é", "a:b")
]


@pytest.fixture
def agent(tmp_path: Path) -> AgentFile:
    return AgentFile(tmp_path / "ocf")


def tree(root: Path) -> dict[str, str]:
    """Return what a directory contains, files with their content."""
    return {str(path.relative_to(root)): "" if path.is_dir() else path.read_text() for path in sorted(root.rglob("*"))}


def call(agent: AgentFile, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call an agent without an environment, as some of Pacemaker's tools do."""
    return subprocess.run(
        [str(agent.path), *arguments], env={}, capture_output=True, text=True, check=False, timeout=30
    )


class TestInstall:
    def test_without_an_environment(self, agent: AgentFile) -> None:
        """It is installed where Pacemaker looks, every user may run it, and its metadata has its name."""
        install(agent)
        assert agent.path == agent.ocf_root / "resource.d/pacemaker/systemd"
        assert stat.S_IMODE(agent.path.stat().st_mode) == 0o755
        done = call(agent, "meta-data")
        assert (done.returncode, done.stderr) == (0, "")
        assert ET.fromstring(done.stdout).get("name") == "systemd"  # noqa: S314  # our own text
        assert "\n# SPDX-License-Identifier: GPL-2.0-or-later\n" in agent.path.read_text()
        done = call(agent, "promote")
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("ocf-exit-reason:unknown action 'promote'")

    def test_a_package_that_cannot_be_loaded(self, agent: AgentFile) -> None:
        """Without memory or descriptors for its modules, the agent exits with 1 and a reason, not with a traceback."""
        install(agent)
        script = "import runpy, sys; sys.modules['ocf_systemd.agent.entry'] = None; runpy.run_path(sys.argv[1])"
        done = run_python(script, str(agent.path), "monitor", env={"OCF_RESKEY_CRM_meta_timeout": "1"})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("ocf-exit-reason:the agent cannot be loaded: ModuleNotFoundError(")
        assert len(done.stderr.splitlines()) == 1

    def test_another_provider_and_name(self, tmp_path: Path) -> None:
        """They are those of ocf:PROVIDER:NAME, and the metadata has the name."""
        agent = AgentFile(tmp_path, "custom", "unit-hook")
        install(agent)
        assert agent.path == tmp_path / "resource.d/custom/unit-hook"
        assert agent.standard == "ocf:custom:unit-hook"
        assert 'name="unit-hook"' in call(agent, "meta-data").stdout

    def test_isolation_from_the_environment(self, agent: AgentFile) -> None:
        """Neither PYTHONPATH nor the working directory change which modules it imports."""
        install(agent)
        bad = agent.ocf_root / "bad"
        bad.mkdir()
        (bad / "ocf_systemd.py").write_text("raise SystemExit('imported')\n")
        (bad / "click.py").write_text("raise SystemExit('imported')\n")
        done = subprocess.run(
            [str(agent.path), "meta-data"],
            env={"PYTHONPATH": str(bad), "PYTHONSTARTUP": str(bad / "click.py"), "PYTHONHOME": "/nowhere"},
            cwd=bad,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_twice(self, agent: AgentFile) -> None:
        """An installed agent is replaced silently, and no other file remains."""
        assert install(agent) == install(agent)
        assert [path for path in agent.ocf_root.rglob("*") if path.is_file()] == [agent.path]

    def test_an_older_agent_is_replaced(self, agent: AgentFile) -> None:
        """It is recognized by its mark."""
        install(agent)
        agent.path.write_text(agent.path.read_text() + "raise SystemExit('older')\n")
        install(agent)
        assert call(agent, "meta-data").returncode == 0

    @pytest.mark.parametrize(
        "content", [pytest.param(b"#!/bin/sh\n", id="a script"), pytest.param(b"\x7fELF\xff", id="bytes")]
    )
    def test_a_file_of_another_program(self, agent: AgentFile, content: bytes) -> None:
        """It is an error and the file is unchanged, except with `force`."""
        agent.path.parent.mkdir(parents=True)
        agent.path.write_bytes(content)
        with pytest.raises(InstallationError, match="is not an agent of ocf-systemd; --force replaces it"):
            install(agent)
        with pytest.raises(InstallationError, match="is not an agent of ocf-systemd; --force removes it"):
            uninstall(agent)
        assert agent.path.read_bytes() == content
        install(agent, force=True)
        assert call(agent, "meta-data").returncode == 0

    @pytest.mark.parametrize("name", NAMES)
    def test_invalid_names(self, tmp_path: Path, name: str) -> None:
        """A name that leads out of the directory, is hidden, or looks like an option is an error."""
        with pytest.raises(InstallationError, match="is not a valid name of an agent or provider"):
            AgentFile(tmp_path, "pacemaker", name)
        with pytest.raises(InstallationError, match="is not a valid name of an agent or provider"):
            AgentFile(tmp_path, name, "systemd")

    def test_a_directory_that_cannot_be_written(self) -> None:
        """The error has the path and the system's message."""
        with pytest.raises(InstallationError, match=r"/sys/x/resource.d/pacemaker/systemd cannot be written: \w"):
            install(AgentFile(Path("/sys/x")))

    def test_a_file_in_place_of_a_directory(self, tmp_path: Path) -> None:
        """It is an error."""
        (tmp_path / "resource.d").touch()
        with pytest.raises(InstallationError, match="cannot be written"):
            install(AgentFile(tmp_path))


INSTALL = """
import sys
from pathlib import Path
from ocf_systemd.install.agent_file import AgentFile, InstallationError, install
{before}
try:
    for warning in install(AgentFile(Path(sys.argv[1]))):
        print("warning:", warning)
except InstallationError as error:
    print("refused:", error)
"""


class TestUpgrade:
    @pytest.fixture
    def package(self, tmp_path: Path) -> Path:
        """Install an agent with its own environment; return the directory of the package in it."""
        place = tmp_path / "environment"
        site = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        site.mkdir(parents=True)
        (place / "bin").mkdir()
        (place / "bin/python").symlink_to(sys.executable)
        home = Path(os.path.realpath(sys.executable)).parent
        (place / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        for name in ("click", "anyio", "idna", "sniffio", "typing_extensions"):
            spec = find_spec(name)
            if spec and spec.origin:  # newer versions of anyio and of Python do not need the last two
                file = Path(spec.origin)
                source = file.parent if file.name == "__init__.py" else file
                (shutil.copytree if source.is_dir() else shutil.copy)(source, site / source.name)
        shutil.copytree(Path(ocf_systemd.__file__).parent, site / "ocf_systemd")
        script = "from pathlib import Path; from ocf_systemd.install.agent_file import *; import sys"
        installing = f"{script}; install(AgentFile(Path(sys.argv[1])))"
        command = [str(place / "bin/python"), "-c", installing, str(tmp_path / "ocf")]
        subprocess.run(command, check=True, env={})
        return site / "ocf_systemd"

    def begin(self, agent: AgentFile, timeout_ms: int) -> subprocess.Popen[str]:
        environment = {"OCF_RESKEY_CRM_meta_timeout": str(timeout_ms), "OCF_RESKEY_unit": "x"}
        command = [str(agent.path), "validate-all"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @pytest.mark.parametrize(
        "missing",
        [
            pytest.param("ocf_systemd", id="package"),
            pytest.param("ocf_systemd/agent/entry.py", id="the first module"),
            pytest.param("ocf_systemd/core/parameters.py", id="a later module"),
            pytest.param("anyio/_backends", id="a module that anyio imports"),
        ],
    )
    def test_missing_files_that_come_back(self, agent: AgentFile, package: Path, missing: str) -> None:
        """An action that fails to import while pip replaces the package starts again."""
        gone = package.parent / missing
        aside = gone.rename(package.parent / "aside")
        with self.begin(agent, 20_000) as process:
            time.sleep(0.7)
            assert process.poll() is None
            aside.rename(gone)
            _, stderr = process.communicate(timeout=20)
        assert (process.returncode, stderr) == (0, "")

    @pytest.mark.parametrize(
        "part",
        [
            pytest.param("ocf_systemd/agent/actions.py", id="in the action"),
            pytest.param("ocf_systemd/host/procfs.py", id="while modules are imported"),
            pytest.param("anyio/_backends/_asyncio.py", id="in anyio"),
        ],
    )
    def test_modules_of_two_versions(self, agent: AgentFile, package: Path, part: str) -> None:
        """An action that fails because a module was replaced after another had been imported starts again."""
        module = package.parent / part
        # The module of another version, which is replaced as soon as it has been imported.
        other = (
            "import os\n"
            f"os.rename({str(module.with_suffix('.new'))!r}, {str(module)!r})\n"
            "def perform(): pass\ndef age_s(process): pass\n"
            "Stat = Entry = descendants_of = find_process = is_alive = command_line = read_stat = 0\n"
        )
        module.rename(module.with_suffix(".new"))
        module.write_text(other)
        with self.begin(agent, 20_000) as process:
            _, stderr = process.communicate(timeout=20)
        assert (process.returncode, stderr) == (0, "")
        assert not module.with_suffix(".new").exists()

    def test_a_module_that_vanishes(self, agent: AgentFile, package: Path) -> None:
        """An action starts again if a module's file, which importlib has found, is gone when importlib reads it."""
        module = package.parent / "anyio/_core/_testing.py"
        module.rename(module.with_suffix(".new"))
        vanishes = f"FileNotFoundError(2, 'No such file or directory', {str(module)!r})"
        module.write_text(
            f"import os\nos.rename({str(module.with_suffix('.new'))!r}, {str(module)!r})\nraise {vanishes}\n"
        )
        with self.begin(agent, 20_000) as process:
            _, stderr = process.communicate(timeout=20)
        assert (process.returncode, stderr) == (0, "")
        assert not module.with_suffix(".new").exists()

    def test_missing_files_that_stay_missing(self, agent: AgentFile, package: Path) -> None:
        """The action fails well before Pacemaker's timeout."""
        package.rename(package.parent / "aside")
        began = time.monotonic()
        with self.begin(agent, 2_000) as process:
            _, stderr = process.communicate(timeout=20)
        assert process.returncode == 1
        assert stderr.startswith("ocf-exit-reason:the agent cannot be loaded: ModuleNotFoundError(")
        assert 0.9 < time.monotonic() - began < 1.9


class TestFailure:
    @pytest.mark.parametrize("there", [pytest.param(True, id="over an agent"), pytest.param(False, id="first")])
    @pytest.mark.parametrize(
        ("script", "why"),
        [
            pytest.param("#!/bin/sh\necho oops >&2; exit 1\n", "oops", id="fails"),
            pytest.param("#!/bin/sh\nexit 0\n", "it failed without a message", id="no message"),
            pytest.param("#!/bin/sh\nprintf 'a\\033[31mb\\n' >&2; exit 1\n", "ab", id="a message in colour"),
            pytest.param("#!/no/such/interpreter\n", "cannot be started", id="cannot be started"),
        ],
    )
    def test_the_test_run_fails(self, tmp_path: Path, agent: AgentFile, script: str, why: str, *, there: bool) -> None:
        """An agent that does not work, as with a Python without this package, is an error, and nothing changes."""
        if there:
            install(agent)
        before = tree(agent.ocf_root)
        python = executable(tmp_path / "python", script)
        done = run_python(INSTALL.format(before=f"sys.executable = {str(python)!r}"), str(agent.ocf_root))
        assert done.stderr == ""
        assert done.stdout.startswith("refused: ")
        assert why in done.stdout
        assert tree(agent.ocf_root) == before

    def test_a_full_disk(self, agent: AgentFile) -> None:
        """An installed agent is unchanged, and no temporary file remains."""
        install(agent)
        before = tree(agent.ocf_root)
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))"
        done = run_python(INSTALL.format(before=limit), str(agent.ocf_root))
        assert done.stderr == ""
        assert done.stdout == f"refused: {agent.path} cannot be written: File too large\n"
        assert tree(agent.ocf_root) == before


class TestInterpreter:
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("plain", id="plain"),
            pytest.param("with space", id="space"),
            pytest.param("with 'quotes' and \"more\"", id="quotes"),
            pytest.param("$(touch x) `id` \\n * ü", id="characters that a shell expands"),
            pytest.param("long" * 40, id="longer than a shebang line"),
        ],
    )
    def test_any_path(self, tmp_path: Path, name: str) -> None:
        """A path that execve would split or truncate works too, without other output."""
        place = tmp_path / name
        place.mkdir()
        # As a virtual environment has it: the interpreter's configuration lies above its directory.
        (place / "bin").mkdir()
        (place / "bin/python").symlink_to(sys.executable)
        site = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        site.mkdir(parents=True)
        paths = [str(Path(ocf_systemd.__file__).parent.parent), *filter(None, sys.path)]
        (site / "all.pth").write_text("".join(f"{path}\n" for path in paths if Path(path).is_dir()))
        home = Path(os.path.realpath(sys.executable)).parent
        (place / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        done = run_python(
            INSTALL.format(before=f"sys.executable = {str(place / 'bin/python')!r}"), str(tmp_path / "ocf")
        )
        assert done.stderr == ""
        assert "refused" not in done.stdout
        agent = AgentFile(tmp_path / "ocf")
        done = call(agent, "meta-data")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("</resource-agent>\n")
        surplus = call(agent, "no such action", "$(id)", "'")
        assert (surplus.returncode, surplus.stdout) == (3, "")
        first = agent.path.read_bytes().split(b"\n", 1)[0]
        assert len(first) <= 127
        assert not re.search(rb"\s(?!-IS$)", first)

    def test_unreadable_for_other_users(self, tmp_path: Path) -> None:
        """ocf-tester calls meta-data as nobody: installing warns of an interpreter in a closed directory."""
        closed = tmp_path / "closed"
        closed.mkdir(0o700)
        python = executable(closed / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        done = run_python(INSTALL.format(before=f"sys.executable = {str(python)!r}"), str(tmp_path / "ocf"))
        assert done.stderr == ""
        warning = f"warning: users other than root cannot read the interpreter {python} (the mode of "
        assert done.stdout.startswith(warning)
        assert done.stdout.count("\n") == 1


class TestUninstall:
    def test_nothing_remains(self, tmp_path: Path, agent: AgentFile) -> None:
        """The file and empty directories are removed; a second removal does nothing."""
        install(agent)
        assert uninstall(agent) == f"removed {agent.path}"
        assert tree(tmp_path) == {}
        assert uninstall(agent) == f"{agent.path} does not exist: nothing to remove"

    def test_other_agents_stay(self, agent: AgentFile) -> None:
        """Other agents and their directories are kept."""
        install(agent)
        other = agent.path.with_name("ping")
        other.touch()
        uninstall(agent)
        assert [path for path in agent.ocf_root.rglob("*") if path.is_file()] == [other]

    def test_force(self, agent: AgentFile) -> None:
        """A file of another program is removed with `force`."""
        agent.path.parent.mkdir(parents=True)
        agent.path.write_text("#!/bin/sh\n")
        assert uninstall(agent, force=True) == f"removed {agent.path}"
        assert not agent.path.exists()

    def test_a_file_of_a_package(self, agent: AgentFile) -> None:
        """The agent of the Debian package is removed with `force` only."""
        install(agent)
        own = str(Path(ocf_systemd.__file__).parents[1])
        agent.path.write_text(agent.text.replace(repr(own), "'/usr/lib/python3/dist-packages'"))
        assert uninstall(agent) == f"kept {agent.path}: apt removes it with its Debian package"
        assert agent.path.exists()
        assert uninstall(agent, force=True) == f"removed {agent.path}"

    def test_a_file_that_cannot_be_removed(self, agent: AgentFile) -> None:
        """The error has the system's message."""
        agent.path.mkdir(parents=True)
        with pytest.raises(InstallationError, match="cannot be removed: Is a directory"):
            uninstall(agent, force=True)
