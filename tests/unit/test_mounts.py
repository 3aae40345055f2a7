"""The file systems that could block the resident server, as the kernel lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocf_systemd.server.mounts import MountTable, mount_points_that_may_block


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["25 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw"], set(), id="a disk"),
        pytest.param(["25 1 0:30 / / rw - 9p host rw"], set(), id="the root"),
        pytest.param(["40 25 0:31 / /srv/a rw shared:2 master:3 - nfs4 filer:/a rw"], {"/srv/a"}, id="a network"),
        pytest.param(["40 25 0:31 / /home/joe rw - fuse.sshfs joe@host: rw"], {"/home/joe"}, id="FUSE"),
        pytest.param([r"40 25 0:31 / /srv/a\040b\134 rw - cifs //host/a rw"], {"/srv/a b\\"}, id="a blank"),
        pytest.param(["40 25 0:31 / /net rw - autofs auto.net rw"], {"/net"}, id="an automount"),
        *(
            pytest.param(
                [f"40 25 0:31 / /mnt/a{end}b rw - fuse x rw", "41 25 0:32 / /srv rw - nfs4 filer:/a rw"],
                {f"/mnt/a{end}b", "/srv"},
                id=f"a line end of str only: {ord(end):x}",
            )
            for end in "\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
        ),
        pytest.param(
            ["40 25 0:31 / /srv rw - autofs systemd-1 rw", "41 40 8:2 / /srv rw - ext4 /dev/sda2 rw"],
            set(),
            id="an automount that is mounted",
        ),
    ],
)
def test_which_may_block(lines: list[str], expected: set[str]) -> None:
    """Network file systems, FUSE and automounts, but not the root, on which everything depends."""
    assert mount_points_that_may_block("\n".join(lines)) == expected


def test_this_host() -> None:
    """The kernel's own table is read, any number of times."""
    table = MountTable()
    assert table.may_block() == table.may_block()
    assert table.may_block() == mount_points_that_may_block(Path("/proc/self/mountinfo").read_text())
