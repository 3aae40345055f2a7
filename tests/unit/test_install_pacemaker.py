"""Whether Pacemaker finds an installed agent: the line that `install` prints."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ocf_systemd.install import agent_file, pacemaker
from ocf_systemd.install.agent_file import AgentFile
from tests.unit.builders import executable

FINDS = "#!/bin/sh\necho \"$@\" >$0.log\necho '</resource-agent>'\n"
FAILS = "#!/bin/sh\necho 'No such device' >&2\necho 'Error performing operation' >&2\nexit 105\n"


@pytest.fixture
def ocf_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the OCF root of Pacemaker on a host without crm_resource, all of whose users can read the agent."""
    tmp_path.chmod(0o755)
    monkeypatch.setattr(pacemaker, "SEARCH_PATH", str(tmp_path))
    monkeypatch.setattr(pacemaker, "_USER", "root")
    monkeypatch.setattr(pacemaker, "why_unreadable", lambda: "")
    monkeypatch.setattr(agent_file, "DEFAULT_OCF_ROOT", tmp_path / "ocf")
    return tmp_path / "ocf"


def test_found(ocf_root: Path, tmp_path: Path) -> None:
    """It is queried by its name, and the line has the command."""
    tool = executable(tmp_path / "crm_resource", FINDS)
    query = "--show-metadata ocf:heartbeat:unit"
    assert (
        pacemaker.check(AgentFile(ocf_root, "heartbeat", "unit")) == f"Pacemaker finds the agent: crm_resource {query}"
    )
    assert tool.with_name("crm_resource.log").read_text() == f"{query}\n"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        pytest.param(FAILS, "No such device", id="fails"),
        pytest.param("#!/bin/sh\nexit 0\n", "exit code 0", id="no metadata"),
        pytest.param("#!/no/such\n", "No such file", id="cannot be started"),
    ],
)
def test_not_found(ocf_root: Path, tmp_path: Path, script: str, why: str) -> None:
    """It is a warning with the command, the user and the reason."""
    executable(tmp_path / "crm_resource", script)
    line = pacemaker.check(AgentFile(ocf_root))
    assert line.startswith("warning: ")
    assert why in line
    assert "crm_resource --show-metadata ocf:pacemaker:systemd" in line


def test_unreadable(ocf_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the installation has warned that other users cannot read the agent, there is no second warning."""
    executable(tmp_path / "crm_resource", FAILS)
    monkeypatch.setattr(pacemaker, "why_unreadable", lambda: "the interpreter")
    assert pacemaker.check(AgentFile(ocf_root)) == ""


def test_not_installed(ocf_root: Path) -> None:
    """Without Pacemaker it is not a warning: the agent may be installed first."""
    line = pacemaker.check(AgentFile(ocf_root))
    assert line.startswith("Pacemaker is not installed here")
    assert "install the package pacemaker" in line


@pytest.mark.parametrize("script", [None, FAILS], ids=["without Pacemaker", "with Pacemaker"])
def test_another_root(ocf_root: Path, tmp_path: Path, script: str | None) -> None:
    """An OCF root that Pacemaker does not read is a warning that says where it looks."""
    if script:
        executable(tmp_path / "crm_resource", script)
    line = pacemaker.check(AgentFile(tmp_path / "other"))
    assert line.startswith(f"warning: Pacemaker looks for agents in {ocf_root}, not in {tmp_path}/other")


@pytest.mark.parametrize("there", [False, True], ids=["only there", "also in the usual one"])
def test_another_root_that_pacemaker_reads(ocf_root: Path, tmp_path: Path, *, there: bool) -> None:
    """A Pacemaker that is built with another OCF root finds the agent: no warning, unless it may have found another."""
    executable(tmp_path / "crm_resource", FINDS)
    if there:
        (ocf_root / "resource.d/pacemaker").mkdir(parents=True)
        (ocf_root / "resource.d/pacemaker/systemd").touch()
    line = pacemaker.check(AgentFile(tmp_path / "other"))
    assert line.startswith("warning: " if there else "Pacemaker finds the agent")


def test_a_link_to_the_root(ocf_root: Path, tmp_path: Path) -> None:
    """Another path of the same directory is not another root."""
    ocf_root.mkdir()
    (tmp_path / "link").symlink_to(ocf_root)
    assert AgentFile(tmp_path / "link").is_for_this_host
    assert not AgentFile(tmp_path / "other").is_for_this_host


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_user(ocf_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query runs as another user, as Pacemaker's controller does."""
    monkeypatch.setattr(pacemaker, "_USER", "nobody")
    with TemporaryDirectory(dir="/var/tmp") as name:  # the temporary directories of tests are root's
        directory = Path(name)
        directory.chmod(0o755)
        executable(directory / "crm_resource", '#!/bin/sh\necho "$(id -un) $(id -G)" >&2; exit 1\n')
        monkeypatch.setattr(pacemaker, "SEARCH_PATH", f"{directory}:/usr/bin:/bin")
        line = pacemaker.check(AgentFile(ocf_root))
    assert "nobody 65534" in line
