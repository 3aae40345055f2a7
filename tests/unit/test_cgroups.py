"""The processes of a unit: a tree of directories like the kernel's, and real processes in it, dead and alive."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.observations import ActiveState, LoadState, Process, UnitDetails, UnitState
from ocf_systemd.core.records import replace
from ocf_systemd.host.cgroups import Cgroups
from ocf_systemd.host.procfs import TICKS_PER_S, read_stat
from tests.unit.builders import run_python
from tests.unit.odd_processes import leaderless, process_of, sleeping, uninterruptible, wait_until, zombie

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_PID = 2**22 + 1
WEB = "web.service"


class Tree:
    """A hierarchy of control groups, as far as it is read: directories with a file of pids in each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cgroups = Cgroups((str(root),))

    def put(self, group: str, *pids: object) -> None:
        """Put processes into a group, which is made if it is not there."""
        directory = self.root / group.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def found(self, unit: UnitState) -> tuple[Process | None, set[int]]:
        """Return the main process and the pids of the others that are found of a unit."""
        state = self.cgroups.find(unit)
        assert state == replace(unit, main_process=state.main_process, processes=state.processes)
        pids = [process.pid for process in state.processes]
        assert len(set(pids)) == len(pids)
        return state.main_process, set(pids)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "cgroup")


@pytest.fixture
def pid() -> Iterator[int]:
    with sleeping() as pid:
        yield pid


def unit_of(name: str = WEB, unit_id: str = "", /, **details: object) -> UnitState:
    """Return an inactive unit, as systemctl prints it: without a control group, which is gone."""
    known = UnitDetails(unit_id or name, kill_mode="control-group", slice="system.slice")
    return UnitState(name, LoadState.LOADED, ActiveState.INACTIVE, details=replace(known, **details))


def started_us(pid: int, later_s: float = 0.0) -> int:
    """Return what systemd would have as the start of a process, on CLOCK_MONOTONIC, that much later."""
    stat = read_stat(pid)
    assert stat is not None
    suspended_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return int((stat.entry.started / TICKS_PER_S - suspended_s + later_s) * 1e6)


