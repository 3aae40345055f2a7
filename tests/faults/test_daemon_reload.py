"""What systemd reads again, and when: generators are slow, many agents want it at once, and a stop must not need it."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.agent import AGENT, executor_environment
from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.agent import Agent
    from tests.system.box import Box

GENERATOR = "/run/systemd/system-generators/slow"
DROP_IN = "/run/systemd/system/{}.d/zz-ocf-systemd.conf"
LOGGED = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
LOCK = "/run/ocf-systemd/daemon-reload.lock"
MANY = 12
RELOADS_MAX = 3  # the one that runs as they come, one for all that have come meanwhile, one for a latecomer
STARTED_PACEMAKER = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\nExecStop=/run/test/stop-all\n"


@contextmanager
def slow_generator(box: Box, seconds: float) -> Iterator[None]:
    """Have each daemon-reload take so long for the time of the block, unless it is cut short at its end."""
    box.write(GENERATOR, f"#!/bin/sh\necho $$ >/run/test/generator\nexec sleep {seconds}\n", 0o755)
    box.path("/run/test").mkdir(exist_ok=True)
    try:
        yield
    finally:
        box.path(GENERATOR).unlink()
        box.sh("read -r pid </run/test/generator && kill $pid", check=False)
        box.sh("systemctl is-system-running", check=False)  # it returns only once the boot is done


def reloads(box: Box) -> int:
    """Return how often PID 1 has begun to read its unit files again, since it was booted."""
    return int(box.sh("journalctl --sync; journalctl --quiet --output=cat _PID=1 | grep -c '^Reloading[.]' || :"))


@contextmanager
def reload_lock_held(box: Box) -> Iterator[None]:
    """Hold the lock for the time of the block, so that all agents come to wait for it, on a busy machine too."""
    box.path(LOCK).parent.mkdir(exist_ok=True)
    with box.path(LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_until_all_want_it(box: Box) -> None:
    """Wait until as many agents as there are units have the lock's file open."""
    deadline = time.monotonic() + 20
    while sum(has_open(pid, LOCK) for pid in box.visitors()) < MANY:
        assert time.monotonic() < deadline, "not all agents have come to wait for the lock"
        time.sleep(0.05)


