"""The wheel and the sdist, as they are published: what they contain, and their installation in a clean environment."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ocf_systemd import __version__

pytestmark = pytest.mark.xdist_group("packaging")
PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src/ocf_systemd"
WHEEL, SDIST = f"ocf_systemd-{__version__}-py3-none-any.whl", f"ocf_systemd-{__version__}.tar.gz"
INFO, DATA = f"ocf_systemd-{__version__}.dist-info", f"ocf_systemd-{__version__}.data/data/share"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with the sdist and a wheel made from it: DISTRIBUTIONS, or one that this test makes."""
    if given := os.environ.get("DISTRIBUTIONS"):
        return Path(given)
    directory = tmp_path_factory.mktemp("distributions")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(directory), str(PROJECT)], check=True)
    return directory


def files_below(directory: Path) -> set[str]:
    """Return the files in a directory of this repository, relative to it, without byte code."""
    paths = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    return {str(path) for path in paths if "__pycache__" not in path.parts}


def test_there_is_one_of_each(distributions: Path) -> None:
    """Both have the version of the package."""
    assert {path.name for path in distributions.glob("ocf_systemd-*")} == {WHEEL, SDIST}


def test_wheel_contains(distributions: Path) -> None:
    """The wheel has the modules, the data files, which pip puts below the prefix, the demo's files, and no more."""
    names = zipfile.ZipFile(distributions / WHEEL).namelist()
    parts = {name for name in names if not name.startswith((f"{INFO}/", f"{DATA}/"))}
    examples = {"demo.sh", "hooks/http", *(f"units/{unit}" for unit in files_below(PROJECT / "examples/units"))}
    code = {f"ocf_systemd/{name}" for name in files_below(PACKAGE)}
    assert parts == code | {f"ocf_systemd/examples/{name}" for name in examples}
    data = {name.removeprefix(f"{DATA}/") for name in names if name.startswith(f"{DATA}/")}
    assert data == files_below(PACKAGE / "share")


def test_sdist_contains(distributions: Path) -> None:
    """The sdist has what is needed to build, to test, to document and to package the project."""
    with tarfile.open(distributions / SDIST) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    for directory in ("src", "tests", "tools", "examples", "docs", "debian", "changelog.d"):
        assert {f"{directory}/{name}" for name in files_below(PROJECT / directory)} <= names
    assert {
        path.name for pattern in ("*.md", "*.py", "LICENSE", "pyproject.toml") for path in PROJECT.glob(pattern)
    } <= names


def test_description_stands_alone(distributions: Path) -> None:
    """On an index, no link or picture of the description is relative, because there it would lead nowhere."""
    metadata = email.message_from_bytes(zipfile.ZipFile(distributions / WHEEL).read(f"{INFO}/METADATA"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    description = str(metadata.get_payload())
    assert description.startswith("# ocf-systemd\n")
    assert all(re.match("[a-z]+://", target) for target in re.findall(r"\]\(([^)]+)\)", description))


@pytest.mark.parametrize("name", [pytest.param(WHEEL, id="wheel"), pytest.param(SDIST, id="sdist")])
def test_installation(distributions: Path, tmp_path: Path, name: str) -> None:
    """In a clean environment, both have a working program and the data files."""
    prefix = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(prefix)], check=True)
    subprocess.run([str(prefix / "bin/pip"), "install", "--quiet", str(distributions / name)], check=True)
    subprocess.run([str(prefix / "bin/pip"), "check", "--quiet"], check=True)

    def output(*arguments: str) -> str:
        command = [str(prefix / "bin/ocf-systemd"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env={}).stdout

    assert output("--version") == f"ocf-systemd, version {__version__}\n"
    assert output("meta-data").endswith("</resource-agent>\n")
    assert files_below(PACKAGE / "share") <= files_below(prefix / "share")
    assert "complete" in output("completion", "bash")
