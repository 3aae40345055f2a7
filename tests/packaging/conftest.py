"""Sandboxes without ocf-systemd, and the wheels and packages to install in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.sandbox import boot
from tests.packaging import deb, wheelhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocf_systemd.sandbox import Sandbox

PROJECT = Path(__file__).parents[2]
# The files that an installation may change, without the byte code of Debian's packages.
_LISTING = """
find /etc /opt /usr /run/systemd/system -not -path '*/__pycache__*' | sort
find /opt/ocf-systemd -path '*/__pycache__*' | sort
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A sandbox without ocf-systemd, but with its wheels."""

    sandbox: Sandbox

    def sh(self, script: str, *arguments: str, check: bool = True, **variables: str) -> str:
        """Run a script; return its standard output and standard error."""
        command = ["sh", "-c", f"exec 2>&1\n{script}", "sh", *arguments]
        done = self.sandbox.run(command, env=wheelhouse.PIP | variables, timeout_s=120)
        assert not check or done.returncode == 0, f"{script}: exit {done.returncode}, {done.stdout}"
        return done.stdout

    def listing(self) -> list[str]:
        """Return the paths of all files that an installation may add or remove."""
        return self.sh(_LISTING, check=False).splitlines()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheels")
    wheelhouse.build(directory, PROJECT)
    return directory


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return Debian packages of two versions."""
    return deb.build_two(tmp_path_factory.mktemp("debs"))


@pytest.fixture
def host(wheels: Path) -> Iterator[Host]:
    with boot(name="installing") as sandbox:
        sandbox.copy_in(wheels, wheelhouse.PLACE)
        sandbox.write("/etc/systemd/system/plain.service", "[Service]\nExecStart=sleep infinity\n")
        sandbox.run(["sh", "-c", "systemctl daemon-reload; systemctl start plain"])
        yield Host(sandbox)
