"""The drop-in against what an administrator, or an older version, has written for the same unit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

ETC, RUN = "/etc/systemd/system/{}.d/{}", "/run/systemd/system/{}.d/{}"
OURS, OLD = "zz-ocf-systemd.conf", "50-ocf-systemd.conf"
RESTARTS = "[Service]\nRestart=always\nRestartSec=50ms\nRestartForceExitStatus=3 SIGKILL\n"
LOGGED = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}
RESTARTED_S = 0.5  # with that RestartSec= it would run again well before


def warnings(box: Box) -> list[str]:
    """Return the warnings in the log."""
    return [line.partition("WARNING: ")[2] for line in box.marks("log") if "WARNING: " in line]


class TestOverrides:
    @pytest.mark.fault(
        "`override.conf`, or the unit itself, sets `Restart=always` and `RestartForceExitStatus=`.",
        "After a start systemd applies neither setting. If the service dies, systemd does not restart it, and a "
        "monitor returns 7.",
    )
    @pytest.mark.parametrize("where", ["override.conf", "zz-local.conf", "unit", "service.d"])
    @pytest.mark.parametrize("stays_loaded", [True, False], ids=["stays-loaded", "forgotten"])
    def test_ours_wins(self, agent: Agent, box: Box, where: str, *, stays_loaded: bool) -> None:
        """Restarts are the cluster's to decide on, and to know of."""
        unit = box.service("ExecStart=sleep infinity", *(RESTARTS.splitlines()[1:] if where == "unit" else ()))
        if where != "unit":
            box.write(ETC.format("service" if where == "service.d" else unit, where), RESTARTS)
        if stays_loaded:
            box.remember(unit)
        try:
            assert agent("start", unit=unit, variables=LOGGED).code == 0
        finally:
            box.sh("rm -rf /etc/systemd/system/service.d")
        assert (box.show(unit, "Restart"), box.show(unit, "RestartForceExitStatus")) == ("no", "")
        assert warnings(box) == []
        box.kill(unit)
        time.sleep(RESTARTED_S)
        assert box.state(unit) == "failed"
        assert agent("monitor", unit=unit).code == 7

    @pytest.mark.fault(
        "A drop-in that sorts after the agent's sets `Restart=always`.",
        "The start returns 0, and logs one warning that names this drop-in.",
    )
    def test_another_wins(self, agent: Agent, box: Box) -> None:
        """A restart that the cluster does not control is reported once, in the log."""
        box.sh("mkdir -p /run/test")
        unit = box.service()
        box.write(ETC.format(unit, "zzz.conf"), RESTARTS)
        assert agent("start", unit=unit, variables=LOGGED).code == 0
        (warning,) = warnings(box)
        assert f"Restart=always and RestartForceExitStatus=3 KILL of {unit} overrides" in warning
        assert agent("stop", unit=unit).code == 0
        assert box.state(unit) == "inactive"

    @pytest.mark.fault(
        "`override.conf` sets `Restart=always`, and the resource has `order_at_shutdown=no`.",
        "The start writes no drop-in, logs no warning and returns 0.",
    )
    def test_not_wanted(self, agent: Agent, box: Box) -> None:
        """Without our drop-in restarts are systemd's, as the administrator has chosen."""
        box.sh("mkdir -p /run/test")
        unit = box.service()
        box.write(ETC.format(unit, "override.conf"), RESTARTS)
        assert agent("start", unit=unit, order_at_shutdown="no", variables=LOGGED).code == 0
        assert warnings(box) == []
        assert box.show(unit, "Restart") == "always"


class TestOldName:
    def old(self, box: Box, *, started: bool) -> str:
        """Return a unit with the drop-in of an older version in force."""
        unit = box.service()
        box.write(RUN.format(unit, OLD), "[Unit]\nBefore=pacemaker.service\n[Service]\nRestart=no\n")
        box.remember(unit)
        if started:
            box.sh('systemctl start -- "$1"', unit)
        assert OLD in box.show(unit, "DropInPaths")
        return unit

    @pytest.mark.fault(
        "A unit has the drop-in of an older version, `50-ocf-systemd.conf`.",
        "A start replaces this drop-in with the present one, and does a daemon-reload.",
    )
    @pytest.mark.parametrize("started", [False, True], ids=["down", "running"])
    def test_start(self, agent: Agent, box: Box, *, started: bool) -> None:
        """There is one drop-in of ours, and that is in force."""
        unit = self.old(box, started=started)
        assert agent("start", unit=unit).code == 0
        assert not box.path(RUN.format(unit, OLD)).exists()
        assert box.show(unit, "DropInPaths") == RUN.format(unit, OURS)

    @pytest.mark.fault(
        "A unit has the drop-in of an older version, `50-ocf-systemd.conf`.",
        "A stop removes this drop-in. After the stop it is not in `DropInPaths`.",
    )
    def test_stop(self, agent: Agent, box: Box) -> None:
        """A unit that an older version has started is stopped like any other."""
        unit = self.old(box, started=True)
        assert agent("stop", unit=unit).code == 0
        assert not box.path(RUN.format(unit, "")).exists()
        assert box.show(unit, "DropInPaths") == ""

    @pytest.mark.fault(
        "A unit has the drop-in of an older version, `50-ocf-systemd.conf`.",
        "`reload-agent` replaces this drop-in with the present one while the unit runs.",
    )
    def test_reload_agent(self, agent: Agent, box: Box) -> None:
        """An upgrade of the agent needs no restart of the service."""
        unit = self.old(box, started=True)
        main = box.show(unit, "MainPID")
        assert agent("reload-agent", unit=unit).code == 0
        assert box.show(unit, "DropInPaths") == RUN.format(unit, OURS)
        assert box.show(unit, "MainPID") == main