class TestWhere:
    @pytest.mark.parametrize(
        ("group", "details"),
        [
            pytest.param("/system.slice/web.service", {"slice": "system.slice"}, id="its slice"),
            pytest.param("/system.slice/web.service", {"slice": ""}, id="no slice: the default one"),
            pytest.param(
                "/elsewhere/web.service", {"control_group": "/elsewhere/web.service"}, id="the group that systemd tells"
            ),
            pytest.param(
                "/a.slice/a-b.slice/a-b-c.slice/web.service", {"slice": "a-b-c.slice"}, id="a slice in slices"
            ),
            pytest.param("/web.service", {"slice": "-.slice"}, id="the root slice"),
            pytest.param(
                "/system.slice/web.service",
                {"control_group": "/system.slice/gone.service"},
                id="both: its group is gone, its processes are where it had one",
            ),
        ],
    )
    def test_a_service(self, tree: Tree, pid: int, group: str, details: dict[str, object]) -> None:
        """Where systemd has put its processes, found by its slice and name after it has forgotten the group."""
        assert tree.found(unit_of(**details)) == (None, set())
        tree.put(group, pid)
        assert tree.found(unit_of(**details)) == (None, {pid})

    @pytest.mark.parametrize(
        ("name", "slice_", "group"),
        [
            pytest.param(
                "web@1.service", "", "/system.slice/system-web.slice/web@1.service", id="its template's slice"
            ),
            pytest.param("web@1.service", "", "/system.slice/web@1.service", id="system.slice"),
            pytest.param(
                "a-b@1.service",
                "",
                "/system.slice/system-a\\x2db.slice/a-b@1.service",
                id="a dash in the template's name",
            ),
            pytest.param(
                "postfix@-.service", "", "/system.slice/system-postfix.slice/postfix@-.service", id="instance of a dash"
            ),
            pytest.param(
                "web@1.service",
                "system-web.slice",
                "/system.slice/system-web.slice/web@1.service",
                id="its slice as systemd tells it",
            ),
        ],
    )
    def test_an_instance(self, tree: Tree, pid: int, name: str, slice_: str, group: str) -> None:
        """Instances of a template share a slice of their own (unit_set_default_slice())."""
        tree.put(group, pid)
        assert tree.found(unit_of(name, slice=slice_)) == (None, {pid})

    @pytest.mark.parametrize(
        ("name", "directory"),
        [
            pytest.param("cpu.service", "_cpu.service", id="a controller's name"),
            pytest.param("memory.service", "_memory.service", id="another"),
            pytest.param("cgroup.service", "_cgroup.service", id="the kernel's own"),
            pytest.param("_web.service", "__web.service", id="an underscore"),
            pytest.param("cpuset@1.service", "cpuset@1.service", id="an instance is not taken for a controller's"),
            pytest.param("cpufreq.service", "cpufreq.service", id="no controller's name"),
            pytest.param("web.cpu.service", "web.cpu.service", id="in another place"),
        ],
    )
    def test_an_escaped_name(self, tree: Tree, pid: int, name: str, directory: str) -> None:
        """What could be taken for a file of the kernel's in the group has an underscore before it (cg_escape())."""
        tree.put(f"/system.slice/{directory}", pid)
        assert tree.found(unit_of(name)) == (None, {pid})

    def test_all_its_names(self, tree: Tree) -> None:
        """An alias laid over a running unit has that one's Id, while its processes are in its own group still."""
        with ExitStack() as stack:
            pids = [stack.enter_context(sleeping()) for _ in range(3)]
            for name, pid in zip(("mysql.service", "mariadb.service", "mysqld.service"), pids, strict=True):
                tree.put(f"/system.slice/{name}", pid)
            unit = unit_of("mysql.service", "mariadb.service", names=("mariadb.service", "mysqld.service"))
            assert tree.found(unit) == (None, set(pids))
            assert tree.found(unit_of("mysql.service", "mariadb.service")) == (None, set(pids[:2]))

    def test_a_unit_that_is_not_found(self, tree: Tree, pid: int) -> None:
        """Its file is gone, and systemd prints neither slice nor group: its processes are found nevertheless."""
        tree.put("/system.slice/web.service", pid)
        unit = replace(unit_of(slice=""), load_state=LoadState.NOT_FOUND)
        assert tree.found(unit) == (None, {pid})

    def test_groups_below_it(self, tree: Tree) -> None:
        """A unit with Delegate= makes groups of its own, at any depth."""
        with sleeping() as one, sleeping() as two, sleeping() as three:
            tree.put("/system.slice/web.service", one)
            tree.put("/system.slice/web.service/a", two)
            tree.put("/system.slice/web.service/a/b/c", three)
            assert tree.found(unit_of()) == (None, {one, two, three})

    def test_others_are_not_its_own(self, tree: Tree, pid: int) -> None:
        """Processes of a unit with a longer name, of siblings and of parents are not found."""
        for group in (
            "/system.slice",
            "/system.slice/web.service.d",
            "/system.slice/web2.service",
            "/web.service",
            "/",
        ):
            tree.put(group, pid)
        assert tree.found(unit_of()) == (None, set())

    def test_all_hierarchies(self, tmp_path: Path) -> None:
        """Version 2, both versions, version 1: systemd's own hierarchy is read; a process counts once."""
        roots = [tmp_path / name for name in ("unified", "systemd", "gone")]
        cgroups = Cgroups(tuple(map(str, roots)))
        with sleeping() as one, sleeping() as two:
            Tree(roots[0]).put("/system.slice/web.service", one, two)
            Tree(roots[1]).put("/system.slice/web.service", two)
            assert {process.pid for process in cgroups.find(unit_of()).processes} == {one, two}
            assert cgroups.pids("/system.slice/web.service") == [one, two, two]

    def test_no_hierarchy(self, tmp_path: Path) -> None:
        """A host without control groups where they should be has no processes in them."""
        assert Cgroups((str(tmp_path / "gone"),)).find(unit_of()) == unit_of()

    def test_a_file_that_cannot_be_read(self, tree: Tree, pid: int) -> None:
        """A threaded group fails with EOPNOTSUPP, one that is removed with ENODEV: the others count."""
        tree.put("/system.slice/web.service", pid)
        (tree.root / "system.slice/web.service/threads").mkdir()
        (tree.root / "system.slice/web.service/threads/cgroup.procs").mkdir()
        tree.put("/system.slice/web.service/odd", "no-number")
        assert tree.found(unit_of()) == (None, {pid})

    @pytest.mark.parametrize(
        ("unit", "kind"),
        [
            pytest.param(unit_of("a.target", kill_mode=""), "target", id="target"),
            pytest.param(unit_of("a.timer", kill_mode=""), "timer", id="timer"),
            pytest.param(replace(unit_of(), details=None), "not known", id="nothing known of it"),
        ],
    )
    def test_what_has_no_processes(self, tree: Tree, pid: int, unit: UnitState, kind: str) -> None:
        """A unit without KillMode= has none, whatever a directory of its name holds."""
        tree.put(f"/system.slice/{unit.unit}", pid)
        assert tree.cgroups.find(unit) is unit, kind

    @given(
        name=st.text(st.sampled_from("ab-@._\\:"), min_size=1, max_size=20),
        slice_=st.sampled_from(["", "-.slice", "a.slice", "a-b.slice", "--.slice", ".slice", "slice"]),
    )
    def test_any_name(self, name: str, slice_: str) -> None:
        """Every name that a unit can have leads to some group below the hierarchy, and none raises."""
        unit = unit_of(f"{name}.service", slice=slice_, names=(f"{name}.service",))
        assert Cgroups(("/nonexistent",)).find(unit) == unit


