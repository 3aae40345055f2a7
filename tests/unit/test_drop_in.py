"""The drop-in of a unit: its content, its path, and how it is written and removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.core.observations import (
    ActiveState,
    LoadState,
    UnitState,
)
from ocf_systemd.host.drop_in import (
    drop_in_path,
    drop_in_text,
    has_loaded,
    loaded_drop_ins,
    put_drop_in,
    remove_drop_in,
)
from tests.unit.builders import UNIT, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pacemakers_umask() -> Iterator[None]:
    before = os.umask(0o026)
    yield
    os.umask(before)


OTHERS_DROP_INS = ("override.conf", "50-CPUQuota.conf", "10-timeout-abort.conf", "local.conf", "z.conf")


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if not path.is_dir()]


class TestDropIn:
    @pytest.mark.parametrize(
        ("unit", "has_service_part"),
        [
            pytest.param("nginx.service", True, id="service"),
            pytest.param("cups.socket", False, id="socket"),
            pytest.param("app.target", False, id="target"),
            pytest.param("a.timer", False, id="timer"),
            pytest.param("srv.mount", False, id="mount"),
            pytest.param("x.path", False, id="path"),
        ],
    )
    def test_its_content(self, unit: str, *, has_service_part: bool) -> None:
        """The unit is stopped after Pacemaker at shutdown; restarts of a service are Pacemaker's."""
        lines = [line for line in drop_in_text(unit).splitlines() if line and not line.startswith("#")]
        assert lines[:2] == ["[Unit]", "Before=pacemaker.service pacemaker_remote.service"]
        assert lines[2:] == (["[Service]", "Restart=no", "RestartForceExitStatus="] if has_service_part else [])

    def test_where_it_stands(self, tmp_path: Path) -> None:
        """In /run, so that a reboot forgets it, where systemd.unit(5) looks."""
        assert str(drop_in_path(UNIT)) == f"/run/systemd/system/{UNIT}.d/zz-ocf-systemd.conf"
        assert drop_in_path(UNIT, tmp_path) == tmp_path / "systemd/system" / f"{UNIT}.d" / "zz-ocf-systemd.conf"

    @pytest.mark.parametrize("other", [pytest.param(name, id=name) for name in OTHERS_DROP_INS])
    def test_it_comes_after_others(self, other: str) -> None:
        """Drop-ins apply in the order of their names over all directories: what comes last has its way."""
        assert drop_in_path(UNIT).name > other
        assert drop_in_path(UNIT).name != other

    @pytest.mark.usefixtures("pacemakers_umask")
    def test_it_is_written_readable_for_all(self, tmp_path: Path) -> None:
        """0644 in directories of 0755, under Pacemaker's umask of 0026; nothing else is left there."""
        path = drop_in_path(UNIT, tmp_path)
        assert put_drop_in(UNIT, path)
        assert path.read_text() == drop_in_text(UNIT)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        made = (tmp_path / "systemd", tmp_path / "systemd/system", path.parent)
        assert {stat.S_IMODE(directory.stat().st_mode) for directory in made} == {0o755}
        assert files_below(tmp_path) == [path]

    def test_others_may_write_it_at_no_moment(self, tmp_path: Path) -> None:
        """Not even under a umask of 0 between its making and its last mode: it can name programs to run as root."""
        code = """
import os, stat, sys
from pathlib import Path
from ocf_systemd.host.drop_in import put_drop_in
def watch(event, arguments):
    if event == "os.chmod":
        print(oct(stat.S_IMODE(os.stat(arguments[0]).st_mode)))
sys.addaudithook(watch)
os.umask(0)
put_drop_in(sys.argv[1], Path(sys.argv[2]))
"""
        done = run_python(code, UNIT, str(drop_in_path(UNIT, tmp_path)))
        assert done.stderr == ""
        assert done.stdout.split() == ["0o755", "0o755", "0o755", "0o600"]

    def test_writing_and_removing_are_idempotent(self, tmp_path: Path) -> None:
        """A second call changes nothing, and reports that."""
        path = drop_in_path(UNIT, tmp_path)
        assert not remove_drop_in(path)
        assert put_drop_in(UNIT, path)
        inode = path.stat().st_ino
        assert not put_drop_in(UNIT, path)
        assert path.stat().st_ino == inode
        assert remove_drop_in(path)
        assert not remove_drop_in(path)
        assert not path.parent.exists()

    @pytest.mark.parametrize("is_there", [pytest.param(True, id="both"), pytest.param(False, id="only the old one")])
    def test_one_of_the_old_name_goes(self, tmp_path: Path, *, is_there: bool) -> None:
        """An earlier version wrote 50-ocf-systemd.conf: gone once the new one is written, and when that is removed."""
        path = drop_in_path(UNIT, tmp_path)
        old = path.with_name("50-ocf-systemd.conf")
        path.parent.mkdir(parents=True)
        if is_there:
            put_drop_in(UNIT, path)
        old.write_text("[Unit]\n")
        assert put_drop_in(UNIT, path)
        assert files_below(tmp_path) == [path]
        if not is_there:
            path.unlink()
        old.write_text("[Unit]\n")
        assert remove_drop_in(path)
        assert not path.parent.exists()

    def test_the_old_one_goes_where_the_new_one_stands_already(self, tmp_path: Path) -> None:
        """That is a change that requires a daemon-reload, although nothing was written."""
        path = drop_in_path(UNIT, tmp_path)
        put_drop_in(UNIT, path)
        inode = path.stat().st_ino
        path.with_name("50-ocf-systemd.conf").write_text("[Unit]\n")
        assert put_drop_in(UNIT, path)
        assert path.stat().st_ino == inode
        assert files_below(tmp_path) == [path]

    @pytest.mark.parametrize(
        ("listed", "needs_reload", "has_it", "has_none"),
        [
            pytest.param((), False, False, True, id="none"),
            pytest.param(("zz-ocf-systemd.conf",), False, True, False, id="it"),
            pytest.param(("a.conf", "zz-ocf-systemd.conf", "zzz.conf"), False, True, False, id="among others"),
            pytest.param(("a.conf",), False, False, True, id="others"),
            pytest.param(("50-ocf-systemd.conf",), False, False, False, id="the old one"),
            pytest.param(("50-ocf-systemd.conf", "zz-ocf-systemd.conf"), False, False, False, id="both"),
            pytest.param(("zz-ocf-systemd.conf",), True, False, False, id="it, outdated"),
            pytest.param((), True, False, False, id="none, outdated"),
        ],
    )
    def test_whether_it_is_in_force(
        self, tmp_path: Path, listed: tuple[str, ...], *, needs_reload: bool, has_it: bool, has_none: bool
    ) -> None:
        """What PID 1 lists, not what the directory holds; another's of the same name does not count."""
        path = drop_in_path(UNIT, tmp_path)
        paths = ("/etc/systemd/system/x.service.d/zz-ocf-systemd.conf", *(str(path.with_name(name)) for name in listed))
        unit = UnitState(
            UNIT, LoadState.LOADED, ActiveState.ACTIVE, needs_daemon_reload=needs_reload, drop_in_paths=paths
        )
        assert has_loaded(unit, path, wanted=True) is has_it
        assert has_loaded(unit, path, wanted=False) is has_none
        ours = {"50-ocf-systemd.conf", "zz-ocf-systemd.conf"}.intersection(listed)
        assert loaded_drop_ins(unit, path) == {str(path.with_name(name)) for name in ours}

    @pytest.mark.parametrize(
        "there",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"[Unit]\n", id="an older one"),
            pytest.param(b"\xff", id="bytes"),
        ],
    )
    def test_another_content_is_replaced(self, tmp_path: Path, there: bytes) -> None:
        """What an earlier version wrote, or half wrote, does not stay."""
        path = drop_in_path(UNIT, tmp_path)
        path.parent.mkdir(parents=True)
        path.write_bytes(there)
        assert put_drop_in(UNIT, path)
        assert path.read_text() == drop_in_text(UNIT)

    def test_others_drop_ins_stay(self, tmp_path: Path) -> None:
        """The directory goes only when nothing else is in it."""
        path = drop_in_path(UNIT, tmp_path)
        put_drop_in(UNIT, path)
        other = path.with_name("90-mine.conf")
        other.write_text("[Unit]\n")
        assert remove_drop_in(path)
        assert files_below(tmp_path) == [other]

    def test_where_it_cannot_be_written_nothing_is_left(self, tmp_path: Path) -> None:
        """A place that cannot be written to raises OSError, and no half of a file stays behind."""
        path = drop_in_path(UNIT, tmp_path)
        path.mkdir(parents=True)  # a directory in its place: no file can be moved over it
        (path / "x").touch()
        with pytest.raises(OSError, match="directory"):
            put_drop_in(UNIT, path)
        assert files_below(tmp_path) == [path / "x"]
        with pytest.raises(OSError, match="directory"):
            remove_drop_in(path)

    def test_where_its_directory_cannot_be_made(self, tmp_path: Path) -> None:
        """A file where a directory has to be raises OSError."""
        (tmp_path / "systemd").touch()
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            put_drop_in(UNIT, drop_in_path(UNIT, tmp_path))

    def test_a_full_disk_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """When writing fails half way, the old file stays, and no temporary file is left."""
        path = drop_in_path(UNIT, tmp_path)
        path.parent.mkdir(parents=True)
        path.write_text("[Unit]\n")
        code = """
import resource, sys
from pathlib import Path
from ocf_systemd.host.drop_in import put_drop_in
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    put_drop_in(sys.argv[1], Path(sys.argv[2]))
except OSError as error:
    print(error.strerror)
"""
        done = run_python(code, UNIT, str(path))
        assert (done.stdout, done.stderr) == ("File too large\n", "")
        assert [(file, file.read_text()) for file in files_below(tmp_path)] == [(path, "[Unit]\n")]

    def test_a_read_only_place(self) -> None:
        """Where nothing can be written, not even by root: OSError."""
        with pytest.raises(OSError, match=r"Operation not permitted|Read-only|Permission denied"):
            put_drop_in(UNIT, drop_in_path(UNIT, Path("/sys")))