def has_open(pid: int, path: str) -> bool:
    """Return whether a process has a file open."""
    with suppress(OSError):  # it has gone
        return any(str(descriptor.readlink()) == path for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return False


def is_listed(box: Box, unit: str) -> bool:
    """Return whether systemd has a drop-in of ours in force."""
    return "ocf-systemd" in box.show(unit, "DropInPaths")


@pytest.fixture
def started(agent: Agent, box: Box) -> str:
    """Return a unit that the agent has started, and that systemd keeps loaded."""
    unit = box.service()
    box.remember(unit)
    assert agent("start", unit=unit).code == 0
    assert is_listed(box, unit)
    return unit


class TestSlowGenerator:
    @pytest.mark.fault(
        "Each daemon-reload takes 3 s, because a generator is slow.",
        "Neither a stop nor the monitors of other units are delayed.",
    )
    def test_stop(self, agent: Agent, box: Box) -> None:
        """A stop does not wait for a daemon-reload, during which PID 1 does not respond."""
        unit, other = box.service(), box.started()
        assert agent("start", unit=unit).code == 0
        with slow_generator(box, 3):
            stopping = agent.begin("stop", unit=unit, measured=False)
            watching = [agent.begin("monitor", unit=other, measured=False) for _ in range(3)]
            results = [call.finish() for call in (stopping, *watching)]
            for call, result in zip((stopping, *watching), results, strict=True):
                agent.audit(call, result)
                assert result.code == 0
                assert result.elapsed_s < 3
        assert not is_listed(box, unit)

    @COLD_ONLY
    @pytest.mark.fault(
        "A generator takes longer than the timeout of a stop, and systemd keeps the stopped unit loaded.",
        "The unit stops at once. The stop removes the drop-in and returns 0 in time. After the daemon-reload the "
        "drop-in is not in `DropInPaths`.",
    )
    def test_reload_after_a_stop(self, agent: Agent, box: Box, started: str) -> None:
        """What follows the stop can neither fail it nor delay it beyond its deadline."""
        with slow_generator(box, 600):
            call = agent.begin("stop", unit=started, timeout_s=6, variables=LOGGED)
            result = call.finish()
            assert result.code == 0
            assert result.elapsed_s < 6
            assert not box.path(DROP_IN.format(started)).exists()
            assert any("WARNING: daemon-reload: " in line for line in box.marks("log"))
        agent.audit(call, result)
        assert not is_listed(box, started)

    @COLD_ONLY
    @pytest.mark.fault(
        "The daemon-reload after a stop fails.",
        "The stop removes the drop-in, logs a warning and returns 0. The next stop repeats the daemon-reload.",
    )
    def test_reload_that_fails(self, agent: Agent, box: Box, started: str) -> None:
        """A unit that is down is stopped, even if the daemon-reload fails."""
        path = box.in_front_of_systemctl('case " $* " in *" daemon-reload "*) echo no >&2; exit 1 ;; esac')
        result = agent("stop", unit=started, variables={"PATH": path, **LOGGED})
        assert result.code == 0
        assert any("WARNING: daemon-reload: no" in line for line in box.marks("log"))
        assert not box.path(DROP_IN.format(started)).exists()
        assert agent("stop", unit=started).code == 0
        assert not is_listed(box, started)


@COLD_ONLY
@pytest.mark.fault(
    "Twelve starts, and then twelve stops, run at once, of units that systemd keeps loaded.",
    "Each of them returns 0. Twelve actions need at most three daemon-reloads together.",
)
def test_many_at_once(agent: Agent, box: Box) -> None:
    """Agents take turns, and one reload serves all that wait for it."""
    units = [box.service() for _ in range(MANY)]
    box.remember(*units)
    for action in ("start", "stop"):
        before = reloads(box)
        with reload_lock_held(box):
            calls = [agent.begin(action, unit=unit, timeout_s=60, measured=False) for unit in units]
            wait_until_all_want_it(box)
        results = [call.finish() for call in calls]
        for call, result in zip(calls, results, strict=True):
            agent.audit(call, result)
            assert result.code == 0
        assert 1 <= reloads(box) - before <= RELOADS_MAX
        assert {is_listed(box, unit) for unit in units} == {action == "start"}


class TestPacemakersOwnStop:
    @pytest.fixture
    def pacemaker(self, box: Box) -> Iterator[str]:
        """Have a Pacemaker whose stop has the agent stop the units in a list, as the real one's does."""
        environment = executor_environment("stop", 60, 0)
        clean = " ".join(f"'{name}={value}'" for name, value in environment.items())
        box.write(
            "/run/test/stop-all",
            "#!/bin/sh\nfor unit in $(cat /run/test/units); do\n"
            f'  (env -i {clean} "OCF_RESKEY_unit=$unit" {AGENT} stop; echo $? >>/run/test/codes) &\n'
            "done\nwait\n",
            0o755,
        )
        unit = box.unit("pacemaker.service", STARTED_PACEMAKER)
        box.sh('systemctl daemon-reload; systemctl start "$1"', unit)
        yield unit
        box.sh('systemctl stop "$1"; rm "/etc/systemd/system/$1"; systemctl daemon-reload', unit)
        box.units.remove(unit)

    @COLD_ONLY
    @pytest.mark.fault(
        "Pacemaker itself is stopped or restarted, and stops units that systemd would stop only after Pacemaker.",
        "There is no deadlock: each stop returns 0 within seconds.",
    )
    @pytest.mark.parametrize("verb", ["stop", "restart"])
    @pytest.mark.parametrize("count", [1, 5])
    def test_no_deadlock(self, agent: Agent, box: Box, pacemaker: str, verb: str, count: int) -> None:
        """A unit that waits for Pacemaker's stop job, which waits for the unit's stop, is stopped at once."""
        units = [box.service() for _ in range(count)]
        for unit in units:
            assert agent("start", unit=unit).code == 0
        box.write("/run/test/units", "\n".join(units))
        began = time.monotonic()
        box.sh(f'systemctl {verb} "$1"', pacemaker)
        elapsed_s = time.monotonic() - began
        box.write("/run/test/units", "")
        assert box.marks("codes") == ["0"] * count
        assert [box.state(unit) for unit in units] == ["inactive"] * count
        assert elapsed_s < 3 + count

    @COLD_ONLY
    @pytest.mark.fault(
        "systemd queues the stop job of the unit before the stop job of Pacemaker.",
        "There is no deadlock: the stop returns 0 within seconds.",
    )
    def test_job_that_comes_later(self, agent: Agent, box: Box, pacemaker: str) -> None:
        """It is looked for again and again: a stop of all units at once queues both jobs, in whatever order."""
        unit = box.service()
        assert agent("start", unit=unit).code == 0
        box.write("/run/test/units", unit)
        began = time.monotonic()
        box.sh('systemctl stop --no-block "$1" "$2"; systemctl stop "$2"; systemctl stop "$1"', unit, pacemaker)
        elapsed_s = time.monotonic() - began
        box.write("/run/test/units", "")
        assert box.marks("codes") == ["0"]
        assert box.state(unit) == "inactive"
        assert elapsed_s < 4

    @COLD_ONLY
    @pytest.mark.fault(
        "A unit that another unit requires is stopped, while Pacemaker is not being stopped.",
        "systemd stops the other unit too. The stop returns 0.",
    )
    def test_others_stop_with_it(self, agent: Agent, box: Box, pacemaker: str) -> None:
        """Only where it must is a unit stopped without regard to its dependencies."""
        unit = box.service()
        other = box.service(before=f"[Unit]\nRequires={unit}\nAfter={unit}\n")
        assert agent("start", unit=unit).code == 0
        box.sh('systemctl start "$1"', other)
        assert agent("stop", unit=unit).code == 0
        assert (box.state(unit), box.state(other), box.state(pacemaker)) == ("inactive", "inactive", "active")


class TestLateUnitFile:
    @pytest.mark.fault(
        "systemd knows a unit only from `After=` of another unit, and then the unit file appears.",
        "The start does at most two daemon-reloads, one for the unit file and one for the drop-in, and returns 0.",
    )
    @pytest.mark.parametrize("kind", ["file", "link"])
    def test_appears(self, agent: Agent, box: Box, kind: str) -> None:
        """The file's storage may have been mounted a moment ago, by an earlier member of the group."""
        name = f"late-{kind}-{'resident' if agent.is_resident else 'cold'}.service"
        text = "[Service]\nExecStart=sleep infinity\n"
        if kind == "link":
            box.sh('mkdir -p /srv/late; ln -sfn "/srv/late/$1" "/etc/systemd/system/$1"', name)
        box.remember(name)
        box.units.append(name)
        assert box.show(name, "LoadState") == "not-found"
        try:
            if kind == "link":
                box.sh("mount -t tmpfs late /srv/late")
                box.write(f"/srv/late/{name}", text)
            else:
                box.write(f"/etc/systemd/system/{name}", text)
            before = reloads(box)
            assert agent("start", unit=name).code == 0
            assert reloads(box) - before <= 2  # the file, the drop-in
            assert is_listed(box, name)
            assert agent("stop", unit=name).code == 0
        finally:
            box.sh("umount /srv/late", check=False)

    @pytest.mark.fault(
        "A unit does not exist.",
        "A start does one daemon-reload and returns 5. Monitor, probe and stop do no daemon-reload.",
    )
    def test_does_not_appear(self, agent: Agent, box: Box) -> None:
        """Where it is not there after all, it has been looked for once."""
        before = reloads(box)
        assert agent("start", unit="absent").code == 5
        assert reloads(box) - before == 1
        codes = [agent("monitor", unit="absent", interval_s=interval_s).code for interval_s in (0, 10)]
        assert [*codes, agent("stop", unit="absent").code] == [7, 5, 0]
        assert reloads(box) - before == 1