class TestAlive:
    def test_what_has_ended_does_not_count(self, tree: Tree, pid: int) -> None:
        """Zombies, pids that are gone and those of another namespace do not count."""
        with zombie() as ended:
            tree.put("/system.slice/web.service", ended, NO_PID, 0, pid)
            assert tree.found(unit_of()) == (None, {pid})
            assert tree.found(unit_of(main_pid=ended, main_started_us=started_us(ended, 1.0))) == (None, {pid})

    def test_what_runs_without_its_first_thread_does(self, tree: Tree) -> None:
        """To the kernel it is a zombie, and another of its threads may still write."""
        with leaderless() as pid:
            tree.put("/system.slice/web.service", pid)
            main = unit_of(main_pid=pid, main_started_us=started_us(pid, 1.0))
            assert tree.found(unit_of()) == (None, {pid})
            assert tree.found(main) == (process_of(pid), set())

    def test_what_is_in_uninterruptible_sleep_does(self, tree: Tree, tmp_path: Path) -> None:
        """It is reported as uninterruptible: no signal ends it."""
        with uninterruptible(tmp_path) as pid:
            tree.put("/system.slice/web.service", pid)
            state = tree.cgroups.find(unit_of())
            assert [(process.pid, process.is_uninterruptible) for process in state.processes] == [(pid, True)]
            assert not state.is_down

    def test_they_keep_a_unit_from_being_down(self, tree: Tree, pid: int) -> None:
        """Unless its KillMode= spares them; without any it is down."""
        assert tree.cgroups.find(unit_of()).is_down
        tree.put("/system.slice/web.service", pid)
        modes = {"control-group": False, "mixed": False, "process": True, "none": True}
        assert {mode: tree.cgroups.find(unit_of(kill_mode=mode)).is_down for mode in modes} == modes


class TestMainProcess:
    def test_it_lives_outside_its_group(self, tree: Tree, pid: int) -> None:
        """As after an alias was laid over a running unit: PID 1 reports inactive, and MainPID lives."""
        unit = unit_of(main_pid=pid, main_started_us=started_us(pid))
        assert tree.found(unit) == (process_of(pid), set())

    def test_it_counts_once(self, tree: Tree, pid: int) -> None:
        """It is not among the others as well."""
        with sleeping() as other:
            tree.put("/system.slice/web.service", pid, other)
            unit = unit_of(main_pid=pid, main_started_us=started_us(pid))
            assert tree.found(unit) == (process_of(pid), {other})

    @pytest.mark.parametrize(
        ("later_s", "is_main"),
        [
            pytest.param(0.0, True, id="at the same moment"),
            pytest.param(0.5, True, id="the time stamp comes after the fork"),
            pytest.param(86_400.0, True, id="long after: it was known by a PIDFile="),
            pytest.param(-0.01, True, id="within a tick or two"),
            pytest.param(-0.1, False, id="before it was forked"),
            pytest.param(-60.0, False, id="a minute before it was forked"),
        ],
    )
    def test_a_later_process_of_the_same_pid_is_not_it(
        self, tree: Tree, pid: int, later_s: float, *, is_main: bool
    ) -> None:
        """Systemd stamps the main process once it is forked: what is younger than the stamp has its pid by chance."""
        unit = unit_of(main_pid=pid, main_started_us=started_us(pid, later_s))
        assert tree.found(unit) == (process_of(pid) if is_main else None, set())

    @pytest.mark.parametrize(
        "details",
        [
            pytest.param({"main_pid": 0, "main_started_us": 10**15}, id="none"),
            pytest.param({"main_pid": NO_PID, "main_started_us": 10**15}, id="gone"),
            pytest.param({"main_pid": 1, "main_started_us": 0}, id="no start known"),
        ],
    )
    def test_what_is_none(self, tree: Tree, details: dict[str, object]) -> None:
        """Without a pid, a process or a time there is none."""
        assert tree.found(unit_of(**details)) == (None, set())

    def test_the_time_in_suspend_counts(self) -> None:
        """The start in /proc counts it and systemd's stamp does not: a process is not taken for a later one."""
        code = """
import time
from ocf_systemd.host.cgroups import Cgroups
from ocf_systemd.core.observations import ActiveState, LoadState, UnitDetails, UnitState
from ocf_systemd.host.procfs import TICKS_PER_S, read_stat
import os
real = time.clock_gettime
asleep = 3600.0
time.clock_gettime = lambda clock: real(clock) - (asleep if clock == time.CLOCK_MONOTONIC else 0.0)
started_s = read_stat(os.getpid()).entry.started / TICKS_PER_S
for us in (int((started_s - asleep + 0.1) * 1e6), int((started_s - asleep - 1) * 1e6)):
    details = UnitDetails("a.service", kill_mode="mixed", main_pid=os.getpid(), main_started_us=us)
    unit = UnitState("a.service", LoadState.LOADED, ActiveState.INACTIVE, details=details)
    print(Cgroups(("/nonexistent",)).find(unit).main_process is not None)
"""
        done = run_python(code)
        assert (done.stdout.split(), done.stderr) == (["True", "False"], "")


def ended_by(pid: int) -> int:
    """Return the signal that a child died by, once it has."""
    wait_until(lambda: (stat := read_stat(pid)) is not None and not stat.is_alive)
    status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert status is not None
    return status.si_status


class TestSignals:
    @pytest.mark.parametrize("number", [pytest.param(each, id=each.name) for each in (SIGTERM, SIGKILL)])
    def test_each_process_gets_it(self, tree: Tree, number: signal.Signals) -> None:
        """The main process, which may be elsewhere, and all in the group and below, in whatever state the unit is."""
        for active in (ActiveState.ACTIVE, ActiveState.DEACTIVATING, ActiveState.FAILED):
            with sleeping() as main, sleeping() as one, sleeping() as two, sleeping() as stranger:
                tree.put("/system.slice/web.service", one, NO_PID, 0)
                tree.put("/system.slice/web.service/below", two)
                tree.put("/system.slice/other.service", stranger)
                details = {"main_pid": main, "main_started_us": started_us(main)}
                tree.cgroups.send_signal(replace(unit_of(**details), active_state=active), number)
                assert [ended_by(pid) for pid in (main, one, two)] == [number] * 3
                assert process_of(stranger).pid == stranger

    def test_no_file_is_written(self, tree: Tree, pid: int) -> None:
        """By pid: what cgroup.kill was written to kills, on many kernels, what is started there afterwards as well."""
        tree.put("/system.slice/web.service", pid)
        kill = tree.root / "system.slice/web.service/cgroup.kill"
        kill.touch()
        kill.chmod(0o444)
        before = {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")}
        tree.cgroups.send_signal(unit_of(), SIGKILL)
        assert ended_by(pid) == SIGKILL
        assert {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")} == before
        assert kill.read_text() == ""

    def test_a_later_process_of_the_main_pid_gets_none(self, tree: Tree, pid: int) -> None:
        """A later process of the same pid is not killed."""
        tree.cgroups.send_signal(unit_of(main_pid=pid, main_started_us=started_us(pid, -60.0)), SIGKILL)
        tree.cgroups.send_signal(replace(unit_of(), details=None), SIGKILL)
        time.sleep(0.05)
        assert process_of(pid).pid == pid

    def test_what_runs_without_its_first_thread_gets_it(self, tree: Tree) -> None:
        """Its other threads end with it."""
        with leaderless() as pid:
            tree.put("/system.slice/web.service", pid)
            tree.cgroups.send_signal(unit_of(), SIGKILL)
            assert ended_by(pid) == SIGKILL

    def test_what_has_ended_is_passed_over(self, tree: Tree, pid: int) -> None:
        """A zombie or a pid that is gone does not keep the others from getting the signal."""
        with zombie() as ended:
            tree.put("/system.slice/web.service", ended, NO_PID, pid)
            tree.cgroups.send_signal(unit_of(), SIGTERM)
            assert ended_by(pid) == SIGTERM


def test_real_control_groups() -> None:
    """This process is found in its own control group, under one of the places where hosts have them."""
    lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    groups = [line.split(":", 2) for line in lines]
    paths = [path for _, controllers, path in groups if controllers in {"", "name=systemd"}]
    mounted = [f"{root}{path}" for root, path in product(Cgroups().hierarchies, paths)]
    if not any(Path(place, "cgroup.procs").exists() for place in mounted):
        pytest.skip("no control groups are mounted here")
    assert any(os.getpid() in Cgroups().pids(path) for path in paths)
